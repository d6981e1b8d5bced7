"""The agents' folds on random logs (`tests.agents.teaser`), judged by the oracle of the log (`tests.agents.log_oracle`).

    python -m tests.agents.scenarios 20000 [first seed]     all must be judged alike

The folds read each partition's log in chunks of any size, with checkpoints anywhere between; what a checkpoint finds silent
goes back into the log behind whatever has been posted by then. The oracle reads the log that came out of that.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from multiprocessing import get_context
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agents.call import records_of
from agents.calls_fold import CallsFold, Refused
from agents.calls_fold import Closing as Written
from agents.chains import Chains
from agents.keys import activity_key, is_tick, tick_key
from agents.lifetime import Terms
from agents.state import Activity, Bin, Call, Tick
from agents.stream_time import StreamTime
from tests.agents import oracle
from tests.agents.log_oracle import Closing, Entry, Event, Judge, Limits, Posted, Session
from tests.agents.teaser import EDGE, HOUR, TIMEOUT, Scenario, scenario
from tests.agents.world import MINUTE, Record, Table, closing, differences, record, said, wanted

encode, decode_row = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Activity).decode
TARGETS = 2
BLOCK = 1000  # scenarios that the command line runs before it says how far it is
A_DAY_AND_MORE = 25 * HOUR  # after that no clock of a sender is ahead any more

# What is in a log


class Watch(Judge):
    """The judge, counting what it meets."""

    def __init__(self, limits: Limits, history_to: int = 0) -> None:
        super().__init__(limits, history_to)
        self.met: Counter[str] = Counter()

    def take(self, entry: Entry) -> str:
        if isinstance(entry, Closing):
            outcome = super().take(entry)
            self.met[f"closing record {outcome}"] += 1
            return outcome
        e, stream, gone = entry.event, self.stream, len(self.gone)
        before = self._session(e)
        outcome = super().take(entry)
        after = self._session(e)
        self.met[f"event {outcome}"] += 1
        if len(self.gone) > gone:
            self.met["call that had expired speaks again"] += 1
            before = None
        if outcome == "late" and e["ts"] >= stream - self.limits.lateness:
            self.met["late by start_ts or end_ts"] += 1
        if outcome == "added" and after is not None:
            self._added(e, entry.receipt, before, after)
        return outcome

    def _session(self, e: Event) -> Session | None:
        return self.calls.get(e["guid"], {}).get((e["comp_id"], e["session"]))

    def _added(self, e: Event, receipt: int, before: Session | None, after: Session) -> None:
        met = self.met
        for least, name in ((MINUTE, "a minute"), (TIMEOUT, "a time-out"), (12 * HOUR, "12 h")):
            if e["ts"] - receipt >= least:
                met[f"clock ahead by {name}"] += 1
        if e["kind"] == "call.update" and e.keys() & {"start_ts", "tenant_path", "call_type"}:
            met["correction"] += 1
        if before is None:
            return
        if e["seq"] < max(before.events) or e["ts"] < max(known["ts"] for known in before.events.values()):
            met["out of order"] += 1
        if before.closed is None:
            if after.closed is not None and not before.has_end:
                met["timed out by an event of its own"] += 1
            return
        if after.has_end:
            met["ended behind its time-out"] += 1
        elif after.closed is None:
            met["opened again"] += 1
        elif after.closed != before.closed:
            met["time-out moved"] += 1
        elif e["ts"] >= after.closed + self.limits.call_timeout:
            met["past the time-out"] += 1

    def finish(self, idle: int) -> Counter[str]:
        """Time passes; gives what has been met."""
        self.idle(idle)
        for _, call in [*self.gone, *self.calls.items()]:
            if sum(1 for comp_id, _ in call if comp_id in (201, 202)) > 1:
                self.met["several RMs"] += 1
            for s in call.values():
                self._at_the_end(s)
        return self.met

    def _at_the_end(self, s: Session) -> None:
        met, (start, end) = self.met, s.times()
        met["session timed out" if s.closed is not None else "session ended" if s.has_end else "session in progress"] += 1
        if start is None:
            met["session without start"] += 1
        if s.closed is not None and end != s.closed:
            met["explicit end of a timed-out session"] += 1
        if s.closed is not None and any("end_state" in e for e in s.events.values()):
            met["end state that a time-out overrides"] += 1
        if any(e.get("end_state") == "REJECTED" for e in s.events.values()) and s.has_end:
            met["rejected"] += 1
        for earlier, later in pairwise(sorted(e["ts"] for e in s.events.values())):
            by = later - earlier - self.limits.call_timeout
            if by in EDGE:
                met[f"silence of a time-out {by:+d} ms"] += 1


# The agents


class Source:
    """The calls agent's fold of one partition, and the judge beside it, record by record.

    log         what has been posted, in order; `waiting`: what will be
    clock       the greatest that it has told
    history_to  records below this offset are folded as a rebuild does
    wrong       what was seen to be wrong on the way
    """

    def __init__(self, number: int, waiting: list[Entry], limits: Limits, rnd: random.Random, history_to: int = 0) -> None:
        self.number, self.rnd, self.limits, self.history_to = number, rnd, limits, history_to
        self.waiting = waiting[::-1]
        self.log: list[Entry] = []
        self.records: list[Record] = []
        self.calls, self.activity = Table(Call), Table(Activity)
        terms = Terms(timeout=limits.call_timeout, lateness=limits.lateness, keep_timed_out=limits.keep_timed_out)
        self.fold = CallsFold(self.calls, self.activity, StreamTime(limits.lateness), terms, history_to)
        self.judge = Watch(limits, history_to)
        self.read = self.clock = self.dropped = 0
        self.refused: dict[int, str] = {}
        self.wrong: list[str] = []

    @property
    def wall(self) -> int:
        return self.records[-1].timestamp if self.records else 0

    def post(self, n: int) -> None:
        while self.waiting and n > 0:
            self._append(self.waiting.pop())
            n -= 1

    def _append(self, entry: Entry) -> None:
        offset = len(self.records)
        self.log.append(entry)
        self.records.append(record(offset, *entry) if isinstance(entry, Posted) else closing(offset, *entry, receipt=self.wall))

    def step(self, most: int) -> None:
        """Fold a chunk."""
        to = min(len(self.log), self.read + self.rnd.randint(1, most))
        self.fold.fold(self.records[self.read : to])
        for entry in self.log[self.read : to]:
            self.judge.take(entry)
        self.read = to

    def checkpoint(self, idle: int | None = None) -> list[tuple[bytes, bytes]]:
        """Look after silent calls; gives the snapshots for the tenants agent. `idle`: as long as the log allows, if not given, and
        then time-outs may know less of it than bins, as the bridge may have been down."""
        heard = idle or 0
        if idle is None:
            idle = 0
            if self.read == len(self.log) and self.waiting and isinstance(self.waiting[-1], Posted):
                idle = round(max(0, self.waiting[-1].receipt - self.wall) * self.rnd.choice([0, 0.5, 1]))
                heard = round(idle * self.rnd.choice([0, 0.5, 1, 1, 1]))
        self.fold.settle(self.read, heard)
        self.dropped = self.fold.counts["left"]
        found = {Closing(w.guid, w.comp_id, w.session, w.ts) for w in self._drain()}
        self._judge_closings(found, heard)
        for one in sorted(found):
            self._append(one)
        sent = [(activity_key(dimension, start, self.number), encode(row)) for (dimension, start), row in self._cut(self.activity)]
        self._cut(self.calls)
        now = self.fold.time.now
        clock = now + idle if now else 0
        self.clock = max(self.clock, clock)
        return [*sent, (tick_key(self.number), encode(Tick(now, clock, 0, self.read, self.fold.time.floor)))]

    def _drain(self) -> list[Written]:
        found = []
        for left in self.fold.drain():
            if isinstance(left, Refused):
                self.refused[left.record.offset] = left.reason
            elif isinstance(left, Written):
                found.append(left)
        return found

    def _cut(self, table: Table) -> list[tuple[Any, Any]]:
        rows = [(key, table[key]) for key in table.touched if key in table]
        for _, row in rows:
            row.mark = max(row.mark, self.read)
        table.touched.clear()
        return rows

    def _judge_closings(self, found: set[Closing], idle: int) -> None:
        """Each silent session is closed at the first checkpoint that can know it, and no other one is. A call of which a closing is still
        to be read may wait for that."""
        due = set()
        for guid, call in self.judge.calls.items() if self.read >= self.history_to else ():
            for (comp_id, name), s in call.items():
                if s.closed is None and not s.has_end:
                    last = s.last_in_time(TIMEOUT)
                    if self.judge.stream + idle >= last + TIMEOUT:
                        due.add(Closing(guid, comp_id, name, last))
        unread = {entry.guid for entry in self.log[self.read :] if isinstance(entry, Closing)}
        missing = {one for one in due - found if one.guid not in unread}
        if found - due or missing:
            self.wrong.append(f"closings at {self.read}: {found - due} too much, {missing} missing")


class Sink:
    """The tenants agent of all partitions of rs.activity, and what a sink has of it: rows stay that the table drops."""

    def __init__(self, zone: ZoneInfo, sources: int) -> None:
        self.chains = []
        self.tables = []
        self.stored: list[dict[bytes, Any]] = []
        for _ in range(TARGETS):
            parts, tenants = Table(Activity), Table(Bin)
            self.chains.append(Chains(parts, tenants, zone, sources=sources))
            self.tables.append(tenants)
            self.stored.append({})
        self.position = 0

    def take(self, sent: list[tuple[bytes, bytes]]) -> None:
        for key, value in sent:
            if key.startswith(b"@"):
                for chains in self.chains:
                    chains.take(key, msgspec.msgpack.decode(value, type=Tick))
            else:
                self.chains[sum(key.rpartition(b"@")[0]) % TARGETS].take(key, decode_row(value))
        self.position += len(sent)

    def settle(self) -> None:
        for chains, tenants, stored in zip(self.chains, self.tables, self.stored, strict=True):
            chains.settle(self.position)
            for key in tenants.touched:
                if key in tenants:
                    stored[key] = tenants[key]
            tenants.touched.clear()


class Trial:
    """One scenario run and judged. `seed`: of the chunks and checkpoints."""

    def __init__(self, case: Scenario, seed: int) -> None:
        self.case, self.rnd = case, random.Random(seed)
        rebuilds = self.rnd.random() < 0.15
        self.sources = [
            Source(n, log, case.limits, self.rnd, self.rnd.randint(0, len(log)) if rebuilds else 0) for n, log in enumerate(case.logs)
        ]
        self.sink = Sink(ZoneInfo(case.zone), len(case.logs))

    def run(self) -> list[str]:
        """What is wrong, nothing if all is right."""
        most = self.rnd.choice([1, 10, 40, 400])
        lag = self.rnd.choice([1, 20, 400])
        seldom = self.rnd.choice([0.05, 0.1, 0.1, 0.5])
        busy = list(self.sources)
        while busy:
            source = self.rnd.choice(busy)
            if source.read == len(source.log):
                source.post(self.rnd.randint(1, lag))
            source.step(most)
            if self.rnd.random() < 0.1 + most / 200:
                self.sink.take(source.checkpoint())
                if self.rnd.random() < seldom:
                    self.sink.settle()
            if source.read == len(source.log) and not source.waiting:
                busy.remove(source)
        for source, idle in zip(self.sources, self.case.idle, strict=True):
            self._wait(source, idle)
            source.judge.finish(idle)
        self.sink.settle()
        wrong = [wrong for source in self.sources for wrong in self._wrong_in(source)]
        if self.rnd.random() < 0.7:
            return wrong + self._wrong_bins()
        for source in self.sources:
            self._wait(source, A_DAY_AND_MORE)
            source.judge.idle(A_DAY_AND_MORE)
        self.sink.settle()
        return wrong + [wrong for source in self.sources for wrong in self._wrong_in(source)] + self._wrong_bins()

    def _wait(self, source: Source, idle: int) -> None:
        """No record comes for so long: what is closed now comes back from the log."""
        sent = source.checkpoint(idle)
        while source.read < len(source.log):
            sent = [one for one in sent if not is_tick(one[0])]
            source.step(400)
            sent += source.checkpoint(idle)
        self.sink.take(sent)

    def _wrong_in(self, source: Source) -> list[str]:
        judge, wrong = source.judge, [f"partition {source.number}: {said}" for said in source.wrong]
        refused = {i: outcome for i, outcome in enumerate(judge.outcomes) if i >= source.history_to and outcome in ("late", "conflict")}
        for i in sorted(refused.keys() | source.refused.keys()):
            if refused.get(i) != source.refused.get(i):
                wrong.append(f"partition {source.number}: record {i} is {refused.get(i)}, got {source.refused.get(i)}: {source.log[i]}")
        for guid, call in judge.calls.items():
            want = {key: _wanted(s) for key, s in call.items()}
            row = source.calls.peek(guid.encode())
            if row is None and judge.has_expired(guid):
                continue
            if row is None or (got := _got(row)) != want:
                wrong.append(f"partition {source.number}: {guid} is {want}, got {row and got}")
        return wrong

    def _wrong_bins(self) -> list[str]:
        sessions = [s.folded() for source in self.sources for _, _, s in source.judge.sessions()]
        now = max(source.clock for source in self.sources)  # a clock never goes back, though senders are behind the time that passed
        want = oracle.bins_of(sessions, now - now % oracle.FIVE, zone=ZoneInfo(self.case.zone))
        wrong = differences(said(self.sink.stored), wanted(want))
        return [f"{key}: (got, wanted) {what}" for key, what in sorted(wrong.items(), key=lambda one: one[0][2])]


def _wanted(s: Session) -> tuple[Any, ...]:
    folded = s.folded()
    state = folded["state"] if folded["end"] is not None else None
    return folded["comp"], folded["start"], folded["end"], state, s.duplicates, s.conflicts, len(s.events)


def _got(call: Call) -> dict[Any, tuple[Any, ...]]:
    found = {}
    for r, s in zip(records_of(call), call.sessions, strict=True):
        found[r.comp_id, r.session] = r.comp, r.start_ts, r.end_ts, r.end_state, s.duplicates, s.conflicts, len(s.messages)
    return found


def run(seed: int) -> tuple[int, list[str], Counter[str]]:
    """seed, what is wrong, what the scenario contains"""
    trial = Trial(scenario(seed), seed)
    wrong = trial.run()
    contents = sum((source.judge.met for source in trial.sources), trial.case.contents)
    contents["records"] = sum(len(source.log) for source in trial.sources)
    contents["records of history"] = sum(source.history_to for source in trial.sources)
    contents[f"zone {trial.case.zone}"] += 1
    contents["calls dropped"] = sum(source.dropped for source in trial.sources)
    contents["bins dropped"] = sum(
        len(stored.keys() - table.keys()) for stored, table in zip(trial.sink.stored, trial.sink.tables, strict=True)
    )
    return seed, wrong, contents


def run_all(seeds: Iterable[int]) -> tuple[dict[int, list[str]], Counter[str]]:
    """What is wrong by seed, what the scenarios contain. On all cores."""
    wrong: dict[int, list[str]] = {}
    contents: Counter[str] = Counter()
    with get_context("spawn").Pool() as pool:  # a fork of a process with threads may hang
        for seed, found, held in pool.imap_unordered(run, seeds, chunksize=20):
            contents += held
            if found:
                wrong[seed] = found
    return wrong, contents


def main(runs: int, first: int = 0) -> int:
    began, wrong, contents = time.monotonic(), dict[int, list[str]](), Counter[str]()
    for start in range(first, first + runs, BLOCK):
        end = min(start + BLOCK, first + runs)
        found, held = run_all(range(start, end))
        wrong |= found
        contents += held
        sys.stdout.write(f"seeds {start} to {end - 1}: wrong {sorted(found)}, {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
    for name, n in sorted(contents.items()):
        sys.stdout.write(f"{n:>10}  {name}\n")
    for seed in sorted(wrong)[:5]:
        sys.stdout.write(f"seed {seed}\n" + "".join(f"  {one}\n" for one in wrong[seed][:8]))
    sys.stdout.write(f"wrong in {len(wrong)} of {runs} scenarios {sorted(wrong)[:10]}, {time.monotonic() - began:.0f} s\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
