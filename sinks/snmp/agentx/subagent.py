"""The session with a master agent (RFC 2741, 7.1 and 8): open, register, answer, ping, notify; connect again when it is lost.

The master asks one thing after the other, so requests are answered where their bytes arrive, without a task in between.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import structlog

from pipeline.backoff import Backoff
from sinks.snmp.agentx import codec
from sinks.snmp.agentx.answers import Walk, answer
from sinks.snmp.agentx.codec import HEADER_BYTES, Close, GetNext, Header, Malformed, Notify, Open, Pdu, Ping, Register, Response, VarBind
from sinks.snmp.notices import Notice, variables
from sinks.snmp.tree import Source

ANSWER_S = 5.0  # how long the master may take for an answer
PING_S = 15.0
MOST_WAITING = 1_000  # notifications kept while there is no master
SHUTDOWN, PARSE_ERROR_CLOSE = 5, 2  # reasons of a Close (6.2.2)
RESPONSE, CLOSE = 18, 2
REQUESTS = {5, 6, 7, 8, 9, 10, 11}

log = structlog.get_logger("snmp")


class Refused(Exception):
    """The master says no, or nothing in time. One line."""


class Link(asyncio.Protocol):
    """One connection. `closed` is done when it is over, with the reason."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.session = 0
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.answered = 0
        self._transport: asyncio.Transport | None = None
        self._bytes = bytearray()
        self._paused = False
        self._packet = 0
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._walk: Walk | None = None

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"connection lost: {exc}" if exc else "the master closed the connection")

    def pause_writing(self) -> None:
        """A master that does not read is not read from either, nor are the requests answered that are here: answers do not pile up."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._take_all()
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._bytes and not self._paused and self._step(data):
            return
        self._bytes += data
        self._take_all()

    def _step(self, data: bytes) -> bool:
        """Answer `data` if it is one step of a walk and nothing else, which it is thousands of times in a row."""
        walk = self._walk
        if walk is None or walk.tree is not self.source.now():
            return False
        answer = walk.step(data, self.session)
        if answer is None:
            return False
        self._write(answer)
        self.answered += 1
        return True

    def _take_all(self) -> None:
        received = self._bytes
        try:
            while not self._paused and len(received) >= HEADER_BYTES:
                head = codec.header(received)
                end = HEADER_BYTES + head.length
                if len(received) < end:
                    break
                payload = bytes(received[HEADER_BYTES:end])
                del received[:end]
                self._take(head, payload)
        except Malformed as exc:  # a stream with a broken header cannot be read on
            self.close(PARSE_ERROR_CLOSE)
            self._end(f"not AgentX: {exc}")

    # -- what came in

    def _take(self, head: Header, payload: bytes) -> None:
        if head.type == RESPONSE:
            self._resolve(head, payload)
        elif head.type in REQUESTS:
            reply = self._reply(head, payload)
            if reply is not None:
                self._write(codec.encode(reply, session=head.session, transaction=head.transaction, packet=head.packet, order=head.order))
                self.answered += 1
        elif head.type == CLOSE:
            self._end("the master closed the session")
            self._drop()

    def _reply(self, head: Header, payload: bytes) -> Response | None:
        try:
            context, pdu = codec.decode(head, payload)
        except Malformed:
            return Response(error=codec.PARSE_ERROR)
        if head.session != self.session:
            return Response(error=codec.NOT_OPEN)
        if context:
            return Response(error=codec.UNSUPPORTED_CONTEXT)
        tree = self.source.now()
        if isinstance(pdu, GetNext) and (self._walk is None or self._walk.tree is not tree or self._walk.order != head.order):
            self._walk = Walk(tree, head.order)  # the next one may be another step
        return answer(pdu, tree)

    def _resolve(self, head: Header, payload: bytes) -> None:
        waiting = self._waiting.pop(head.packet, None)
        try:
            _, pdu = codec.decode(head, payload)
        except Malformed as exc:
            if waiting is not None and not waiting.done():
                waiting.set_exception(Refused(f"an answer that is none: {exc}"))
            return
        if waiting is not None and not waiting.done() and isinstance(pdu, Response):
            self.session = self.session or head.session
            waiting.set_result(pdu)

    # -- what goes out

    async def ask(self, pdu: Pdu) -> Response:
        """Send and wait for the answer. Raises Refused."""
        if self.closed.done():
            raise Refused(self.closed.result())
        self._packet = packet = self._packet % 0x7FFFFFFF + 1
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[packet] = answered
        self._write(codec.encode(pdu, session=self.session, packet=packet))
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await answered
        except TimeoutError:
            raise Refused(f"no answer to {type(pdu).__name__} in {ANSWER_S:g} s") from None
        finally:
            self._waiting.pop(packet, None)
        return response

    def close(self, reason: int = SHUTDOWN) -> None:
        """Say goodbye; harmless when the connection is gone."""
        if self.session and self._transport is not None and not self._transport.is_closing():
            self._write(codec.encode(Close(reason), session=self.session))
        self._drop()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Refused(reason))
        self._waiting.clear()


class Subagent:
    """Keeps a session with the master at `address`: tcp:HOST:PORT or unix:PATH. `trouble`: why there is none, None while there is.

    Notifications that come while there is no session wait, up to MOST_WAITING of them; of more the oldest are lost and counted.
    """

    def __init__(self, source: Source, address: str) -> None:
        self.source, self.address = source, address
        self.trouble: str | None = "not connected yet"
        self.lost = 0
        self.link: Link | None = None
        self._waiting: deque[Sequence[VarBind]] = deque()
        self._wake = asyncio.Event()

    def notify(self, notice: Notice) -> None:
        """Have the master send it to whom it knows."""
        varbinds = [VarBind(each.name, each.wire.value, each.value) for each in variables(notice, self.source.enterprise)]
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(varbinds)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; then the session is closed in order."""
        backoff = Backoff()
        while True:
            link: Link | None = None
            try:
                link = await self._connect()
                await self._open(link)
                backoff.reset()
                self.link, self.trouble = link, None
                log.info("session with the master agent", address=self.address)
                await self._serve(link)
            except (OSError, Refused, TimeoutError) as exc:
                if self.trouble is None or self.trouble == "not connected yet":
                    log.warning("no session with the master agent, trying again", address=self.address, reason=str(exc))
                self.trouble = f"no session with the master agent at {self.address}: {exc}"
            finally:
                self.link = None
                if link is not None:
                    link.close()
            await asyncio.sleep(backoff.next())

    async def _connect(self) -> Link:
        loop = asyncio.get_running_loop()
        kind, _, rest = self.address.partition(":")
        async with asyncio.timeout(ANSWER_S):
            if kind == "unix":
                _, link = await loop.create_unix_connection(lambda: Link(self.source), str(Path(rest)))
            else:
                host, _, port = rest.rpartition(":")
                _, link = await loop.create_connection(lambda: Link(self.source), host, int(port))
        return link

    async def _open(self, link: Link) -> None:
        root = self.source.root
        for pdu in (Open(0, root, b"Reporting Server"), Register(root)):
            response = await link.ask(pdu)
            if response.error:
                raise Refused(f"the master answers error {response.error} to {type(pdu).__name__}")

    async def _serve(self, link: Link) -> None:
        """Send notifications, and ping, until the link is over. Raises Refused with the reason."""
        while True:
            while self._waiting:
                await self._send(link, self._waiting.popleft())
            self._wake.clear()
            woken = asyncio.ensure_future(self._wake.wait())
            either: set[asyncio.Future[Any]] = {woken, link.closed}
            try:
                done, _ = await asyncio.wait(either, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await woken
            if link.closed.done():
                raise Refused(link.closed.result())
            if not done and (await link.ask(Ping())).error:
                raise Refused("the master no longer knows the session")

    async def _send(self, link: Link, varbinds: Sequence[VarBind]) -> None:
        """One that the master refuses is lost: it would be refused again."""
        try:
            response = await link.ask(Notify(tuple(varbinds)))
        except BaseException:
            self._waiting.appendleft(varbinds)
            raise
        if response.error == codec.NOT_OPEN:
            self._waiting.appendleft(varbinds)
            raise Refused("the master no longer knows the session")
        if response.error:
            self.lost += 1
            log.warning("the master agent refuses a notification", error=response.error)
