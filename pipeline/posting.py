"""Posting messages to an ActiveMQ queue over STOMP, so that success means that the broker has confirmed every one of them.

A SEND without receipt is fire and forget, and a receipt awaited for each message is ten times slower. So a receipt is asked for
every few hundred messages: the broker works through a connection in order, hence the receipt of one message stands for those
before it. Whatever is not confirmed when the connection breaks is sent again; a repeated message is without effect (contract, section 3).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import stomp
from stomp.exception import StompException

from pipeline.settings import ActiveMQ, WrongSettings
from pipeline.stomp_connection import Connection, advice, no_answer_hint, place

HEARTBEAT_MS = 10_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0  # between two attempts to connect
CONNECT_TIMEOUT_S = 5.0
REACH = ": start it (rs up) or correct activemq.host and activemq.port"


class PostingError(Exception):
    """What could not be posted, where, and what to do. One line."""


class _Link(stomp.ConnectionListener):  # type: ignore[misc]
    """One connection. stomp.py calls the `on_` methods from its receiver thread; they only note what happened."""

    def __init__(self, settings: ActiveMQ, changed: threading.Condition, confirmed: int) -> None:
        self.changed = changed
        self.confirmed = confirmed  # messages of the poster that the broker has confirmed, by count
        self.ready = False
        self.lost = False
        self.refusal: str | None = None
        self.settings = settings
        self.connection = Connection(
            settings,
            timeout_s=CONNECT_TIMEOUT_S,
            heartbeat_ms=HEARTBEAT_MS,
            heartbeat_grace=2.5,
            auto_content_length=False,  # with a length it would be a BytesMessage (contract, rule X13)
        )
        self.connection.set_listener("poster", self)

    def open(self) -> bool:
        """Whether the broker has answered in time; if it has refused, `refusal` says why, and if not, `trouble` may."""
        try:
            self.connection.log_in()
        except (StompException, OSError):
            return False
        with self.changed:
            self.changed.wait_for(lambda: self.ready or self.lost or self.refusal is not None, CONNECT_TIMEOUT_S)
            return self.ready

    @property
    def trouble(self) -> str:
        return self.connection.trouble or f"has not answered{no_answer_hint(self.settings)}"

    def close(self) -> None:
        try:
            self.connection.disconnect()
        except (StompException, OSError):
            self.connection.transport.disconnect_socket()

    def on_connected(self, frame: stomp.utils.Frame) -> None:  # noqa: ARG002
        with self.changed:
            self.ready = True
            self.changed.notify_all()

    def on_receipt(self, frame: stomp.utils.Frame) -> None:
        number = frame.headers["receipt-id"]
        with self.changed:
            if number.isdigit():  # stomp.py gives the receipt of its DISCONNECT another form
                self.confirmed = max(self.confirmed, int(number))
            self.changed.notify_all()

    def on_error(self, frame: stomp.utils.Frame) -> None:
        with self.changed:
            self.refusal = advice(str(frame.headers.get("message") or frame.body).strip().split("\n")[0], self.settings)
            self.changed.notify_all()

    def on_disconnected(self) -> None:
        with self.changed:
            self.lost = True
            self.changed.notify_all()


class Poster:
    """Posts bodies to a queue, from one thread; a context manager. Leaving it without an exception waits for the last receipt.

    window      messages sent and not yet confirmed, at most; `post` waits when it is reached
    every       messages from one receipt to the next
    patience_s  how long the broker may be away, once it was there, before PostingError is raised; None: for ever
    stop        once set, no connection is waited for any more
    tell        is told, once an outage, why the broker cannot be had

    The newest message is held back until another follows or `flush` is called, so that the last one can carry the receipt.
    """

    def __init__(
        self,
        settings: ActiveMQ,
        queue: str,
        *,
        window: int = 2000,
        every: int = 500,
        window_bytes: int = 16 * 1024 * 1024,
        patience_s: float | None = 60.0,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.queue = queue
        self.window, self.every, self.window_bytes = window, max(1, min(every, window // 2)), window_bytes
        self.patience_s = patience_s
        self.stop = stop or threading.Event()
        self.tell = tell
        self.posted = 0  # taken by `post`
        self.confirmed = 0
        self.connections = 0
        self._sent = 0  # over the present connection
        self._asked = 0  # the last message a receipt was asked for
        self._asked_bytes = 0  # sent since then
        self._pending: deque[tuple[str, bytes]] = deque()  # queue and body of the messages confirmed + 1 .. posted
        self._pending_bytes = 0
        self._changed = threading.Condition()
        self._link: _Link

    def __enter__(self) -> Poster:
        """Connects at once, so that a wrong address is known before anything is read. Raises PostingError."""
        self._connect(patience_s=0.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._link.close()

    def post(self, body: bytes, queue: str = "") -> None:
        """Send one message, persistent, to another queue if one is named. Raises PostingError when the broker refuses it or stays away."""
        while self._full(len(body)):
            self._send_up_to(self.posted - 1)
            self._wait()
        self._pending.append((queue or self.queue, body))
        self._pending_bytes += len(body)
        self.posted += 1
        self._send_up_to(self.posted - 1)

    def flush(self) -> None:
        """Wait until everything posted is confirmed. Raises PostingError."""
        while self.confirmed < self.posted:
            self._send_up_to(self.posted)
            self._wait()

    def _full(self, more: int) -> bool:
        waiting_helps = self._asked > self.confirmed
        return waiting_helps and (self.posted - self.confirmed >= self.window or self._pending_bytes + more > self.window_bytes)

    def _send_up_to(self, last: int) -> None:
        self._settle()
        while self._sent < last:
            number = self._sent + 1
            queue, body = self._pending[number - self.confirmed - 1]
            self._asked_bytes += len(body)
            ask = number == self.posted or number - self._asked >= self.every or self._asked_bytes >= self.window_bytes // 4
            try:
                self._send(queue, body, str(number) if ask else None)
            except (StompException, OSError):
                with self._changed:
                    self._link.lost = True
            else:
                self._sent = number
                if ask:
                    self._asked, self._asked_bytes = number, 0
            self._settle()

    def _send(self, queue: str, body: bytes, receipt: str | None) -> None:
        headers = {"persistent": "true"}
        if receipt is not None:
            headers["receipt"] = receipt
        if b"\0" in body:  # a frame without length ends at the first NUL
            headers["content-length"] = str(len(body))
        self._link.connection.send(f"/queue/{queue}", body, headers=headers)

    def _wait(self) -> None:
        """Wait for a receipt that is outstanding, or for the end of the connection."""
        if self._asked <= self.confirmed:
            return  # it came while the message was being sent
        link = self._link
        with self._changed:
            self._changed.wait_for(lambda: link.confirmed > self.confirmed or link.lost or link.refusal is not None)
        self._settle()

    def _settle(self) -> None:
        """Let go of what has been confirmed. When the connection is lost, open another; everything unconfirmed counts as not sent."""
        link = self._link
        while self.confirmed < link.confirmed:
            self._pending_bytes -= len(self._pending.popleft()[1])
            self.confirmed += 1
        if link.lost:
            link.close()
            self._connect(self.patience_s)
            self._sent = self._asked = self.confirmed
            self._asked_bytes = 0
        elif link.refusal is not None:
            raise PostingError(f"ActiveMQ at {place(self.settings)} refused a message: {link.refusal}{self._so_far()}")

    def _connect(self, patience_s: float | None) -> None:
        """Raises PostingError when the broker refuses, or can't be reached for `patience_s`."""
        give_up = None if patience_s is None else time.monotonic() + patience_s
        pause_s = FIRST_PAUSE_S
        told = False
        while True:
            try:
                link = _Link(self.settings, self._changed, self.confirmed)
            except WrongSettings as exc:
                raise PostingError(str(exc)) from None
            if link.open():
                self._link = link
                self.connections += 1
                return
            link.close()
            if link.refusal is not None:
                raise PostingError(f"ActiveMQ at {place(self.settings)} refused the connection: {link.refusal}")
            said = f"ActiveMQ at {place(self.settings)} {link.trouble}"
            if self.stop.is_set() or (give_up is not None and time.monotonic() >= give_up):
                raise PostingError(f"{said}{REACH if 'reached' in link.trouble else ''}{self._so_far()}")
            if not told and self.tell is not None:
                self.tell(f"{said}; trying again")
                told = True
            self.stop.wait(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _so_far(self) -> str:
        return f" ({self.confirmed:,} of {self.posted:,} messages are confirmed)" if self.posted else ""
