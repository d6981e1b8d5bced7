"""`rs send`: the lines of a file as messages."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import DownloadColumn

from pipeline import settings
from pipeline.cli.posting import INTERRUPTED, fail, failures_in_one_line, progress, queue_of
from pipeline.posting import Poster


def send(
    file: Annotated[str, typer.Argument(help="NDJSON: one message a line; - for standard input", metavar="FILE.ndjson")],
    queue: Annotated[str | None, typer.Option(help="queue to post to; default: the first of activemq.queues")] = None,
    rate: Annotated[float | None, typer.Option(help="messages a second; default: as fast as the broker confirms", min=0.001)] = None,
) -> None:
    """Post each line of a file to ActiveMQ as it stands.

    A line is one message: an event, an array of events, or anything else, which the bridge then puts aside. Blank lines are skipped.
    The number given at the end is of messages that the broker has confirmed.

        rs send calls.ndjson

        rs send calls.ndjson --rate 50

        jq -c .[] calls.json | rs send -
    """
    current = settings.load().activemq
    source, size = _opened(file)
    with failures_in_one_line(), source, Poster(current, queue_of(current, queue)) as poster, progress(DownloadColumn()) as bar:
        task = bar.add_task("posting", total=size)
        began = time.monotonic()
        try:
            for body, end in _lines(source):
                poster.post(body)
                bar.update(task, completed=end)
                if rate is not None:
                    _hold_back(poster, began, rate)
            poster.flush()
        except KeyboardInterrupt:
            typer.echo(f"interrupted: the broker has confirmed {poster.confirmed:,} of {poster.posted:,} messages", err=True)
            raise typer.Exit(INTERRUPTED) from None
    took_s = max(time.monotonic() - began, 0.001)
    typer.echo(f"{poster.confirmed:,} messages posted to {poster.queue}, all confirmed ({poster.confirmed / took_s:,.0f} a second)")


def _opened(file: str) -> tuple[BinaryIO, int | None]:
    """The file and its size in bytes, where it is known."""
    if file == "-":
        return sys.stdin.buffer, None
    try:
        return Path(file).open("rb"), Path(file).stat().st_size
    except OSError as exc:
        fail(f"{file} cannot be read: {exc.strerror}")


def _lines(source: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line that is not blank, without its end, and the bytes read up to there."""
    end = 0
    for line in source:
        end += len(line)
        body = line.rstrip(b"\r\n")
        if body.strip():
            yield body, end


def _hold_back(poster: Poster, began: float, rate: float) -> None:
    pause_s = began + poster.posted / rate - time.monotonic()
    if pause_s > 0:
        poster.flush()
        time.sleep(pause_s)
