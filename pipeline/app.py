"""The one place that builds Faust apps: broker, logs, probes."""

from __future__ import annotations

import logging
from typing import Any

import faust

from pipeline import configserver, logs
from pipeline.health import Check, Facts, HealthServer
from pipeline.runtime import App, Checkpoint
from pipeline.settings import load
from pipeline.table_metrics import shown


class Worker(faust.Worker):  # type: ignore[misc]  # Faust ships no types
    def _setup_spinner_handler(self, logger: logging.Logger, level: int) -> None:  # noqa: ARG002
        """Faust's spinner hides everything below the command line's --loglevel; here the setting log.level counts."""
        self.spinner = None


class ReportingApp(App):
    """An app with probes and metrics on a port of its own, from its first second to its last. `checks`: what readiness asks;
    `facts`: what it tells besides."""

    def __init__(self, id: str, *, health_port: int, **options: Any) -> None:  # noqa: A002  # Faust's name for it
        super().__init__(id, **options)
        self.checks: dict[str, Check] = {}
        self.facts: dict[str, Facts] = {}
        self._health = HealthServer(load().health.host, health_port, self.checks, facts=self.facts)

    def check_assigned(self, checkpoint: Checkpoint) -> None:
        """Readiness waits until `checkpoint` has partitions, which is after the tables are recovered."""
        name = ", ".join(checkpoint.topics)
        self.checks[name] = lambda: None if checkpoint.assigned else "no partitions yet: tables are recovered, or the group rebalances"

    def worker_init(self) -> None:
        """Called before Faust redirects stderr into the log: later the log would feed itself."""
        super().worker_init()
        logs.setup(self.conf.id)

    async def on_first_start(self) -> None:
        self.conf.datadir.parent.mkdir(parents=True, exist_ok=True)  # Faust makes the folder, but not the one it lies in
        await super().on_first_start()

    async def on_start(self) -> None:
        await self._health.start()
        configuration = configserver.follow()
        self.checks["config"], self.facts["config server"] = configuration.check, configuration.facts
        self.add_context(shown(self.tables.values))
        await super().on_start()

    async def on_shutdown(self) -> None:
        await self._health.stop()
        await super().on_shutdown()


def make_app(id: str, *, health_port: int, **options: Any) -> ReportingApp:  # noqa: A002
    """A Faust app of the project, started with `faust -A module worker --without-web`. `options`: Faust's, for tests."""
    current = load()
    brokers = [f"kafka://{broker.strip()}" for broker in current.kafka.bootstrap.split(",")]
    datadir = current.stack.data.absolute() / "faust" / id  # one a process: further ones are given their own by --datadir
    settings = {
        "broker": brokers,
        "datadir": datadir,
        "store": f"{current.tables.store}://",
        "logging_config": logs.logging_config(),
        "autodiscover": False,
        "consumer_group_instance_id": current.kafka.instance or None,
        "Worker": Worker,
        **options,
    }
    return ReportingApp(id, health_port=health_port, **settings)
