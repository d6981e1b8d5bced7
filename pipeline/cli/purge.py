"""`rs purge`: retention by hand."""

from __future__ import annotations

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from pipeline import settings


def purge() -> None:
    """Remove from the store what is older than retention allows. Harmless beside a running sink, and when stopped: it goes on where it was.

    rs purge

    RS_RETENTION__DAY=400 RS_RETENTION__INTERVAL=0 rs purge
    """
    from sinks.databases import dialect_of
    from sinks.sql.errors import Fatal, Poison, Transient
    from sinks.sql.retention import Keep, Purge

    current = settings.load()
    keep = Keep.of(current)
    if keep is None:
        typer.echo("nothing is removed: fold.lateness is 0, so everything may still change")
        return
    rows: dict[str, int] = {}
    try:
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), transient=True) as progress:
            task = progress.add_task("looking")
            for removed in Purge(dialect_of(current), keep).run():
                rows[removed.kind] = rows.get(removed.kind, 0) + removed.rows
                progress.update(task, description=told(rows))
    except (Fatal, Poison, Transient) as error:
        typer.echo(f"{error}; removed before that: {told(rows)}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"removed: {told(rows)}")


def told(rows: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {kind}" for kind, n in rows.items()) or "nothing"
