"""ActiveMQ: reachable, version, and how deep the queues are, asked of the broker's statistics plug-in over STOMP."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import stomp

from pipeline.doctor.finding import Finding
from pipeline.settings import Settings

ANSWER_S = 3.0
REPLY = "/temp-queue/rs-doctor"
DEEP = 100_000


class _Answers(stomp.ConnectionListener):  # type: ignore[misc]  # stomp.py ships no types
    """Collects what comes on the reply queue; the receiver thread calls it."""

    def __init__(self, expected: int) -> None:
        self.bodies: list[Mapping[str, object]] = []
        self.server = ""
        self.refused = ""
        self.complete = threading.Event()
        self._expected = expected

    def on_connected(self, frame: stomp.utils.Frame) -> None:
        self.server = frame.headers.get("server", "").removeprefix("ActiveMQ/")

    def on_error(self, frame: stomp.utils.Frame) -> None:
        self.refused = str(frame.headers.get("message", "") or frame.body)
        self.complete.set()

    def on_message(self, frame: stomp.utils.Frame) -> None:
        self.bodies.append(_flat(frame.body))
        if len(self.bodies) >= self._expected:
            self.complete.set()


def look(settings: Settings) -> list[Finding]:
    activemq = settings.activemq
    where = f"{activemq.host}:{activemq.port}"
    queues = [queue for queue in activemq.queues if not set(queue) & {"*", ">"}]
    answers = _Answers(len(queues))
    link = stomp.Connection12([(activemq.host, activemq.port)], reconnect_attempts_max=1, timeout=ANSWER_S)
    link.set_listener("doctor", answers)
    try:
        link.connect(activemq.user or None, activemq.password.get_secret_value() or None, wait=True)
        link.subscribe(REPLY, id="1", ack="auto", headers={"transformation": "jms-map-json"})
        for queue in queues:
            link.send(f"/queue/ActiveMQ.Statistics.Destination.{queue}", "", headers={"reply-to": REPLY})
        answers.complete.wait(ANSWER_S)
        link.disconnect()
    except stomp.exception.StompException as exc:
        why = answers.refused or str(exc) or "nothing answers"
        return [
            Finding(
                "ActiveMQ", f"{where}: {why}", "start it (rs up), or name another: RS_ACTIVEMQ__HOST, RS_ACTIVEMQ__PORT, RS_ACTIVEMQ__USER"
            )
        ]
    version = answers.server or "version not told"
    if answers.refused or not answers.bodies:
        return [Finding("ActiveMQ", f"{version} on {where}; queue depths not told (no statistics plug-in)")]
    return [Finding("ActiveMQ", f"{version} on {where}"), *map(_queue, answers.bodies)]


def _queue(told: Mapping[str, object]) -> Finding:
    name = str(told.get("destinationName", "?")).removeprefix("queue://")
    size, consumers = _number(told, "size"), _number(told, "consumerCount")
    said = f"{size:,} waiting, {_number(told, 'enqueueCount'):,} taken since its start, {consumers} consumers"
    if consumers == 0:
        return Finding(f"queue {name}", said, "nobody takes its messages: start the bridge (rs up, or faust -A pipeline.bridge worker)")
    return Finding(
        f"queue {name}", said, f"more than {DEEP:,} waiting: see whether the bridge is ready" if size > DEEP else "", warning=True
    )


def _number(told: Mapping[str, object], name: str) -> int:
    value = told.get(name, 0)
    return int(value) if isinstance(value, int | float | str) else 0


def _flat(body: str) -> Mapping[str, object]:
    """The plug-in's map message as JSON, however deep its transformer nests the entries:
    {"map": {"entry": [{"string": [name, value]}, {"string": name, "long": value}]}}."""
    told: dict[str, object] = {}
    for entry in json.loads(body).get("map", {}).get("entry", []):
        named = entry.pop("string", None)
        if isinstance(named, list) and len(named) == 2:
            told[str(named[0])] = named[1]
        elif named is not None and entry:
            told[str(named)] = next(iter(entry.values()))
    return told
