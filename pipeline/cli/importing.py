"""`rs import`: records of other systems."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from pipeline import settings
from pipeline.cli.posting import INTERRUPTED, fail, failures_in_one_line, progress, queue_of
from pipeline.imports import ivr_csv, stream_time
from pipeline.messages.types import Event
from pipeline.posting import Poster
from pipeline.reading import StuckError

BATCH = 100  # events a message
ADVICE = "History is imported into a log of its own: rs up --no-simulator --data DIR with fold.lateness 0"

import_app = typer.Typer(no_args_is_help=True, help="Post records of other systems as billing messages.")


@import_app.callback()
def _import() -> None:
    """Post records of other systems as billing messages. Importing the same records again changes nothing."""


@import_app.command("ivr-csv")
def ivr(
    file: Annotated[Path, typer.Argument(help="calls of voice response units, CSV, plain or .gz", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and count, post nothing")] = False,
    queue: Annotated[str | None, typer.Option(help="queue to post to; default: the first of activemq.queues")] = None,
) -> None:
    """Import calls of a bank's voice response units, one row of CSV each (docs/import.md has the mapping).

    Rows that contradict themselves are left out and counted by reason. Events are posted in order of time, a hundred a message.

        RS_FOLD__LATENESS=0 rs up --no-simulator --data history

        RS_FOLD__LATENESS=0 rs import ivr-csv tests/data/ivr-calls-2010-08a.csv.gz

        rs import ivr-csv tests/data/ivr-calls-2010-08a.csv.gz --dry-run
    """
    current = settings.load()
    contents = _read(file)
    if not dry_run:
        _refuse_what_would_be_late(current, contents)
    posted = _messages(contents.events) if dry_run else _post(current, queue, contents.events)
    Console().print(_counts(contents, posted, dry_run=dry_run))


def _read(file: Path) -> ivr_csv.Contents:
    try:
        return ivr_csv.read(file)
    except OSError as exc:
        fail(f"{file} cannot be read: {exc.strerror}")
    except ivr_csv.WrongFileError as exc:
        fail(str(exc))


def _refuse_what_would_be_late(current: settings.Settings, contents: ivr_csv.Contents) -> None:
    lateness_s = current.fold.lateness
    if lateness_s == 0 or not contents.events:
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        newest = asyncio.run(stream_time.newest(current.kafka.bootstrap))
    except (KafkaError, OSError, StuckError) as exc:
        advice = "start it (rs up) or correct kafka.bootstrap"
        fail(f"Kafka at {current.kafka.bootstrap} cannot be asked how far the log has come ({exc}): {advice}")
    first = contents.events[0].ts
    if newest is not None and newest - first > lateness_s * 1000:
        fail(f"the log has come to {_day(newest)}, and the file begins at {_day(first)}: its events would be late. {ADVICE}")


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _messages(events: list[Event]) -> int:
    return -(-len(events) // BATCH)


def _bodies(events: list[Event]) -> Iterator[tuple[int, bytes]]:
    """Message bodies, each with the number of events up to its end."""
    encode = msgspec.json.Encoder().encode
    for start in range(0, len(events), BATCH):
        batch = events[start : start + BATCH]
        yield start + len(batch), encode(batch)


def _post(current: settings.Settings, queue: str | None, events: list[Event]) -> int:
    """Messages the broker has confirmed: all."""
    began = time.monotonic()
    name = queue_of(current.activemq, queue)
    with failures_in_one_line(), Poster(current.activemq, name, every=50, window=200) as poster, progress(counts=True) as bar:
        task = bar.add_task("events", total=len(events))
        try:
            for done, body in _bodies(events):
                poster.post(body)
                bar.update(task, completed=done)
            poster.flush()
        except KeyboardInterrupt:
            typer.echo(f"interrupted after {poster.confirmed:,} messages: import again, what is repeated does no harm", err=True)
            raise typer.Exit(INTERRUPTED) from None
    took_s = max(time.monotonic() - began, 0.001)
    typer.echo(f"posted to {poster.queue} and confirmed: {len(events) / took_s:,.0f} events a second")
    return poster.confirmed


def _counts(contents: ivr_csv.Contents, messages: int, *, dry_run: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("rows", f"{contents.rows:,}")
    table.add_row("calls", f"{contents.calls:,}")
    table.add_row("sessions", f"{contents.sessions:,}")
    table.add_row("events", f"{len(contents.events):,}")
    table.add_row("messages to post" if dry_run else "messages confirmed", f"{messages:,}")
    for reason in ("vru_back", "queue_back", "service_back"):
        table.add_row(f"left out: {reason}", f"{contents.left_out[reason]:,}")
    return table
