"""The view: what was read, put together once a second into the figures that are shown, judged, and told.

tenants changelog --Log--+
offsets ----------Lags---+--> Figures --> SNMP tree, /metrics
processes --------Parts--+       |
rs.billing -------Names--+       +--> Judge, Conditions --> notifications
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

import structlog

from pipeline.asked import for_ever
from pipeline.configserver import Objects
from pipeline.generation import BILLING, plain
from pipeline.readiness import urls
from pipeline.settings import Settings
from sinks.snmp.conditions import Conditions, Judge, Limits
from sinks.snmp.notices import Notifier
from sinks.views import figures, parts
from sinks.views.growth import Growth
from sinks.views.lags import Lags, Offsets
from sinks.views.log import Log
from sinks.views.names import Names
from sinks.views.parts import Answer, Parts
from sinks.views.rows import Figures, General, Quarantined, Readiness, Stage, Topic

REFRESH_S = 1.0
WORST: tuple[Readiness, ...] = ("unreachable", "notReady", "unknown", "ready")

log = structlog.get_logger("view")


class View:
    """`figures` is what everybody shows; run() renews it. `now`: the settings of this moment; `objects`: what the Config Server names."""

    def __init__(self, settings: Settings, now: Callable[[], Settings] | None = None, objects: Callable[[], Objects] = Objects) -> None:
        self._now = now or (lambda: settings)
        self._objects = objects
        self.figures = Figures()
        self.log = Log(settings)
        self.lags = Lags(settings.kafka.bootstrap)
        self.parts = Parts(urls(settings))
        self.names = Names(settings.kafka.bootstrap, settings.snmp.max_rows)
        self.notifier: Notifier | None = None
        self._judge = Judge(limits_of(settings))
        self._conditions = Conditions(settings.snmp.raise_after, settings.snmp.clear_after)
        self._growths: dict[tuple[str, int], Growth] = {}
        self._left_out = 0
        self._usage_limits = settings.snmp.usage_limits

    def behind(self) -> dict[str, int]:
        """Records before each stage, of those that are known."""
        return {stage: row.lag for (stage,), row in self.figures.stages.items() if row.lag is not None}

    async def run(self) -> None:
        """Until cancelled, or until something fails that nobody understands."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self.log, self.lags, self.parts, self.names):
                tasks.create_task(for_ever(each.run))
            tasks.create_task(for_ever(self._renew))

    async def _renew(self) -> None:
        while True:
            self.step(time.monotonic(), time.time())
            await asyncio.sleep(REFRESH_S)

    def step(self, now: float, wall: float) -> None:
        """Put together, judge and tell. now: of a clock that only grows; wall: seconds UTC."""
        self.lags.generation = self.log.generation
        self._obey(self._now())
        made = self._made(now, wall)
        whole = self.log.trouble is None  # half of today is no reason for a notification
        if whole or self.log.lost:
            findings = self._judge.findings(made, now) if whole else self._judge.of_processes(made)
            for notice in self._conditions.judge(findings, now, int(wall), whole=whole):
                log.info("notification", kind=notice.kind, cleared=notice.cleared, subject=notice.subject, text=notice.text)
                if self.notifier is not None:
                    self.notifier.notify(notice)
        made.conditions = dict(self._conditions.raised)
        made.general.raised_conditions = len(made.conditions)
        self.figures = made

    def _obey(self, settings: Settings) -> None:
        """The thresholds of this moment."""
        self._usage_limits = settings.snmp.usage_limits
        self._judge.limits = limits_of(settings)
        self._conditions.raise_after, self._conditions.clear_after = settings.snmp.raise_after, settings.snmp.clear_after

    def _made(self, now: float, wall: float) -> Figures:
        answers, offsets = self.parts.answers, self.lags.now
        partitions = list(self.log.partitions.values())
        total = figures.totals(partitions)
        set_aside = self.parts.set_aside.counts
        tenants = figures.tenants(partitions)
        named = self._objects()
        for (tenant,), row in tenants.items():
            row.name = named.tenant_name(tenant) or self.names.tenants.get(tenant, "")
            row.usage_limit = self._usage_limits.get(tenant)
        components = figures.components(partitions)
        for (_type, component), place in components.items():
            place.name = named.component_name(component) or ""
        self._left_out = max(self._left_out, sum(len(partition.left_out) for partition in partitions))
        return Figures(
            general=General(
                version=_version(),
                generation=self.log.generation.number if self.log.generation else 0,
                database=parts.database_state(answers),
                activemq=parts.activemq_state(answers),
                kafka=parts.kafka_state(answers, lost=self.log.lost),
                freshness=_age(self.log.folded_to(), wall),
                in_progress=total.in_progress,
                today_arrivals=total.arrivals,
                today_timed_out=total.timed_out,
                quarantined_total=sum(set_aside.values()),
                rows_left_out=self._left_out,
            ),
            tenants=tenants,
            components=components,
            stages=self._stages(answers, offsets, now, wall),
            quarantine={place: Quarantined(count) for place, count in set_aside.items()},
            topics={
                place: Topic(end=end, rate=self._grown(place, now, end), lag=offsets.lag_of(place)) for place, end in offsets.ends.items()
            },
            parts={name: answer.readiness for name, answer in answers.items()},
            counting=parts.counting(answers),
        )

    def _stages(self, answers: Mapping[str, Answer], offsets: Offsets, now: float, wall: float) -> dict[tuple[str], Stage]:
        billing = sum(end for (topic, _), end in offsets.ends.items() if plain(topic) == BILLING)
        windows = [answer.window for name, answer in answers.items() if name.startswith("bridge") and answer.window is not None]
        changelog = self.log.generation.changelog("tenants") if self.log.generation else ""
        stored = {number: at for (topic, number), at in offsets.committed.get("sinks", {}).items() if topic == changelog}
        done = {"bridge": billing, **{stage: offsets.done(stage) for stage in ("calls", "tenants", "sinks")}, "reports": 0}
        lags = {"bridge": sum(windows) if windows else None, **{stage: offsets.lag(stage) for stage in ("calls", "tenants", "sinks")}}
        freshness = {"tenants": _age(self.log.folded_to(), wall), "sinks": _age(self.log.stored_to(stored), wall)}
        return {
            (stage,): stage_of(stage, answers, self._grown((stage, -1), now, count), lags.get(stage), freshness.get(stage))
            for stage, count in done.items()
        }

    def _grown(self, what: tuple[str, int], now: float, count: int) -> int:
        growth = self._growths.get(what)
        if growth is None:
            growth = self._growths[what] = Growth()
        return growth.at(now, count)


