"""The real folds on an in-process log that crashes between any two writes and starts again with other batch boundaries.

    python -m tests.agents.crash_model 10000          all runs must be right
    python -m tests.agents.crash_model 1000 wrong     control: calls durable before activity

A stage of a checkpoint writes to several topic partitions at once. Inside one partition the broker keeps the order, so what a
crash leaves of a stage is a prefix of each partition's records.

Half of the worlds have time-outs, late events, calls that leave and bins that are dropped; the others are judged by the oracle. Of the
first kind the log in its final form, with the time-outs that the agents wrote into it, is folded once more without a crash, in one
piece and with nothing dropped: what has to come out is that.
"""

from __future__ import annotations

import copyreg
import pickle
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agents.bins import base_of
from agents.calls_fold import CallsFold, Closing
from agents.chains import Chains
from agents.keys import activity_key, tick_key
from agents.lifetime import HOUR_MS, Terms
from agents.state import NOTHING, Activity, Bin, Call, Tick
from agents.stream_time import StreamTime
from tests.agents import oracle
from tests.agents.world import MINUTE, T0, Record, Table, random_events, record, said, wanted

SOURCES, TARGETS = 2, 2
NOW = T0 + 60 * MINUTE
UTC = ZoneInfo("UTC")
MORTAL = Terms(timeout=4 * MINUTE, lateness=6 * MINUTE, keep_timed_out=9 * MINUTE)
IMMORTAL = Terms(timeout=0)
Write = Callable[[], None]


class Crash(Exception):
    pass


