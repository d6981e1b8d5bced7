"""What `rs doctor` looks at. A look gives findings and never raises for what it finds."""

from __future__ import annotations

import asyncio

from pipeline.doctor import activemq, configserver, kafka, machine, workers
from pipeline.doctor.finding import Finding
from pipeline.settings import Settings

__all__ = ["Finding", "examine"]


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything at the same time; the findings come along the way of a message."""
    on_machine, of_config, of_activemq, of_kafka, of_workers = await asyncio.gather(
        asyncio.to_thread(machine.look, settings),
        configserver.look(settings),
        asyncio.to_thread(activemq.look, settings),
        kafka.look(settings),
        workers.look(settings),
    )
    return [*on_machine[:-1], of_config, *of_activemq, *of_kafka, *of_workers, on_machine[-1]]
