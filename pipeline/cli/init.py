"""`rs init`: the topics."""

from __future__ import annotations

import asyncio

import typer

from pipeline import settings


def init() -> None:
    """Create the Kafka topics with kafka.partitions partitions, or check those that exist. Harmless when repeated.

    rs init

    RS_KAFKA__BOOTSTRAP=kafka1:9092,kafka2:9092 RS_KAFKA__REPLICATION=3 rs init
    """
    from pipeline.init import InitError, create_topics

    current = settings.load()
    try:
        outcome = asyncio.run(create_topics(current))
    except InitError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(outcome.created)} topics created, {len(outcome.existing)} there already")
