"""From a message posted to its row visible in the store, whole local stack: `python -m bench.latency [--database URL] [--rate 500]`.

The simulator posts so many events a second. Besides, ten times a second a call is begun by a message of its own, and the store is asked
again and again whether it is there; so what is shown is up to the time of one question (also shown) too long. The database is emptied
before; its name must end in `test`, and its password is in RS_TEST_SQLSERVER_PASSWORD. Without one: SQLite. Needs java and the jars
(make setup).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec
import psutil

from pipeline.messages.types import CallStart
from pipeline.posting import Poster
from pipeline.settings import ActiveMQ
from pipeline.simulator.traffic import Traffic
from sinks.sql.dialect import Dialect
from sinks.sql.sqlite import SQLite
from tests.e2e.stack import RS, stack

PROBES_A_SECOND = 10
WARM_UP_S = 20
QUESTION_EVERY_S = 0.02
PATIENCE_S = 60.0  # for the last rows
START = 1_795_000_000_000
BARS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, float("inf"))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def calls_a_second(events: float) -> float:
    """With so many calls a second the simulator posts so many events."""
    seconds, rate = 1800, 5.0
    return events / (len(Traffic(rate, 1, START).until(START + seconds * 1000)) / seconds) * rate


class Probes:
    """Begins calls of its own, and looks when they are there."""

    def __init__(self, dialect: Dialect, activemq: ActiveMQ) -> None:
        self.posted: dict[str, float] = {}
        self.took: list[float] = []
        self.questions: list[float] = []
        self._dialect, self._activemq = dialect, activemq
        self._done = threading.Event()
        self._first = int(time.time() * 1000) - 60_000

    def run(self, seconds: float) -> None:
        looking = threading.Thread(target=self._look)
        looking.start()
        try:
            self._post(seconds)
            end = time.monotonic() + PATIENCE_S
            while len(self.took) < len(self.posted) and time.monotonic() < end:
                time.sleep(0.1)
        finally:
            self._done.set()
            looking.join()

    def _post(self, seconds: float) -> None:
        with Poster(self._activemq, "rs.billing", every=1) as poster:
            for n in range(round(seconds * PROBES_A_SECOND)):
                guid = f"{n:08X}-BE4C-4000-8000-{os.getpid():012X}"
                event = CallStart(
                    v=1, comp="RM", comp_id=201, session="P", guid=guid, ts=int(time.time() * 1000), seq=0, tenant_path=(1, 102), app=310
                )
                self.posted[guid] = time.monotonic()
                poster.post(msgspec.json.encode(event))
                poster.flush()
                time.sleep(max(0.0, self.posted[guid] + 1 / PROBES_A_SECOND - time.monotonic()))

    def _look(self) -> None:
        connection = self._dialect.connect()
        cursor, seen = connection.cursor(), set[str]()
        while not self._done.is_set():
            asked = time.monotonic()
            cursor.execute("SELECT guid FROM calls WHERE start_ts >= ? AND remote_uri IS NULL", (self._dialect.instant(self._first),))
            found = {guid for (guid,) in cursor.fetchall()} & self.posted.keys() - seen
            now = time.monotonic()
            self.questions.append(now - asked)
            self.took += [now - self.posted[guid] for guid in found]
            seen |= found
            time.sleep(QUESTION_EVERY_S)
        connection.close()


def shown(name: str, took: Sequence[float], posted: int, questions: Sequence[float], load: str) -> None:
    cuts = quantiles(took, n=100)
    say(f"{name}: {posted} messages, {posted - len(took)} of them not seen; {load}")
    say(f"  median {median(took):.2f} s, 95 % {cuts[94]:.2f} s, 99 % {cuts[98]:.2f} s, most {max(took):.2f} s")
    say(f"  a question took {median(questions) * 1000:.0f} ms, and came {QUESTION_EVERY_S * 1000:.0f} ms after the one before")
    least = 0.0
    for most in BARS:
        if count := sum(least <= seconds < most for seconds in took):
            say(f"  {least:5.2f} to {most:5.2f} s {count:6} {'#' * max(1, round(60 * count / len(took)))}")
        least = most


def store(database: str | None, data: Path) -> Dialect:
    if database is None:
        return SQLite(data / "reporting.sqlite3")
    os.environ["RS_TEST_SQLSERVER"] = database
    from tests.sinks.server import cleared, server  # needs unixODBC

    return cleared(server())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=float, default=500, help="events a second")
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--database", help="mssql://USER@HOST:PORT/DATABASE_test; else SQLite")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        data = Path(folder) / "data"
        dialect = store(given.database, data)
        settings = {}
        if given.database is not None:
            settings = {"RS_SINKS__DATABASE": given.database, "RS_SINKS__PASSWORD": os.environ.get("RS_TEST_SQLSERVER_PASSWORD", "")}
        with stack(data, **settings) as made:
            rate = calls_a_second(given.rate)
            seconds = WARM_UP_S + given.seconds + 5
            simulator = subprocess.Popen(
                [*RS, "simulate", "--rate", f"{rate:.2f}", "--seconds", f"{seconds}", "--no-end"],
                env=made.environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                time.sleep(WARM_UP_S)
                psutil.cpu_percent()
                probes = Probes(dialect, ActiveMQ(port=made.ports["activemq"]))
                probes.run(given.seconds)
                load = f"machine {psutil.cpu_percent():.0f} % busy, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            finally:
                simulator.terminate()
                simulator.wait()
    name = "SQLite" if given.database is None else str(getattr(dialect, "address").where)  # noqa: B009 - only servers have one
    shown(f"{name}, {given.rate:.0f} events/s", probes.took, len(probes.posted), probes.questions, load)


if __name__ == "__main__":
    main()
