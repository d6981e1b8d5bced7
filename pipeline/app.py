"""The one place that builds Faust apps: broker, logs, probes."""

from __future__ import annotations

from typing import Any

from pipeline import logs
from pipeline.health import Check, HealthServer
from pipeline.runtime import App, Checkpoint
from pipeline.settings import load


class ReportingApp(App):
    """An app with probes and metrics on a port of its own, from its first second to its last. `checks`: what readiness asks."""

    def __init__(self, id: str, *, health_port: int, **options: Any) -> None:  # noqa: A002  # Faust's name for it
        super().__init__(id, **options)
        self.checks: dict[str, Check] = {}
        self._health = HealthServer(load().health.host, health_port, self.checks)

    def check_assigned(self, checkpoint: Checkpoint) -> None:
        """Readiness waits until `checkpoint` has partitions, which is after the tables are recovered."""
        name = ", ".join(checkpoint.topics)
        self.checks[name] = lambda: None if checkpoint.assigned else "no partitions yet: tables are recovered, or the group rebalances"

    async def on_start(self) -> None:
        await self._health.start()
        await super().on_start()

    async def on_shutdown(self) -> None:
        await self._health.stop()
        await super().on_shutdown()


def make_app(id: str, *, health_port: int, **options: Any) -> ReportingApp:  # noqa: A002
    """A Faust app of the project, started with `faust -A module worker --without-web`. `options`: Faust's, for tests."""
    brokers = [f"kafka://{broker.strip()}" for broker in load().kafka.bootstrap.split(",")]
    settings = {"broker": brokers, "logging_config": logs.logging_config(), "autodiscover": False, **options}
    return ReportingApp(id, health_port=health_port, **settings)
