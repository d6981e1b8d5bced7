"""`rs explain`: a call message by message, from the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.text import Text

from agents.call import CallSummary
from agents.explain import Changed, Counted, SessionNow, Step
from agents.terms import terms_of
from agents.var import NO_ACTIONS, Actions
from pipeline import settings, topics
from pipeline.cli.posting import fail, progress
from pipeline.explain import Explanation, UnexplainedError
from pipeline.explain import explain as explained
from pipeline.reading import StuckError

LONG = 20_000  # records: below, a progress bar would only flicker
WIDE = 60  # code points of a value; the whole of it is in --json
STYLES = {"added": "green", "duplicate": "yellow"}
NOTHING_YET: tuple[object, ...] = (None, (), {}, NO_ACTIONS)  # not worth an arrow
UNITS = {"durations": "ms", "latencies": "us"}


def explain(
    guid: Annotated[str, typer.Argument(help="the call's GUID, in upper or lower case", metavar="GUID")],
    as_json: Annotated[bool, typer.Option("--json", help="the whole as one JSON object")] = False,
) -> None:
    """Tell a call message by message: where each came from, what it changed, and in which bins the call counts.

    Everything is folded anew from the log, with no worker needed; late is what fold.lateness of now makes late. Times are UTC, bins
    those of five minutes: the longer ones are made of them.

        rs explain 0f8a6c1e-2b7d-4e55-9c3a-5d1e77ab0c42

        rs explain 0f8a6c1e-2b7d-4e55-9c3a-5d1e77ab0c42 --json | jq .summary
    """
    found = _read(guid)
    if not found.steps:
        fail(_unknown(found))
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(found):
        console.print(line)


def _read(guid: str) -> Explanation:
    """A failure becomes one line."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    known = settings.load()
    bootstrap = known.kafka.bootstrap
    try:
        with progress(counts=True) as bar:
            task = bar.add_task(topics.BILLING, total=None, visible=False)

            def advance(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total, visible=total >= LONG)

            return asyncio.run(explained(bootstrap, guid, terms_of(known), advance))
    except (UnexplainedError, StuckError) as exc:
        fail(str(exc))
    except (KafkaError, OSError) as exc:
        fail(f"Kafka at {bootstrap} cannot be read ({exc}): start it (rs up) or correct kafka.bootstrap")


def _unknown(found: Explanation) -> str:
    where = f"partition {found.partition} of {found.topic}"
    read = f"{where}, offsets {found.first_offset} to {found.last_offset}" if found.last_offset is not None else f"{where}, which is empty"
    return f"no message of {found.guid} in {read}; one that broke the contract would be in {topics.QUARANTINE}"


def _lines(found: Explanation) -> Iterator[Text]:
    many = f"{len(found.steps)} message{'s' * (len(found.steps) != 1)}"
    read = f"offsets {found.first_offset} to {found.last_offset} read"
    yield Text.assemble((found.guid, "bold"), f"  {many} in {found.topic}, partition {found.partition} ({read}); times are UTC")
    for step in found.steps:
        yield Text()
        yield from _of_step(found, step)
    yield Text()
    if found.summary is None:
        yield Text("Nothing of the call was folded: it is in no bin.", "bold")
        return
    yield Text.assemble(("The call now", "bold"), "  " + _summed_up(found.summary))
    for session in found.sessions:
        yield Text()
        yield from _of_session(session)


def _of_step(found: Explanation, step: Step) -> Iterator[Text]:
    seq = "" if step.seq is None else f" seq {step.seq}"
    yield Text.assemble(
        (f"{found.topic}/{found.partition}/{step.offset}", "bold"),
        f"  {step.kind}  {step.comp} {step.comp_id} {step.session}{seq}  ",
        (step.outcome, STYLES.get(step.outcome, "red")),
    )
    yield Text(f"  received {_time(step.receipt)}, happened {_time(step.ts)}; queue {step.queue}, message {step.message_id}", "dim")
    if step.first is not None:
        yield Text(f"  {'the same event' if step.outcome == 'duplicate' else 'the event that stays'} is at offset {step.first}")
    if step.detail:
        yield Text(f"  set aside in {topics.QUARANTINE}: {step.detail}")
    if step.changed:
        yield Text("  " + ", ".join(map(_changed, step.changed)))
    elif step.outcome == "added":
        yield Text("  a line of the event log" if step.kind == "call.event" else "  changes nothing of the session")
    yield from _of_bins(step.moved)


def _of_session(session: SessionNow) -> Iterator[Text]:
    record = session.record
    yield Text.assemble(
        (f"{record.comp} {record.comp_id} {record.session}", "bold"),
        f"  {session.messages} messages, {session.duplicates} duplicates, {session.conflicts} conflicts; counts in",
    )
    if not session.counts:
        yield Text("  no bin: its start is not known, and it has not ended")
    yield from _of_bins(session.counts)


def _of_bins(counted: Iterable[Counted]) -> Iterator[Text]:
    """Figures of the same bin and the same rows stand together, the rows below them."""
    groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    for figure in counted:
        groups.setdefault((figure.start, figure.dimensions), []).append(_figure(figure))
    for (start, dimensions), figures in groups.items():
        yield Text.assemble("  bin ", (f"{_minute(start)}  ", "cyan"), ", ".join(figures))
        yield Text("    in " + "  ".join(dimensions), "dim")


def _figure(counted: Counted) -> str:
    shown = f"{counted.n:+d} {counted.measure} {counted.label}"
    if counted.values:
        shown += f" ({', '.join(map(str, counted.values))} {UNITS[counted.measure]})"
    return shown if counted.at is None else f"{shown} from {_time(counted.at)[11:19]}"


def _changed(changed: Changed) -> str:
    new = _value(changed.field, changed.new)
    before = "" if changed.old in NOTHING_YET else f"{_value(changed.field, changed.old)} -> "
    return f"{changed.field}: {before}{new}"


def _value(field: str, value: object) -> str:
    """Short, as people write it."""
    if value is None:
        return "unknown"
    if isinstance(value, int) and field.endswith("_ts"):
        return _time(value)
    if isinstance(value, Actions):
        runs = " ".join(f"{run.action}={run.result or 'open'}" for run in value.runs) or "none"
        dropped = value.dropped_starts + value.dropped_ends
        shown = f"{runs} ({dropped} dropped)" if dropped else runs
    elif field == "tenant_path" and isinstance(value, tuple):
        shown = "/".join(map(str, value))
    elif isinstance(value, tuple):
        shown = " ".join(":".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value) or "none"
    elif isinstance(value, dict):
        shown = " ".join(f"{name}={inner}" for name, inner in value.items()) or "none"
    else:
        shown = str(value).lower() if isinstance(value, bool) else str(value) or '""'
    return shown if len(shown) <= WIDE else shown[: WIDE - 3] + "..."


def _summed_up(summary: CallSummary) -> str:
    names = [name for name in summary.__struct_fields__ if getattr(summary, name) is not None]
    return ", ".join(f"{name}: {_value(name, getattr(summary, name))}" for name in names)


def _time(ms: int) -> str:
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}"


def _minute(ms: int) -> str:
    return _time(ms)[:16]
