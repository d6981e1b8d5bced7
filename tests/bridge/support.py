"""What the bridge's tests need around it: a worker process, senders, and a look into Kafka."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import stomp
from aiokafka import AIOKafkaConsumer

from pipeline import reading
from pipeline.topics import BILLING, QUARANTINE
from tests.conftest import JARS, PATIENCE_S, free_port
from tests.messages.examples import event

ROOT = Path(__file__).parents[2]
JAVA_CLASSES = f"{JARS / 'activemq'}/*"
_QUEUE = {BILLING: "ce_source", QUARANTINE: "source"}  # the header that says from which queue a record came


def guid(number: int) -> str:
    return str(uuid.UUID(int=number)).upper()


def custom(number: int, **changed: Any) -> bytes:
    """An event that tells which one it is."""
    now = time.time_ns() // 1_000_000
    return json.dumps(event("var.custom", **({"guid": guid(number), "ts": now, "value": str(number)} | changed))).encode()


class Worker:
    """The bridge as `faust -A pipeline.bridge worker` starts it, on one queue."""

    def __init__(self, log: Path, activemq: int, kafka: str, queue: str, **settings: str) -> None:
        self.health = free_port()
        self.log = log
        self._environment = os.environ | {
            "RS_ACTIVEMQ__PORT": str(activemq),
            "RS_ACTIVEMQ__QUEUES": json.dumps([queue]),
            "RS_KAFKA__BOOTSTRAP": kafka,
            "RS_HEALTH__BRIDGE_PORT": str(self.health),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "faust"), "-A", "pipeline.bridge", "worker", "--without-web"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=output, stderr=subprocess.STDOUT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def unready(self) -> dict[str, str] | None:
        """Reasons by check, empty when ready; None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/health/ready", timeout=10) as answer:
                return dict(json.load(answer)["reasons"])
        except urllib.error.HTTPError as exc:
            return dict(json.load(exc)["reasons"])
        except OSError:
            return None

    def taken(self) -> float:
        """Messages taken since its start, 0 while it does not answer."""
        return 0 if self.unready() is None else self.metric("rs_bridge_messages_taken_total")

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))


def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: str = "") -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


class _Receipts(stomp.ConnectionListener):
    def __init__(self) -> None:
        self.seen: set[str] = set()

    def on_receipt(self, frame: Any) -> None:
        self.seen.add(frame.headers["receipt-id"])


def post(port: int, queue: str, bodies: Iterable[bytes], *, as_bytes: bool = False, **headers: str) -> None:
    """Send persistent messages and wait until the broker has confirmed them."""
    link = stomp.Connection12([("127.0.0.1", port)], auto_content_length=as_bytes, reconnect_attempts_max=1)
    receipts = _Receipts()
    link.set_listener("receipts", receipts)
    link.connect(wait=True)
    for body in bodies:
        link.send(f"/queue/{queue}", body, headers={"persistent": "true", **headers})
    _everything_before(link, receipts, queue)
    link.disconnect()


def _everything_before(link: stomp.Connection12, receipts: _Receipts, queue: str) -> None:
    """Wait until the broker has worked through what was sent on this connection, and has been heard."""
    link.send(f"/queue/{queue}.end", "x", headers={"receipt": "all", "persistent": "false"})
    until(lambda: "all" in receipts.seen, what="receipt of the broker")


class _Collector(_Receipts):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Any] = []
        self.browsed = False

    def on_message(self, frame: Any) -> None:
        if frame.headers.get("browser") == "end":
            self.browsed = True
        else:
            self.frames.append(frame)


def _collecting(port: int) -> tuple[stomp.Connection12, _Collector]:
    link = stomp.Connection12([("127.0.0.1", port)], auto_decode=False)
    collector = _Collector()
    link.set_listener("collector", collector)
    link.connect(wait=True)
    return link, collector


def left_in(port: int, queue: str) -> list[Any]:
    """The frames of the messages in a queue, also of those that somebody has and did not acknowledge; they stay. Of many ActiveMQ
    shows only the first hundreds."""
    link, collector = _collecting(port)
    link.subscribe(f"/queue/{queue}", id="1", ack="auto", headers={"browser": "true"})
    until(lambda: collector.browsed, what=f"the end of {queue}")
    link.disconnect()
    return collector.frames


def take_from(port: int, queue: str) -> list[Any]:
    """The frames of all messages of a queue, which is empty then."""
    link, collector = _collecting(port)
    link.subscribe(f"/queue/{queue}", id="1", ack="auto")
    until(lambda: left_in(port, queue) == [], what=f"{queue} is empty")
    _everything_before(link, collector, queue)
    link.disconnect()
    return collector.frames


def records(kafka: str, topic: str, queue: str, count: int, timeout_s: float = PATIENCE_S) -> list[Any]:
    """What the topic holds from that queue; waits until it is at least `count` records."""
    header = _QUEUE[topic]

    async def read() -> list[Any]:
        found: list[Any] = []
        async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
            end = time.monotonic() + timeout_s
            while len(found) < count and time.monotonic() < end:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record for record in batch if dict(record.headers).get(header) == queue.encode()]
        return found

    return asyncio.run(read())


def records_now(kafka: str, topic: str, queue: str) -> list[Any]:
    """What the topic holds from that queue, all of it, as it is now."""

    async def read() -> list[Any]:
        partitions = (await reading.partitions_of(kafka, [topic]))[topic]
        found = [record async for record in reading.records(kafka, topic, partitions)]
        return [record for record in found if dict(record.headers).get(_QUEUE[topic]) == queue.encode()]

    return asyncio.run(read())


def post_by_java(
    classes: Path,
    url: str,
    queue: str,
    messages: list[tuple[str, bytes]],
    *more: str,
    check: bool = True,
    options: Sequence[str] = (),
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """By ActiveMQ's own client over OpenWire: its output are the message ids."""
    lines = "".join(f"{kind} {base64.b64encode(body).decode()}\n" for kind, body in messages)
    command = ["java", *options, "-cp", f"{classes}{os.pathsep}{JAVA_CLASSES}", "Post", url, queue, *more]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=check, timeout=PATIENCE_S, env={**os.environ, **env})


def numbers_in(found: list[Any]) -> set[int]:
    return {int(json.loads(record.value)["value"]) for record in found}
