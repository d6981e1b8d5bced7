"""Where the partitions of a checkpoint begin: at the offset a stage keeps, else at the committed one, else at the beginning.

An offset outside of what the topic holds is an error with the step to take. aiokafka would silently begin elsewhere, and what
lies between would be lost or folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from .cut import Stage, Start
from .errors import RecordsGone, Unrecovered, WrongDeclaration

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

BEHIND = (
    "{where} should go on at offset {offset} ({source}), but its first record is {first}: records were deleted before they were folded. "
    "Restore the topic or rebuild from what there is; to go on without them: kafka-consumer-groups.sh --bootstrap-server HOST:PORT "
    "--group {group} --topic {topic}:{partition} --reset-offsets --to-earliest --execute{store}"
)
BEYOND = (
    "{where} should go on at offset {offset} ({source}), but it ends at {end}: the topic was deleted and made again, or this is another "
    "cluster. Restore the topic, or rebuild; nothing was folded."
)


async def own(stages: Iterable[Stage], tps: set[TP]) -> dict[TP, int]:
    """The offsets that stages keep themselves; the lowest where several keep one."""
    found: dict[TP, int] = {}
    for stage in stages:
        if (start := getattr(stage, "start", None)) is not None:
            offsets: Mapping[TP, int] = await start(set(tps))
            for tp, offset in offsets.items():
                found[tp] = min(offset, found.get(tp, offset))
    return found


def find(
    group: str,
    tps: Iterable[TP],
    own: Mapping[TP, int],
    committed: Mapping[TP, OffsetAndMetadata],
    first: Mapping[TP, int],
    end: Mapping[TP, int],
) -> dict[TP, Start]:
    """The start of each partition. `first` is its first record's offset, `end` the offset behind its last. Raises RecordsGone."""
    starts = {}
    for tp in tps:
        commit = committed.get(tp)
        if tp in own:
            same = commit is not None and commit.offset == own[tp]
            start, source = Start(own[tp], commit.metadata if commit is not None and same else ""), "kept by a stage"
        elif commit is not None:
            start, source = Start(commit.offset, commit.metadata), f"committed by group {group}"
        else:
            start, source = Start(first[tp], ""), "the beginning"
        facts: dict[str, Any] = {
            "where": f"{tp.topic}[{tp.partition}]", "topic": tp.topic, "partition": tp.partition, "group": group,
            "offset": start.offset, "source": source, "first": first[tp], "end": end[tp],
            "store": ", and move the offset that the stage keeps" if tp in own else "",
        }  # fmt: skip
        if start.offset < first[tp]:
            raise RecordsGone(BEHIND.format(**facts))
        if start.offset > end[tp]:
            raise RecordsGone(BEYOND.format(**facts))
        starts[tp] = start
    return starts


def check_partitions(checkpoint: Checkpoint, partitions_of: Callable[[str], int | None]) -> None:
    """Rows live in the partition of the records they were made of, so a table must have as many as its source.
    Raises WrongDeclaration."""
    for table in checkpoint.tables:
        for topic in checkpoint.topics:
            if (there := partitions_of(topic)) is not None and there != table.partitions:
                raise WrongDeclaration(
                    f"table {table.name} has {table.partitions} partitions, its source {topic} has {there}: make them equal"
                )


def check_recovered(checkpoint: Checkpoint, tps: Iterable[TP], assigned: Container[TP]) -> None:
    """Faust's assignor leaves out a topic that its worker does not know, with a warning: a new one, say, that its broker has not
    heard of. A table is recovered from what is assigned only. Raises Unrecovered."""
    for tp in sorted(tps):
        for table in checkpoint.tables:
            if (changelog := TP(table.changelog_topic_name, tp.partition)) not in assigned:
                raise Unrecovered(
                    f"{tp.topic}[{tp.partition}] was assigned without {changelog.topic}[{changelog.partition}]: the worker that leads the "
                    "group does not know this topic. Start the workers again; if it stays so, create the topic"
                )
