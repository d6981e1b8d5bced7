"""Probes and metrics of one process over HTTP: /health/live, /health/ready and /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client import REGISTRY as PROCESS_REGISTRY

Check = Callable[[], str | None]
"""Gives None when fine, else the reason in words, and returns at once: probes come every few seconds."""

Facts = Callable[[], Mapping[str, int | str]]
"""Gives what is worth knowing and no reason to be unready: counts, and words."""


class PortTaken(OSError):
    """The health port cannot be bound; the message says which one and what to do."""


def unready(checks: Mapping[str, Check]) -> dict[str, str]:
    """Name and reason of every check that is not fine. A check that raises is a reason, too: a probe must answer."""
    reasons = {}
    for name, check in checks.items():
        try:
            reason = check()
        except Exception as exc:  # whatever it is, the answer is "not ready, because"
            reason = f"{type(exc).__name__}: {exc}"
        if reason is not None:
            reasons[name] = reason
    return reasons


class HealthServer:
    """Serves on `host`:`port` between start() and stop(), in the running loop, so /health/live also tells that the loop runs."""

    def __init__(
        self,
        host: str,
        port: int,
        checks: Mapping[str, Check],
        registry: CollectorRegistry = PROCESS_REGISTRY,
        facts: Mapping[str, Facts] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.checks = checks
        self.facts = {} if facts is None else facts
        self._registry = registry
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises PortTaken."""
        app = web.Application()
        app.add_routes(
            [web.get("/health/live", self._live), web.get("/health/ready", self._ready), web.get("/metrics", self._metrics)],
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as exc:
            await runner.cleanup()
            raise PortTaken(
                f"cannot serve health on {self.host}:{self.port} ({exc.strerror or exc}): "
                "free the port or choose another with health.bridge_port, health.agents_port or health.sinks_port"
            ) from exc
        self._runner = runner

    async def stop(self) -> None:
        """Also harmless before start() and a second time."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        reasons = unready(self.checks)
        said: dict[str, object] = {"ready": not reasons, "reasons": reasons}
        if self.facts:
            said["facts"] = {name: dict(tell()) for name, tell in self.facts.items()}
        return web.json_response(said, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
