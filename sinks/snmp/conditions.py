"""What is raised and cleared, and when. Pure; times are seconds of a clock that only grows.

    figures --findings--> (kind, subject, bad or not) --Conditions--> notices

A condition is raised once, after it has been bad for a while without a break, and cleared once, after it has been good for a while.
A finding that is neither (between a limit and its hysteresis, or nobody knows) leaves everything as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from agents.bins import BASE_MS
from sinks.snmp.notices import Notice
from sinks.views.growth import Growth
from sinks.views.rows import Figures, Raised, State, Tenant

BIN_S = BASE_MS / 1000
MOST_A_MINUTE = 120  # notices in all; what is above waits, and is judged again

Key = tuple[str, str]  # kind, subject


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of section snmp that findings go by. quality_target: hundredths of a percent."""

    lag: int = 10_000
    quarantined: int = 10
    timed_out: int = 10
    quality_target: int = 9_500
    quality_calls: int = 20


class Finding(NamedTuple):
    """bad: None if it is neither bad nor good."""

    kind: str
    subject: str
    bad: bool | None
    value: int
    limit: int
    text: str


class Judge:
    """Gives the findings of figures that come one after the other; keeps a minute of counts for those that grow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._quarantined: dict[str, Growth] = {}
        self._timed_out = Growth()

    def findings(self, figures: Figures, now: float) -> Iterator[Finding]:
        """The important ones first."""
        limits = self.limits
        yield from self.of_processes(figures)
        for (name,), stage in figures.stages.items():
            if stage.lag is not None:
                text = f"{name} is {stage.lag} records behind"
                yield Finding("lag", name, _above(stage.lag, limits.lag, limits.lag // 2), stage.lag, limits.lag, text)
        yield from self._growing(figures, now)
        for (tenant,), row in figures.tenants.items():
            yield from self._of_tenant(str(tenant), row)

    @staticmethod
    def of_processes(figures: Figures) -> Iterator[Finding]:
        """What can be found without Kafka."""
        general = figures.general
        yield _counterpart("database", "database", general.database, "the sinks cannot write to the store")
        yield _counterpart("broker", "kafka", general.kafka, "Kafka cannot be reached")
        yield _counterpart("broker", "activemq", general.activemq, "ActiveMQ cannot be reached")
        for name, readiness in figures.parts.items():
            bad = None if readiness == "unknown" else readiness == "unreachable"
            yield Finding("part", name, bad, 0, 0, f"{name} {'does not answer' if bad else 'answers'}")

    def _growing(self, figures: Figures, now: float) -> Iterator[Finding]:
        counts = dict.fromkeys(figures.counting, 0)  # a process counts nothing before the first, and that may be many
        for (stage, _reason), row in figures.quarantine.items():
            if stage in counts:
                counts[stage] += row.count
        for stage in figures.counting:
            count = counts[stage]
            grown = self._quarantined.setdefault(stage, Growth()).at(now, count)
            text = f"{stage} has set aside {grown} records in a minute"
            yield Finding("quarantine", stage, grown > self.limits.quarantined, grown, self.limits.quarantined, text)
        grown = self._timed_out.at(now, figures.general.today_timed_out)
        text = f"{grown} sessions were closed without an end in a minute"
        yield Finding("timeouts", "sessions", grown > self.limits.timed_out, grown, self.limits.timed_out, text)

    def _of_tenant(self, name: str, row: Tenant) -> Iterator[Finding]:
        over = row.bin_burst_two + row.bin_burst_three
        limit = row.usage_limit or 0
        above = row.usage_limit is not None and row.in_progress > row.usage_limit
        text = f"tenant {name}: {row.in_progress} sessions in progress, {over} of this bin above burst level 1"
        yield Finding("usage", name, above or over > 0, row.in_progress, limit, text)
        text = f"tenant {name}: {row.bin_burst_three} sessions of this bin at burst level 3"
        yield Finding("burst", name, row.bin_burst_three > 0, row.bin_burst_three, 0, text)
        if row.hour_quality_rate is not None:
            judged = row.hour_quality_calls >= self.limits.quality_calls
            bad = row.hour_quality_rate < self.limits.quality_target if judged else None
            text = f"tenant {name}: {row.hour_quality_rate / 100:.2f} % of {row.hour_quality_calls} sessions of this hour without a failure"
            yield Finding("quality", name, bad, row.hour_quality_rate, self.limits.quality_target, text)
        else:
            yield Finding("quality", name, None, 0, self.limits.quality_target, "no sessions in this hour")


def _counterpart(kind: str, subject: str, state: State, text: str) -> Finding:
    bad = None if state == "unknown" else state == "down"
    return Finding(kind, subject, bad, 0, 0, text if bad else f"{subject} is {state}")


def _above(value: int, limit: int, good: int) -> bool | None:
    """Above the limit; good only at `good` or below."""
    return True if value > limit else False if value <= good else None


@dataclass(slots=True)
class _State:
    """turning_since: since when the findings say the other thing; None: they don't."""

    raised: bool = False
    turning_since: float | None = None


@dataclass(slots=True)
class Conditions:
    """raise_after, clear_after: seconds. `raised` is what rsConditionTable shows."""

    raise_after: float = 10.0
    clear_after: float = 60.0
    raised: dict[Key, Raised] = field(default_factory=dict)
    _states: dict[Key, _State] = field(default_factory=dict)
    _sent: deque[float] = field(default_factory=deque)

    def judge(self, findings: Iterable[Finding], now: float, wall: int, *, whole: bool = True) -> list[Notice]:
        """The notices that these findings give. wall: seconds UTC, for the table; whole: what is not among them is no longer there,
        else nobody knows of it."""
        said: set[Key] = set()
        notices: list[Notice] = []
        for finding in findings:
            said.add((finding.kind, finding.subject))
            notices += self._turn(finding, now, wall)
        for kind, subject in [key for key in self._states if whole and key not in said]:  # nothing to be said of it any more: it is good
            notices += self._turn(Finding(kind, subject, False, 0, 0, f"{subject} is no longer there"), now, wall)
        return notices

    @property
    def turning(self) -> set[Key]:
        """What the findings say the other thing of than was told last, for too short a time yet."""
        return {key for key, state in self._states.items() if state.turning_since is not None}

    def _turn(self, finding: Finding, now: float, wall: int) -> Iterator[Notice]:
        key = finding.kind, finding.subject
        state = self._states.get(key)
        if state is None:
            if not finding.bad:
                return
            state = self._states[key] = _State()
        if finding.bad is None or finding.bad == state.raised:
            if finding.bad is not None:
                state.turning_since = None
            if not state.raised and finding.bad is False:
                del self._states[key]
            return
        if state.turning_since is None:
            state.turning_since = now
        if now - state.turning_since < self._patience(finding) or not self._may_send(now):
            return
        state.raised, state.turning_since = finding.bad, None
        if finding.bad:
            self.raised[key] = Raised(wall, finding.text)
        else:
            del self.raised[key], self._states[key]
        yield Notice(finding.kind, not finding.bad, finding.subject, finding.value, finding.limit, finding.text)

    def _patience(self, finding: Finding) -> float:
        if finding.bad:
            return self.raise_after
        # A new bin begins with no session at any level: only two without one say that it is over.
        return max(self.clear_after, 2 * BIN_S) if finding.kind in ("usage", "burst") else self.clear_after

    def _may_send(self, now: float) -> bool:
        while self._sent and self._sent[0] <= now - 60:
            self._sent.popleft()
        if len(self._sent) >= MOST_A_MINUTE:
            return False
        self._sent.append(now)
        return True
