"""The last good copy of what the Config Server held, below stack.data: a process starts with it when the server is away. It holds no
secrets, because the Config Server doesn't."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.configserver.held import Held
from pipeline.settings import Settings


class Copy(Struct, frozen=True):
    """`taken_at`: seconds since 1970."""

    server: str
    taken_at: int
    held: Held


def path_of(settings: Settings) -> Path:
    return settings.stack.data.absolute() / "last-good" / f"{settings.config.application}.json"


def read(settings: Settings) -> Copy | None:
    """None: there is none of this server and application."""
    try:
        found = msgspec.json.decode(path_of(settings).read_bytes(), type=Copy)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.server == settings.config.server else None


def keep(settings: Settings, held: Held) -> str | None:
    """Write it, whole or not at all; gives the reason if that cannot be. Several processes at once do no harm."""
    file = path_of(settings)
    new = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(msgspec.json.encode(Copy(settings.config.server, int(time.time()), held)))
        new.replace(file)
    except OSError as exc:
        with contextlib.suppress(OSError):
            new.unlink()
        return f"{file} cannot be written: {exc.strerror or exc}"
    return None
