"""One connection to ActiveMQ over STOMP 1.2. It never comes back to life: after a loss the bridge makes another one.

stomp.py calls the `on_` methods in its receiver thread: they append and wake, nothing else; an exception there would end the
connection. The blocking methods are called in worker threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable

import stomp
from stomp.exception import StompException
from stomp.utils import Frame

from pipeline.bridge.inbox import Inbox, Taken
from pipeline.settings import ActiveMQ
from pipeline.stomp_connection import Connection, advice, no_answer_hint, place

HEARTBEAT_MS = 10_000
HEARTBEAT_GRACE = 2.5  # ActiveMQ is allowed to be late; less than this drops sound connections
CONNECT_TIMEOUT_S = 10.0
DISCONNECT_TIMEOUT_S = 5.0
DISCONNECT_RECEIPT = "end"
SUBSCRIBED = "subscribed-"
QUEUE_PREFIX = "/queue/"
STOMP_SESSION = "-1"

TEXT = "TextMessage"
BYTES = "BytesMessage"
OTHER = "other"  # Map, Object, Stream or no body at all: STOMP does not tell which


# stomp.py's own threads may take the socket away at any moment, which then shows as an AttributeError of None.
GONE = (StompException, OSError, AttributeError)


class LinkLost(Exception):  # transient: the bridge connects again
    """The connection could not be made, or is gone."""


class Link(stomp.ConnectionListener):  # type: ignore[misc]  # stomp.py ships no types
    def __init__(self, settings: ActiveMQ, window: int, inbox: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        self.lost = asyncio.Event()
        self.taking = True
        self.reason = "connection closed"
        self._settings = settings
        self._window = max(1, window // len(settings.queues))
        self._inbox = inbox
        self._loop = loop
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._connected = self._over = False
        self._subscribed = 0
        self._stomp = Connection(
            settings, timeout_s=CONNECT_TIMEOUT_S, heartbeat_ms=HEARTBEAT_MS, heartbeat_grace=HEARTBEAT_GRACE, auto_decode=False
        )
        self._stomp.set_listener("link", self)

    def open(self) -> None:
        """Connect and subscribe. Blocks. Raises LinkLost."""
        where = f"ActiveMQ on {place(self._settings)}"
        try:
            self._stomp.log_in()
            self._await(lambda: self._connected, where)
            for number, queue in enumerate(self._settings.queues):
                headers = {"activemq.prefetchSize": self._window, "receipt": SUBSCRIBED + str(number)}
                self._stomp.subscribe(QUEUE_PREFIX + queue, id=str(number), ack="client-individual", headers=headers)
            self._await(lambda: self._subscribed == len(self._settings.queues), where)
        except GONE as exc:
            self._drop()
            why = self._stomp.trouble or f"cannot be reached: {type(exc).__name__} {exc}".rstrip()
            raise LinkLost(f"{where}: {why}") from None
        except LinkLost:
            self._drop()
            raise

    def _await(self, answered: Callable[[], bool], where: str) -> None:
        """Raises LinkLost if the answer is no, or none."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or answered(), CONNECT_TIMEOUT_S):
                raise LinkLost(f"{where}: no answer")
        if self._over:
            raise LinkLost(f"{where}: {self.reason}")

    def settle(self, acks: Iterable[str], nacks: Iterable[str]) -> None:
        """Acknowledge messages; the nacked ones go to the dead letter queue of the broker. Blocks. Raises LinkLost.

        One write for all of them: client-individual needs a frame for each, but not a system call.
        """
        frames = b"".join([_frame(b"ACK", ack_id) for ack_id in acks] + [_frame(b"NACK", ack_id) for ack_id in nacks])
        transport = self._stomp.transport
        if not transport.is_connected():
            raise LinkLost(self.reason)
        try:
            transport.send(frames)
        except GONE as exc:
            raise LinkLost(f"{type(exc).__name__} {exc}") from None

    def close(self) -> None:
        """Disconnect after ActiveMQ has worked through all acknowledgements. Blocks for a few seconds at most."""
        with contextlib.suppress(*GONE):
            self._stomp.transport.send(b"DISCONNECT\nreceipt:%s\n\n\x00" % DISCONNECT_RECEIPT.encode())
            self._ended.wait(DISCONNECT_TIMEOUT_S)
        self._drop()

    def _drop(self) -> None:
        self.taking = False
        with contextlib.suppress(*GONE):
            self._stomp.transport.disconnect_socket()

    # -- called by stomp.py in its receiver thread

    def on_connected(self, frame: Frame) -> None:  # noqa: ARG002
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def on_message(self, frame: Frame) -> None:
        if not self.taking:
            return  # stays unacknowledged: ActiveMQ gives it to the next one
        headers = frame.headers
        message_id = headers.get("message-id", "")
        self._inbox.put(
            Taken(
                self,
                headers["ack"],
                message_id,
                headers.get("destination", "").removeprefix(QUEUE_PREFIX),
                jms_type(headers, frame.body),
                time.time_ns() // 1_000_000,
                frame.body,
            )
        )

    def on_receipt(self, frame: Frame) -> None:
        receipt = frame.headers.get("receipt-id", "")
        if receipt == DISCONNECT_RECEIPT:
            self._ended.set()
        elif receipt.startswith(SUBSCRIBED):
            with self._changed:
                self._subscribed += 1
                self._changed.notify_all()

    def on_error(self, frame: Frame) -> None:
        message = frame.headers.get("message") or bytes(frame.body).decode(errors="replace")
        self._end(advice(str(message).strip().split("\n")[0], self._settings))

    def on_disconnected(self) -> None:
        if self._over:
            return  # the first reason is the true one
        self._end(self._stomp.trouble or (self.reason if self._connected else f"{self.reason}{no_answer_hint(self._settings)}"))

    def _end(self, reason: str) -> None:
        with self._changed:
            self.reason, self._over = reason, True
            self._changed.notify_all()
        self._ended.set()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.lost.set)


def jms_type(headers: dict[str, str], body: bytes) -> str:
    """TEXT, BYTES or OTHER (X13).

    ActiveMQ sends a BytesMessage with content-length and a TextMessage without. Of a Map, Object or Stream message it sends no body and no
    sign of the type; only a TextMessage without any text looks the same. From a STOMP sender (session -1 in the message id) it must be
    that, unless it asked for a transformation, since STOMP has no other types.
    """
    if "content-length" in headers:
        return BYTES
    if body:
        return TEXT
    id_parts = headers.get("message-id", "").rsplit(":", 3)
    from_stomp = len(id_parts) == 4 and id_parts[1] == STOMP_SESSION
    return TEXT if from_stomp and "transformation" not in headers else OTHER


def _frame(command: bytes, ack_id: str) -> bytes:
    escaped = ack_id.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")
    return b"%s\nid:%s\n\n\x00" % (command, escaped.encode())
