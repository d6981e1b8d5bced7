"""The data folder of one local stack: one stack at a time, and what a fresh start removes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.local.part import StackFault
from pipeline.settings import Settings

LOCK = "lock"
OWN = ("activemq", "kafka", "faust", "logs")  # the folders a stack makes; anything else in there is not ours to remove


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the folder. Raises StackFault if another stack does. The kernel lets go however this process ends."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackFault(
                f"a stack already runs on {data} (process {holder(data) or 'unknown'}): stop it with rs down, "
                "or give this one its own folder with --data DIR and its own ports"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def holder(data: Path) -> int | None:
    """Process id of the stack that runs on the folder; None if none does."""
    try:
        with (data / LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def stop_holder(data: Path, wait_s: float = 120) -> bool:
    """Ask the stack that runs on the folder to stop and wait until it has; False if none runs. Raises StackFault."""
    process = holder(data)
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    until = time.monotonic() + wait_s
    while holder(data) is not None:
        if time.monotonic() > until:
            raise StackFault(
                f"process {process} still runs after {wait_s:.0f} s: look at its terminal, or kill -9 {process} (its children end with it)"
            )
        time.sleep(0.2)
    return True


def contents(settings: Settings) -> list[Path]:
    """What a fresh start removes: the folders of the parts, and the SQLite file if it lies in the data folder."""
    data = settings.stack.data.absolute()
    found = [data / name for name in OWN]
    database = settings.database_file
    if database is not None and database.is_relative_to(data):
        found += [database.with_name(database.name + tail) for tail in ("", "-wal", "-shm", "-journal")]
        found += sorted(database.parent.glob(f"{database.stem}.g[0-9]*{database.suffix}*"))  # shadows that a rebuild left
    return [path for path in found if path.exists()]


def wipe(settings: Settings) -> None:
    """Remove the contents; the folder must be locked by the caller."""
    for path in contents(settings):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
