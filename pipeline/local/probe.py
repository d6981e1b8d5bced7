"""Ask a part whether it is ready, with nothing but a socket: the supervisor asks often and should stay small."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

TIMEOUT_S = 2.0


class Answer(NamedTuple):
    status: int
    body: bytes


async def http_ready(host: str, port: int, path: str = "/health/ready") -> str | None:
    """None if it answers 200, else the reasons it gives."""
    try:
        status, body = await get(host, port, path)
    except (OSError, TimeoutError, ValueError) as exc:
        return _unreachable(host, port, exc)
    if status == 200:
        return None
    return "; ".join(f"{name}: {reason}" for name, reason in _reasons(body).items()) or f"{path} answers {status}"


async def stomp_ready(host: str, port: int, user: str = "", password: str = "", tls: ssl.SSLContext | None = None) -> str | None:
    """None if the broker takes a STOMP session, else the reason."""
    login = f"login:{user}\npasscode:{password}\n" if user else ""
    try:
        async with asyncio.timeout(TIMEOUT_S), _connected(host, port, tls) as (reader, writer):
            writer.write(f"CONNECT\naccept-version:1.2\nhost:/\n{login}\n\0".encode())
            said = await reader.readuntil(b"\n")
            writer.write(b"DISCONNECT\n\n\0")
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
        return _unreachable(host, port, exc)
    return None if said.strip() == b"CONNECTED" else f"{host}:{port} answers {said.strip().decode(errors='replace')!r} to STOMP"


async def port_ready(host: str, port: int) -> str | None:
    """None if something listens, else the reason."""
    try:
        async with asyncio.timeout(TIMEOUT_S), _connected(host, port):
            return None
    except (OSError, TimeoutError) as exc:
        return _unreachable(host, port, exc)


async def get(host: str, port: int, path: str) -> Answer:
    """GET over HTTP/1.0. Raises OSError, TimeoutError, or ValueError if it is not HTTP that answers."""
    async with asyncio.timeout(TIMEOUT_S), _connected(host, port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("what answers is not HTTP")
    return Answer(int(words[1]), body)


@contextlib.asynccontextmanager
async def _connected(
    host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.close()


def _reasons(body: bytes) -> dict[str, str]:
    with contextlib.suppress(ValueError, AttributeError):
        reasons = json.loads(body).get("reasons")
        if isinstance(reasons, dict):
            return reasons
    return {}


def _unreachable(host: str, port: int, exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLError):
        why = f"TLS: {getattr(exc, 'verify_message', '') or exc.reason}"
    elif isinstance(exc, TimeoutError):
        why = "no answer in time"
    elif isinstance(exc, OSError) and exc.errno:
        why = os.strerror(exc.errno)
    else:
        why = str(exc) or type(exc).__name__
    return f"nothing answers on {host}:{port} ({why})"
