"""Whether the ports of the stack are free, and who has them if not."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

UNASKED = 15_000, 32_000  # below net.ipv4.ip_local_port_range
LISTENING = "0A"  # state column of /proc/net/tcp


class Port(NamedTuple):
    part: str
    host: str
    number: int
    setting: str  # what to change, as an environment variable
    udp: bool = False


def faults(ports: Iterable[Port]) -> list[str]:
    """One line for each port that cannot be taken, with the mending step; also for two parts that want the same one."""
    found = []
    taken: dict[tuple[int, bool], Port] = {}
    for port in ports:
        if (other := taken.get((port.number, port.udp))) is not None:
            found.append(f"{port.part} and {other.part} both want port {port.number}: change {port.setting}")
        elif (why := _why_not(port)) is not None:
            found.append(f"{port.part} cannot have port {port.number}: {why}; or choose another with {port.setting}")
        taken[port.number, port.udp] = port
    return found


def free_port(host: str = "127.0.0.1", *, udp: bool = False) -> int:
    """A port nobody has now, and that the kernel gives to no connection: a client that asks again and again for a server that is
    away could otherwise be given the server's own port, and connect to itself."""
    while True:
        number = random.randint(*UNASKED)  # noqa: S311 - not for secrets
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
            probe.bind((host, number))
            return number


def user_of(number: int) -> str | None:
    """`name (process 123)` that listens on a TCP port, where /proc tells; None where it does not."""
    inodes = _listeners(number)
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for handle in (process / "fd").iterdir():
                if handle.readlink().name in inodes:
                    return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _why_not(port: Port) -> str | None:
    try:
        family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if port.udp else socket.SOCK_STREAM) as probe:
            if not port.udp:  # as servers bind: a connection of the last run that still lingers is no hindrance
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((port.host, port.number))
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            user = user_of(port.number) or "another program"
            return f"{user} has it. Stop that"
        return f"{exc.strerror or exc} on {port.host}"
    return None


def _listeners(number: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == number:
                    inodes.add(f"socket:[{columns[9]}]")
    return inodes
