"""The one declaration of the MIB: objects, tables, notifications. The MIB file is written from it (`sinks.snmp.smi`), agents serve it
(`sinks.snmp.tree`), and /metrics shows the same figures under the same names (`sinks.views.metrics`).

A column holds the attribute of the same name of a row: `rsTenantInProgress` is `in_progress` of a `Tenant`. Numbers, once
given, stay: a new object takes the next free one.

    enterprises.N.1          reportingServerMIB
                   .0.n      notifications
                   .1.1.n.0  single objects
                   .1.2.t.1.c.index    table t, column c
                   .1.3.n    objects that only notifications carry
                   .2        conformance
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sinks.snmp.syntax import COUNTER, GAUGE, NAME, NUMBER, OID, READINESS, STATE, TIME, Syntax, index_part

MODULE = "REPORTING-SERVER-MIB"
UPDATED = "202611220000Z"
ENTERPRISES: OID = (1, 3, 6, 1, 4, 1)
DOCUMENTATION = 32473  # reserved for examples (RFC 5612): the project has no number of its own

SCALARS = "general"
INDEX_OCTETS = 96


@dataclass(frozen=True, slots=True)
class Object:
    """number       last sub-identifier
    name            without the `rs` and the prefix of its table, as `InProgress`
    """

    number: int
    name: str
    syntax: Syntax
    text: str
    units: str = ""

    @property
    def attribute(self) -> str:
        """InProgress -> in_progress"""
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in self.name).lstrip("_")


@dataclass(frozen=True, slots=True)
class Table:
    """name         of the rows in a snapshot
    prefix          of its objects, as `rsTenant`
    index           not accessible: it stands in the name of an instance
    """

    number: int
    name: str
    prefix: str
    text: str
    index: tuple[Object, ...]
    columns: tuple[Object, ...]

    @property
    def most_octets(self) -> int:
        """Length of a text in the index: an object name has at most 128 sub-identifiers in all."""
        return INDEX_OCTETS // sum(thing.syntax is NAME for thing in self.index) if any(t.syntax is NAME for t in self.index) else 0

    def index_oid(self, index: Iterable[int | str]) -> OID:
        """The end of the name of an instance. A text that is too long is cut."""
        most = self.most_octets
        return tuple(part for value in index for part in index_part(value, most))


@dataclass(frozen=True, slots=True)
class Notification:
    number: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A condition: the notification that says it has begun, and the one that clears it."""

    name: str
    raised: Notification
    cleared: Notification


GENERAL = (
    Object(1, "Version", NAME, "Version of the Reporting Server."),
    Object(2, "Generation", NUMBER, "Number of the generation whose figures these are; a rebuild raises it."),
    Object(3, "Database", STATE, "The store, as the sinks find it."),
    Object(4, "Activemq", STATE, "ActiveMQ, as the bridge finds it."),
    Object(5, "Kafka", STATE, "Kafka, as the bridge or this process finds it."),
    Object(
        6,
        "Freshness",
        GAUGE,
        "Age of the receipt time up to which every stored message is in these figures. No instance while no partition has said.",
        "milliseconds",
    ),
    Object(7, "InProgress", GAUGE, "RM sessions in progress.", "sessions"),
    Object(8, "TodayArrivals", GAUGE, "RM sessions that started today, in the reporting time zone.", "sessions"),
    Object(9, "TodayTimedOut", GAUGE, "Sessions of all component types that were closed today because no end came.", "sessions"),
    Object(10, "QuarantinedTotal", COUNTER, "Messages, events and rows set aside since the processes that did it started.", "records"),
    Object(11, "RaisedConditions", GAUGE, "Conditions that are raised now: rows of rsConditionTable.", "conditions"),
    Object(12, "RowsLeftOut", COUNTER, "Tenants and components left out because there are more than setting snmp.max_rows.", "rows"),
)

