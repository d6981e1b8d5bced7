"""Posting against a real ActiveMQ: what is said to be confirmed is in the queue, also when the connection breaks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import stomp

from pipeline.posting import Poster, PostingError
from pipeline.settings import ActiveMQ
from tests.conftest import PATIENCE_S, free_port


class Reader(stomp.ConnectionListener):
    def __init__(self, expected: set[str]) -> None:
        self.expected = set(expected)
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.complete = threading.Event()

    def on_message(self, frame: stomp.utils.Frame) -> None:
        self.bodies.append(frame.body)
        self.headers.append(frame.headers)
        self.expected.discard(frame.body)
        if not self.expected:
            self.complete.set()


def read_queue(port: int, queue: str, expected: set[str], timeout_s: float = PATIENCE_S) -> Reader:
    """Everything in the queue, once all expected bodies were seen or the time is over."""
    reader = Reader(expected)
    link = stomp.Connection12([("127.0.0.1", port)])
    link.set_listener("reader", reader)
    link.connect(wait=True)
    link.subscribe(queue, id="1", ack="auto")
    reader.complete.wait(timeout_s)
    link.disconnect()
    return reader


class Relay:
    """A TCP relay to the broker that can be cut: bytes on their way are lost, as with a broken network."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = free_port()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.to_broker = 0
        self.cut_at: int | None = None
        self.server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((near, far))
            threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, outgoing: bool) -> None:
        with suppress(OSError), source, sink:
            while data := source.recv(4096):
                if outgoing:
                    self.to_broker += len(data)
                    if self.cut_at is not None and self.to_broker >= self.cut_at:
                        self.cut_at = None
                        self.cut()
                        return
                sink.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.server.close()

    def cut(self) -> None:
        for pair in self.pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    between = Relay(port)
    try:
        yield between
    finally:
        between.close()


def test_all_messages_arrive_in_order_as_text_messages(activemq: int) -> None:
    bodies = [f"message {n}" for n in range(1234)]
    with Poster(ActiveMQ(port=activemq), "poster.order", window=100, every=30) as poster:
        for body in bodies:
            poster.post(body.encode())
        poster.flush()
        assert poster.confirmed == 1234
    reader = read_queue(activemq, "poster.order", set(bodies))
    assert reader.bodies == bodies
    assert all("content-length" not in headers for headers in reader.headers), "a BytesMessage comes with its length"
    assert {headers.get("persistent") for headers in reader.headers} == {"true"}


def test_nothing_is_lost_when_the_connection_breaks(activemq: int) -> None:
    bodies = [f"{n} " + "x" * 200 for n in range(2000)]
    with relay(activemq) as between:
        between.cut_at = 300_000
        with Poster(ActiveMQ(port=between.port), "poster.loss", window=200, every=50) as poster:
            for body in bodies:
                poster.post(body.encode())
        assert poster.confirmed == 2000
        assert poster.connections == 2
    reader = read_queue(activemq, "poster.loss", set(bodies))
    assert set(reader.bodies) == set(bodies)
    assert len(reader.bodies) <= 2200, "only what was not confirmed is sent again"


def test_a_loss_before_the_last_receipt_is_made_good(activemq: int) -> None:
    with relay(activemq) as between, Poster(ActiveMQ(port=between.port), "poster.last") as poster:
        for n in range(10):
            poster.post(b"%d" % n)
        between.cut()
        poster.flush()
        assert (poster.confirmed, poster.connections) == (10, 2)
    assert set(read_queue(activemq, "poster.last", {str(n) for n in range(10)}).bodies) == {str(n) for n in range(10)}


def test_a_body_with_nul_is_not_cut(activemq: int) -> None:
    with Poster(ActiveMQ(port=activemq), "poster.nul") as poster:
        poster.post(b"before\0after")
    assert read_queue(activemq, "poster.nul", {"before\0after"}).bodies == ["before\0after"]


def test_big_messages_keep_within_the_window_of_bytes(activemq: int) -> None:
    body = b"y" * 100_000
    with Poster(ActiveMQ(port=activemq), "poster.big", window_bytes=300_000) as poster:
        for _ in range(30):
            poster.post(body)
            assert poster._pending_bytes <= 300_000
    assert poster.confirmed == 30


def test_a_broker_that_is_not_there_is_named(activemq: int) -> None:
    port = free_port()
    said = rf"127.0.0.1:{port} cannot be reached \(Connection refused\): start it"
    with pytest.raises(PostingError, match=said), Poster(ActiveMQ(port=port), "q"):
        pass


def test_a_broker_that_stays_away_ends_the_patience(activemq: int) -> None:
    with relay(activemq) as between:
        poster = Poster(ActiveMQ(port=between.port), "poster.away", patience_s=0.5)
        poster.__enter__()
        poster.post(b"1")
        between.close()
        between.cut()
        with pytest.raises(PostingError, match=r"cannot be reached.*\(0 of 1 messages are confirmed\)"):
            poster.flush()


def test_a_receipt_that_comes_while_the_message_is_sent_is_not_waited_for(activemq: int) -> None:
    """The broker may be faster than the sender looks: then nothing is outstanding, and no second receipt will come."""
    with Poster(ActiveMQ(port=activemq), "swift") as poster:
        sends, link = poster._send, poster._link

        def slow_return(queue: str, body: bytes, receipt: str | None) -> None:
            sends(queue, body, receipt)
            with link.changed:
                assert link.changed.wait_for(lambda: receipt is None or link.confirmed >= int(receipt), timeout=PATIENCE_S)

        poster._send = slow_return
        poster.post(b"{}")
        flushed = threading.Thread(target=poster.flush, daemon=True)
        flushed.start()
        flushed.join(PATIENCE_S)
        assert not flushed.is_alive()
