"""The session with the master: with a master that is a script, and with snmpd when it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from sinks.snmp.agentx import codec, subagent
from sinks.snmp.agentx.codec import Close, Get, GetBulk, GetNext, Notify, Open, Pdu, Ping, Range, Register, Response
from sinks.snmp.agentx.subagent import MOST_WAITING, Subagent
from sinks.snmp.mib import DOCUMENTATION, root, scalar_oid
from sinks.snmp.mib import GENERAL as OBJECTS
from sinks.snmp.notices import Notice
from sinks.snmp.tree import Source
from sinks.views.rows import Figures, General, Tenant
from tests.conftest import PATIENCE_S
from tests.snmp.world import ROOT, by_master, eventually

FIGURES = Figures(general=General(generation=3), tenants={(n,): Tenant(name="x" * 200) for n in range(1, 3000)})
GENERATION = scalar_oid(DOCUMENTATION, OBJECTS[1])
NOTICE = Notice("lag", False, "calls", 1, 2, "text")


class Master:
    """A master that does as it is told. `order`: of its bytes."""

    def __init__(self, order: str = ">") -> None:
        self.order = order
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> Master:
        self.server = await asyncio.start_server(lambda *pair: self.connections.put_nowait(pair), "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        self.subagent = Subagent(Source(lambda: FIGURES, DOCUMENTATION), f"tcp:{host}:{port}")
        self.task = asyncio.create_task(self.subagent.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.server.close()

    async def connected(self) -> None:
        self.reader, self.writer = await asyncio.wait_for(self.connections.get(), PATIENCE_S)

    async def receive(self) -> tuple[codec.Header, Pdu]:
        head = codec.header(await asyncio.wait_for(self.reader.readexactly(codec.HEADER_BYTES), PATIENCE_S))
        _, pdu = codec.decode(head, await self.reader.readexactly(head.length))
        return head, pdu

    def send(self, pdu: Pdu, session: int = 42, packet: int = 1, context: bytes | None = None) -> None:
        self.writer.write(codec.encode(pdu, session=session, packet=packet, order=self.order, context=context))

    async def reply(self, kind: type, response: Response | None = None) -> Pdu:
        """Wait for a PDU of this kind and answer it."""
        head, pdu = await self.receive()
        assert isinstance(pdu, kind)
        self.send(response or Response(), packet=head.packet)
        return pdu

    async def open(self) -> None:
        await self.connected()
        await self.reply(Open)
        await self.reply(Register)

    async def ask(self, pdu: Pdu, **how: object) -> Response:
        self.send(pdu, **how)  # type: ignore[arg-type]
        _, answer = await self.receive()
        assert isinstance(answer, Response)
        return answer


@pytest.fixture(params=[">", "<"])
async def master(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Master]:
    monkeypatch.setattr(random, "uniform", lambda *_: 0.1)
    async with Master(request.param) as made:
        yield made


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not check():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def asked(*names: tuple[int, ...]) -> tuple[Range, ...]:
    return tuple(Range(name, False, ()) for name in names)


async def test_it_opens_registers_and_answers_in_the_masters_byte_order(master: Master) -> None:
    await master.connected()
    opened = await master.reply(Open)
    registered = await master.reply(Register)
    assert isinstance(opened, Open)
    assert opened.id == root(DOCUMENTATION)
    assert registered == Register(root(DOCUMENTATION))
    master.send(Get(asked(GENERATION)), packet=77)
    head, answer = await master.receive()
    assert (head.session, head.packet, head.order) == (42, 77, master.order)
    assert answer == Response(varbinds=(codec.VarBind(GENERATION, 66, 3),))


async def test_requests_that_arrive_in_pieces_and_in_heaps_are_answered_each(master: Master) -> None:
    await master.open()
    heap = b"".join(
        codec.encode(GetNext(asked(GENERATION)), session=42, packet=n, order=master.order) if n % 2
        else codec.encode(Get(asked(GENERATION)), session=42, packet=n, order=master.order)
        for n in range(1, 41)
    )  # fmt: skip
    for at in range(0, len(heap), 37):
        master.writer.write(heap[at : at + 37])
        await asyncio.sleep(0)
    assert [(await master.receive())[0].packet for _ in range(40)] == list(range(1, 41))


async def test_wrong_sessions_contexts_and_bytes_get_their_errors(master: Master) -> None:
    await master.open()
    for request in (Get(asked(GENERATION)), GetNext(asked(GENERATION))):
        assert (await master.ask(request, session=43)).error == codec.NOT_OPEN
        assert (await master.ask(request, context=b"other")).error == codec.UNSUPPORTED_CONTEXT
    master.writer.write(codec.Header(5, 0, 42, 1, 1, 8, master.order).packed() + b"\xff" * 8)
    _, answer = await master.receive()
    assert answer == Response(error=codec.PARSE_ERROR)
    assert (await master.ask(Get(asked(GENERATION)))).error == codec.NO_ERROR


@pytest.mark.parametrize("what", ["refuses", "closes", "drops", "garbage"])
async def test_it_connects_again_whatever_the_master_does(master: Master, what: str) -> None:
    if what == "refuses":
        await master.connected()
        await master.reply(Open, Response(error=codec.OPEN_FAILED))
    else:
        await master.open()
        await until(lambda: master.subagent.trouble is None)
        if what == "closes":
            master.send(Close(5))
        elif what == "drops":
            master.writer.transport.abort()
        else:
            master.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await master.open()
    assert (await master.ask(Get(asked(GENERATION)))).varbinds[0].value == 3


async def test_a_master_that_no_longer_answers_is_left(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subagent, "PING_S", 0.1)
    monkeypatch.setattr(subagent, "ANSWER_S", 0.3)
    await master.open()
    await master.reply(Ping)
    _, second = await master.receive()
    assert isinstance(second, Ping)
    await master.open()  # no answer to the second: a new connection


async def test_notifications_wait_for_a_session_and_are_confirmed_one_by_one(master: Master) -> None:
    for n in range(MOST_WAITING + 5):
        master.subagent.notify(NOTICE._replace(value=n))
    assert master.subagent.lost == 5
    await master.open()
    first = await master.reply(Notify)
    assert isinstance(first, Notify)
    assert first.varbinds[2].value == 5
    await master.receive()
    master.writer.transport.abort()  # before the second was confirmed
    await master.open()
    again = await master.reply(Notify)
    assert isinstance(again, Notify)
    assert again.varbinds[2].value == 6
    await master.reply(Notify, Response(error=codec.PROCESSING_ERROR))  # refused for good: lost, and on with the next
    following = await master.reply(Notify)
    assert isinstance(following, Notify)
    assert following.varbinds[2].value == 8
    assert master.subagent.lost == 6


async def test_a_master_that_asks_and_does_not_read_is_not_read_from(master: Master) -> None:
    await master.open()
    request = codec.encode(GetBulk(0, 65_535, asked(root(DOCUMENTATION))), session=42, packet=1, order=master.order)
    for _ in range(300):
        master.writer.write(request * 10)
        await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    link = master.subagent.link
    assert link is not None
    assert link._transport is not None
    assert 0 < link.answered < 200  # each answer has half a megabyte
    assert link._transport.get_write_buffer_size() < 2_000_000


async def test_it_says_goodbye(master: Master) -> None:
    await master.open()
    await until(lambda: master.subagent.link is not None)
    master.task.cancel()
    _, pdu = await master.receive()
    assert pdu == Close(5)


@contextlib.contextmanager
def load(front: object, errors: list[str]) -> Iterator[list[int]]:
    """Somebody walks all the time."""
    done, walks = threading.Event(), [0]

    def walk() -> None:
        while not done.is_set():
            said = front.ask("snmpbulkwalk", f"{ROOT}.1.2.1.1.3", timeout_s=0.5)  # type: ignore[attr-defined]
            if "Timeout" not in said and any("Gauge32" not in line and "No Such" not in line for line in said.splitlines()):
                errors.append(said[-300:])
            walks[0] += 1

    walkers = [threading.Thread(target=walk) for _ in range(2)]
    for walker in walkers:
        walker.start()
    try:
        yield walks
    finally:
        done.set()
        for walker in walkers:
            walker.join(30)


def test_snmpd_is_killed_and_started_again_under_load(tmp_path: Path) -> None:
    errors: list[str] = []
    with by_master(tmp_path, Figures(tenants={(n,): Tenant(in_progress=n) for n in range(1, 200)})) as front:
        assert front.master is not None
        assert front.subagent is not None
        with load(front, errors):
            for round_number in range(3):
                front.master.stop(signal.SIGKILL)
                eventually(lambda: front.subagent is not None and front.subagent.trouble is not None)
                front.notify(NOTICE._replace(value=round_number))
                front.master.start()
                eventually(lambda: front.subagent is not None and front.subagent.trouble is None)
                eventually(lambda: "Gauge32: 7" in front.ask("snmpget", f"{ROOT}.1.2.1.1.3.7"))
        eventually(lambda: len(front.received()) == 3)
        assert errors == []
        assert front.subagent.lost == 0
