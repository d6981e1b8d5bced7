"""Many calls on a simulated clock: pure, and the same for the same seed and start."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random

from pipeline.messages.types import CallEnd, Event
from pipeline.simulator.legs import Caller, Leg, draw, plan, rejected, unknown_number
from pipeline.simulator.world import PROFILES, Limits, limits

UNKNOWN_NUMBER = 0.006  # calls to numbers that belong to nobody
FULL = "limit of calls in progress reached"


class Traffic:
    """Calls that arrive at random, `rate` a second, from `start` (ms) on. Ask with `until` for what has happened.

    A guid depends on seed and start, so that two runs with one seed at different times don't give two calls one name.
    """

    def __init__(self, rate: float, seed: int, start: int) -> None:
        self.rng = Random(f"{seed} {start}")  # noqa: S311 - traffic, not secrets
        self.rate = rate
        self.limits: dict[int, Limits] = limits(rate)
        self.calls = 0  # arrived so far
        self.in_progress: Counter[int] = Counter()  # tenant -> calls, those of its descendants included
        self._open: dict[str, list[Leg]] = {}
        self._planned: list[tuple[int, int, Leg, Event]] = []  # a heap by time, then by the order of planning
        self._order = 0
        self._next_arrival: float | None = start + self._gap()

    @property
    def next_at(self) -> float | None:
        """When something happens next, ms; None: never again."""
        times = [time for time in (self._next_arrival, self._planned[0][0] if self._planned else None) if time is not None]
        return min(times, default=None)

    @property
    def open_calls(self) -> int:
        return len(self._open)

    def until(self, now: float, calls: int | None = None) -> list[Event]:
        """The events up to `now`, in order of time; those of a session in order of seq. No call arrives once there are `calls`."""
        events: list[Event] = []
        while True:
            if calls is not None and self.calls >= calls:
                self._next_arrival = None
            planned = self._planned[0][0] if self._planned else None
            arrival = self._next_arrival
            if planned is not None and planned <= now and (arrival is None or planned <= arrival):
                events.append(self._happen())
            elif arrival is not None and arrival <= now:
                self._arrive(int(arrival))
                self._next_arrival = arrival + self._gap()
            else:
                return events

    def end_open(self, now: int, reason: str) -> list[Event]:
        """End every call in progress as if its caller hung up now: no call is left hanging when the traffic stops."""
        events: list[Event] = []
        for legs in self._open.values():
            for leg in reversed(legs):  # the RM, which is first, ends last
                if 0 < leg.done < len(leg.events):
                    del leg.events[leg.done :]
                    leg.now = leg.events[-1].ts
                    events.append(CallEnd(**leg.at(now), end_state="USER_END", reason=reason))
        self._open.clear()
        self._planned.clear()
        self.in_progress.clear()
        return events

    def resume_at(self, now: int) -> None:
        """Let the next call arrive after `now`: what would have come before has not been."""
        self._next_arrival = now + self._gap()

    def _gap(self) -> float:
        return self.rng.expovariate(self.rate) * 1000

    def _arrive(self, now: int) -> None:
        self.calls += 1
        if self.rng.random() < UNKNOWN_NUMBER:
            self._expect(unknown_number(self.rng, now))
            return
        caller = draw(self.rng, self.rng.choices(PROFILES, [profile.weight for profile in PROFILES])[0], now)
        path = caller.profile.tenant.path
        if any(self.in_progress[tenant] >= self.limits[tenant].burst3 for tenant in path):
            self._expect(rejected(self.rng, caller, FULL, 480))
        else:
            self._accept(caller, path)

    def _accept(self, caller: Caller, path: tuple[int, ...]) -> None:
        self.in_progress.update(path)
        usage = tuple((tenant, self.in_progress[tenant]) for tenant in path)
        burst = tuple((tenant, self.limits[tenant].level(n)) for tenant, n in usage)
        self._expect(plan(self.rng, caller, usage, burst))

    def _expect(self, legs: list[Leg]) -> None:
        self._open[legs[0].guid] = legs
        for leg in legs:
            for event in leg.events:
                self._order += 1
                heapq.heappush(self._planned, (event.ts, self._order, leg, event))

    def _happen(self) -> Event:
        _, _, leg, event = heapq.heappop(self._planned)
        leg.done += 1
        if leg.comp == "RM" and leg.done == len(leg.events):
            self._leave(leg)
        return event

    def _leave(self, rm: Leg) -> None:
        """The RM session is always the last of a call to end."""
        del self._open[rm.guid]
        start = rm.events[0]
        usage = getattr(start, "usage", None)
        if usage is not None:
            self.in_progress.subtract(tenant for tenant, _ in usage)


def scenario(rate: float, seed: int, start: int, calls: int) -> list[Event]:
    """All events of the first `calls` calls, in order of time."""
    return Traffic(rate, seed, start).until(float("inf"), calls)
