"""What can keep a report from being given. Everything else is a fault of ours and answers 500."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Lack = Literal["missing", "empty", "busy", "broken"]


class StoreUnavailable(Exception):
    """The store cannot be read now. `lack` says how, `detail` what to do; asking again later may help."""

    def __init__(self, lack: Lack, detail: str) -> None:
        super().__init__(detail)
        self.lack: Lack = lack
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong parameter: what was given and what is allowed."""

    parameter: str
    value: str
    allowed: str


class Malformed(Exception):
    """Parameters of a request are wrong. All faults at once (contract, reports section 3)."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.parameter}: {fault.allowed}" for fault in faults))
        self.faults = faults


class NotFed(Exception):
    """A service whose figures no message carries. `missing` says which."""

    def __init__(self, missing: str) -> None:
        super().__init__(missing)
        self.missing = missing


class NotModified(Exception):
    """The asker has the answer already: `tag` names it."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class NotStored(Exception):
    """There is no such call in the store."""
