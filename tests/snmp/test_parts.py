"""What processes answer, and what is made of it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from pipeline.health import HealthServer
from pipeline.local.ports import free_port
from pipeline.readiness import urls
from pipeline.settings import read
from sinks.views import parts
from sinks.views.names import Names
from sinks.views.parts import Answer, Parts, SetAside
from sinks.views.rows import Readiness
from sinks.views.view import View, stage_of
from tests.conftest import PATIENCE_S

READY, WAITS = Answer("ready"), Answer("notReady", {"database": "locked"})


async def test_a_process_is_asked_for_its_readiness_and_its_counts() -> None:
    registry, port = CollectorRegistry(), free_port()
    Counter("rs_bridge_quarantined_total", "", ["reason"], registry=registry).labels('no "json"').inc(3)
    Gauge("rs_bridge_window_messages", "", registry=registry).set(17)
    Gauge("rs_bridge_window_messages_more", "", registry=registry).set(18)
    server = HealthServer("127.0.0.1", port, {"activemq": lambda: "lost"}, registry)
    asked = Parts({"bridge": f"http://127.0.0.1:{port}", "agents": f"http://127.0.0.1:{free_port()}"})
    await server.start()
    running = asyncio.create_task(asked.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while asked.answers["bridge"].readiness == "unknown" or asked.answers["agents"].readiness == "unknown":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await server.stop()
    assert asked.answers["bridge"] == Answer("notReady", {"activemq": "lost"}, {("bridge", 'no "json"'): 3}, 17)
    assert asked.answers["agents"] == Answer("unreachable")
    assert asked.set_aside.counts == {("bridge", 'no "json"'): 3}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"ready": 1}', b"<html>", b'{"ready": true, "reasons": {"a": 1}}', b'{"ready": true}' + b" " * parts.MOST_BYTES]
)
async def test_what_answers_nonsense_is_unreachable(body: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asked = Parts({"bridge": f"http://127.0.0.1:{port}"})
        running = asyncio.create_task(asked.run())
        async with asyncio.timeout(PATIENCE_S):
            while asked.answers["bridge"].readiness == "unknown":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert asked.answers["bridge"].readiness == "unreachable"


def test_counts_of_processes_that_start_again_go_on() -> None:
    counted = SetAside()
    for part, count in [("agents", 3), ("agents", 5), ("agents-2", 4), ("agents", 2), ("agents", 2), ("agents", 3)]:
        counted.note(part, {("calls", "late"): count})
    assert counted.counts == {("calls", "late"): 5 + 4 + 3}


def test_counterparts_are_what_those_say_who_know_them() -> None:
    assert parts.database_state({"sinks": READY, "bridge": WAITS}) == "up"
    assert parts.database_state({"sinks": READY, "sinks-2": WAITS}) == "down"
    assert parts.database_state({"sinks": Answer("unreachable")}) == "unknown"
    assert parts.activemq_state({"bridge": Answer("notReady", {"activemq": "lost"})}) == "down"
    assert parts.kafka_state({"bridge": Answer("notReady", {"kafka": "gone"})}, lost=False) == "down"
    assert parts.kafka_state({"bridge": Answer("unreachable")}, lost=False) == "up"
    assert parts.kafka_state({"bridge": READY}, lost=True) == "down"


@pytest.mark.parametrize(
    ("answers", "worst", "processes"),
    [
        ({"agents": READY, "agents-2": READY}, "ready", 2),
        ({"agents": READY, "agents-2": WAITS}, "notReady", 2),
        ({"agents": WAITS, "agents-2": Answer("unreachable")}, "unreachable", 1),
        ({"sinks": READY}, "unknown", 0),
    ],
)
def test_a_stage_is_as_ready_as_the_worst_of_its_processes(answers: dict[str, Answer], worst: Readiness, processes: int) -> None:
    found = stage_of("calls", answers, 0, None, None)
    assert (found.readiness, found.processes) == (worst, processes)


def test_a_stage_counts_when_its_processes_were_asked() -> None:
    assert parts.counting({"bridge": Answer(), "sinks": WAITS, "agents-1": READY, "agents-2": Answer()}) == {"sinks"}
    assert parts.counting({"bridge": Answer("unreachable"), "agents-1": READY, "agents-2": Answer("unreachable")}) == {"calls"}


def test_a_stage_says_why() -> None:
    answers = {"sinks": WAITS, "sinks-2": Answer("unreachable")}
    assert stage_of("sinks", answers, 0, None, None).reasons == "sinks: database: locked; sinks-2: does not answer"


def test_names_are_learnt_from_messages_alone() -> None:
    names = Names("", 2)
    for value in (
        b'{"kind":"call.start","tenant_path":[1,102],"tenant_name":"Environment/Rail"}',
        b'{"tenant_path":[1,102],"tenant_name":"Environment/Valley Rail"}',
        b'{"tenant_path":[],"tenant_name":"nobody"}',
        b'{"tenant_path":["1"],"tenant_name":"text"}',
        b'{"tenant_name":"',
        b"\xff\xff",
        None,
        b'{"tenant_path":[1],"tenant_name":"Environment"}',
        b'{"tenant_path":[7],"tenant_name":"one too many"}',
    ):
        names.learn(value)
    assert names.tenants == {102: "Environment/Valley Rail", 1: "Environment"}


def test_the_processes_are_those_of_the_settings() -> None:
    own = read(health={"host": "0.0.0.0", "bridge_host": "bridge.example"})
    assert urls(own) == {
        "bridge": "http://bridge.example:8081",
        "agents": "http://127.0.0.1:8082",
        "sinks": "http://127.0.0.1:8083",
        "reports": "http://127.0.0.1:8080",
    }
    assert urls(read(snmp={"parts": {"agents-7": "http://there:1"}})) == {"agents-7": "http://there:1"}


def test_while_today_is_being_read_nothing_is_raised() -> None:
    """Half of today's rows would be below every target; a Kafka that is lost is said all the same."""
    view = View(read(snmp={"raise_after": 0}))
    view.parts.answers["sinks"] = WAITS
    view.step(0, 1000)
    assert view.figures.conditions == {}
    view.log.lost = True
    view.step(1, 1001)
    assert set(view.figures.conditions) == {("database", "database"), ("broker", "kafka")}
    assert view.figures.general.raised_conditions == 2
    view.log.trouble = None
