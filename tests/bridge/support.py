"""What the bridge's tests need around it: a worker process, senders, and a look into Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import stomp
from aiokafka import AIOKafkaConsumer

from pipeline.topics import BILLING, QUARANTINE
from tests.conftest import free_port
from tests.messages.examples import event

ROOT = Path(__file__).parents[2]


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
        return self.process.wait(30)

    def unready(self) -> dict[str, str] | None:
        """Reasons by check, empty when ready; None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/health/ready", timeout=2) as answer:
                return dict(json.load(answer)["reasons"])
        except urllib.error.HTTPError as exc:
            return dict(json.load(exc)["reasons"])
        except OSError:
            return None

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")))


def until(condition: Callable[[], object], timeout_s: float = 30, what: str = "") -> None:
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
    link.send(f"/queue/{queue}.end", "x", headers={"receipt": "all", "persistent": "false"})
    until(lambda: "all" in receipts.seen, what="receipt of the broker")
    link.disconnect()


class _Collector(stomp.ConnectionListener):
    def __init__(self) -> None:
        self.frames: list[Any] = []

    def on_message(self, frame: Any) -> None:
        self.frames.append(frame)


def left_in(port: int, queue: str, quiet_s: float = 1.0, *, take: bool = False) -> list[Any]:
    """The frames of the messages in a queue, once none has come for `quiet_s`. They stay in it unless `take`; of messages that
    nobody acknowledges ActiveMQ shows only the first hundreds."""
    link = stomp.Connection12([("127.0.0.1", port)], auto_decode=False)
    collector = _Collector()
    link.set_listener("collector", collector)
    link.connect(wait=True)
    link.subscribe(f"/queue/{queue}", id="1", ack="auto" if take else "client-individual")
    seen = -1
    while seen < len(collector.frames):
        seen = len(collector.frames)
        time.sleep(quiet_s)
    link.disconnect()
    return collector.frames


def records(kafka: str, topic: str, queue: str, count: int, timeout_s: float = 20) -> list[Any]:
    """What the topic holds from that queue; waits until it is at least `count` records."""
    header = {BILLING: "ce_source", QUARANTINE: "source"}[topic]

    async def read() -> list[Any]:
        found: list[Any] = []
        async with AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
            end = time.monotonic() + timeout_s
            while len(found) < count and time.monotonic() < end:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record for record in batch if dict(record.headers).get(header) == queue.encode()]
        return found

    return asyncio.run(read())


def numbers_in(found: list[Any]) -> set[int]:
    return {int(json.loads(record.value)["value"]) for record in found}
