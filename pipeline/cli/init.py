"""`rs init`: the topics, or the schema of the store."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from pipeline import settings


def init(
    database: Annotated[
        bool, typer.Option("--database", help="Bring the store (sinks.database) to this program's schema instead.")
    ] = False,
) -> None:
    """Create the Kafka topics with kafka.partitions partitions, or check those that exist. Harmless when repeated.

    rs init

    RS_KAFKA__BOOTSTRAP=kafka1:9092,kafka2:9092 RS_KAFKA__REPLICATION=3 rs init

    RS_SINKS__DATABASE=mssql://owner@db:1433/reporting RS_SINKS__PASSWORD_FILE=/run/secrets/owner rs init --database
    """
    from pipeline.init import InitError, create_topics

    current = settings.load()
    if database:
        _init_database(current)
        return
    try:
        outcome = asyncio.run(create_topics(current))
    except InitError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(outcome.created)} topics created, {len(outcome.existing)} there already")


def _init_database(current: settings.Settings) -> None:
    from sinks.databases import dialect_of
    from sinks.sql.errors import Fatal, Poison, Transient
    from sinks.sql.migrate import migrate, scripts

    dialect = dialect_of(current)
    try:
        applied = migrate(dialect)
    except (Fatal, Poison, Transient) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(applied)} schema scripts applied, {len(scripts(dialect)) - len(applied)} were there already")
