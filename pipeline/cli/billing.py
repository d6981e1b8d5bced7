"""`rs billing`: statements by hand."""

from __future__ import annotations

import asyncio
import getpass
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from zoneinfo import ZoneInfo

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from pipeline import settings, topics

billing_app = typer.Typer(
    no_args_is_help=True,
    help="Close months, adjust closed ones, show statements.\n\nrs billing close 2026-10\n\nrs billing show 102 2026-10",
)
KAFKA_S = 5.0
COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"))

Month = Annotated[str, typer.Argument(help="such as 2026-10", metavar="MONTH")]


@contextmanager
def _faults() -> Iterator[None]:
    """What a store or its reader says against it, in one line."""
    from reports.exceptions import StoreUnavailable
    from sinks.sql.errors import Fatal, Poison, Transient
    from sinks.statements import NotClosable

    try:
        yield
    except (Fatal, Poison, Transient, NotClosable) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except StoreUnavailable as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(1) from None
    except ValueError as error:
        typer.echo(f"no month: {error}; write it as 2026-10", err=True)
        raise typer.Exit(2) from None


def _topic(current: settings.Settings) -> str:
    """Name of the log that the store is filled from."""
    from aiokafka.errors import KafkaError

    from pipeline import generations

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says is said in one line below
    try:
        return asyncio.run(asyncio.wait_for(generations.read(current.kafka.bootstrap), KAFKA_S)).live.billing
    except (KafkaError, TimeoutError, OSError):
        typer.echo(
            f"note: Kafka does not answer at {current.kafka.bootstrap}: positions of messages are given as of {topics.BILLING}", err=True
        )
        return topics.BILLING


@billing_app.command("close")
def close(
    month: Month,
    reason: Annotated[str, typer.Option(help="why, if it is closed before billing.close_after has passed")] = "",
    force: Annotated[bool, typer.Option("--force", help="close it before its time; needs --reason")] = False,
    by: Annotated[str, typer.Option(help="who closes it")] = "",
) -> None:
    """Freeze the statements of all tenants for a month, with copies of their sessions. Stopped half way, call it again.

    rs billing close 2026-10
    """
    from sinks.adjusting import terms_of, wall_clock
    from sinks.databases import dialect_of
    from sinks.statements import Closed, Statements

    if force and not reason:
        typer.echo("--force needs --reason", err=True)
        raise typer.Exit(2)
    current = settings.load()
    who = by or getpass.getuser()
    with _faults(), Progress(*COLUMNS, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(month)
        closing = Statements(dialect_of(current), terms_of(current, _topic(current)), wall_clock).close(
            month, who, reason if force else None
        )
        told: Closed
        while True:
            try:
                progress.update(task, description=next(closing))
            except StopIteration as done:
                told = done.value
                break
    state = "was closed before" if told.already else "is closed"
    typer.echo(f"{told.month.name} {state}: {told.tenants:,} statements, {told.sessions:,} sessions kept with it")


@billing_app.command("adjust")
def adjust() -> None:
    """Look for sessions that changed after their month was closed. The sinks worker does it every billing.adjust_interval."""
    from sinks.adjusting import terms_of, wall_clock
    from sinks.databases import dialect_of
    from sinks.statements import Statements

    current = settings.load()
    found: dict[str, int] = {}
    with _faults():
        for month, n in Statements(dialect_of(current), terms_of(current, _topic(current)), wall_clock).adjust():
            found[month] = found.get(month, 0) + n
    typer.echo(", ".join(f"{month}: {n:,} changed sessions" for month, n in found.items()) or "nothing has changed")


@billing_app.command("list")
def list_months() -> None:
    """The closed months."""
    from reports.formats import instant
    from reports.queries import statements as queries
    from reports.store import store_of

    current = settings.load()
    zone = ZoneInfo(current.reports.time_zone)
    with _faults(), store_of(current).reading() as reading:
        months = queries.months(reading)
    table = Table("Month", "State", "Closed", "By", "Reason", "Rounding", "Zone", "Figures up to")
    for one in months:
        table.add_row(
            one.month.name, one.state, instant(one.closed_at, zone) or "", one.closed_by, one.reason or "", one.rounding, one.zone,
            instant(one.folded_to, zone) or "",
        )  # fmt: skip
    Console().print(table if months else "no month is closed")


@billing_app.command("show")
def show(
    tenant: Annotated[int, typer.Argument(help="DBID of the tenant", metavar="TENANT")],
    month: Month,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """A statement: frozen if the month is closed, else computed from the stored sessions."""
    _show(tenant, month, as_json=as_json, only_adjustments=False)


@billing_app.command("adjustments")
def adjustments(
    tenant: Annotated[int, typer.Argument(help="DBID of the tenant", metavar="TENANT")],
    month: Month,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What changed in a statement after its month was closed."""
    _show(tenant, month, as_json=as_json, only_adjustments=True)


def _show(tenant: int, name: str, *, as_json: bool, only_adjustments: bool) -> None:
    from reports import statements
    from reports.billing.ledger import COUNTED
    from reports.formats import moment
    from reports.queries import statements as queries
    from reports.store import store_of

    current = settings.load()
    zone = ZoneInfo(current.reports.time_zone)
    with _faults(), store_of(current).reading() as reading:
        found = queries.statement(reading, tenant, name, zone, current.billing.rounding, None)
    told = statements.as_json(found, zone)
    if as_json:
        typer.echo(orjson.dumps(told["adjustments"] if only_adjustments else told, option=orjson.OPT_INDENT_2).decode())
        return
    titles = [figure.replace("_", " ") for figure in COUNTED]
    console = Console()
    if not only_adjustments:
        table = Table("Profile", *titles, "peak at", title=f"Tenant {tenant}, {name}: {found.state}")
        for line in found.lines:
            table.add_row(
                statements.label(line.name, line.shown),
                *(f"{getattr(line.figures, f):,}" for f in COUNTED),
                moment(line.figures.peak_at, zone),
            )
        console.print(table)
    table = Table("Date", "Profile", "Session", *titles, title="Adjustments")
    for one in found.adjustments:
        cells = (f"{one.figures[f]:+,}" if one.figures[f] else "" for f in COUNTED)
        table.add_row(moment(one.receipt, zone), statements.label(one.line, None), f"{one.guid} {one.session}", *cells)
    console.print(table if found.adjustments else "no adjustments")
