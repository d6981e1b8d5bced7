"""What every request needs: the store, the reporting time zone, the clock. One instance an app."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from zoneinfo import ZoneInfo

from starlette.requests import Request

from reports.queries import calls
from reports.store.contract import Reading, Store

NAMES_KEPT_S = 15.0  # names change rarely, and looking them up reads some thousand calls


def wall_clock() -> int:
    """ms UTC"""
    return time.time_ns() // 1_000_000


@dataclass
class Site:
    store: Store
    zone: ZoneInfo
    page_size: int = 100
    clock: Callable[[], int] = wall_clock
    _names: calls.Names = field(default_factory=calls.Names)
    _names_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def names(self, reading: Reading) -> calls.Names:
        """Names by DBID. Those seen once stay known while the server runs, though no recent call gives them any more."""
        with self._lock:
            if time.monotonic() >= self._names_until:
                fresh = calls.names(reading)
                self._names = calls.Names(self._names.tenants | fresh.tenants, self._names.apps | fresh.apps)
                self._names_until = time.monotonic() + NAMES_KEPT_S
            return self._names


def site_of(request: Request) -> Site:
    return cast(Site, request.app.state.site)
