"""The bridge as a Faust app without agents and tables: Faust gives it the worker, signals and command line, and nothing of Kafka.

It needs no consumer group, no leader topic and no producer of Faust's; the boot strategy leaves all of them out, and the web server too.
"""

from __future__ import annotations

import faust
from faust.app import BootStrategy
from mode import Service

from pipeline import configserver, generations, logs, settings
from pipeline.app import Worker
from pipeline.bridge.bridge import Bridge
from pipeline.health import HealthServer
from pipeline.topics import BRIDGE_APP


class _OnlyServices(BootStrategy):  # type: ignore[misc]  # Faust ships no types
    enable_kafka = False
    enable_web = False
    enable_sensors = False


class BridgeApp(faust.App):  # type: ignore[misc]
    BootStrategy = _OnlyServices
    producer_only = True

    def worker_init(self) -> None:
        """Called before Faust redirects stderr into the log: later the log would feed itself."""
        super().worker_init()
        logs.setup("bridge")

    async def on_first_start(self) -> None:
        """Faust would make a folder for tables here, and there are none."""


def _logging() -> dict[str, object]:
    """The bridge itself tells of lost connections, once and in its own words; the libraries would at every attempt."""
    config = logs.logging_config()
    config["loggers"] = {**config["loggers"], "aiokafka": {"level": "CRITICAL"}, "stomp.py": {"level": "CRITICAL"}}  # type: ignore[dict-item]
    return config


app = BridgeApp(
    BRIDGE_APP,
    broker=[f"kafka://{broker.strip()}" for broker in settings.load().kafka.bootstrap.split(",")],
    web_enabled=False,
    logging_config=_logging(),
    autodiscover=False,
    Worker=Worker,
)


@app.service
class BridgeService(Service):  # type: ignore[misc]
    """Runs the bridge and its probes for as long as the worker runs."""

    async def on_start(self) -> None:
        config = settings.load()
        self.bootstrap = config.kafka.bootstrap
        self.bridge = Bridge(config)
        configuration = configserver.follow()
        checks = {"activemq": self.bridge.activemq_fault, "kafka": self.bridge.kafka_fault, "config": configuration.check}
        facts = {"config server": configuration.facts}
        self.health = HealthServer(config.health.host, config.health.bridge_port, checks, facts=facts)
        await self.health.start()
        await self.bridge.start()

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch(self) -> None:
        await self.bridge.failed  # raises, and Faust ends the worker

    @Service.task  # type: ignore[untyped-decorator]
    async def _watch_generation(self) -> None:
        await self.bridge.connected.wait()  # by then it knows its own
        await generations.stop_process_when_replaced(self.bootstrap, self.bridge.generation, lambda: self.should_stop)

    async def on_stop(self) -> None:
        await self.bridge.stop()
        await self.health.stop()
