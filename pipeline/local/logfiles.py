"""The logs of the children: a file each, put aside by size when the child is started."""

from __future__ import annotations

from pathlib import Path

ROTATE_BYTES = 10 * 1024**2
KEPT = 3


def rotate(log: Path) -> None:
    """Put a log that has grown past ROTATE_BYTES aside as .1, the one before as .2, and so on; the oldest goes."""
    if not log.is_file() or log.stat().st_size < ROTATE_BYTES:
        return
    for number in range(KEPT - 1, 0, -1):
        older = _aside(log, number)
        if older.is_file():
            older.replace(_aside(log, number + 1))
    log.replace(_aside(log, 1))


def _aside(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
