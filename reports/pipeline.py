"""How the pipeline is, as data: what the view says of every stage under /metrics, and each process under /health/ready.

The reports read the store alone and know nothing of Kafka. The view (`sinks/views`) sees all stages, and its figures have the names of
the MIB (`sinks/snmp/mib.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pipeline.readiness import ANSWER_S, VIEW, Pod, Said
from sinks.snmp.syntax import READINESS, STATE

STAGES = ("bridge", "calls", "tenants", "sinks", "reports")
MOST_BYTES = 16 << 20  # of an answer: tenants and components are among the figures
CONFIG = "config server"
UNKNOWN = "unknown"
WANTED = ("rs_stage_", "rs_quarantine_", "rs_condition_", "rs_topic_", "rs_component_today_timed_out")
CONDITION = ("condition_kind", "condition_subject")
SINGLE = ("rs_database", "rs_activemq", "rs_kafka", "rs_freshness", "rs_generation", "rs_today_timed_out", "rs_in_progress")


@dataclass(frozen=True, slots=True)
class Stage:
    """`rate`: records of the last minute, `lag`: records before it, `freshness`: ms. None: not known."""

    name: str
    readiness: str = UNKNOWN
    reasons: str = ""
    rate: int | None = None
    lag: int | None = None
    freshness: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of all its partitions. `lag`: None where no stage reads it."""

    name: str
    partitions: int
    end: int
    rate: int
    lag: int | None


@dataclass(frozen=True, slots=True)
class Condition:
    """`raised_at`: ms UTC."""

    kind: str
    subject: str
    raised_at: int
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the view says. Counterparts: up, down or unknown. `quarantine`: (stage, reason, records), the most first; `timed_out`: sessions
    that were closed today because no end came; `timed_out_by`: component type, DBID -> the same, where there are any."""

    stages: tuple[Stage, ...] = ()
    counterparts: Mapping[str, str] = field(default_factory=dict)
    freshness: int | None = None
    generation: int | None = None
    timed_out: int | None = None
    timed_out_by: Mapping[tuple[str, str], int] = field(default_factory=dict)
    quarantine: tuple[tuple[str, str, int], ...] = ()
    conditions: tuple[Condition, ...] = ()
    topics: tuple[Topic, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `readiness`: ready, notReady, unreachable. `config`: what it says of the Config Server, in words; empty: nothing."""

    name: str
    readiness: str
    reasons: Mapping[str, str] = field(default_factory=dict)
    config: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`seen`: None while the view does not answer."""

    seen: Seen | None = None
    processes: tuple[Process, ...] = ()


async def look(pod: Pod | None) -> Pipeline:
    """A few seconds at most, whoever does not answer."""
    if pod is None:
        return Pipeline()
    whole, text = await asyncio.gather(pod.ask(), _metrics(pod.addresses[VIEW]))
    return Pipeline(None if text is None else seen(text), tuple(process(name, said) for name, said in whole.parts.items()))


async def _metrics(url: str) -> str | None:
    """None if it does not answer, or with too much."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/metrics") as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    return None
            return body.decode(errors="replace") if response.ok else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def process(name: str, said: Said | None) -> Process:
    if said is None:
        return Process(name, "unreachable")
    return Process(name, "ready" if said.ready else "notReady", said.reasons, config(said.facts.get(CONFIG, {})))


def config(facts: Mapping[str, int | str]) -> str:
    """In words."""
    if not facts:
        return ""
    said = [f"{what}: {facts[what]}" for what in ("lost", "refused", "after restart") if what in facts]
    return "; ".join(said) or ("connected" if facts.get("connected") else "none is set")


def seen(exposition: str) -> Seen | None:
    """From the text of /metrics; None if it is none of the view's."""
    wanted = "\n".join(line for line in exposition.splitlines() if line.startswith((*WANTED, *SINGLE)))
    try:
        samples = _samples(text_string_to_metric_families(wanted + "\n"))
    except ValueError:
        return None
    if "rs_stage_readiness" not in samples:
        return None

    def one(name: str) -> int | None:
        values = [int(value) for labels, value in samples.get(name, ()) if not labels]
        return values[0] if values else None

    def by(name: str, *labels: str) -> dict[tuple[str, ...], int]:
        return {tuple(of.get(label, "") for label in labels): int(value) for of, value in samples.get(name, ())}

    states = {number: name for name, number in STATE.states.items()}
    texts = {tuple(map(of.get, CONDITION)): of.get("condition_text", "") for of, _ in samples.get("rs_condition_text", ())}
    raised = [Condition(key[0], key[1], at * 1000, texts.get(key, "")) for key, at in by("rs_condition_raised_at", *CONDITION).items()]
    set_aside = by("rs_quarantine_count_total", "quarantine_stage", "quarantine_reason")
    timed_out = by("rs_component_today_timed_out", "component_type", "component_id")
    return Seen(
        stages=_stages(samples),
        counterparts={name: states.get(one(f"rs_{name}") or 0, UNKNOWN) for name in ("activemq", "kafka", "database")},
        freshness=one("rs_freshness"),
        generation=one("rs_generation"),
        timed_out=one("rs_today_timed_out"),
        timed_out_by={(comp, comp_id): n for (comp, comp_id), n in sorted(timed_out.items()) if n},
        quarantine=tuple(sorted(((stage, why, n) for (stage, why), n in set_aside.items()), key=lambda row: (-row[2], row))),
        conditions=tuple(sorted(raised, key=lambda each: -each.raised_at)),
        topics=_topics(samples),
    )


Samples = dict[str, list[tuple[dict[str, str], float]]]


def _samples(families: Iterable[Metric]) -> Samples:
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _stages(samples: Samples) -> tuple[Stage, ...]:
    def of(name: str) -> dict[str, int]:
        return {labels["stage_name"]: int(value) for labels, value in samples.get(f"rs_stage_{name}", ())}

    readiness, rate, lag, freshness, processes = map(of, ("readiness", "rate", "lag", "freshness", "processes"))
    reasons = {labels["stage_name"]: labels.get("stage_reasons", "") for labels, _ in samples.get("rs_stage_reasons", ())}
    states = {number: name for name, number in READINESS.states.items()}
    order = [*(name for name in STAGES if name in readiness), *sorted(readiness.keys() - set(STAGES))]
    return tuple(
        Stage(
            name,
            states.get(readiness[name], UNKNOWN),
            reasons.get(name, ""),
            rate.get(name),
            lag.get(name),
            freshness.get(name),
            processes.get(name),
        )
        for name in order
    )


def _topics(samples: Samples) -> tuple[Topic, ...]:
    def of(name: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for labels, value in samples.get(name, ()):
            found.setdefault(labels["topic_name"], []).append(int(value))
        return found

    ends, rates, lags = of("rs_topic_end_total"), of("rs_topic_rate"), of("rs_topic_lag")
    return tuple(
        Topic(name, len(ends[name]), sum(ends[name]), sum(rates.get(name, ())), sum(lags[name]) if name in lags else None)
        for name in sorted(ends)
    )
