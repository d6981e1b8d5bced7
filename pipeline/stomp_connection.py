"""A STOMP 1.2 connection as the settings of ActiveMQ want it, over TLS or plain, that can say why it failed.

stomp.py does TLS itself, but does not notice when the broker ends such a connection, and keeps to itself why one could not be made. So
the socket is ours, and everything above it is stomp.py's.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from pathlib import Path

from stomp.connect import BaseConnection, StompConnection12
from stomp.exception import ConnectFailedException
from stomp.protocol import Protocol12
from stomp.transport import Transport

from pipeline.settings import ActiveMQ, WrongSettings


def place(settings: ActiveMQ) -> str:
    return f"{settings.host}:{settings.port}"


def password_of(settings: ActiveMQ) -> str:
    """Read again for each connection, so that a new one counts without a start. Raises WrongSettings if the file cannot be read."""
    file = settings.password_file
    return settings.password.get_secret_value() if file is None else _text(file, "password_file").rstrip("\r\n")


def context_of(settings: ActiveMQ) -> ssl.SSLContext | None:
    """What is checked of the broker's certificate, and our own; None without TLS. Raises WrongSettings."""
    if not settings.tls:
        return None
    authorities = None if settings.ca_file is None else _text(settings.ca_file, "ca_file")
    try:
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise WrongSettings(f"setting activemq.ca_file is {settings.ca_file}: there is no certificate in it (PEM)") from None
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (ssl.SSLError, OSError) as exc:
            raise WrongSettings(
                f"setting activemq.cert_file is {settings.cert_file}, activemq.key_file is {settings.key_file or 'not set'}: "
                f"no certificate with its key (PEM): {getattr(exc, 'reason', None) or exc.strerror}"
            ) from None
    return context


