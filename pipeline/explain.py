"""A call explained from the log alone: reads the guid's partition of the log, without a group and without a running worker."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from agents.call import CallSummary
from agents.explain import Explainer, SessionNow, Step
from agents.lifetime import Terms
from pipeline import generations, reading, topics
from pipeline.messages.types import Guid
from pipeline.reading import Progress


class UnexplainedError(Exception):
    """Why there is nothing to tell, and what to do. One line."""


class Explanation(Struct, frozen=True, kw_only=True):
    """first_offset, last_offset    what was read; None: the partition is empty"""

    guid: str
    topic: str
    partition: int
    first_offset: int | None
    last_offset: int | None
    steps: list[Step]
    summary: CallSummary | None
    sessions: list[SessionNow]


def stored_guid(typed: str) -> str:
    """A guid as it stands in the log (docs/contract.md, section 2 and rule M13). Raises UnexplainedError."""
    try:
        return str(msgspec.convert(typed, Guid)).partition(";")[0].upper()
    except msgspec.ValidationError:
        raise UnexplainedError(
            f"{typed!r} is no GUID: 8-4-4-4-12 hexadecimal digits, such as 0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"
        ) from None


async def explain(bootstrap: str, typed: str, terms: Terms, progress: Progress | None = None) -> Explanation:
    """The steps of a call. `typed`: its guid in any case, with or without its tail; `terms`: what is late, and when a session is timed out.

    Raises UnexplainedError, StuckError, and aiokafka's KafkaError when Kafka can't be reached.
    """
    guid = stored_guid(typed)
    generation = (await generations.read(bootstrap)).live
    log = generation.billing
    partitions = (await reading.partitions_of(bootstrap, [log])).get(log)
    if not partitions:
        raise UnexplainedError(f"Kafka at {bootstrap} has no topic {log} yet: rs init creates it")
    partition = topics.partition_of(guid.encode(), len(partitions))
    history_to = generation.history_to(partition)
    explainer = Explainer(guid.encode(), terms, history_to)
    steps: list[Step] = []
    first = last = None
    async for record in reading.records(bootstrap, log, [partition], progress=progress):
        first, last = record.offset if first is None else first, record.offset
        try:
            step = explainer.take(record)
        except msgspec.MsgspecError as exc:
            where = f"{log}, partition {partition}, offset {record.offset}"
            raise UnexplainedError(f"{where}: no billing message ({exc}); which program wrote it?") from None
        if step is not None:
            steps.append(step)
    return Explanation(
        guid=guid,
        topic=log,
        partition=partition,
        first_offset=first,
        last_offset=last,
        steps=steps,
        summary=explainer.summary(),
        sessions=explainer.sessions(),
    )
