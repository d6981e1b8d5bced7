"""A scenario as NDJSON, one event a line: in order of time, or shuffled and doubled to see that neither matters."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from pipeline.messages.types import Event


def lines(events: list[Event], seed: int, *, shuffle: bool = False, double: bool = False) -> list[bytes]:
    encoded = [msgspec.json.encode(event) for event in events]
    if double:
        encoded *= 2
    if shuffle:
        Random(seed).shuffle(encoded)  # noqa: S311 - traffic, not secrets
    return encoded


def write(path: Path, encoded: list[bytes]) -> None:
    """Raises OSError."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in encoded)
