"""The tenants agent: snapshots of activity, one per source partition, merged into bins.

rs.activity --chunks--> Chains --cut--> parts changelog | tenants changelog | commit
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from faust.types import TP

from agents.chains import Chains
from agents.state import Activity, Bin, Snapshot, TenantsRow
from pipeline import topics
from pipeline.runtime import App, Checkpoint, Cut, Start, codec
from pipeline.settings import Settings

decode = msgspec.msgpack.Decoder(Snapshot).decode


def install(app: App, settings: Settings) -> Checkpoint:
    """Declare topic, tables, checkpoint and agent on `app`."""
    n = settings.kafka.partitions
    activity = app.topic(topics.ACTIVITY, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=n)
    parts = app.Table("parts", value=Snapshot, make=Activity, partitions=n)
    tenants = app.Table("tenants", value=TenantsRow, make=Bin, partitions=n)
    checkpoint = app.checkpoint(
        activity, order=[parts, tenants], interval=settings.checkpoint.interval, max_events=settings.checkpoint.max_events
    )
    zone = ZoneInfo(settings.reports.time_zone)
    chains: dict[int, Chains] = {}

    @checkpoint.on_assigned
    def begin(starts: dict[TP, Start]) -> None:
        chains.clear()
        for tp, start in starts.items():
            rows = tenants.state(tp.partition)
            chains[tp.partition] = Chains(parts.state(tp.partition), rows, zone, start.offset, rows.highest_mark())

    @checkpoint.before_cut
    def settle(cut: Cut) -> None:
        for tp, position in cut.positions.items():
            chains[tp.partition].settle(position)

    @app.agent(activity)
    async def merge_tenants(stream: Any) -> None:
        async for chunk in checkpoint.chunks(stream):
            chain = chains[chunk.tp.partition]
            for record in chunk.records:
                mark, payload = codec.split(record.value)
                snapshot = decode(payload)
                snapshot.mark = mark
                chain.take(record.key, snapshot)

    return checkpoint
