"""`rs rebuild`: the log folded anew, compared with what is stored, and put in its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

from pipeline import configserver, settings
from pipeline.cli.posting import INTERRUPTED, fail, progress
from pipeline.cli.up import assigned
from pipeline.generations import KafkaAway
from pipeline.init import InitError
from pipeline.local.part import StackFault
from pipeline.reading import StuckError
from pipeline.rebuild.log import Log
from pipeline.rebuild.reach import COPIED, FOLDED, MERGED, STORED, Advance, Stalled
from pipeline.rebuild.steps import Rebuild, RebuildFault
from sinks.sql.compare import Differences
from sinks.sql.coverage import Coverage
from sinks.sql.errors import Fatal
from sinks.sql.rows import Cell

BARS = {COPIED: "records copied", FOLDED: "events folded", MERGED: "bins merged", STORED: "rows stored"}
WIDE = 60  # characters of a value
FAULTS = (RebuildFault, InitError, StackFault, Stalled, StuckError, KafkaAway, Fatal)


class Options(NamedTuple):
    yes: bool
    compare_only: bool
    keep_old: bool
    partitions: int | None


def rebuild(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Swap without asking.")] = False,
    compare_only: Annotated[bool, typer.Option("--compare-only", help="Show the differences and drop the new rows again.")] = False,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep the topics of the old generation until the next rebuild.")] = False,
    partitions: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Copy the log into one with so many partitions, and go on with that.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the stack (stack.data).")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting, see rs config.")] = None,
) -> None:
    """Fold the whole log anew beside what runs, compare the rows with those stored, and put them in their place.

    Late events are counted then, and a change of a fold, of the time zone or of bucket edges reaches the past. The workers go on
    meanwhile, and start again on the new rows after the swap. Give it the settings that the stack has.

    With --partitions the log itself is copied: bridge, agents and sinks work on the copy after the swap. The old log takes no more
    records then and stays as it is, until you delete its topic.

        rs rebuild

        rs rebuild --compare-only

        rs rebuild --partitions 16

        rs rebuild --yes --data /tmp/august --set fold.lateness=0
    """
    current = configserver.begin(settings.read(**assigned(given or [], {"stack": {"data": data}} if data is not None else {})))
    if not (yes or compare_only or sys.stdin.isatty()):
        fail("nobody can be asked before the swap: call it from a terminal, or with --yes or --compare-only")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        code = asyncio.run(_rebuild(current, Options(yes, compare_only, keep_old, partitions), Console(highlight=False, soft_wrap=True)))
    except FAULTS as exc:
        fail(str(exc))
    except (KafkaError, OSError) as exc:
        fail(f"Kafka at {current.kafka.bootstrap} does not answer as it should ({exc!r}): look at its log, then rs rebuild again")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(code)


async def _rebuild(current: settings.Settings, options: Options, console: Console) -> int:
    def say(line: str) -> None:
        console.print(line, markup=False)

    begun = time.monotonic()
    async with Log(current.kafka.bootstrap) as log:
        work = Rebuild(current, log, say, options.partitions)
        await work.prepare()
        old_log = work.old.billing
        events = sum((await log.ends([old_log])).values()) - sum((await log.firsts([old_log])).values())
        say(f"generation {work.new.number} beside {work.old.number}: {events:,} events; logs of its workers: {work.logs}")
        if not work.live_runs:
            say("the live workers do not run: compared with what they have stored")
        swapped = False
        try:
            async with contextlib.AsyncExitStack() as running:
                with _bars(copied=options.partitions is not None) as advance:
                    await running.enter_async_context(work.copying(advance))
                    await running.enter_async_context(work.workers())
                    await work.build(advance)
                took_s = time.monotonic() - begun
                say(f"folded, merged and stored in {took_s:.0f} s: {events / took_s:,.0f} events a second")
                with console.status("comparing") as status:
                    found = await work.compare(lambda table: status.update(f"comparing {table}"))
                for line in _report(found, work.coverage):
                    console.print(line)
                if options.compare_only:
                    return 1 if any(table.total for table in found) else 0
                if not (options.yes or await _confirmed(console)):
                    return 1
                swap_began = time.monotonic()
                rows = await work.swap()
                swapped, swap_s = True, time.monotonic() - swap_began
                if options.partitions is not None:
                    with console.status(f"copying the last of {old_log}"):
                        copied = await work.complete_copy()
                    say(f"{work.new.billing} has all {copied:,} records of {old_log}, which is kept and takes no more")
            say(f"swapped in {swap_s:.1f} s: {sum(rows.values()):,} rows are those of generation {work.new.number}")
        finally:
            if not swapped and await work.drop_new():
                say(f"generation {work.new.number} is dropped; the live rows are as they were")
            elif not swapped:
                say(f"the store has the rows of generation {work.new.number}: the workers of the sinks make it current, if they run")
        await _finish(work, options, console)
    return 0


async def _confirmed(console: Console) -> bool:
    """A question that leaves the loop running: the workers are looked after meanwhile, and Ctrl-C works."""
    console.print("Put the new rows in place of the live ones? \\[y/N]: ", end="")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def take() -> None:
        if not answer.done():
            answer.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, take)
    try:
        return (await answer).strip().lower() in ("y", "yes")
    finally:
        loop.remove_reader(sys.stdin)


async def _finish(work: Rebuild, options: Options, console: Console) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False)

    old, new = work.old.number, work.new.number
    if not work.live_runs:
        say(f"start the workers (rs up): they work on generation {new}; the next rebuild drops what generation {old} leaves")
        return
    with console.status("waiting for the live workers to start again"):
        taken = await work.taken_over()
    if not taken:
        say(f"the live workers have not started on generation {new} yet: see their logs; the next rebuild drops what {old} leaves")
    elif options.keep_old:
        say(f"the live workers are on generation {new}; the topics of {old} stay until the next rebuild")
    else:
        await work.drop_old()
        say(f"the live workers are on generation {new}; what only {old} used is dropped")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextlib.contextmanager
def _bars(*, copied: bool) -> Iterator[Advance]:
    with progress(_Speed(), counts=True) as bar:
        tasks = {stretch: bar.add_task(name, total=None) for stretch, name in BARS.items() if copied or stretch != COPIED}

        def advance(stretch: str, done: int, total: int) -> None:
            bar.update(tasks[stretch], completed=done, total=total)

        yield advance


def _report(found: Iterable[Differences], covered: Coverage) -> Iterator[Text]:
    found = list(found)
    differ = sum(table.total for table in found)
    yield Text(
        f"{differ:,} difference{'s' * (differ != 1)} in {sum(table.rows for table in found):,} rows",
        "bold" if not differ else "bold yellow",
    )
    yield from _reach(covered)
    for table in found:
        if line := _summary(table):
            yield Text.assemble((table.table, "bold"), f": {line}")
        for key, columns, what in table.first:
            yield Text(f"  {', '.join(f'{name} {_shown(cell)}' for name, cell in key.items())}: {what}", "dim")
            for name, (old, new) in (columns or {}).items():
                yield Text(f"    {name}: {' -> '.join(_change(old, new))}")
        if (more := table.total - len(table.first)) > 0 and table.first:
            yield Text(f"  and {more:,} more", "dim")


def _reach(covered: Coverage) -> Iterator[Text]:
    if covered.is_whole:
        return
    if covered.bins_from is None:
        yield Text("The log does not reach back to the start of calls that are still in progress: all bins stay as they are.", "yellow")
    else:
        since = f"{datetime.fromtimestamp(covered.bins_from / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        yield Text(f"The log reaches back to {since}: bins that begin before it stay as they are, and count no further calls.", "yellow")
    yield Text(f"{len(covered.calls):,} calls that began before the log stay as they are.", "yellow")


def _summary(table: Differences) -> str:
    parts = []
    if table.differ:
        columns = ", ".join(f"{name} {n:,}" for name, n in table.columns.most_common())
        parts.append(f"{table.differ:,} differ ({columns})")
    for n, said in (
        (table.only_old, "only live"),
        (table.only_new, "only new"),
        (table.more, "more, not looked at one by one"),
        (table.stale, "with least and greatest values that corrections had left behind (rule X7), no difference"),
        (table.moving, "changed while they were compared, no difference"),
    ):
        if n:
            parts.append(f"{n:,} {said}")
    return "; ".join(parts)


def _change(old: Cell, new: Cell) -> tuple[str, str]:
    """Of two JSON objects only what differs."""
    before, after = _parsed(old), _parsed(new)
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        return _json({n: before[n] for n in sorted(names) if n in before}), _json({n: after[n] for n in sorted(names) if n in after})
    return _shown(old), _shown(new)


def _parsed(cell: Cell) -> object:
    if isinstance(cell, str) and cell.startswith("{"):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(cell)
    return cell


def _json(value: object) -> str:
    return _cut(orjson.dumps(value).decode())


def _shown(cell: Cell) -> str:
    return _cut("none" if cell is None else str(cell) or '""')


def _cut(text: str) -> str:
    return text if len(text) <= WIDE else text[: WIDE - 3] + "..."
