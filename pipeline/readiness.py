"""Whether the Reporting Server as a whole is ready: its processes asked, each by its own /health/ready, and how far behind they are.

It is ready when every process answers and is ready (tables recovered, partitions assigned, counterparts reachable) and no stage is
further behind than snmp.lag_limit, which the view tells. What is asked is one of each process by the settings, or those of snmp.parts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from pipeline.settings import Settings

ANSWER_S = 2.0
KEPT_S = 1.0  # several who ask at once are told the same
VIEW = "view"
REPORTS_ALONE = "/health/ready/reports"  # of the server that also answers for all
LAG = "lag"  # fact of the view: stage -> records


class Said(msgspec.Struct):
    """What /health/ready of a process says."""

    ready: bool
    reasons: dict[str, str] = msgspec.field(default_factory=dict)
    facts: dict[str, dict[str, int | str]] = msgspec.field(default_factory=dict)


def urls(settings: Settings) -> dict[str, str]:
    """The processes whose work is shown: those of snmp.parts, or one of each. Not the view, which shows it."""
    if settings.snmp.parts:
        return {name: url for name, url in settings.snmp.parts.items() if name != VIEW}
    health, reports = settings.health, settings.reports
    places = {
        "bridge": (health.bridge_host or health.host, health.bridge_port),
        "agents": (health.host, health.agents_port),
        "sinks": (health.host, health.sinks_port),
        "reports": (reports.host, reports.port),
    }
    return {name: f"http://{_reached(host)}:{port}" for name, (host, port) in places.items()}


def ready_path(name: str) -> str:
    """Where a process says whether it is ready itself."""
    return REPORTS_ALONE if name.startswith("reports") else "/health/ready"


def _reached(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Whole:
    """`reasons` by process and check; `parts`: what each process says, None of one that does not answer."""

    reasons: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Said | None] = field(default_factory=dict)


class Pod:
    """All processes but those of the reports, on whose port this is answered. `lag_limit`: of this moment."""

    def __init__(self, settings: Settings, lag_limit: Callable[[], int] | None = None) -> None:
        view = settings.snmp.parts.get(VIEW) or f"http://{_reached(settings.health.host)}:{settings.snmp.health_port}"
        self.addresses = {name: url for name, url in urls(settings).items() if not name.startswith("reports")} | {VIEW: view}
        self._lag_limit = lag_limit or (lambda: settings.snmp.lag_limit)
        self._asked_at = -KEPT_S
        self._whole = Whole()
        self._turn = asyncio.Lock()

    async def ask(self) -> Whole:
        """How they are now, a second old at most."""
        async with self._turn:
            if time.monotonic() - self._asked_at >= KEPT_S:
                timeout = aiohttp.ClientTimeout(total=ANSWER_S)
                async with aiohttp.ClientSession(timeout=timeout) as session:
                    said = await asyncio.gather(*(_ask(session, url + ready_path(name)) for name, url in self.addresses.items()))
                self._whole = judged(dict(zip(self.addresses, said, strict=True)), self._lag_limit())
                self._asked_at = time.monotonic()
            return self._whole


async def _ask(session: aiohttp.ClientSession, url: str) -> Said | None:
    """None if it does not answer, or not as our processes do."""
    try:
        async with session.get(url) as response:
            return msgspec.json.decode(await response.read(), type=Said)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None


def judged(parts: dict[str, Said | None], lag_limit: int) -> Whole:
    reasons: dict[str, str] = {}
    for name, said in parts.items():
        if said is None:
            reasons[name] = "does not answer" + (", so nobody knows how far behind the stages are" if name == VIEW else "")
            continue
        reasons |= {f"{name}: {check}": reason for check, reason in said.reasons.items()}
        for stage, behind in said.facts.get(LAG, {}).items():
            if isinstance(behind, int) and behind > lag_limit:
                reasons[f"lag: {stage}"] = f"{behind:,} records behind, more than {lag_limit:,} (snmp.lag_limit)"
    return Whole(reasons, parts)