TENANTS = Table(
    1,
    "tenants",
    "rsTenant",
    "Tenants with sessions today or in progress. A tenant's figures include those of its descendants.",
    (Object(1, "Id", NUMBER, "DBID of the tenant."),),
    (
        Object(2, "Name", NAME, "Name of the tenant. Empty until a message or the configuration has told it."),
        Object(3, "InProgress", GAUGE, "RM sessions in progress: the tenant's usage.", "sessions"),
        Object(4, "BinArrivals", GAUGE, "RM sessions that started in the present five-minute bin.", "sessions"),
        Object(5, "TodayArrivals", GAUGE, "RM sessions that started today, in the reporting time zone.", "sessions"),
        Object(6, "TodayPeak", GAUGE, "Greatest number of RM sessions in progress in a second of today.", "sessions"),
        Object(7, "TodayPeakAt", TIME, "The first second of today with that peak. No instance while the peak is 0."),
        Object(
            8, "UsageLimit", GAUGE, "Usage limit of the tenant by setting snmp.usage_limits. No instance if it has none there.", "sessions"
        ),
        Object(9, "BinBurstTwo", GAUGE, "RM sessions at burst level 2 that started in the present five-minute bin.", "sessions"),
        Object(10, "BinBurstThree", GAUGE, "RM sessions at burst level 3 that started in the present five-minute bin.", "sessions"),
        Object(11, "TodayBurstOne", GAUGE, "RM sessions at burst level 1 that started today.", "sessions"),
        Object(12, "TodayBurstTwo", GAUGE, "RM sessions at burst level 2 that started today.", "sessions"),
        Object(13, "TodayBurstThree", GAUGE, "RM sessions at burst level 3 that started today.", "sessions"),
        Object(
            14, "HourQualityCalls", GAUGE, "MCP sessions that ended in the present hour: those that service quality counts.", "sessions"
        ),
        Object(
            15,
            "HourQualityRate",
            GAUGE,
            "Service quality of the present hour: share of its MCP sessions without a failure. No instance while there is none.",
            "hundredths of a percent",
        ),
        Object(16, "TodayQualityCalls", GAUGE, "MCP sessions that ended today.", "sessions"),
        Object(17, "TodayQualityRate", GAUGE, "Service quality of today. No instance while there is none.", "hundredths of a percent"),
        Object(18, "TodayTimedOut", GAUGE, "RM sessions that were closed today because no end came.", "sessions"),
    ),
)

COMPONENTS = Table(
    2,
    "components",
    "rsComponent",
    "Components with sessions today or in progress.",
    (
        Object(1, "Type", NAME, "Component type: RM, MCP, CCP, CTIC, PSTNC, SSG, EXT."),
        Object(2, "Id", NUMBER, "DBID of the component."),
    ),
    (
        Object(3, "Name", NAME, "Name of the component. Empty until the configuration has told it."),
        Object(4, "InProgress", GAUGE, "Sessions in progress.", "sessions"),
        Object(5, "BinArrivals", GAUGE, "Sessions that started in the present five-minute bin.", "sessions"),
        Object(6, "TodayArrivals", GAUGE, "Sessions that started today, in the reporting time zone.", "sessions"),
        Object(7, "TodayPeak", GAUGE, "Greatest number of sessions in progress in a second of today.", "sessions"),
        Object(8, "TodayPeakAt", TIME, "The first second of today with that peak. No instance while the peak is 0."),
        Object(9, "TodayCompleted", GAUGE, "Sessions that ended today.", "sessions"),
        Object(10, "TodayTimedOut", GAUGE, "Sessions that were closed today because no end came.", "sessions"),
        Object(11, "TodayQualityCalls", GAUGE, "Sessions that ended today and that service quality counts: those of an MCP.", "sessions"),
        Object(12, "TodayQualityRate", GAUGE, "Service quality of today. No instance while there is none.", "hundredths of a percent"),
    ),
)

STAGES = Table(
    3,
    "stages",
    "rsStage",
    "The pipeline: bridge (ActiveMQ to rs.billing), calls and tenants (the agents), sinks (the store), reports.",
    (Object(1, "Name", NAME, "Name of the stage."),),
    (
        Object(2, "Readiness", READINESS, "The worst that the processes of the stage answer."),
        Object(3, "Reasons", NAME, "Why it is not ready; empty when it is."),
        Object(4, "Rate", GAUGE, "Records that the stage has done in the last minute.", "records"),
        Object(
            5, "Lag", GAUGE, "Records before the stage that it has not committed; of the bridge: messages not yet acknowledged.", "records"
        ),
        Object(
            6,
            "Freshness",
            GAUGE,
            "Age of the receipt time up to which every stored message has passed the stage. No instance while unknown.",
            "milliseconds",
        ),
        Object(7, "Processes", GAUGE, "Processes of the stage that answer.", "processes"),
    ),
)

QUARANTINE = Table(
    4,
    "quarantine",
    "rsQuarantine",
    "What was set aside, by the stage that did it and the reason.",
    (
        Object(1, "Stage", NAME, "Name of the stage: bridge, calls or sinks."),
        Object(2, "Reason", NAME, "The reason, by the contract's name."),
    ),
    (Object(3, "Count", COUNTER, "Records set aside for this reason since the processes that did it started.", "records"),),
)

TOPICS = Table(
    5,
    "topics",
    "rsTopic",
    "Partitions of the Kafka topics of the present generation.",
    (
        Object(1, "Name", NAME, "Name of the topic."),
        Object(2, "Partition", NUMBER, "Number of the partition."),
    ),
    (
        Object(3, "End", COUNTER, "Offset of the next record: how many were ever written.", "records"),
        Object(4, "Rate", GAUGE, "Records written in the last minute.", "records"),
        Object(5, "Lag", GAUGE, "Records that the stage behind the topic has not committed. No instance where no stage reads.", "records"),
    ),
)

