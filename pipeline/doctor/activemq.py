"""ActiveMQ: reachable, version, and how deep the queues are, asked of the broker's statistics plug-in over STOMP."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import stomp

from pipeline.doctor.finding import Finding
from pipeline.settings import Settings, WrongSettings
from pipeline.stomp_connection import Connection, advice, no_answer_hint, place

ANSWER_S = 3.0
END = "ActiveMQ.Statistics.Destination.List.End.With.Null"  # asks for an empty answer behind the last one
REPLY = "/temp-queue/rs-doctor"
DEEP = 100_000
REACH = "start it (rs up), or name another: RS_ACTIVEMQ__HOST, RS_ACTIVEMQ__PORT"


class _Answers(stomp.ConnectionListener):  # type: ignore[misc]  # stomp.py ships no types
    """Collects what comes on the reply queue; the receiver thread calls it."""

    def __init__(self, expected: int) -> None:
        self.bodies: list[Mapping[str, object]] = []
        self.server = ""
        self.refused = ""
        self.answered = threading.Event()
        self.complete = threading.Event()
        self.expected = expected

    def on_connected(self, frame: stomp.utils.Frame) -> None:
        self.server = frame.headers.get("server", "").removeprefix("ActiveMQ/") or "version not told"
        self.answered.set()

    def on_error(self, frame: stomp.utils.Frame) -> None:
        self.refused = str(frame.headers.get("message", "") or frame.body).strip().split("\n")[0]
        self.end()

    def on_disconnected(self) -> None:
        self.end()

    def end(self) -> None:
        self.answered.set()
        self.complete.set()

    def on_message(self, frame: stomp.utils.Frame) -> None:
        told = _flat(frame.body)
        if told:
            self.bodies.append(told)
            return
        self.expected -= 1
        if not self.expected:
            self.complete.set()


def look(settings: Settings) -> list[Finding]:
    activemq = settings.activemq
    where = place(activemq)
    answers = _Answers(len(activemq.queues))
    try:
        link = Connection(activemq, timeout_s=ANSWER_S)
    except WrongSettings as exc:
        said, _, mend = str(exc).partition(": ")
        return [Finding("ActiveMQ", said, mend)]
    link.set_listener("doctor", answers)
    try:
        link.log_in()
        if not answers.answered.wait(ANSWER_S) or not answers.server:
            raise stomp.exception.ConnectFailedException
        link.subscribe(REPLY, id="1", ack="auto", headers={"transformation": "jms-map-json"})
        for queue in activemq.queues:  # with a wildcard, an answer for each that it means
            link.send(f"/queue/ActiveMQ.Statistics.Destination.{queue}", "", headers={"reply-to": REPLY, END: "true"})
        answers.complete.wait(ANSWER_S)
        link.disconnect()
    except stomp.exception.StompException:
        why = advice(answers.refused, activemq) if answers.refused else link.trouble or f"does not answer{no_answer_hint(activemq)}"
        said, _, mend = why.partition(": ")
        return [Finding("ActiveMQ", f"{where}: {said}", REACH if "reached" in why else mend or REACH)]
    version = answers.server
    if answers.refused or answers.expected:
        return [Finding("ActiveMQ", f"{version} on {where}; queue depths not told ({answers.refused or 'no statistics plug-in'})")]
    return [Finding("ActiveMQ", f"{version} on {where}"), *sorted(map(_queue, answers.bodies), key=lambda finding: finding.part)]


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
    inside = json.loads(body).get("map")  # of an empty map the transformer makes a text
    for entry in inside.get("entry", []) if isinstance(inside, dict) else ():
        named = entry.pop("string", None)
        if isinstance(named, list) and len(named) == 2:
            told[str(named[0])] = named[1]
        elif named is not None and entry:
            told[str(named)] = next(iter(entry.values()))
    return told
