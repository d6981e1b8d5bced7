"""The whole local stack as `rs up` starts it, on free ports, and what a test may do to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil

from tests.conftest import PATIENCE_S, free_port

COUNTS = ("arrivals", "completed", "in_progress", "burst", "results", "actions", "last_actions", "failures")
RS = [sys.executable, "-m", "pipeline.cli"]


class Stack:
    """A running stack without simulator. `kill(part)` is kill -9; the supervisor starts the part again."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.ports = {name: free_port() for name in ("activemq", "kafka", "reports", "bridge", "agents", "sinks", "view", "snmp")}
        self.environment = {
            **os.environ,
            "RS_STACK__DATA": str(data),
            "RS_ACTIVEMQ__PORT": str(self.ports["activemq"]),
            "RS_KAFKA__BOOTSTRAP": f"127.0.0.1:{self.ports['kafka']}",
            "RS_REPORTS__PORT": str(self.ports["reports"]),
            "RS_HEALTH__BRIDGE_PORT": str(self.ports["bridge"]),
            "RS_HEALTH__AGENTS_PORT": str(self.ports["agents"]),
            "RS_HEALTH__SINKS_PORT": str(self.ports["sinks"]),
            "RS_SNMP__HEALTH_PORT": str(self.ports["view"]),
            "RS_SNMP__PORT": str(self.ports["snmp"]),
            **settings,
        }
        self.output = data.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen([*RS, "up", "--no-simulator"], env=self.environment, stdout=output, stderr=subprocess.STDOUT)

    def wait_until_ready(self, timeout_s: float = 2 * PATIENCE_S) -> None:
        end = time.monotonic() + timeout_s
        while "Ready after" not in self.output.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the stack did not get ready:\n{self.output.read_text()}")
            time.sleep(0.2)

    def rs(self, *arguments: str) -> str:
        """Run an `rs` command against the stack. Raises CalledProcessError."""
        done = subprocess.run([*RS, *arguments], env=self.environment, capture_output=True, text=True, timeout=3 * PATIENCE_S)
        if done.returncode:
            raise RuntimeError(f"rs {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def kill(self, part: str) -> int:
        """kill -9 of a worker; gives its process id."""
        module = {"bridge": "pipeline.bridge", "agents": "agents", "sinks": "sinks"}[part]
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if ["-A", module] == child.cmdline()[3:5]:
                child.kill()
                return int(child.pid)
        raise RuntimeError(f"no {part} among the children of rs up")

    def rows(self, query: str, *parameters: Any) -> list[sqlite3.Row]:
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'reporting.sqlite3'}?mode=ro", uri=True, timeout=10)) as store:
            store.row_factory = sqlite3.Row
            return store.execute(query, parameters).fetchall()

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        self.process.send_signal(2)
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def stack(data: Path, **settings: str) -> Iterator[Stack]:
    made = Stack(data, **settings)
    try:
        made.wait_until_ready()
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def bins(made: Stack) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The bins in the store as `tests.agents.world.wanted` gives them."""
    found = made.rows("SELECT * FROM bin_rows")
    return {(f"{r['comp']}|{r['dimension']}|{r['value']}", r["granularity"], r["bin_start"]): _figures(r) for r in found}


def _figures(row: sqlite3.Row) -> dict[str, Any]:
    counts = {name: orjson.loads(row[f"{name}_by"]) for name in COUNTS}
    spreads = {name: {label: _sums(s) for label, s in orjson.loads(row[f"{name}_by"]).items()} for name in ("durations", "latencies")}
    quality = {"calls": row["quality_calls"], "failed": row["quality_failed"]}
    peak = {"peak": row["peak"], "peak_at": row["peak_at"], "peak_by": orjson.loads(row["peak_by"])}
    return counts | spreads | peak | {"quality": {label: n for label, n in quality.items() if n}}


def _sums(spread: dict[str, Any]) -> tuple[int, int, int]:
    return spread["n"], spread["sum"], int(spread["squares"])
