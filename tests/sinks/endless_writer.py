"""Writes a made-up log of calls into a store for ever, from the store's own offset on; after each commit a line in the ledger.

Record at offset n: call n % 97 with mark n + 1 and as many sessions as the mark says. Killed by kills.py. Its arguments: the SQLite
file, or `server` for the one of RS_TEST_SQLSERVER, and the ledger.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from sinks.sql.dialect import Dialect
from sinks.sql.sqlite import SQLite
from sinks.sql.writer import Writer
from tests.sinks.builders import call_record, calls
from tests.sinks.contract import CALLS_0


def store(named: str) -> Dialect:
    if named != "server":
        return SQLite(Path(named))
    from tests.sinks.server import server  # needs unixODBC

    return server()


writer = Writer(store(sys.argv[1]))
at = writer.offsets().get(CALLS_0, 0)
with Path(sys.argv[2]).open("a") as ledger:
    for turn in count():
        end = at + 20 + turn % 50
        latest = {n % 97: call_record(n % 97, mark=n + 1, sessions=1 + (n + 1) % 3) for n in range(at, end)}
        writer.write(calls(*latest.values()), {CALLS_0: end})
        at = end
        ledger.write(f"{at}\n")
        ledger.flush()