def stage_of(stage: str, answers: Mapping[str, Answer], rate: int, lag: int | None, freshness: int | None) -> Stage:
    """A stage as its processes say, the worst first."""
    of = {name: answer for name, answer in answers.items() if stage in parts.STAGES.get(name.split("-")[0].split(".")[0], ())}
    said = {answer.readiness for answer in of.values()}
    return Stage(
        readiness=next((each for each in WORST if each in said), "unknown"),
        reasons="; ".join(f"{name}: {reason}" for name, answer in of.items() for reason in _reasons(answer)),
        rate=rate,
        lag=lag,
        freshness=freshness,
        processes=sum(answer.readiness in ("ready", "notReady") for answer in of.values()),
    )


def limits_of(settings: Settings) -> Limits:
    snmp = settings.snmp
    return Limits(snmp.lag_limit, snmp.quarantine_limit, snmp.timeouts_limit, round(snmp.quality_target * 100), snmp.quality_calls)


def _reasons(answer: Answer) -> list[str]:
    if answer.readiness == "unreachable":
        return ["does not answer"]
    return [f"{name}: {reason}" for name, reason in answer.reasons.items()]


def _age(ms: int | None, wall: float) -> int | None:
    return None if ms is None else max(0, round(wall * 1000) - ms)


def _version() -> str:
    try:
        return version("reporting-server")
    except PackageNotFoundError:
        return ""
