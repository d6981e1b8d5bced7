"""The one list of topics: names, what their keys are, how long they are kept. `rs init` creates them from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiokafka.partitioner import murmur2

BILLING = "rs.billing"
EVENTS = "rs.events"
ACTIVITY = "rs.activity"
QUARANTINE = "rs.quarantine"
SINK_QUARANTINE = "rs.sink.quarantine"

AGENTS_APP = "rs-agents"
BRIDGE_APP = "rs-bridge"
SINKS_APP = "rs-sinks"

DAY_MS = 86_400_000
MAX_RECORD_BYTES = 16 * 1024 * 1024


def changelog(table: str) -> str:
    """The changelog topic of a table of the agents, by Faust's naming."""
    return f"{AGENTS_APP}-{table}-changelog"


CALLS_CHANGELOG = changelog("calls")
TENANTS_CHANGELOG = changelog("tenants")
ACTIVITY_CHANGELOG = changelog("activity")
PARTS_CHANGELOG = changelog("parts")


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    key: str  # what the key is, in words
    config: dict[str, str] = field(default_factory=dict)


def _kept(days: float) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(round(days * DAY_MS))}


def _compacted(max_outage_s: float) -> dict[str, str]:
    # A frozen worker may append an old value behind a new one; the lag keeps the new one readable until recovery repaired that.
    return {"cleanup.policy": "compact", "min.compaction.lag.ms": str(round(max_outage_s * 1000))}


def all_topics(max_outage_s: float) -> list[Topic]:
    """Every topic of the project. `max_outage_s`: the setting sinks.max_outage."""
    compacted = _compacted(max_outage_s)
    topics = [
        Topic(BILLING, "guid, upper case", {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}),
        Topic(EVENTS, "guid, upper case", _kept(7)),
        Topic(ACTIVITY, "dimension, bin, source partition; partitioned by dimension alone", {"cleanup.policy": "compact"}),
        Topic(QUARANTINE, "key of the source record, or none", _kept(30)),
        Topic(SINK_QUARANTINE, "key of the source record", _kept(30)),
        *(Topic(changelog(table), f"key of table {table}", compacted) for table in ("calls", "activity", "parts", "tenants")),
    ]
    for topic in topics:
        topic.config["max.message.bytes"] = str(MAX_RECORD_BYTES)
    return topics


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's own clients choose it."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
