"""`rs doctor`: every part, and what to do about it."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline import settings


def doctor(
    database: Annotated[
        bool, typer.Option("--database", help="Prove instead that an empty database (sinks.database) can be the store.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="With --database: how long two writers work at the same time.", min=0.1)] = 20.0,
) -> None:
    """Look at every part: reachable, version, lag, and what to do. The exit code is 1 if something is wrong.

    rs doctor

    RS_KAFKA__BOOTSTRAP=kafka1:9092 rs doctor

    RS_SINKS__DATABASE=mssql://rs@db:1433/empty RS_SINKS__PASSWORD_FILE=/run/secrets/rs rs doctor --database --seconds 600
    """
    if database:
        _prove_database(seconds)
        return
    from pipeline.doctor import examine

    logging.disable(logging.CRITICAL)  # the clients' own complaints; the table says what they mean
    current = settings.load()
    findings = asyncio.run(examine(current))
    table = Table("", "part", "", "what to do", box=None, pad_edge=False)
    for found in findings:
        mark = "[red]✗[/]" if found.wrong else "[yellow]![/]" if found.mend else "[green]✓[/]"
        table.add_row(mark, found.part, found.said, found.mend)
    Console(highlight=False).print(table)
    wrong = sum(found.wrong for found in findings)
    if wrong:
        typer.echo(f"\n{wrong} of {len(findings)} are wrong")
        raise typer.Exit(1)
    typer.echo("\nall is well")


def _prove_database(seconds: float) -> None:
    from sinks.databases import dialect_of
    from sinks.sql.proof import prove

    wrong = 0
    for step in prove(dialect_of(settings.load()), seconds):
        wrong += bool(step.fault)
        Console(highlight=False, soft_wrap=True).print(
            f"{'[red]✗[/]' if step.fault else '[green]✓[/]'} {step.name}: {step.fault or step.said}"
        )
    if wrong:
        raise typer.Exit(1)
