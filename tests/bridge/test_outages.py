"""Brokers that go away and come back while messages flow. These brokers are the test's own: the shared ones must live."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.local.activemq import ActiveMQBroker
from pipeline.local.kafka import KafkaNode
from pipeline.topics import BILLING
from tests.bridge.conftest import Start, make_topics
from tests.bridge.support import Worker, custom, left_in, numbers_in, post, records, until
from tests.conftest import JARS, free_port, need_brokers, running

pytestmark = pytest.mark.slow


class Restartable:
    """A broker on a port and a folder of its own, to be killed and started again."""

    def __init__(self, command: list[str], log: Path, port: int) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self._stack.enter_context(running(self._command, self._log, self.port))

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def own_activemq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    need_brokers()
    home = tmp_path_factory.mktemp("own-activemq")
    broker = ActiveMQBroker(JARS / "activemq", home, free_port())
    broker.configure()
    restartable = Restartable(broker.command(), home / "out.log", broker.port)
    restartable.start()
    yield restartable
    restartable.close()


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    need_brokers()
    home = tmp_path_factory.mktemp("own-kafka")
    node = KafkaNode(JARS / "kafka", home, free_port(), free_port())
    node.configure()
    restartable = Restartable(node.command(), home / "out.log", node.port)
    restartable.start()
    make_topics(f"127.0.0.1:{node.port}")
    yield restartable
    restartable.close()


def killed_in_the_middle(broker: Restartable, worker: Worker, queue: str, numbers: range) -> bool:
    """Post, and kill the broker under way; gives whether it came in time to leave something."""
    post(broker.port, queue, map(custom, numbers))
    if worker.process is None:
        worker.start()
    until(lambda: worker.taken() > numbers.start + 300, what="under way")
    broker.kill()
    until(lambda: "activemq" in (worker.unready() or {}), what="unready without ActiveMQ")
    return worker.metric("rs_bridge_events_total") < numbers.stop


def test_activemq_killed_and_started_again(own_activemq: Restartable, topics: str, queue: str, start: Start) -> None:
    worker = start(own_activemq.port, topics, queue, ready=False, RS_BRIDGE__WINDOW="300", started=False)
    posted = 3000
    while not killed_in_the_middle(own_activemq, worker, queue, range(posted - 3000, posted)):  # on a machine that was busy elsewhere
        assert posted < 15_000, "always killed too late to show anything"
        posted += 3000
        own_activemq.start()
        until(lambda: worker.unready() == {}, what="ready again")
    own_activemq.start()
    until(lambda: worker.unready() == {}, what="ready again")
    post(own_activemq.port, queue, [custom(posted)])
    until(lambda: numbers_in(records(topics, BILLING, queue, posted + 1)) == set(range(posted + 1)), what="all events")
    assert worker.metric("rs_bridge_connections_lost_total") >= 1
    until(lambda: left_in(own_activemq.port, queue) == [], what="all acknowledged")


def test_kafka_killed_and_started_again(own_kafka: Restartable, activemq: int, queue: str, start: Start) -> None:
    kafka = f"127.0.0.1:{own_kafka.port}"
    worker = start(activemq, kafka, queue, RS_BRIDGE__WINDOW="100")
    post(activemq, queue, (custom(number) for number in range(50)))
    assert numbers_in(records(kafka, BILLING, queue, 50)) == set(range(50))
    until(lambda: worker.metric("rs_bridge_messages_acknowledged_total") == 50, what="all acknowledged")

    own_kafka.kill()
    post(activemq, queue, (custom(number) for number in range(50, 500)))
    until(lambda: worker.metric("rs_bridge_window_messages") == 100, what="the window is full")
    until(lambda: "kafka" in (worker.unready() or {}), what="unready without Kafka")
    assert worker.metric("rs_bridge_messages_acknowledged_total") == 50
    assert worker.metric("rs_bridge_messages_taken_total") == 150

    own_kafka.start()
    until(lambda: worker.metric("rs_bridge_messages_acknowledged_total") == 500, what="all acknowledged")
    found = records(kafka, BILLING, queue, 500)
    assert numbers_in(found) == set(range(500))
    assert len(found) == 500, "the idempotent producer sends nothing twice"
    until(lambda: worker.unready() == {}, what="ready again")
    assert worker.stop() == 0
    log = worker.log.read_text()
    assert log.count("kafka does not answer") == log.count("kafka answers again") == 1
