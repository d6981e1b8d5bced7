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
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sinks.snmp.agentx import codec, subagent
from sinks.snmp.agentx.codec import Close, Get, GetBulk, GetNext, Notify, Open, Pdu, Ping, Range, Register, Response
from sinks.snmp.agentx.subagent import MOST_WAITING, Link, Subagent
from sinks.snmp.mib import DOCUMENTATION, root, scalar_oid
from sinks.snmp.mib import GENERAL as OBJECTS
from sinks.snmp.notices import Notice
from sinks.snmp.tree import Source
from sinks.views.rows import Figures, General, Tenant
from tests.conftest import PATIENCE_S
from tests.snmp.world import ROOT, by_master, eventually

SOURCE = Source(lambda: Figures(general=General(generation=3)), DOCUMENTATION)
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


@pytest.mark.parametrize("what", ["refuses", "answers nonsense", "forgets", "closes", "drops", "garbage", "half a header"])
async def test_it_connects_again_whatever_the_master_does(master: Master, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "refuses":
        await master.connected()
        await master.reply(Open, Response(error=codec.OPEN_FAILED))
    elif what == "answers nonsense":
        await master.connected()
        head, _ = await master.receive()
        master.writer.write(head._replace(type=18, length=8, order=master.order).packed() + b"\xff" * 8 + b"\xff" * 20)
    elif what in ("forgets", "half a header"):
        monkeypatch.setattr(subagent, "PING_S", 0.1)
        monkeypatch.setattr(subagent, "ANSWER_S", PATIENCE_S if what == "forgets" else 1.0)
        await master.open()
        if what == "forgets":
            await master.reply(Ping, Response(error=codec.NOT_OPEN))
        else:
            master.writer.write(codec.encode(Ping(), order=master.order)[:7])
            assert isinstance((await master.receive())[1], Ping)  # never answered
        monkeypatch.setattr(subagent, "PING_S", PATIENCE_S)
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


class Sent(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


ASKED = asked(GENERATION)
REQUESTS = [Get(ASKED), GetNext(ASKED), GetBulk(0, 3, ASKED), codec.CommitSet(), Ping(), Response()]
request = st.builds(
    codec.encode,
    st.sampled_from(
        [Get(asked(GENERATION)), GetNext(asked(GENERATION)), GetBulk(0, 3, asked(GENERATION)), codec.CommitSet(), Ping(), Response()]
    ),
    session=st.sampled_from([0, 42]),
    packet=st.integers(0, 3),
    order=st.sampled_from("<>"),
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.lists(request | st.binary(max_size=60), max_size=12).map(b"".join), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_any_bytes_in_any_pieces_are_answered_or_end_the_session(stream: bytes, pieces: list[int]) -> None:
    async def feed() -> None:
        link, sent = Link(SOURCE), Sent()
        link.connection_made(sent)
        link.session = 42
        at = 0
        while at < len(stream) and not sent.closed:
            size = pieces[at % len(pieces)]
            link.data_received(stream[at : at + size])
            at += size
        answers, found = bytes(sent.data), 0
        while answers:  # whole PDUs and nothing else
            head = codec.header(answers)
            codec.decode(head, answers[codec.HEADER_BYTES :][: head.length])
            answers, found = answers[codec.HEADER_BYTES + head.length :], found + 1
        assert found >= link.answered
        assert link.closed.done() == sent.closed
        assert len(link._bytes) <= len(stream)

    asyncio.run(feed())


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
            walker.join(PATIENCE_S)


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


def test_a_frozen_snmpd_is_left_and_found_again_when_it_thaws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection stays open, and the kernel goes on taking new ones for it: only a ping tells."""
    monkeypatch.setattr(subagent, "PING_S", 0.3)
    monkeypatch.setattr(subagent, "ANSWER_S", 2.0)
    with by_master(tmp_path, Figures(tenants={(n,): Tenant(in_progress=n) for n in range(1, 20)})) as front:
        assert front.master is not None
        assert front.master.process is not None
        assert front.subagent is not None
        front.master.process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: front.subagent is not None and "no answer to Ping" in (front.subagent.trouble or ""))
            eventually(lambda: front.subagent is not None and "no answer to Open" in (front.subagent.trouble or ""))
            front.notify(NOTICE)
        finally:
            front.master.process.send_signal(signal.SIGCONT)
        eventually(lambda: front.subagent is not None and front.subagent.trouble is None)
        eventually(lambda: "Gauge32: 7" in front.ask("snmpget", f"{ROOT}.1.2.1.1.3.7"))
        eventually(lambda: len(front.received()) == 1)
        assert front.subagent.lost == 0
