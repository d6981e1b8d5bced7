"""Which months are closed, as retention asks it. `sinks.statements` closes them."""

from __future__ import annotations

from sinks.sql.dialect import Cursor, Dialect

MONTHS = "billing_months"
CLOSING, CLOSED = "closing", "closed"


def closed_up_to(dialect: Dialect, cursor: Cursor) -> int | None:
    """The end of the closed months that follow each other from the first one on, ms UTC; None: no month was ever closed here."""
    if not dialect.has_table(cursor, MONTHS):  # a store that no newer worker has met yet
        return None
    cursor.execute(f"SELECT starts, ends FROM {MONTHS} WHERE state = ? ORDER BY starts", (CLOSED,))  # noqa: S608 - a name of this module
    reached: int | None = None
    for starts, ends in cursor.fetchall():
        if reached is None or starts <= reached:
            reached = ends
    return reached
