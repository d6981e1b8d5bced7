"""What a correction changes in a closed month (rule S5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.billing.ledger import TOTAL, Ledger, LineName, difference, line_of, order_of
from reports.billing.sessions import Billed


@dataclass(frozen=True, slots=True)
class Change:
    """A session that counted as `before` in the closed month, or not at all, and is `after` now. `receipt`: of its latest message."""

    before: Billed | None
    after: Billed
    receipt: int

    @property
    def tenants(self) -> set[int]:
        """Whose statements may change."""
        return {*(self.before.path if self.before else ()), *self.after.path}


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one line of one tenant's statement. `peak_at`: when the peak is after it."""

    tenant: int
    line: LineName
    figures: dict[str, int]
    peak_at: int | None


def adjust(ledger: Ledger, changes: Iterable[Change]) -> list[list[Difference]]:
    """Put the changes into the ledger, one after the other; gives for each the lines that it moved, the total last."""
    return [_one(ledger, change) for change in changes]


def _one(ledger: Ledger, change: Change) -> list[Difference]:
    if ledger.tenant not in change.tenants:
        return []
    apps = {change.after.app_id, change.after.app_id if change.before is None else change.before.app_id}
    names = sorted({TOTAL, *map(line_of, apps)}, key=order_of)
    before = {name: ledger.figures(name) for name in names}
    if change.before is not None:
        ledger.add(change.before, -1)
    ledger.add(change.after)
    found = []
    for name in names:
        after = ledger.figures(name)
        if after != before[name]:
            found.append(Difference(ledger.tenant, name, difference(before[name], after), after.peak_at))
    return found