CONDITIONS = Table(
    6,
    "conditions",
    "rsCondition",
    "Conditions that are raised: a notification has said so, and the one that clears it has not been sent.",
    (
        Object(1, "Kind", NAME, "What it is about: database, broker, part, lag, quarantine, usage, burst, quality, timeouts."),
        Object(2, "Subject", NAME, "Whom it is about: a counterpart, a part, a stage, a tenant's DBID."),
    ),
    (
        Object(3, "RaisedAt", TIME, "When it was raised."),
        Object(4, "Text", NAME, "What was found then, in words."),
    ),
)

TABLES = (TENANTS, COMPONENTS, STAGES, QUARANTINE, TOPICS, CONDITIONS)

NOTICE = (
    Object(1, "Subject", NAME, "Whom the notification is about: a counterpart, a part, a stage, a tenant's DBID."),
    Object(2, "Value", NUMBER, "The figure that was judged; 0 where there is none."),
    Object(3, "Limit", NUMBER, "The limit it was held against; 0 where there is none."),
    Object(4, "Text", NAME, "The same in words."),
)


def _pair(number: int, name: str, raised: tuple[str, str], cleared: tuple[str, str]) -> Pair:
    return Pair(name, Notification(2 * number - 1, *raised), Notification(2 * number, *cleared))


PAIRS = {
    pair.name: pair
    for pair in (
        _pair(
            1,
            "database",
            ("rsDatabaseDown", "The sinks cannot write to the store. Nothing is lost: rows wait in the log."),
            ("rsDatabaseUp", "The sinks write to the store again."),
        ),
        _pair(
            2,
            "broker",
            ("rsBrokerDown", "A broker cannot be reached; rsNoticeSubject says which: activemq or kafka."),
            ("rsBrokerUp", "The broker can be reached again."),
        ),
        _pair(
            3,
            "part",
            ("rsPartDown", "A process of the Reporting Server does not answer; rsNoticeSubject says which."),
            ("rsPartUp", "The process answers again."),
        ),
        _pair(
            4,
            "lag",
            ("rsLagOverLimit", "A stage is behind by more records (rsNoticeValue) than setting snmp.lag_limit."),
            ("rsLagNormal", "The stage is no further behind than half the limit."),
        ),
        _pair(
            5,
            "quarantine",
            ("rsQuarantineGrowing", "A stage sets aside more records a minute (rsNoticeValue) than setting snmp.quarantine_limit."),
            ("rsQuarantineNormal", "It sets aside no more than the limit again."),
        ),
        _pair(
            6,
            "usage",
            (
                "rsTenantOverLimit",
                "A tenant is over its usage limit: sessions at burst level 2 or 3 started in the present bin, or its usage is above "
                "setting snmp.usage_limits.",
            ),
            ("rsTenantWithinLimit", "The tenant is within its usage limit again."),
        ),
        _pair(
            7,
            "burst",
            ("rsTenantBurst", "Sessions of a tenant started at burst level 3 in the present bin: above its second burst limit."),
            ("rsTenantBurstOver", "No session of the tenant starts at burst level 3 any more."),
        ),
        _pair(
            8,
            "quality",
            (
                "rsQualityBelowTarget",
                "Service quality of a tenant in the present hour (rsNoticeValue, hundredths of a percent) is below setting "
                "snmp.quality_target.",
            ),
            ("rsQualityOnTarget", "Service quality of the tenant is on target again."),
        ),
        _pair(
            9,
            "timeouts",
            ("rsTimeoutsGrowing", "More sessions a minute (rsNoticeValue) are closed without an end than setting snmp.timeouts_limit."),
            ("rsTimeoutsNormal", "No more sessions are closed without an end than the limit again."),
        ),
    )
}
NOTIFICATIONS = tuple(notification for pair in PAIRS.values() for notification in (pair.raised, pair.cleared))


def root(enterprise: int) -> OID:
    """reportingServerMIB"""
    return (*ENTERPRISES, enterprise, 1)


def scalar_oid(enterprise: int, thing: Object) -> OID:
    """The one instance of a single object."""
    return (*root(enterprise), 1, 1, thing.number, 0)


def column_oid(enterprise: int, table: Table, column: Object) -> OID:
    return (*root(enterprise), 1, 2, table.number, 1, column.number)


def notice_oid(enterprise: int, thing: Object) -> OID:
    """The instance in a notification."""
    return (*root(enterprise), 1, 3, thing.number, 0)


def notification_oid(enterprise: int, notification: Notification) -> OID:
    return (*root(enterprise), 0, notification.number)
