"""`rs simulate`: made-up traffic, by the clock or as a file."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pipeline import settings
from pipeline.cli.posting import fail, failures_in_one_line, queue_of
from pipeline.posting import Poster
from pipeline.simulator import files, live
from pipeline.simulator.traffic import Traffic, scenario


def simulate(
    rate: Annotated[float | None, typer.Option(help="calls a second; default: stack.rate", min=0.001, max=10_000)] = None,
    seconds: Annotated[float | None, typer.Option(help="stop after so many seconds; default: at Ctrl-C", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="of the random numbers; default: another one each time")] = None,
    queue: Annotated[
        str | None, typer.Option(help="queue to post to, such as rs.billing.{comp}; default: the first of activemq.queues")
    ] = None,
    no_end: Annotated[bool, typer.Option("--no-end", help="leave the calls in progress open at the end")] = False,
    out: Annotated[
        Path | None, typer.Option(help="write the events of --calls calls to this NDJSON file, post nothing", metavar="FILE.ndjson")
    ] = None,
    calls: Annotated[int, typer.Option(help="with --out: how many calls", min=1)] = 1000,
    start: Annotated[str | None, typer.Option(help="with --out: when the first arrives, ISO 8601 or ms; default: now")] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="with --out: in random order")] = False,
    double: Annotated[bool, typer.Option("--double", help="with --out: every event twice")] = False,
) -> None:
    """Post the messages of made-up calls: two Resource Managers, four Media Control Platforms, a Call Control Platform.

    Calls arrive at random and go through the dialogs of seven IVR profiles; some are rejected, given up, transferred or outbound.
    Ctrl-C ends the calls in progress and then the command.

        rs simulate --rate 2

        rs simulate --rate 200 --seconds 60

        rs simulate --queue 'rs.billing.{comp}'

        rs simulate --out calls.ndjson --calls 500 --start 2026-03-02T08:00:00Z --seed 7 --shuffle --double
    """
    current = settings.load()
    rate = rate if rate is not None else current.stack.rate
    seed = seed if seed is not None else random.SystemRandom().getrandbits(32)
    if out is not None:
        _write(out, rate, seed, _time(start), calls, shuffle=shuffle, double=double)
        return
    if start is not None or shuffle or double:
        fail("--start, --shuffle and --double are for a file: name one with --out")
    stop = threading.Event()
    with (
        failures_in_one_line(),
        _until_told(stop),
        Poster(current.activemq, queue_of(current.activemq, queue), patience_s=None, stop=stop, tell=_tell) as poster,
    ):
        typer.echo(f"simulating {rate:g} calls a second to {poster.queue} (seed {seed})")
        traffic = Traffic(rate, seed, round(time.time() * 1000))
        tally = live.run(traffic, poster, stop, queue=poster.queue, seconds=seconds, end_calls=not no_end)
    typer.echo(f"simulated {tally.calls:,} calls: {tally.events:,} events in {tally.messages:,} messages, all confirmed")


def _tell(text: str) -> None:
    typer.echo(f"rs: {text}", err=True)


def _write(out: Path, rate: float, seed: int, start: int, calls: int, *, shuffle: bool, double: bool) -> None:
    encoded = files.lines(scenario(rate, seed, start, calls), seed, shuffle=shuffle, double=double)
    try:
        files.write(out, encoded)
    except OSError as exc:
        fail(f"{out} cannot be written: {exc.strerror}")
    typer.echo(f"{out}: {len(encoded):,} events of {calls:,} calls (seed {seed})")


def _time(given: str | None) -> int:
    """ms since 1970; a time without zone is UTC."""
    if given is None:
        return round(time.time() * 1000)
    if given.isdigit():
        return int(given)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        fail(f"--start {given} is no time: write it like 2026-03-02T08:00:00Z, or as milliseconds since 1970")
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@contextmanager
def _until_told(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`; a second one takes its usual effect."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for number, action in usual.items():
            signal.signal(number, action)

    for number in usual:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number, action in usual.items():
            signal.signal(number, action)