class World:
    """What is durable, and a fault that strikes when it wants to."""

    def __init__(self, seed: int, order: Iterable[str]) -> None:
        self.rnd, self.order = random.Random(seed), list(order)
        self.events = random_events(self.rnd, self.rnd.randint(1, 5), span_min=20)
        self.log: list[list[Record]] = [[] for _ in range(SOURCES)]
        for e in self._sent():
            partition = int(e["guid"][:8], 16) % SOURCES
            self.log[partition].append(record(len(self.log[partition]), e))
        self.terms = self.rnd.choice([MORTAL, IMMORTAL])
        self.said = [""] * SOURCES  # metadata of the commit
        self.calls = [Table(Call) for _ in range(SOURCES)]
        self.activity = [Table(Activity) for _ in range(SOURCES)]
        self.committed = [0] * SOURCES
        self.topic: list[list[tuple[bytes, Any]]] = [[] for _ in range(TARGETS)]
        self.parts = [Table(Activity) for _ in range(TARGETS)]
        self.tenants = [Table(Bin) for _ in range(TARGETS)]
        self.committed_activity = [0] * TARGETS
        self.store: dict[bytes, Any] = {}  # what the sinks keep of the tenants rows: tombstones pass it by
        self.crashes = 25  # then all goes well, so that a run ends

    def _sent(self) -> list[dict[str, Any]]:
        sent = self.events + self.rnd.sample(self.events, len(self.events) // 3)
        if self.rnd.random() < 0.5:
            self.rnd.shuffle(sent)
        return sent

    def stage(self, streams: list[list[Write]]) -> None:
        """Write the streams, or a prefix of each of them and crash."""
        strikes = self.crashes > 0 and self.rnd.random() < 0.25
        for stream in streams:
            for write in stream[: self.rnd.randint(0, len(stream))] if strikes else stream:
                write()
        if strikes:
            self.crashes -= 1
            raise Crash

    # -- the calls agent

    def run_calls(self, p: int) -> None:
        calls, activity = copied(self.calls[p]), copied(self.activity[p])
        fold, at = CallsFold(calls, activity, StreamTime.unpack(self.said[p], self.terms.lateness), self.terms), self.committed[p]
        fold.resume(iter(list(calls.items())), list(activity), max((row.mark for row in activity.values()), default=0))
        while True:
            end = min(len(self.log[p]), at + self.rnd.randint(1, 6))
            fold.fold(self.log[p][at:end])
            idle = HOUR_MS if end == len(self.log[p]) else 0
            if at == end and not fold.roster.silent_by(fold.time.now + idle):
                break
            at = end
            fold.settle(at, idle)
            self._cut_calls(p, fold, at)
        floor = fold.time.floor
        self.stage([[self._send(t, tick_key(p), Tick(NOW, NOW, NOW, mark=at, floor=floor))] for t in range(TARGETS)])

    def _cut_calls(self, p: int, fold: CallsFold, at: int) -> None:
        rows, touched = cut(fold.activity, at), cut(fold.calls, at)
        closings = [closing for closing in fold.drain() if isinstance(closing, Closing)]
        outbox: list[list[Write]] = [[] for _ in range(TARGETS)]
        clock = fold.time.now
        for (dimension, start), row in rows.items():
            if row is not None:
                outbox[sum(dimension) % TARGETS].append(self._send(sum(dimension) % TARGETS, activity_key(dimension, start, p), row))
        for t in range(TARGETS):
            outbox[t].append(self._send(t, tick_key(p), Tick(clock, clock, clock, mark=at, floor=fold.time.floor)))
        stages = {
            "activity": [*outbox, [self._append(p, c) for c in closings], [put(self.activity[p], k, v) for k, v in rows.items()]],
            "calls": [[put(self.calls[p], k, v) for k, v in touched.items()]],
        }
        for name in self.order:
            self.stage(stages[name])
        self.committed[p], self.said[p] = at, fold.time.pack()

    def _append(self, p: int, closing: Closing) -> Write:
        said = msgspec.to_builtins(closing)
        return lambda: self.log[p].append(record(len(self.log[p]), said, NOW))

    def _send(self, t: int, key: bytes, value: Any) -> Write:
        return lambda: self.topic[t].append((key, copied(value)))

    # -- the tenants agent

    def run_tenants(self, t: int) -> None:
        parts, tenants = copied(self.parts[t]), copied(self.tenants[t])
        replayed_to = max((row.mark for row in tenants.values()), default=0)
        at = self.committed_activity[t]
        chains = Chains(parts, tenants, UTC, at, replayed_to, SOURCES)
        while at < len(self.topic[t]):
            end = min(len(self.topic[t]), at + self.rnd.randint(1, 8))
            for key, value in self.topic[t][at:end]:
                chains.take(key, copied(value))
            at = end
            chains.settle(at)
            self.stage([[put(self.parts[t], k, v) for k, v in cut(parts, 0).items()]])  # a part keeps the mark of its source
            rows = cut(tenants, at)
            self.stage([[put(self.tenants[t], k, v, self.store) for k, v in rows.items()]])
            self.committed_activity[t] = at

    def run(self) -> bool:
        todo = [*((self.run_calls, p) for p in range(SOURCES)), *((self.run_tenants, t) for t in range(TARGETS))]
        while todo:
            agent, n = self.rnd.choice(todo)
            if agent == self.run_tenants and any(a == self.run_calls for a, _ in todo):
                self._attempt(agent, n)  # tenants fold along, and again at the end
            elif self._attempt(agent, n):
                todo.remove((agent, n))
        return self._right()

    def _attempt(self, agent: Callable[[int], None], n: int) -> bool:
        try:
            agent(n)
        except Crash:
            return False
        return True

    def _right(self) -> bool:
        return said([self.store]) == wanted(oracle.bins(self.events, base_of(NOW))) if self.terms is IMMORTAL else self._as_without_crash()

    def _as_without_crash(self) -> bool:
        parts, tenants = Table(Activity), Table(Bin)
        chains = Chains(parts, tenants, UTC)
        for p in range(SOURCES):
            calls, activity = Table(Call), Table(Activity)
            CallsFold(calls, activity, StreamTime(self.terms.lateness), self.terms).fold(self.log[p])
            for (dimension, start), row in activity.items():
                chains.take(activity_key(dimension, start, p), row)
            chains.take(tick_key(p), Tick(NOW, NOW, NOW))
        chains.settle(1)
        return said([self.store]) == said([tenants])


copyreg.pickle(type(NOTHING), lambda _: "NOTHING")  # there is one of it, as for a decoded row


def copied(value: Any) -> Any:
    """A deep copy; `copy.deepcopy` makes the same and takes several times as long."""
    return pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def cut(table: Table, position: int) -> dict[Any, Any]:
    """Touched rows as they stand, their mark set, dropped ones as None: what the runtime does."""
    rows: dict[Any, Any] = {}
    for key in table.touched:
        if key in table:
            table[key].mark = max(table[key].mark, position)
        rows[key] = copied(table.get(key))
    table.touched.clear()
    return rows


def put(table: Table, key: Any, value: Any, store: dict[Any, Any] | None = None) -> Write:
    def write() -> None:
        if value is None:
            table.pop(key, None)
        elif key not in table or table[key].mark <= value.mark:
            table[key] = copied(value)
            if store is not None:
                store[key] = table[key]

    return write


RIGHT, WRONG = ("activity", "calls"), ("calls", "activity")


def wrong_runs(seeds: Iterable[int], order: Iterable[str] = RIGHT) -> list[int]:
    return [seed for seed in seeds if not World(seed, order).run()]


if __name__ == "__main__":
    runs, order = int(sys.argv[1]), WRONG if "wrong" in sys.argv else RIGHT
    bad = wrong_runs(range(runs), order)
    sys.stdout.write(f"{' -> '.join(order)} -> commit: wrong in {len(bad)} of {runs} runs {bad[:5]}\n")
    sys.exit(bool(bad))
