"""kill -9 of the sinks worker in the middle of transactions, under load; after each, the store must be exactly the changelogs up to the
offsets it names: `python -m tests.sinks.kills --rounds 50 [--database URL]`.

The worker runs as in earnest against a real Kafka, and says which step of a transaction it is in (watched.py). Each round it is let to
commit some transactions, and is killed when it is in a step that was drawn by lot. What the store must hold follows from the records
that were sent, and from nothing that the worker said. A database on a server is emptied before; its name must end in `test`, and its
password is in RS_TEST_SQLSERVER_PASSWORD.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from aiokafka import AIOKafkaProducer

from pipeline import topics
from pipeline.cli.posting import progress
from pipeline.local.ports import free_port
from sinks.sql.binder import Bound, bind
from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Dialect
from sinks.sql.rows import TABLES, Kind, Row, Table
from sinks.sql.sqlite import SQLite
from tests.conftest import kafka_node
from tests.sinks.builders import T0, FakeRecord, bin_record, busy_record, call_record, entry, event_record, tick_record
from tests.sinks.contract import selected
from tests.sinks.watched import OUTSIDE, STEPS, Told, a_file
from tests.topics import made_anew

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
PARTITIONS = 2
CALLS, BINS = 300, 120
AT_ONCE = 60  # records sent before their confirmations are waited for
PACE_S = 0.2  # from one such load to the next
ROWS_A_TRANSACTION = 80  # fewer than what comes meanwhile: there is always another transaction to be killed in
STALE = 7  # each so manieth record is one of a worker that was frozen: an older mark behind newer ones
MOST_WAIT_S = 0.02  # after the step has begun; half of the kills come at once

Found = dict[str, list[Row]]


@dataclass
class Ledger:
    """What was sent, by partition, in order of the offsets: the only truth."""

    records: dict[TopicPartition, list[FakeRecord]] = field(default_factory=dict)

    def confirmed(self, tp: TopicPartition, offset: int, record: FakeRecord) -> None:
        of_partition = self.records.setdefault(tp, [])
        assert offset == len(of_partition), f"{tp}: a record came to stand at {offset}, not at {len(of_partition)}"
        of_partition.append(record)

    def rows(self, offsets: dict[TopicPartition, int]) -> Found:
        """What a store must hold that has everything below these offsets."""
        newest: dict[Table, dict[Row, Row]] = {table: {} for table in TABLES}
        for (topic, partition), end in offsets.items():
            best: dict[bytes, tuple[int, FakeRecord]] = {}
            for record in self.records.get((topic, partition), [])[:end]:
                mark = entry(topic, record).mark
                key = record.key or b""
                if topic == topics.EVENTS:
                    key = b"%d" % mark  # each is a row
                if key not in best or mark >= best[key][0]:
                    best[key] = (mark, record)
            for _, record in best.values():
                made = bind(entry(topic, record, partition), 1)
                assert isinstance(made, Bound)
                for table, row in made.rows:
                    newest[table][table.key_of(row)] = row
        return {table.name: [rows[key] for key in sorted(rows)] for table, rows in newest.items()}


class Feeder:
    """Sends calls, bins, ticks and events again and again, with higher marks each time, and some with lower ones."""

    def __init__(self, broker: str, ledger: Ledger, seed: int) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=5)
        self._ledger = ledger
        self._random = random.Random(seed)
        self._mark = 10

    async def run(self, stop: asyncio.Event) -> None:
        await self._producer.start()
        try:
            while not stop.is_set():
                await self._send(self._some())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), PACE_S)
        finally:
            await self._producer.stop()

    def _some(self) -> list[tuple[str, FakeRecord]]:
        made = []
        for n in range(AT_ONCE):
            self._mark += 1
            mark = self._mark if n % STALE else self._random.randrange(1, self._mark)
            which = self._random.randrange(100)
            if which < 50:
                call = self._random.randrange(CALLS)
                made.append((topics.CALLS_CHANGELOG, call_record(call, mark, sessions=1 + mark % 3)))
            elif which < 60:
                made.append((topics.CALLS_CHANGELOG, busy_record(CALLS + self._random.randrange(20), mark)))
            elif which < 90:
                value = self._random.randrange(BINS)
                made.append((topics.TENANTS_CHANGELOG, bin_record(value, T0, mark, arrivals=mark)))
            elif which < 95:
                made.append((topics.TENANTS_CHANGELOG, tick_record(which % 3, mark, stream=T0 + mark)))
            else:
                made.append((topics.EVENTS, event_record(self._random.randrange(CALLS), self._mark, self._mark)))
        return made

    async def _send(self, records: list[tuple[str, FakeRecord]]) -> None:
        sent = []
        for topic, record in records:
            partition = topics.partition_of(record.key or b"", PARTITIONS)
            sent.append(
                await self._producer.send(topic, key=record.key, value=record.value, headers=list(record.headers), partition=partition)
            )
        for (topic, record), confirmed in zip(records, sent, strict=True):
            at = await confirmed
            self._ledger.confirmed((topic, at.partition), at.offset, record)


@dataclass
class Outcome:
    """What came of it. `killed`: kills by step of watched.py; `compared`: rows that were looked at; `different`: what was not as it
    must be."""

    killed: Counter[int] = field(default_factory=Counter)
    compared: int = 0
    transactions: int = 0
    different: list[str] = field(default_factory=list)

    @property
    def inside(self) -> int:
        """Kills in the middle of a transaction."""
        return sum(count for step, count in self.killed.items() if step != OUTSIDE)

    def __str__(self) -> str:
        steps = ", ".join(f"{self.killed[step]} {name}" for step, name in enumerate(STEPS) if self.killed[step])
        return (
            f"{self.killed.total()} kills, {self.inside} of them in the middle of a transaction ({steps}); "
            f"at least {self.transactions:,} transactions in between; {self.compared:,} rows compared, {len(self.different)} differences"
        )


async def make_topics(broker: str) -> None:
    names = [topics.BILLING, topics.EVENTS, topics.CALLS_CHANGELOG, topics.TENANTS_CHANGELOG, topics.SINK_QUARANTINE]
    await made_anew(broker, names, PARTITIONS)


@contextlib.contextmanager
def worker(broker: str, data: Path, database: str, broken: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "RS_KAFKA__BOOTSTRAP": broker,
        "RS_KAFKA__PARTITIONS": str(PARTITIONS),
        "RS_KAFKA__INSTANCE": "sink",  # the next one need not wait until the group has given up the one that was killed
        "RS_STACK__DATA": str(data),
        "RS_HEALTH__SINKS_PORT": str(free_port()),
        "RS_SINKS__DATABASE": database,
        "RS_SINKS__PASSWORD": os.environ.get("RS_TEST_SQLSERVER_PASSWORD", ""),
        "RS_SINKS__INTERVAL": "0.02",
        "RS_SINKS__MAX_ROWS": str(ROWS_A_TRANSACTION),
        "RS_RETENTION__INTERVAL": "0",
        "RS_WATCHED_STEPS": str(data / "steps"),
        "RS_WATCHED_BREAK": broken,
    }
    command = [sys.executable, "-m", "faust", "-A", "tests.sinks.watched", "--datadir", str(data / "faust"), "worker", "--without-web"]
    with (data / "sinks.log").open("ab") as output, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


async def until(true: Callable[[], bool], process: subprocess.Popen[bytes], pause_s: float) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert process.poll() is None, "the worker ended by itself: see sinks.log"
        assert time.monotonic() < end, "it did not come to pass in time"
        await asyncio.sleep(pause_s)


async def one_kill(process: subprocess.Popen[bytes], told: Told, lot: random.Random) -> tuple[int, int]:
    """Gives the step the worker was killed in, and the transactions seen before."""
    first, seen = told.turn, lot.randrange(2, 12)
    await until(lambda: (told.turn - first) % 256 >= seen, process, 0.002)
    step = lot.randrange(OUTSIDE + 1, len(STEPS))
    while True:
        await until(lambda: told.step == step, process, 0)
        time.sleep(lot.random() * MOST_WAIT_S * (lot.random() < 0.5))  # noqa: ASYNC251 - nothing else may come in between
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # noqa: ASYNC222
        if told.step != OUTSIDE:  # it has not got out of the transaction before the signal came
            process.kill()
            process.wait()
            return told.step, (told.turn - first) % 256
        process.send_signal(signal.SIGCONT)


def held(dialect: Dialect) -> tuple[dict[TopicPartition, int], Found]:
    """Offsets and rows. A commit that was under way at the kill may still come to its end on a server, so both are read until they
    belong together."""
    statements = ["SELECT topic, partition, next_offset FROM rs_offsets"]
    statements += [f"SELECT {', '.join(table.names)} FROM {table.name}" for table in TABLES]
    while True:
        before, *rows, after = selected(dialect, [*statements, statements[0]])
        if sorted(before) == sorted(after):
            found = {table.name: sorted(of_table, key=table.key_of) for table, of_table in zip(TABLES, rows, strict=True)}
            return {(topic, partition): offset for topic, partition, offset in before}, found


def differences(expected: Found, found: Found, *, also_json: bool) -> Iterator[str]:
    for table in TABLES:
        at = [place for place, column in enumerate(table.columns) if also_json or column.kind is not Kind.JSON]
        wanted, there = ([tuple(row[place] for place in at) for row in rows[table.name]] for rows in (expected, found))
        if not also_json:  # an engine that cannot read JSON keeps what a text looks like in it
            wanted = [tuple(map(_escaped, row)) for row in wanted]
        if wanted != there:
            odd = sorted(set(map(str, wanted)) ^ set(map(str, there)))
            yield f"{table.name}: {len(wanted)} rows must be there, {len(there)} are; first of {len(odd)} that differ: {odd[0][:300]}"


def _escaped(cell: object) -> object:
    return json.dumps(cell, ensure_ascii=False)[1:-1] if isinstance(cell, str) else cell


async def kills(
    broker: str, data: Path, dialect: Dialect, database: str, *, rounds: int, seed: int = 1, broken: str = "", also_json: bool = True,
    after_each: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:  # fmt: skip
    """`dialect`: the empty store, which `database` names in the way of the settings; `broken`: as watched.py has it; then it ends with
    the first difference. `also_json`: compare columns of JSON, too; if not, texts have their escapes still."""
    await make_topics(broker)
    ledger, lot, result, stop = Ledger(), random.Random(seed), Outcome(), asyncio.Event()
    told = a_file(data / "steps")
    feeding = asyncio.create_task(Feeder(broker, ledger, seed).run(stop))

    async def compare() -> dict[TopicPartition, int]:
        offsets, found = await asyncio.to_thread(held, dialect)
        while any(offset > len(ledger.records.get(tp, ())) for tp, offset in offsets.items()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the feeder hears last of what it sent
        result.different += differences(ledger.rows(offsets), found, also_json=also_json)
        result.compared += sum(map(len, found.values()))
        return offsets

    try:
        for _ in range(rounds):
            with worker(broker, data, database, broken) as process:
                step, transactions = await one_kill(process, told, lot)
            told.step = OUTSIDE
            result.killed[step] += 1
            result.transactions += transactions
            await compare()
            after_each(result)
            if broken and result.different:
                return result
            assert not feeding.done(), feeding.exception()
    finally:
        stop.set()
        await feeding
    with worker(broker, data, database, broken) as process:  # all that was sent comes in
        wanted = {tp: len(records) for tp, records in ledger.records.items()}
        await until(lambda: reached(dialect) == wanted, process, 0.5)
        await compare()
    return result


def reached(dialect: Dialect) -> dict[TopicPartition, int]:
    """Of the partitions that something came from."""
    rows = selected(dialect, ["SELECT topic, partition, next_offset FROM rs_offsets"])[0]
    return {(topic, partition): offset for topic, partition, offset in rows if offset}


def store(database: str | None, data: Path) -> tuple[Dialect, str]:
    """An empty one, and how sinks.database names it."""
    if database is None:
        return SQLite(data / "reporting.sqlite3"), "sqlite:///reporting.sqlite3"
    os.environ["RS_TEST_SQLSERVER"] = database
    from tests.sinks.server import cleared, server  # needs unixODBC

    return cleared(server()), database


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--database", help="mssql://USER@HOST/DATABASE_test; else SQLite in a temporary folder")
    options.add_argument("--break", dest="broken", choices=["guard", "offsets"], default="", help="break a promise: it must be found")
    options.add_argument("--without-json", action="store_true", help="for an engine that leaves escapes in JSON as they are")
    options.add_argument("--log", type=Path, help="where the worker's output goes in the end")
    given = options.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, kafka_node(Path(folder) / "kafka") as broker, progress(counts=True) as bar:
        data = Path(folder)
        dialect, database = store(given.database, data)
        task = bar.add_task("kills", total=given.rounds)

        def show(so_far: Outcome) -> None:
            bar.update(task, completed=so_far.killed.total(), description=f"kills, {len(so_far.different)} differences")

        try:
            result = asyncio.run(
                kills(
                    broker, data, dialect, database, rounds=given.rounds, seed=given.seed, broken=given.broken,
                    also_json=not given.without_json, after_each=show,
                )
            )  # fmt: skip
        finally:
            if given.log is not None:
                given.log.write_bytes((data / "sinks.log").read_bytes())
    typer.echo(f"{dialect_name(dialect)}: {result}; {time.monotonic() - begun:.0f} s")
    for difference in result.different:
        typer.echo(f"  {difference}")
    sys.exit(1 if result.different else 0)


def dialect_name(dialect: Any) -> str:
    return "SQLite" if isinstance(dialect, SQLite) else str(dialect.address.where)


if __name__ == "__main__":
    main()
