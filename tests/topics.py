"""Topics of a broker that tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.init import partitions as led


async def deleted(admin: AIOKafkaAdminClient, names: Iterable[str]) -> None:
    """Those of them that there are, and they are gone."""
    names = set(names)
    if there := names & set(await admin.list_topics()):
        await admin.delete_topics(sorted(there))
    while names & set(await admin.list_topics()):  # noqa: ASYNC110 - Kafka says it to whoever asks
        await asyncio.sleep(0.1)


async def made_anew(bootstrap: str, names: Iterable[str], partitions: int) -> None:
    """Empty topics that have leaders, whatever there was under these names."""
    names = list(names)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await deleted(admin, names)
        response = await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        assert [(name, code) for name, code, *_ in response.topic_errors if code] == []
        while await led(admin, names) != dict.fromkeys(names, partitions):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def without_topics(bootstrap: str) -> None:
    """A broker that has none of the project's."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await deleted(admin, [name for name in await admin.list_topics() if name.startswith("rs")])
    finally:
        await admin.close()
