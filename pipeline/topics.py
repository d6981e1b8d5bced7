"""The one list of topics: names, what their keys are, how long they are kept. `rs init` creates them from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiokafka.partitioner import murmur2

from pipeline.generation import BILLING as BILLING
from pipeline.generation import FIRST, TABLES, Generation

# BILLING is the first log: whoever reads or writes the log asks the generation for its name.
QUARANTINE = "rs.quarantine"
SINK_QUARANTINE = "rs.sink.quarantine"
GENERATIONS = "rs.generations"

BRIDGE_APP = "rs-bridge"

# Generation 1's; whoever works on the current one asks pipeline.generations.
EVENTS = FIRST.events
ACTIVITY = FIRST.activity
AGENTS_APP = FIRST.agents_app
SINKS_APP = FIRST.sinks_app

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 16 * 1024 * 1024


CALLS_CHANGELOG = FIRST.changelog("calls")
TENANTS_CHANGELOG = FIRST.changelog("tenants")


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    key: str  # what the key is, in words
    config: dict[str, str] = field(default_factory=dict)
    partitions: int | None = None  # None: as many as the log
    or_more: bool = False  # partitions are added when the log gets more, and stay when it gets fewer


def _kept(days: float) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(round(days * DAY_MS))}


def _compacted(max_outage_s: float) -> dict[str, str]:
    # A frozen worker may append an old value behind a new one; the lag keeps the new one readable until recovery repaired that.
    return {"cleanup.policy": "compact", "min.compaction.lag.ms": str(round(max_outage_s * 1000))}


def all_topics(max_outage_s: float, generation: Generation = FIRST) -> list[Topic]:
    """Every topic of the project with those of a generation. `max_outage_s`: the setting sinks.max_outage."""
    topics = [
        log_of(generation),
        Topic(QUARANTINE, "key of the source record, or none", _kept(30), or_more=True),
        Topic(SINK_QUARANTINE, "key of the source record", _kept(30), or_more=True),
        Topic(GENERATIONS, "current, or the number of a generation", {"cleanup.policy": "compact"}, partitions=1),
    ]
    return _roomy(topics) + topics_of(generation, max_outage_s)


def log_of(generation: Generation) -> Topic:
    log = Topic(generation.billing, "guid, upper case", {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"})
    return _roomy([log])[0]


def topics_of(generation: Generation, max_outage_s: float) -> list[Topic]:
    """The topics that belong to a generation alone."""
    compacted = _compacted(max_outage_s)
    return _roomy(
        [
            Topic(generation.events, "guid, upper case", _kept(7)),
            Topic(generation.activity, "dimension, bin, source partition; partitioned by dimension alone", {"cleanup.policy": "compact"}),
            *(Topic(generation.changelog(table), f"key of table {table}", dict(compacted)) for table in TABLES),
        ]
    )


def _roomy(topics: list[Topic]) -> list[Topic]:
    for topic in topics:
        topic.config["max.message.bytes"] = str(MAX_RECORD_BYTES)
    return topics


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
