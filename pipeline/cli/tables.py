"""`rs tables` and `rs table`: topic tables, read from their changelogs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.json import JSON
from rich.table import Table

from pipeline import inspect, settings
from pipeline.cli.posting import fail, progress
from pipeline.reading import StuckError
from pipeline.runtime.errors import ForeignChangelog

Found = TypeVar("Found")
LONG = 20_000  # records: below, a progress bar would only flicker


def tables(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a table")] = False) -> None:
    """List the topic tables: what stands in their changelogs, with no worker needed.

    Keys and bytes are those of the values that stand; records are all in the topic, the superseded ones included. The mark is the
    position in the source topic that a value is complete up to.

        rs tables

        rs table calls --limit 5
    """
    bootstrap = settings.load().kafka.bootstrap
    shown = Table("table", box=None, pad_edge=False)
    for title in ("partitions", "records", "keys", "bytes", "highest mark"):
        shown.add_column(title, justify="right")
    for name in _asked(inspect.existing_tables(bootstrap), bootstrap):
        with _reading(name) as advance:
            found = _asked(inspect.summary(bootstrap, name, advance), bootstrap)
        if as_json:
            typer.echo(msgspec.json.encode(found))
        mark = "" if found.highest_mark is None else f"{found.highest_mark:,}"
        numbers = (found.partitions, found.records, found.keys, found.bytes)
        shown.add_row(name, *(f"{n:,}" for n in numbers), mark)
    if as_json:
        return
    if not shown.row_count:
        fail(f"Kafka at {bootstrap} has no changelog topic of the agents: create them with rs init")
    Console().print(shown)


def table(
    name: Annotated[str, typer.Argument(help="calls, activity, parts or tenants", metavar="NAME")],
    key: Annotated[str | None, typer.Argument(help="only this key, or with a * at its end those that begin so", metavar="[KEY]")] = None,
    partition: Annotated[int | None, typer.Option(help="only this partition", min=0)] = None,
    limit: Annotated[int, typer.Option(help="rows shown at most; 0: all", min=0)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a row, as NDJSON")] = False,
) -> None:
    """Show a topic table, or one key of it, as its changelog has it: of each key the value with the highest mark.

    The key of a call is its guid, in upper or lower case.

        rs table calls 0f8a6c1e-2b7d-4e55-9c3a-5d1e77ab0c42

        rs table tenants 'RM|tenant|102@HOUR/*' --limit 5

        rs table activity --partition 3 --json | jq .figures
    """
    bootstrap = settings.load().kafka.bootstrap
    with _reading(name) as advance:
        rows = _asked(inspect.rows(bootstrap, name, key=key, partition=partition, progress=advance), bootstrap)
    if key is not None and not rows:
        fail(f"table {name} has no row {key}: rs table {name} shows what is there")
    for row in rows[: limit or None]:
        try:
            value = msgspec.json.encode(inspect.readable(name, row)).decode()
        except msgspec.MsgspecError as exc:
            fail(f"table {name}, partition {row.partition}, offset {row.offset}: no value of this table ({exc}); which program wrote it?")
        if as_json:
            typer.echo(value)
        else:
            Console().print(JSON(value))
    if limit and len(rows) > limit:
        typer.echo(f"{limit} of {len(rows):,} rows; --limit shows more", err=True)


def _asked(question: Coroutine[None, None, Found], bootstrap: str) -> Found:
    """The answer of Kafka; a failure becomes one line."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(question)
    except (inspect.NoSuchTableError, StuckError, ForeignChangelog) as exc:
        fail(str(exc))
    except (KafkaError, OSError) as exc:
        fail(f"Kafka at {bootstrap} cannot be read ({exc}): start it (rs up) or correct kafka.bootstrap")


@contextmanager
def _reading(name: str) -> Iterator[Callable[[int, int], None]]:
    with progress(counts=True) as bar:
        task = bar.add_task(name, total=None, visible=False)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total >= LONG)

        yield advance
