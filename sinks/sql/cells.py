"""Cells of SQL Server as the rest of the project knows them: instants as ms UTC, decimals as text, flags as 0 or 1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999  # end of year 9999, where datetime2 ends
FIRST_MS = -62_135_596_800_000


def plain(cell: Any) -> Any:
    """A cell as the driver gives it."""
    if isinstance(cell, datetime):
        return (cell.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    if isinstance(cell, Decimal):
        return str(cell)
    return int(cell) if isinstance(cell, bool) else cell


def iso(ms: int) -> str:
    """An instant from FIRST_MS to LAST_MS in ISO 8601 with milliseconds: a bound datetime loses its fraction in Microsoft's driver."""
    return (EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=None).isoformat(timespec="milliseconds")
