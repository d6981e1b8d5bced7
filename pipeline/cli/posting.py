"""What the commands that post have in common: which queue, and how a failure is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pipeline.posting import PostingError
from pipeline.settings import ActiveMQ

INTERRUPTED = 130


def fail(message: str) -> NoReturn:
    """One line to stderr, and exit code 1."""
    typer.echo(f"rs: {message}", err=True)
    raise typer.Exit(1)


def queue_of(settings: ActiveMQ, given: str | None) -> str:
    """The queue to post to: the one given, or the first of activemq.queues."""
    queue = given or settings.queues[0]
    if any(mark in queue for mark in "*>,"):
        fail(f"queue {queue} has a wildcard, which can be read but not posted to: name one with --queue")
    return queue


@contextmanager
def failures_in_one_line() -> Iterator[None]:
    """Posting may fail inside: the failure becomes one line and exit code 1. The library's own lines are silenced."""
    logging.getLogger("stomp.py").setLevel(logging.CRITICAL)
    try:
        yield
    except PostingError as exc:
        fail(str(exc))


def progress(*more: ProgressColumn, counts: bool = False) -> Progress:
    """A progress bar on stderr: stdout belongs to the command's answer."""
    console = Console(stderr=True)
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()]
    if counts:
        columns.append(MofNCompleteColumn())
    return Progress(*columns, *more, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
