"""Real brokers for the tests that need them: started once a run, on free ports, with their data in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local.activemq import ActiveMQBroker
from pipeline.local.kafka import KafkaNode
from pipeline.local.ports import free_port
from tests.last_words import pytest_runtest_makereport, pytest_runtest_setup  # noqa: F401 - hooks

PATIENCE_S = 120
"""How long tests wait for what must come: long on purpose, since only what is broken takes so long, on however busy a machine."""

JARS = Path(os.environ.get("RS_JARS", Path(__file__).parents[1] / ".rs" / "jars"))


# Brokers of tests live for seconds: compiling for speed costs them as much CPU again as their start.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# Files that take longest, with what they wait for; where files run side by side they begin first, so that none is left at the end.
LONGEST = (
    "runtime/test_holes.py",
    "e2e/test_spine.py",
    "rebuild/test_rebuild.py",
    "agents/test_scenarios.py",
    "rebuild/test_partitions.py",
    "agents/test_worker.py",
    "agents/test_crash_model.py",
    "bridge/test_outages.py",
    "rebuild/test_watch.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"broker ended with {process.returncode} before it listened on {port}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port} after {timeout_s} s")


def need_brokers() -> None:
    if shutil.which("java") is None or not (JARS / "kafka").is_dir() or not (JARS / "activemq").is_dir():
        pytest.skip(f"NOT TESTED: real brokers need java and the jars in {JARS} (make setup fetches them)")


@contextlib.contextmanager
def running(command: list[str], log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def kafka_node(home: Path) -> Iterator[str]:
    """A Kafka node of one's own; gives its host:port."""
    need_brokers()
    node = KafkaNode(JARS / "kafka", home, free_port(), free_port())
    node.configure()
    with running(node.command(), home / "out.log", node.port):
        yield f"127.0.0.1:{node.port}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a Kafka node."""
    with kafka_node(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def activemq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of an ActiveMQ broker."""
    need_brokers()
    home = tmp_path_factory.mktemp("activemq")
    broker = ActiveMQBroker(JARS / "activemq", home, free_port())
    broker.configure()
    with running(broker.command(), home / "out.log", broker.port):
        yield broker.port
