"""`rs doctor`: every part, and what to do about it."""

from __future__ import annotations

import asyncio
import logging

import typer
from rich.console import Console
from rich.table import Table

from pipeline import settings


def doctor() -> None:
    """Look at every part: reachable, version, lag, and what to do. The exit code is 1 if something is wrong.

    rs doctor

    RS_KAFKA__BOOTSTRAP=kafka1:9092 rs doctor
    """
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
