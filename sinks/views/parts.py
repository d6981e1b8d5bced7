"""Asking the processes of the Reporting Server how they are: /health/ready and /metrics of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from pipeline.readiness import Said, ready_path
from sinks.views.rows import Readiness, State

ASK_S = 2.0
ANSWER_S = 3.0
MOST_BYTES = 4 << 20  # of an answer
# Stages by what the name of a process begins with, as in agents-2.
STAGES = {"bridge": ("bridge",), "agents": ("calls", "tenants"), "sinks": ("sinks",), "reports": ("reports",)}
WINDOW = "rs_bridge_window_messages"
SET_ASIDE = {"rs_bridge_quarantined_total": "bridge", "rs_agents_quarantined_total": "calls", "rs_sink_quarantined_total": "sinks"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process says. quarantined: stage, reason -> records since its start; window: messages not acknowledged (bridge)."""

    readiness: Readiness = "unknown"
    reasons: dict[str, str] = field(default_factory=dict)
    quarantined: dict[tuple[str, str], int] = field(default_factory=dict)
    window: int | None = None


class Parts:
    """`answers`: the last one of each process."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self.answers = {name: Answer() for name in addresses}
        self.set_aside = SetAside()

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(*(self._ask(session, name, url) for name, url in self.addresses.items()))
                await asyncio.sleep(ASK_S)

    async def _ask(self, session: aiohttp.ClientSession, name: str, url: str) -> None:
        try:
            ready = msgspec.json.decode(await _get(session, url + ready_path(name)), type=Said)
            metrics = "" if name.startswith("reports") else (await _get(session, f"{url}/metrics")).decode(errors="replace")
            answer = answer_of(ready.ready, ready.reasons, metrics)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):  # also what is no JSON, or not ours
            answer = Answer("unreachable")
        self.answers[name] = answer
        self.set_aside.note(name, answer.quarantined)


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        body = await response.content.read(MOST_BYTES + 1)
        while len(body) <= MOST_BYTES and not response.content.at_eof():
            body += await response.content.read(MOST_BYTES + 1 - len(body))
    if len(body) > MOST_BYTES:
        raise ValueError(f"{url} answers more than {MOST_BYTES} bytes")
    return body


def answer_of(ready: bool, reasons: dict[str, str], metrics: str) -> Answer:
    """Raises ValueError for what is no exposition."""
    wanted = "\n".join(line for line in metrics.splitlines() if line.startswith((WINDOW, *SET_ASIDE)))
    quarantined: dict[tuple[str, str], int] = {}
    window = None
    for family in text_string_to_metric_families(wanted + "\n"):
        for sample in family.samples:
            if sample.name == WINDOW:
                window = int(sample.value)
            elif sample.name in SET_ASIDE and "reason" in sample.labels:
                quarantined[SET_ASIDE[sample.name], sample.labels["reason"]] = int(sample.value)
    return Answer("ready" if ready else "notReady", dict(reasons), quarantined, window)


class SetAside:
    """Counts of several processes, each of which begins at 0 when it starts again."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], int] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def note(self, part: str, quarantined: Mapping[tuple[str, str], int]) -> None:
        for (stage, reason), count in quarantined.items():
            last = self._last.get((part, stage, reason), 0)
            self._last[part, stage, reason] = count
            self.counts[stage, reason] = self.counts.get((stage, reason), 0) + (count - last if count >= last else count)


def database_state(answers: Mapping[str, Answer]) -> State:
    return _said(answers, "sinks", "database")


def activemq_state(answers: Mapping[str, Answer]) -> State:
    return _said(answers, "bridge", "activemq")


def kafka_state(answers: Mapping[str, Answer], *, lost: bool) -> State:
    """lost: this process cannot read it either."""
    if lost:
        return "down"
    said = _said(answers, "bridge", "kafka")
    return "up" if said == "unknown" else said


def counting(answers: Mapping[str, Answer]) -> frozenset[str]:
    """The stages whose counts of what was set aside are known: each of their processes was asked, and one has answered."""
    found = set()
    for prefix, stage in {"bridge": "bridge", "agents": "calls", "sinks": "sinks"}.items():
        of = {answer.readiness for name, answer in answers.items() if name.startswith(prefix)}
        if "unknown" not in of and of & {"ready", "notReady"}:
            found.add(stage)
    return frozenset(found)


def _said(answers: Mapping[str, Answer], part: str, reason: str) -> State:
    """What the processes of a part say of a counterpart: down if one of them does, unknown if none answers."""
    heard = [answer for name, answer in answers.items() if name.startswith(part) and answer.readiness in ("ready", "notReady")]
    if not heard:
        return "unknown"
    return "down" if any(reason in answer.reasons for answer in heard) else "up"
