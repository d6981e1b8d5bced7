"""What every request needs: the store, the reporting time zone, the clock. One instance an app."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from zoneinfo import ZoneInfo

from starlette.requests import Request

from pipeline.configserver import Objects
from pipeline.settings import Billing, Snmp
from reports.queries import calls
from reports.store.contract import Reading, Store

NAMES_KEPT_S = 15.0  # names change rarely, and looking them up reads some thousand calls


def wall_clock() -> int:
    """ms UTC"""
    return time.time_ns() // 1_000_000


@dataclass
class Site:
    """`objects`: what the Config Server names now. `targets`: latency type -> the average in ms that is still acceptable.
    `quality_target`: the service quality of now's settings, per cent; `rounding`: how they make minutes of sessions."""

    store: Store
    zone: ZoneInfo
    page_size: int = 100
    clock: Callable[[], int] = wall_clock
    objects: Callable[[], Objects] = Objects
    targets: Mapping[str, float] = field(default_factory=dict)
    quality_target: Callable[[], float] = lambda: Snmp().quality_target
    rounding: Callable[[], str] = lambda: Billing().rounding
    _told: calls.Names = field(default_factory=calls.Names)
    _told_until: float = 0.0
    _named: Objects = field(default_factory=Objects)
    _names: calls.Names = field(default_factory=calls.Names)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def names(self, reading: Reading) -> calls.Names:
        """Names by DBID: the Config Server's, else those that calls tell. What a call has told stays known while the server runs, though
        no recent one tells it any more."""
        with self._lock:
            named, told = self.objects(), self._told
            if time.monotonic() >= self._told_until:
                fresh = calls.names(reading)
                self._told = calls.Names(told.tenants | fresh.tenants, told.apps | fresh.apps)
                self._told_until = time.monotonic() + NAMES_KEPT_S
            if self._told is not told or self._named is not named:
                self._named = named
                self._names = calls.Names(
                    self._told.tenants | named.tenant_names(), self._told.apps | named.profile_names(), named.component_names()
                )
            return self._names


def site_of(request: Request) -> Site:
    return cast(Site, request.app.state.site)
