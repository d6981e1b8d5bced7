"""`rs init`: the Config Server's application object, the topics, and the schema of the store."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from pipeline import configserver, settings
from pipeline.configserver import preparing
from pipeline.configserver.errors import Away


class Part(StrEnum):
    config = "config"
    topics = "topics"
    database = "database"


def init(
    database: Annotated[bool, typer.Option("--database", help="Bring the store (sinks.database) to this program's schema, too.")] = False,
    only: Annotated[Part | None, typer.Option("--only", help="Do nothing but this.")] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Make the simulator's tenants and components in the Config Server.")
    ] = False,
) -> None:
    """Create the application object in the Config Server, with every option described, and the Kafka topics; or check those that exist.

    What is there stays as it is: what an operator has set, and topics. Harmless when repeated, also several times at once.

    rs init

    RS_CONFIG__SERVER=etcd://config:8888 RS_KAFKA__BOOTSTRAP=kafka1:9092,kafka2:9092 RS_KAFKA__REPLICATION=3 rs init --database

    RS_SINKS__DATABASE=mssql://owner@db:1433/reporting RS_SINKS__PASSWORD_FILE=/run/secrets/owner rs init --only database
    """
    base = settings.read()
    wanted = {only} if only else {Part.config, Part.topics, *([Part.database] if database else [])}
    if Part.config in wanted:
        _init_config(base, simulated=simulated)
    current = configserver.begin(base)
    well = [
        _init_topics(current) if Part.topics in wanted else True,
        _init_database(current) if Part.database in wanted else True,
    ]
    if not all(well):
        raise typer.Exit(1)


def _init_config(base: settings.Settings, *, simulated: bool) -> None:
    try:
        said = asyncio.run(preparing.prepare(base, preparing.simulated() if simulated else None))
    except Away as exc:  # whatever else there is to do depends on what it says
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None
    typer.echo(said or "no Config Server: config.server is none")


def _init_topics(current: settings.Settings) -> bool:
    from pipeline.init import InitError, create_topics

    try:
        outcome = asyncio.run(create_topics(current))
    except InitError as exc:
        typer.echo(str(exc), err=True)
        return False
    typer.echo(f"{len(outcome.created)} topics created, {len(outcome.existing)} there already")
    return True


def _init_database(current: settings.Settings) -> bool:
    from sinks.databases import dialect_of
    from sinks.sql.errors import Fatal, Poison, Transient
    from sinks.sql.migrate import migrate, scripts

    dialect = dialect_of(current)
    try:
        applied = migrate(dialect)
    except (Fatal, Poison, Transient) as error:
        typer.echo(str(error), err=True)
        return False
    typer.echo(f"{len(applied)} schema scripts applied, {len(scripts(dialect)) - len(applied)} were there already")
    return True
