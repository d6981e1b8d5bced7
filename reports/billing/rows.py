"""Sessions as rows: the columns that billing reads, and which rows belong to a month. Pure text and decoding, the same in every database.

The copies of a closed month have the same columns as the table `sessions`, as far as they are named here.
"""

from __future__ import annotations

import msgspec

from reports.billing.sessions import Billed

COLUMNS = ("guid", "comp_id", "session", "start_ts", "end_ts", "tenant_path", "app_id", "end_state", "burst")
SHOWN = (*COLUMNS, "app_name", "dn", "source_partition", "messages")  # what a copy keeps

RM = "comp = 'RM' AND tenant_path IS NOT NULL"
# The same for walks by the end: a plain comparison of comp would lead databases to an index by start, and so through all sessions.
RM_BY_END = "CASE WHEN comp = 'RM' THEN 1 ELSE 0 END = 1 AND tenant_path IS NOT NULL"
# Three walks over the stored sessions find all that belong to a month. Bound: instants.
ENDED = f"{RM_BY_END} AND ended = 1 AND end_ts >= ? AND end_ts < ?"
PASSED = f"{RM_BY_END} AND ended = 1 AND end_ts >= ? AND start_ts < ?"  # the month's end, twice
IN_PROGRESS = f"{RM} AND ended = 0 AND start_ts < ?"  # the month's end

_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_pairs = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


class Position(msgspec.Struct, frozen=True):
    """Where a message of a session came from: queue, ActiveMQ message id, and offset in the session's partition of the log."""

    seq: int
    kind: str
    ts: int
    receipt: int
    offset: int
    source: str
    message_id: str


positions = msgspec.json.Decoder(tuple[Position, ...]).decode


def billed(
    guid: str,
    comp_id: int,
    session: str,
    start_ts: int | None,
    end_ts: int | None,
    tenant_path: str | None,
    app_id: int | None,
    end_state: str | None,
    burst: str | None,
) -> Billed:
    """From the cells of COLUMNS."""
    path, levels = _numbers(tenant_path or "[]"), _pairs(burst or "[]")
    return Billed(guid, comp_id, session, start_ts, end_ts, path, app_id, end_state, levels)
