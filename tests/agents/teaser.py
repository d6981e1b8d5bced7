"""Random logs with everything that time does to sessions: silences, time-outs, events that come late or reach back, expiry.

A scenario is an hour or two of a few dozen calls, its time-out 10 minutes and its lateness 20, so that all of it happens in each.
Senders plan their sessions; a broker delivers late, twice and out of order; and on the way a *teaser*, who knows the judge's
state, posts what lies on the edge: 1 ms before, at and after the instant at which something is judged otherwise.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.agents.log_oracle import Closing, Entry, Event, Judge, Key, Limits, Posted, Session
from tests.agents.world import MINUTE, event

TIMEOUT, LATENESS = 10 * MINUTE, 20 * MINUTE
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
SHIFTS = [  # of the clock, and a zone that has none
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Asia/Kolkata", "2026-05-31T18:30:00Z"),
]
PARTIES = [("RM", 201), ("RM", 202), ("MCP", 301), ("MCP", 302), ("CCP", 401)]
EDGE = (-1, 0, 1)


@dataclass
class Scenario:
    """`logs`: of each source partition. `idle`: ms since the last record of each, at the end. `contents`: what the teaser meant."""

    seed: int
    limits: Limits
    zone: str
    logs: list[list[Entry]]
    idle: list[int]
    contents: Counter[str] = field(default_factory=Counter)


def scenario(seed: int) -> Scenario:
    rnd = random.Random(seed)
    zone, at = rnd.choice(SHIFTS)
    shift = round(datetime.fromisoformat(at).timestamp() * 1000)
    begin = shift - rnd.choice([0, 10, 30, 60, 90]) * MINUTE - rnd.choice([0, 0, rnd.randrange(5 * MINUTE)])
    keep = rnd.choice([5 * MINUTE, 25 * MINUTE, 45 * MINUTE, 30 * DAY])
    limits = Limits(TIMEOUT, rnd.choice([LATENESS, LATENESS, LATENESS, LATENESS, 0]), keep)
    partitions = rnd.randint(1, 3)
    contents: Counter[str] = Counter()
    logs, idle = [], []
    for n in range(partitions):
        teaser = Teaser(rnd, limits, contents, rnd.randint(1, 1000) * 1000 + n)
        for wall, sent in _planned(rnd, begin, first_call=n + 1, step=partitions, calls=32 // partitions):
            teaser.deliver(sent, wall)
        logs.append(teaser.log)
        idle.append(teaser.silence_at_the_end())
    return Scenario(seed, limits, zone, logs, idle, contents)


# Senders


def _planned(rnd: random.Random, begin: int, first_call: int, step: int, calls: int) -> list[tuple[int, Event]]:
    """(delivered at, event), in the order of delivery. Calls come in two or three bursts with silences between."""
    bursts = rnd.sample([0, 12, 24, 40, 55, 70], rnd.randint(2, 3))
    sent: list[tuple[int, Event]] = []
    for i in range(calls):
        start = begin + rnd.choice(bursts) * MINUTE + rnd.randrange(9 * MINUTE)
        clock = rnd.choice([0] * 12 + [rnd.randint(-90_000, 90_000), rnd.randint(MINUTE, 23 * HOUR), -rnd.randrange(LATENESS)])
        for comp, comp_id in rnd.sample(PARTIES, rnd.choice([1, 1, 1, 2, 3])):
            leg = _session(rnd, start + rnd.randrange(2000), comp, comp_id, first_call + i * step)
            for ts, e in leg:
                e["ts"] = ts + clock
                for name in ("start_ts", "end_ts"):
                    if name in e:
                        e[name] += clock
                sent.append((ts + _delay(rnd), e))
    return sorted(sent, key=lambda one: one[0])


def _delay(rnd: random.Random) -> int:
    return rnd.choice([rnd.randrange(2000)] * 16 + [rnd.randrange(TIMEOUT), rnd.randrange(TIMEOUT), rnd.randrange(2 * LATENESS), 0])


def _session(rnd: random.Random, start: int, comp: str, comp_id: int, call: int) -> list[tuple[int, Event]]:
    """(when, event) of one session, its seq with holes that the teaser may fill."""
    who: dict[str, Any] = {"comp": comp, "comp_id": comp_id, "session": f"{comp}{call}", "call": call}
    said: list[tuple[int, str, dict[str, Any]]] = []
    now = start
    if rnd.random() < 0.92:
        said.append((now, "call.start", _start(rnd)))
    rejected = comp == "RM" and rnd.random() < 0.1
    for _ in range(0 if rejected else rnd.choice([0, 1, 2, 3])):
        now += _pause(rnd)
        said.append((now, *_middle(rnd, now, start)))
    if rejected or rnd.random() < 0.65:
        now += 0 if rejected else _pause(rnd)
        more: dict[str, Any] = {"end_state": "REJECTED" if rejected else rnd.choice(["USER_END", "SYSTEM_ERROR", "REJECTED"])}
        if rnd.random() < 0.1:
            more["end_ts"] = now - rnd.choice([0, 1000, MINUTE, 3 * MINUTE])
        said.append((now, "call.end", more))
    if not said:
        said.append((now, "call.update", {"call_type": "INBOUND"}))
    numbers = list(range(1, 3 * len(said), 3))
    if rnd.random() < 0.15:
        rnd.shuffle(numbers)
    return [(ts, event(kind, ts, seq, **who, **more)) for (ts, kind, more), seq in zip(said, numbers, strict=True)]


def _pause(rnd: random.Random) -> int:
    """Between two events of a session: mostly short, else around the time-out."""
    if rnd.random() < 0.8:
        return rnd.choice([rnd.randrange(1000), rnd.randrange(MINUTE), rnd.randrange(5 * MINUTE)])
    return rnd.choice([TIMEOUT - 1, TIMEOUT, TIMEOUT + 1, TIMEOUT // 2, rnd.randrange(TIMEOUT, 3 * TIMEOUT)])


def _start(rnd: random.Random) -> dict[str, Any]:
    more: dict[str, Any] = {"tenant_path": rnd.choice([[1, 102], [1, 102], [1]]), "call_type": rnd.choice(["INBOUND", "OUTBOUND"])}
    if rnd.random() < 0.5:
        more |= {"app": 310, "dn": "800"}
    if rnd.random() < 0.3:
        more["burst"] = [[1, 1], [102, rnd.randint(1, 3)]]
    return more


def _middle(rnd: random.Random, now: int, start: int) -> tuple[str, dict[str, Any]]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("call.event", {"log_id": "prompt", "level": "METRIC", "text": ""}),
        ("call.update", {"call_type": "BRIDGED"}),
        ("call.update", {"tenant_path": [1, 103]}),
        ("call.update", {"start_ts": start - rnd.choice([0, 400, 4 * MINUTE])}),
        ("call.update", {"end_ts": now + rnd.choice([0, 1, 1500, -MINUTE]), "end_state": "USER_END"}),
        ("var.action_start", {"action": "menu"}),
        ("var.action_end", {"action": "menu", "result": "SUCCESS"}),
        ("var.result", {"result": rnd.choice(["SUCCESS", "FAILED"])}),
        ("sq.latency", {"samples": [["RESPONSE", "first_prompt", rnd.choice([96, 44.5, 1.0005])]]}),
        ("sq.failure", {"cause": "AUDIO_GAP"}),
    ]
    return rnd.choice(told)


# The teaser


class Teaser:
    """Delivers what is planned, and between it what lies on an edge of the judge's present state."""

    def __init__(self, rnd: random.Random, limits: Limits, meant: Counter[str], number: int) -> None:
        self.rnd, self.limits, self.meant = rnd, limits, meant
        self.judge = Judge(limits)
        self.log: list[Entry] = []
        self.wall = 0  # receipt of the last record
        self.number = number  # of a call that nobody else has; others of the teaser are made of it
        self.closings: list[Closing] = []

    def deliver(self, sent: Event, wall: int) -> None:
        if wall - self.wall > TIMEOUT and self.wall:
            self._an_earlier_worker(wall)
        self._post(sent, wall)
        if self.rnd.random() < 0.4:
            self.rnd.choice(TRICKS)(self)

    def silence_at_the_end(self) -> int:
        times = [
            s.last_in_time(TIMEOUT) + TIMEOUT - self.judge.stream for _, _, s in self.judge.sessions() if s.closed is None and not s.has_end
        ]
        ahead = [ms for ms in times if 0 < ms < 3 * HOUR]
        if ahead and self.rnd.random() < 0.6:
            by = self.rnd.choice(EDGE)
            self.meant[f"silence until the time-out {by:+d} ms at the end"] += 1
            return self.rnd.choice(ahead) + by
        return self.rnd.choice([0, 1, TIMEOUT, 5 * TIMEOUT, self.rnd.randrange(TIMEOUT)])

    def _post(self, sent: Event, wall: int | None = None) -> None:
        self.wall = max(self.wall, self.wall if wall is None else wall)
        if sent["ts"] <= self.wall + DAY:  # else the bridge would not let it through (rule M7)
            self._enter(Posted(sent, self.wall))

    def _enter(self, entry: Entry) -> None:
        self.log.append(entry)
        self.judge.take(entry)

    def _close(self, closing: Closing, meant: str) -> None:
        self.meant[f"closing record: {meant}"] += 1
        self.closings.append(closing)
        self._enter(closing)

    def _an_earlier_worker(self, clock: int) -> None:
        """Closing records of one that had the partition before, at a time when no event came."""
        for guid, (comp_id, name), s in self._open():
            last = s.last_in_time(TIMEOUT)
            if last + TIMEOUT <= clock and self.rnd.random() < 0.5:
                self._close(Closing(guid, comp_id, name, last), "in a silence")

    def _sessions(self) -> list[tuple[str, Key, Session]]:
        return [(guid, key, s) for guid, call in self.judge.calls.items() for key, s in call.items()]

    def _open(self) -> list[tuple[str, Key, Session]]:
        return [one for one in self._sessions() if not one[2].has_end and one[2].closed is None]

    def _more_of(self, s: Session, kind: str, ts: int, **more: Any) -> Event:
        """Another event of that session, under a name that is free: before or behind all others, or between them."""
        known = next(iter(s.events.values()))
        free = [seq for seq in range(max(s.events) + 3) if seq not in s.events]
        said = {name: known[name] for name in ("v", "comp", "comp_id", "session", "guid")}
        return said | {"kind": kind, "ts": ts, "seq": self.rnd.choice(free)} | more

    def _newcomer(self, kind: str, ts: int, **more: Any) -> Event:
        self.number += 1_000_000
        return event(kind, ts, 1, session="new", call=self.number, **more)

    def _somebody(self, sessions: list[tuple[str, Key, Session]]) -> Session | None:
        return self.rnd.choice(sessions)[2] if sessions else None

    # -- tricks

    def again(self) -> None:
        posted = [entry for entry in self.log if isinstance(entry, Posted)]
        self._post(self.rnd.choice(posted).event)

    def otherwise(self) -> None:
        posted = [entry for entry in self.log if isinstance(entry, Posted)]
        known = self.rnd.choice(posted).event
        self._post(known | self.rnd.choice([{"ts": known["ts"] + 1}, {"other": 1}, {"start_ts": known["ts"] - DAY}, {"comp": "CCP"}]))

    def as_old_as_can_be(self) -> None:
        """Events on the edge of lateness, of sessions that are known or not."""
        if not self.limits.lateness:
            return
        by = self.rnd.choice(EDGE)
        ts = self.judge.stream - self.limits.lateness + by
        s = self._somebody(self._sessions()) if self.rnd.random() < 0.5 else None
        kind = self.rnd.choice(["call.start", "call.end", "call.update", "call.event"])
        more = {"log_id": "", "level": 1, "text": ""} if kind == "call.event" else {}
        self.meant[f"lateness {by:+d} ms"] += 1
        self._post(self._more_of(s, kind, ts, **more) if s else self._newcomer(kind, ts, **more))

    def reach_back(self) -> None:
        """Explicit times on the edge of what is closed, told now."""
        if not self.limits.lateness:
            return
        oldest = self.judge.stream - self.limits.lateness
        edge = oldest - oldest % (5 * MINUTE)
        if self.rnd.random() < 0.3:  # let the edge be there to the millisecond
            by = self.rnd.choice(EDGE)
            edge += 5 * MINUTE
            self._move_stream(edge + self.limits.lateness + by)
        at = edge + self.rnd.choice([-1, 0, -5 * MINUTE - 1, -5 * MINUTE, -3 * HOUR])
        more = {self.rnd.choice(["start_ts", "end_ts"]): at}
        kind = self.rnd.choice(["call.start", "call.update", "call.end"])
        s = self._somebody(self._sessions()) if self.rnd.random() < 0.7 else None
        self._post(self._more_of(s, kind, self.judge.stream, **more) if s else self._newcomer(kind, self.judge.stream, **more))

    def move_time_to_a_time_out(self) -> None:
        """Another call takes the stream time to the edge of a time-out; then at times the session speaks again, or it ends."""
        by = self.rnd.choice(EDGE)
        s = self._somebody([one for one in self._open() if self._is_near(one[2].last_in_time(TIMEOUT) + TIMEOUT + by)])
        if s is None:
            return
        if self._move_stream(s.last_in_time(TIMEOUT) + TIMEOUT + by):
            self.meant[f"stream time at the time-out {by:+d} ms"] += 1
            if self.rnd.random() < 0.5:
                self._speak_again(s)

    def speak_at_the_time_out(self) -> None:
        s = self._somebody(self._sessions())
        if s is not None:
            by = self.rnd.choice(EDGE)
            kind = self.rnd.choice(["call.update", "call.update", "call.end", "var.result"])
            more = {"result": "SUCCESS"} if kind == "var.result" else {}
            ts = s.last_in_time(TIMEOUT) + TIMEOUT + by
            if ts <= self.wall + 30 * MINUTE:
                self.meant[f"speaks at its time-out {by:+d} ms"] += 1
                self._post(self._more_of(s, kind, ts, **more))

    def speak_after_a_time_out(self) -> None:
        if (s := self._somebody([one for one in self._sessions() if one[2].closed is not None])) is not None:
            self._speak_again(s)

    def _speak_again(self, s: Session) -> None:
        last = s.last_in_time(TIMEOUT)
        ts = self.rnd.choice([self.judge.stream, last, last + 1, last + TIMEOUT // 2, last + TIMEOUT - 1, last + TIMEOUT])
        kind = self.rnd.choice(["call.end", "call.update", "call.update"])
        more: dict[str, Any] = self.rnd.choice([{}, {}, {"end_ts": last + 1000}, {"end_state": "USER_END"}, {"start_ts": last}])
        self._post(self._more_of(s, kind, ts, **more))

    def speak_before_the_beginning(self) -> None:
        """An older event with a silence behind it: then the session has timed out before all that was known of it."""
        if (s := self._somebody(self._open())) is not None:
            first = min(e["ts"] for e in s.events.values())
            ts = first - TIMEOUT + self.rnd.choice([*EDGE, -MINUTE])
            self._post(self._more_of(s, self.rnd.choice(["call.start", "call.update"]), ts))

    def say_when_it_will_have_ended(self) -> None:
        if (s := self._somebody(self._open())) is not None:
            last = s.last_in_time(TIMEOUT)
            at = last + self.rnd.choice([-1, 0, 1, -MINUTE, MINUTE, TIMEOUT])
            ts = min(last + self.rnd.randrange(MINUTE), self.wall + DAY)
            self._post(self._more_of(s, "call.update", ts, end_ts=at, end_state=self.rnd.choice(["USER_END", "REJECTED"])))

    def close(self) -> None:
        """Closing records: one in time, one out of date, one twice, one of a session that ended, one of nobody."""
        trick = self.rnd.randrange(5)
        if trick == 0 and (found := self._open()):
            guid, (comp_id, name), s = self.rnd.choice(found)
            last = s.last_in_time(TIMEOUT)
            if last + TIMEOUT <= max(self.judge.stream, self.wall):
                self._close(Closing(guid, comp_id, name, last), "in time")
        elif trick == 1 and (found := self._sessions()):
            guid, (comp_id, name), s = self.rnd.choice(found)
            stale = {e["ts"] for e in s.events.values()} - {s.last_in_time(TIMEOUT)}
            self._close(Closing(guid, comp_id, name, min(stale, default=s.last_in_time(TIMEOUT) - 1)), "out of date")
        elif trick == 2 and self.closings:
            self._close(self.rnd.choice(self.closings), "again")
        elif trick == 3 and (found := [one for one in self._sessions() if one[2].has_end]):
            guid, (comp_id, name), s = self.rnd.choice(found)
            self._close(Closing(guid, comp_id, name, s.last_in_time(TIMEOUT)), "of one that has ended")
        elif trick == 4:
            self._close(Closing(self._newcomer("call.end", 0)["guid"], 201, "new", self.judge.stream), "of nobody")

    def come_back(self) -> None:
        """A call that has expired, or is about to, speaks again."""
        expired = [guid for guid in self.judge.calls if self.judge.has_expired(guid)]
        if expired:
            s = next(iter(self.judge.calls[self.rnd.choice(expired)].values()))
            self._post(self._more_of(s, self.rnd.choice(["call.start", "call.update", "call.end"]), self.judge.stream))
            return
        by, lasts = self.rnd.choice(EDGE), []
        for call in self.judge.calls.values():
            if all(s.has_end for s in call.values()):
                last = max(e["ts"] for s in call.values() for e in s.events.values())
                if self._is_near(last + self.limits.lateness + by):
                    lasts.append((last, next(iter(call.values()))))
        if lasts and self.limits.lateness:
            last, s = self.rnd.choice(lasts)
            if self._move_stream(last + self.limits.lateness + by):
                self.meant[f"stream time at the expiry {by:+d} ms"] += 1
                self._post(self._more_of(s, "call.update", self.judge.stream))

    def _is_near(self, to: int) -> bool:
        return self.judge.stream < to <= self.wall + 4 * MINUTE

    def _move_stream(self, to: int) -> bool:
        """Another call speaks at this very instant, if that is not too far away."""
        if not self._is_near(to):
            return False
        self._post(self._newcomer("call.end", to), max(self.wall, to))
        return self.judge.stream == to


TRICKS = [
    Teaser.again,
    Teaser.again,
    Teaser.otherwise,
    Teaser.as_old_as_can_be,
    Teaser.reach_back,
    Teaser.reach_back,
    Teaser.move_time_to_a_time_out,
    Teaser.move_time_to_a_time_out,
    Teaser.speak_at_the_time_out,
    Teaser.speak_after_a_time_out,
    Teaser.speak_after_a_time_out,
    Teaser.speak_before_the_beginning,
    Teaser.say_when_it_will_have_ended,
    Teaser.close,
    Teaser.close,
    Teaser.come_back,
]
