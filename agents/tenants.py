"""The tenants agent: snapshots of activity, one per source partition, merged into bins.

rs.activity --chunks--> Chains --cut--> parts changelog | tenants changelog | commit
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from faust.types import TP

from agents.chains import Chains
from agents.state import Snapshot, TenantsRow
from pipeline.app import ReportingApp
from pipeline.generation import FIRST, Generation
from pipeline.runtime import Checkpoint, Cut, Start, State, StateTable, codec
from pipeline.settings import Settings

ROWS_DECODED = 4_000  # a partition; a chain walks from the touched bin on, seldom far back

decode = msgspec.msgpack.Decoder(Snapshot).decode


def install(app: ReportingApp, settings: Settings, generation: Generation = FIRST) -> Checkpoint:
    """Declare topic, tables, checkpoint and agent on `app`."""
    n = generation.partition_count(settings.kafka.partitions)
    activity = app.topic(generation.activity, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=n)
    # Marks are those of the source partitions.
    parts: StateTable[bytes, Snapshot] = app.Table("parts", value=Snapshot, partitions=n, stamped=False, cache=ROWS_DECODED)
    tenants: StateTable[bytes, TenantsRow] = app.Table("tenants", value=TenantsRow, partitions=n, cache=ROWS_DECODED)
    checkpoint = app.checkpoint(
        activity, order=[parts, tenants], interval=settings.checkpoint.interval, max_events=settings.checkpoint.max_events
    )
    zone = ZoneInfo(settings.reports.time_zone)
    chains: dict[int, Chains] = {}

    @checkpoint.on_assigned
    def begin(starts: Mapping[TP, Start]) -> None:
        chains.clear()
        for tp, start in starts.items():
            rows = tenants.state(tp.partition)
            chains[tp.partition] = Chains(parts.state(tp.partition), rows, zone, start.offset, _highest_mark(rows), n)

    @checkpoint.before_cut
    def settle(cut: Cut) -> None:
        for tp, position in cut.positions.items():
            chains[tp.partition].settle(position)

    @app.agent(activity)  # type: ignore[untyped-decorator]  # Faust ships no types
    async def merge_tenants(stream: Any) -> None:
        async for chunk in checkpoint.chunks(stream):
            chain = chains[chunk.tp.partition]
            for record in chunk.records:
                assert record.key is not None  # only the calls agent writes here, and it never drops a row
                assert record.value is not None
                mark, payload = codec.split(record.value)
                snapshot = decode(payload)
                snapshot.mark = mark
                chain.take(record.key, snapshot)

    app.check_assigned(checkpoint)
    return checkpoint


def _highest_mark(rows: State[bytes, TenantsRow]) -> int:
    return max((codec.split(value)[0] for value in rows.raw.values()), default=0)
