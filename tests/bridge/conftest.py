"""Topics on a Kafka of these tests' own, and bridge workers that are gone after the test."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.init import create_topics
from pipeline.settings import read
from tests.bridge.support import JAVA_CLASSES, Worker, until
from tests.conftest import kafka_node, need_brokers

_queues = itertools.count(1)


def make_topics(kafka: str) -> None:
    asyncio.run(create_topics(read(kafka={"bootstrap": kafka})))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node for these tests alone: others make the project's topics with other partitions."""
    with kafka_node(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def topics(kafka: str) -> str:
    """host:port of a Kafka with the project's topics."""
    make_topics(kafka)
    return kafka


@pytest.fixture
def queue() -> str:
    """A queue of this test's own."""
    return f"rs.bridge.test{next(_queues)}"


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Java sender."""
    need_brokers()
    folder = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-cp", JAVA_CLASSES, "-d", str(folder), str(Path(__file__).parent / "openwire" / "Post.java")], check=True)
    return folder


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a worker and wait until it is ready, if not told otherwise."""
    workers: list[Worker] = []

    def start_one(activemq: int, kafka: str, queue: str, *, ready: bool = True, started: bool = True, **settings: str) -> Worker:
        worker = Worker(tmp_path / "bridge.log", activemq, kafka, queue, **settings)
        workers.append(worker)
        if started:
            worker.start()
        if ready:
            until(lambda: worker.unready() == {}, what="bridge ready")
        return worker

    yield start_one
    for worker in workers:
        if worker.process is not None:
            worker.kill()