def _text(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise WrongSettings(f"setting activemq.{name} is {file}: {reason}") from None


class Connection(StompConnection12):  # type: ignore[misc]  # stomp.py ships no types
    """stomp.py's connection on a socket of ours. `trouble`: why it could not be made or ended, where that is known.

    Raises WrongSettings for files that the settings name.
    """

    def __init__(
        self,
        settings: ActiveMQ,
        *,
        timeout_s: float,
        heartbeat_ms: int = 0,
        heartbeat_grace: float = 1.5,
        auto_decode: bool = True,
        auto_content_length: bool = True,
    ) -> None:
        self._login = settings.user or None, password_of(settings) or None
        self._transport = _Transport(settings, context_of(settings), timeout_s, auto_decode=auto_decode)
        BaseConnection.__init__(self, self._transport)
        Protocol12.__init__(
            self, self._transport, (heartbeat_ms, heartbeat_ms), auto_content_length, heart_beat_receive_scale=heartbeat_grace
        )

    def log_in(self, *, wait: bool = False) -> None:
        """Connect as the user of the settings. Raises stomp.py's ConnectFailedException; then `trouble` says why."""
        self.connect(*self._login, wait=wait)

    @property
    def trouble(self) -> str:
        return self._transport.trouble or (self._transport.socket.trouble if isinstance(self._transport.socket, TLSSocket) else "")


class _Transport(Transport):  # type: ignore[misc]
    def __init__(self, settings: ActiveMQ, context: ssl.SSLContext | None, timeout_s: float, *, auto_decode: bool) -> None:
        super().__init__([(settings.host, settings.port)], auto_decode=auto_decode)
        self.trouble = ""
        self._settings, self._context, self._timeout_s = settings, context, timeout_s

    def attempt_connection(self) -> None:
        """Once: whoever wants more makes another connection."""
        self.connection_error = False
        self.current_host_and_port = None
        address = self._settings.host, self._settings.port
        try:
            plain = socket.create_connection(address, self._timeout_s)
            try:
                self.socket = plain if self._context is None else TLSSocket(self._context.wrap_socket(plain, server_hostname=address[0]))
            except OSError:
                plain.close()
                raise
        except OSError as exc:
            self.trouble = failure(exc, self._settings)
            raise ConnectFailedException(self.trouble) from None
        if self._context is None:
            plain.settimeout(None)
        self.current_host_and_port = address

    def receive(self) -> bytes | None:
        said: bytes | None = super().receive()
        if not said and isinstance(self.socket, TLSSocket):
            self.trouble = self.trouble or self.socket.trouble
        return said


class TLSSocket:
    """A TLS socket that one thread may read while others write, which OpenSSL forbids: each turn is short and under a lock.

    It blocks as a plain one does, and has what stomp.py asks of a socket. `trouble`: why the other side ended it, if it said so.
    """

    def __init__(self, secured: ssl.SSLSocket) -> None:
        secured.setblocking(False)
        self.trouble = ""
        self._secured = secured
        self._turn = threading.Lock()

    def recv(self, most: int) -> bytes:
        while True:
            with self._turn:
                try:
                    return self._secured.recv(most)
                except ssl.SSLWantReadError:
                    events = select.POLLIN
                except ssl.SSLWantWriteError:
                    events = select.POLLOUT
                except ssl.SSLEOFError:
                    return b""
                except ssl.SSLError as exc:
                    self.trouble = refused(exc)
                    return b""
            self._wait(events)

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            with self._turn:
                try:
                    left = left[self._secured.send(left) :]
                    continue
                except ssl.SSLWantWriteError:
                    events = select.POLLOUT
                except ssl.SSLWantReadError:
                    events = select.POLLIN
            self._wait(events)

    def getsockname(self) -> tuple[str, int]:
        name: tuple[str, int] = self._secured.getsockname()
        return name

    def shutdown(self, how: int) -> None:
        """Wakes whoever waits."""
        socket.socket.shutdown(self._secured, how)  # that of SSLSocket would let the next recv read what is encrypted

    def close(self) -> None:
        self._secured.close()

    def _wait(self, events: int) -> None:
        """Raises OSError when the socket is closed."""
        waiting = select.poll()
        try:
            waiting.register(self._secured, events)
        except ValueError:
            raise OSError("the connection is closed") from None
        waiting.poll()


def refused(exc: ssl.SSLError) -> str:
    """What a broker says that ends the handshake after we think it is over."""
    if "CERTIFICATE" in (exc.reason or ""):
        return f"the broker does not take our certificate ({exc.reason}): correct activemq.cert_file and activemq.key_file"
    return f"TLS failed: {exc.reason or exc}"


def failure(exc: OSError, settings: ActiveMQ) -> str:
    """Why no connection could be made, and what to mend."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        said = exc.verify_message.rstrip(".")
        if "expired" in said or "not yet valid" in said:
            return f"the broker's certificate is out of date ({said}): renew it on the broker"
        if "mismatch" in said or "not valid for" in said:
            return f"the broker's certificate is not for {settings.host}: set activemq.host to a name in it, or have it made for this one"
        vouched = f"activemq.ca_file ({settings.ca_file}) does" if settings.ca_file else "the authorities of this machine do"
        return f"{vouched} not vouch for the broker's certificate ({said}): set activemq.ca_file to the one that signed it"
    if isinstance(exc, ssl.SSLEOFError | ConnectionResetError) or (
        isinstance(exc, ssl.SSLError) and "VERSION_NUMBER" in (exc.reason or "")
    ):
        return "the broker does not speak TLS on this port: unset activemq.tls, or name its port with TLS" if settings.tls else str(exc)
    if isinstance(exc, ssl.SSLError):
        return refused(exc)
    if isinstance(exc, TimeoutError):
        return "cannot be reached (no answer in time)"
    return f"cannot be reached ({exc.strerror or exc})"


def no_answer_hint(settings: ActiveMQ) -> str:
    """For a connection that the broker ended without a word."""
    return "" if settings.tls else ": if its port is for TLS, set activemq.tls"


def advice(refusal: str, settings: ActiveMQ) -> str:
    """What ActiveMQ refused, in its words, and what to mend."""
    user = f"user {settings.user}" if settings.user else "nobody, since activemq.user is empty"
    refusal = refusal.rstrip(".").replace(": ", " ")
    if "is invalid" in refusal or "authenticat" in refusal.lower():
        return f"{refusal}: correct activemq.user ({user}) and activemq.password_file or activemq.password"
    if "not authorized" in refusal:
        return f"{refusal}: let the broker give this user the right, or name another queue"
    return refusal
