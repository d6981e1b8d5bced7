"""How far the log has come: history that lies behind it by more than fold.lateness would be put aside as late."""

from __future__ import annotations

import msgspec
from aiokafka import ConsumerRecord

from pipeline import generations, reading

LAST_RECORDS = 20  # of each partition: time-outs and late events stand among them and are not the newest


class _Time(msgspec.Struct):
    ts: int = 0


async def newest(bootstrap: str) -> int | None:
    """The stream time of the log, ms, as far as the last records of its partitions show it; None: no records.

    Raises StuckError, and aiokafka's KafkaError when Kafka can't be reached.
    """
    log = (await generations.read(bootstrap)).live.billing
    partitions = (await reading.partitions_of(bootstrap, [log])).get(log, [])
    times = [_stream_time(record) async for record in reading.records(bootstrap, log, partitions, last=LAST_RECORDS)]
    return max(times, default=None)


def _stream_time(record: ConsumerRecord) -> int:
    """min(ts, receipt): a sender with a clock ahead moves nothing."""
    try:
        return min(msgspec.json.decode(record.value or b"{}", type=_Time).ts, int(record.timestamp))
    except msgspec.MsgspecError:
        return 0
