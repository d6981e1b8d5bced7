"""Notifications as variables: what a trap or an inform carries, whoever sends it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sinks.snmp.mib import NOTICE, PAIRS, notice_oid, notification_oid
from sinks.snmp.syntax import OID, Value, Wire
from sinks.snmp.tree import Instance

SNMP_TRAP_OID: OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)


class Notice(NamedTuple):
    """kind: of the condition (`mib.PAIRS`); cleared: it is over."""

    kind: str
    cleared: bool
    subject: str
    value: int
    limit: int
    text: str


class Notifier(Protocol):
    """Whatever sends notifications on their way; never waits."""

    def notify(self, notice: Notice) -> None: ...


def variables(notice: Notice, enterprise: int) -> Sequence[Instance]:
    """snmpTrapOID.0, then the objects of the notification."""
    pair = PAIRS[notice.kind]
    identity = notification_oid(enterprise, pair.cleared if notice.cleared else pair.raised)
    values: tuple[Value, ...] = (notice.subject, notice.value, notice.limit, notice.text)
    carried = [
        Instance(notice_oid(enterprise, thing), thing.syntax.wire, thing.syntax.given(value))
        for thing, value in zip(NOTICE, values, strict=True)
    ]
    return [Instance(SNMP_TRAP_OID, Wire.OBJECT_ID, identity), *carried]
