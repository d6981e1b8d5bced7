"""What the view shows, as data. Each attribute is a column of the MIB (`sinks.snmp.mib`); None: there is no instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

State = Literal["unknown", "up", "down"]
Readiness = Literal["unknown", "ready", "notReady", "unreachable"]
Index = tuple[int | str, ...]


class General(Struct, kw_only=True):
    """Units as in the MIB; `freshness` in ms."""

    version: str = ""
    generation: int = 1
    database: State = "unknown"
    activemq: State = "unknown"
    kafka: State = "unknown"
    freshness: int | None = None
    in_progress: int = 0
    today_arrivals: int = 0
    today_timed_out: int = 0
    quarantined_total: int = 0
    raised_conditions: int = 0
    rows_left_out: int = 0


class Tenant(Struct, kw_only=True):
    """`today_peak_at` in seconds UTC, rates in hundredths of a percent."""

    name: str = ""
    in_progress: int = 0
    bin_arrivals: int = 0
    today_arrivals: int = 0
    today_peak: int = 0
    today_peak_at: int | None = None
    usage_limit: int | None = None
    bin_burst_two: int = 0
    bin_burst_three: int = 0
    today_burst_one: int = 0
    today_burst_two: int = 0
    today_burst_three: int = 0
    hour_quality_calls: int = 0
    hour_quality_rate: int | None = None
    today_quality_calls: int = 0
    today_quality_rate: int | None = None
    today_timed_out: int = 0


class Component(Struct, kw_only=True):
    name: str = ""
    in_progress: int = 0
    bin_arrivals: int = 0
    today_arrivals: int = 0
    today_peak: int = 0
    today_peak_at: int | None = None
    today_completed: int = 0
    today_timed_out: int = 0
    today_quality_calls: int = 0
    today_quality_rate: int | None = None


class Stage(Struct, kw_only=True):
    """`freshness` in ms, `rate` in records of the last minute."""

    readiness: Readiness = "unknown"
    reasons: str = ""
    rate: int = 0
    lag: int | None = None
    freshness: int | None = None
    processes: int = 0


class Quarantined(Struct):
    count: int


class Topic(Struct, kw_only=True):
    end: int
    rate: int = 0
    lag: int | None = None


class Raised(Struct):
    """`raised_at` in seconds UTC."""

    raised_at: int
    text: str


class Figures(Struct, kw_only=True):
    """One moment.

    parts       process -> what it answers; not in the MIB, which shows stages
    counting    stages whose processes say how much they have set aside; not in the MIB either
    """

    general: General = field(default_factory=General)
    tenants: dict[tuple[int], Tenant] = field(default_factory=dict)
    components: dict[tuple[str, int], Component] = field(default_factory=dict)
    stages: dict[tuple[str], Stage] = field(default_factory=dict)
    quarantine: dict[tuple[str, str], Quarantined] = field(default_factory=dict)
    topics: dict[tuple[str, int], Topic] = field(default_factory=dict)
    conditions: dict[tuple[str, str], Raised] = field(default_factory=dict)
    parts: dict[str, Readiness] = field(default_factory=dict)
    counting: frozenset[str] = frozenset()

    def rows(self, table: str) -> Mapping[Index, Struct]:
        """The rows of a table of the MIB by its name."""
        found: Mapping[Index, Struct] = getattr(self, table)
        return found
