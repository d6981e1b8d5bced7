"""`rs up` and `rs down`: the local stack."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline import configserver, settings
from pipeline.settings import WrongSettings

if TYPE_CHECKING:
    from pipeline.local.supervisor import Supervisor

MARKS = {"ready": "[green]✓[/]", "died": "[yellow]![/]", "note": "[yellow]![/]"}


def up(
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the data of this stack first; asks, unless --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_simulator: Annotated[bool, typer.Option("--no-simulator", help="Start without made-up traffic.")] = False,
    rate: Annotated[float | None, typer.Option(help="Calls a second that the simulator starts (stack.rate).")] = None,
    processes: Annotated[int | None, typer.Option(help="Agents workers (stack.processes).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for brokers, tables and the SQLite database (stack.data).")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting, see rs config.")] = None,
) -> None:
    """Start ActiveMQ, Kafka, the workers, the pages and the simulator, and keep them running until Ctrl-C.

    Goes on with the data that is there. Ports are settings.

        rs up

        rs up --rate 20 --processes 2

        rs up --data /tmp/august --no-simulator --set fold.lateness=0

        RS_ACTIVEMQ__PORT=61617 RS_KAFKA__BOOTSTRAP=127.0.0.1:9192 RS_REPORTS__PORT=8090 rs up
    """
    from pipeline.local import datafolder, needs
    from pipeline.local.part import StackFault

    stack: dict[str, object] = {
        name: value for name, value in (("rate", rate), ("processes", processes), ("data", data)) if value is not None
    }
    base = settings.read(**assigned(given or [], {"stack": stack} if stack else {}))
    console = Console(highlight=False)
    folder = base.stack.data
    try:
        with datafolder.locked(folder):
            embedded = "server" not in base.config.model_fields_set
            prepared = "" if embedded else _prepared(base)
            current = configserver.begin(base)
            if faults := needs.faults(folder, setting_up=False) or _stack_faults(current):
                raise StackFault("\n".join(faults))
            if fresh and not _emptied(current, yes=yes):
                raise typer.Exit(1)
            if embedded:  # nothing is made before it is clear that the stack can start
                prepared = _prepared(base, simulator=not no_simulator)
            for note in [prepared, *configserver.told()]:
                console.print(f"{MARKS['ready' if note == prepared else 'note']} ", end="")
                console.print(note, markup=False, soft_wrap=True)
            code = asyncio.run(_stay(current, console, simulator=not no_simulator))
    except StackFault as fault:
        console.print(str(fault), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


def down(data: Annotated[Path | None, typer.Option(help="Folder of the stack (stack.data).")] = None) -> None:
    """Stop the stack that runs on a data folder, from another terminal.

    rs down

    rs down --data /tmp/august
    """
    from pipeline.local import datafolder
    from pipeline.local.part import StackFault

    folder = data or settings.load().stack.data
    try:
        stopped = datafolder.stop_holder(folder)
    except StackFault as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"the stack on {folder} has stopped" if stopped else f"no stack runs on {folder}")


def assigned(pairs: Sequence[str], into: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """`section.name=value` as nested settings, lists as JSON. Raises WrongSettings."""
    for pair in pairs:
        path, equals, value = pair.partition("=")
        section, dot, name = path.strip().partition(".")
        if not (equals and dot and section and name):
            raise WrongSettings(f"--set {pair}: write it as section.name=value, such as --set fold.lateness=0")
        try:
            into.setdefault(section, {})[name] = json.loads(value) if value.startswith("[") else value
        except ValueError:
            raise WrongSettings(f'--set {pair}: write a list as JSON, such as ["rs.billing","rs.more"]') from None
    return into


def _prepared(base: settings.Settings, *, simulator: bool = False) -> str:
    """What rs init does in the Config Server; with the names of the simulator's world. Raises StackFault."""
    from pipeline.configserver import preparing
    from pipeline.configserver.errors import Away
    from pipeline.local.part import StackFault

    try:
        said = asyncio.run(preparing.prepare(base, preparing.simulated() if simulator else None))
    except Away as exc:
        raise StackFault(str(exc)) from None
    return f"{'config':<12} {said or 'no Config Server: config.server is none'}"


def _stack_faults(current: settings.Settings) -> list[str]:
    from pipeline.local import fetch, parts, ports

    missing = [name for name in ("kafka", "activemq") if not (fetch.JARS / name).is_dir()]
    if missing:
        return [f"the jars of {' and '.join(missing)} are not in {fetch.JARS}: run make setup"]
    return ports.faults(parts.ports(current))


def _emptied(current: settings.Settings, *, yes: bool) -> bool:
    from pipeline.local import datafolder

    contents = datafolder.contents(current)
    if contents and not yes:
        typer.echo("This removes for ever: " + ", ".join(str(path) for path in contents))
        if not typer.confirm("Remove it?"):
            return False
    datafolder.wipe(current)
    return True


async def _stay(current: settings.Settings, console: Console, *, simulator: bool) -> int:
    """Start, stay until a signal, stop. Gives the exit code; raises StackFault if the start is given up, after stopping all."""
    from pipeline.local import parts
    from pipeline.local.supervisor import Supervisor

    begun = time.monotonic()
    with console.status("") as status:

        def say(kind: str, text: str) -> None:
            if kind == "waiting":
                status.update(f"starting {text}")
            elif kind == "stopping":
                status.update(f"stopping {text}")
            else:
                console.print(f"{MARKS[kind]} ", end="")
                console.print(text, markup=False, soft_wrap=True)

        logs = current.stack.data.absolute() / "logs"
        supervisor = Supervisor(parts.waves(current, simulator=simulator), parts.stop_order(current), logs, say)
        asked = _signals(supervisor)
        starting = asyncio.create_task(supervisor.start())
        await asyncio.wait({starting, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
        fault: BaseException | None = None
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        elif (fault := starting.exception()) is None:
            address = f"http://{current.reports.host}:{current.reports.port}/"
            console.print(
                f"\nReady after {time.monotonic() - begun:.0f} s: [bold]{address}[/]   logs: {logs}   stop: Ctrl-C\n", soft_wrap=True
            )
            status.stop()
            await asked.wait()
            status.start()
        await supervisor.stop()
    if fault is not None:
        raise fault
    console.print("stopped")
    return 0


def _signals(supervisor: Supervisor) -> asyncio.Event:
    """The event is set by the first Ctrl-C (or SIGTERM, or a closed terminal); a second one kills every child at once."""
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            supervisor.kill()
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask)
    return asked
