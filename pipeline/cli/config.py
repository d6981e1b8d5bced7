"""`rs config`: every setting with its value, where it comes from, and its meaning; what is wrong with them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from pipeline import configserver, settings
from pipeline.settings import WrongSettings, shown

ANSWER_S = 1.0
FROM_SERVER = "Config Server"

config = typer.Typer(invoke_without_command=True)


@config.callback()
def config_itself(context: typer.Context) -> None:
    """Show all settings; those that differ from their default are marked.

    A setting comes from rs.toml (or the file RS_SETTINGS names), or, winning, from the environment, or, winning over both, from the
    Config Server:

        rs config

        RS_BRIDGE__WINDOW=500 rs config show bridge

        rs config check
    """
    if context.invoked_subcommand is None:
        show("")


@config.command()
def show(part: Annotated[str, typer.Argument(metavar="[SECTION[.NAME]]", help="Only what begins with this.")] = "") -> None:
    """The same as rs config alone, or a part of it; below, what running processes have not taken yet.

    rs config show

    rs config show snmp
    """
    current = settings.load()
    console = Console(highlight=False)
    console.print(table(configserver.mine(), part))
    for line in asyncio.run(_told_by_processes(current)):
        console.print(line, markup=False, soft_wrap=True)


@config.command()
def check() -> None:
    """Say whether the settings are right, in all layers; each fault is one line, and the exit code 2.

    rs config check
    """
    slips = settings.warnings()
    settings.load()
    here = configserver.mine()
    configserver.told()  # the same lines, as notes
    faults = slips + [f"{line} (in {here.server.where if here.server else ''})" for line in here.accepted.refused.values()]
    if here.lost is not None:
        faults.append(here.lost)
    if faults:
        raise WrongSettings("\n".join(faults))
    typer.echo("settings are right")


def table(here: configserver.Process, part: str = "") -> Table:
    made = Table("setting", "value", "default", "from", "a change counts", "meaning", box=None, pad_edge=False)
    origins = settings.origins()
    for name, option in settings.options().items():
        if not name.startswith(part):
            continue
        value, default = here.start.get(name), option.default
        origin = FROM_SERVER if name in here.accepted.held.options else origins.get(name, "default")
        change = configserver.CHANGES[option.holding]
        style = "bold" if value != default else None
        made.add_row(name, shown(value), shown(default), origin, change, option.field.description or "", style=style)
    return made


async def _told_by_processes(current: settings.Settings) -> list[str]:
    from pipeline.local.parts import served

    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        answers = await asyncio.gather(*(_facts(session, host, port) for _, host, port in served(current)))
    return [
        f"{name}: {what}: {facts[what]}"
        for (name, _, _), facts in zip(served(current), answers, strict=True)
        for what in ("lost", "after restart")
        if what in facts
    ]


async def _facts(session: aiohttp.ClientSession, host: str, port: int) -> dict[str, object]:
    try:
        async with session.get(f"http://{host}:{port}/health/ready") as response:
            return dict((await response.json())["facts"]["config server"])
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError):  # it does not run, or is not ours
        return {}
