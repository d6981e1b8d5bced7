"""Names of tenants, as messages tell them: bins have none. A sample of the log is read now and then, not the whole of it."""

from __future__ import annotations

import asyncio

import msgspec
from aiokafka.errors import KafkaError

from pipeline import asked, generations, reading

LAST = 300  # records of each partition
PAUSE_S = 30.0


class _Named(msgspec.Struct):
    tenant_path: tuple[int, ...] = ()
    tenant_name: str = ""


_decode = msgspec.json.Decoder(_Named).decode


class Names:
    """`tenants`: DBID -> name. At most `most` of them."""

    def __init__(self, bootstrap: str, most: int) -> None:
        self.bootstrap, self.most = bootstrap, most
        self.tenants: dict[int, str] = {}

    def learn(self, value: bytes | None) -> None:
        """From a record of the log. What has no name, or is no message, teaches nothing."""
        if value is None or b'"tenant_name"' not in value:
            return
        try:
            said = _decode(value)
        except msgspec.MsgspecError:
            return
        if said.tenant_path and said.tenant_name and (said.tenant_path[-1] in self.tenants or len(self.tenants) < self.most):
            self.tenants[said.tenant_path[-1]] = said.tenant_name

    async def run(self) -> None:
        """Until cancelled. Whoever reads tables says that Kafka is away; here the next sample will do."""
        while True:
            try:
                log = (await generations.read(self.bootstrap)).live.billing
                numbers = (await reading.partitions_of(self.bootstrap, [log])).get(log, [])
                async for record in reading.records(self.bootstrap, log, numbers, last=LAST):
                    self.learn(record.value)
            except (KafkaError, OSError, reading.StuckError):
                pass
            except asyncio.CancelledError:
                if asked.to_end():
                    raise
            await asyncio.sleep(PAUSE_S)
