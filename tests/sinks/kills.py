"""kill -9 in the middle of transactions, and what must be in the store afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sinks.sql.dialect import Dialect
from tests.sinks.builders import guid
from tests.sinks.contract import CALLS_0, offsets, stored

ROOT = Path(__file__).parents[2]


def kill_and_compare(dialect: Dialect, named: str, ledger: Path, turns: int) -> None:
    """A process writes a made-up log in order, batch after batch; after each kill the store must be exactly the log up to the offset
    it names, and at least as far as the process had said that it committed. `named`: as endless_writer.py takes the store."""
    for turn in range(turns):
        with subprocess.Popen([sys.executable, "-m", "tests.sinks.endless_writer", named, str(ledger)], cwd=ROOT) as process:
            begun = ledger.stat().st_size if ledger.exists() else 0
            while process.poll() is None and (not ledger.exists() or ledger.stat().st_size == begun):
                time.sleep(0.005)
            time.sleep(0.011 * (turn + 1))
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "the writer ended by itself"
        confirmed = int(ledger.read_text().split()[-1])
        reached = offsets(dialect)[CALLS_0]
        assert reached >= confirmed
        marks: dict[str, int] = {}
        for offset in range(reached):
            marks[guid(offset % 97)] = offset + 1
        rows = stored(dialect)
        assert {call[1]: call[-1] for call in rows["calls"]} == marks
        assert {(s[1], s[-1]) for s in rows["sessions"]} == set(marks.items())
        assert len(rows["sessions"]) == sum(1 + mark % 3 for mark in marks.values())
