"""The `rs` command. A command is a function in a module of its own here, and one line in COMMANDS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import typer

from pipeline.settings import WrongSettings

WRONG_USE = 2


class Command(NamedTuple):
    where: str  # module:function or module:typer app, imported only when the command is called: `rs --help` stays quick
    help: str


COMMANDS = {
    "up": Command("pipeline.cli.up:up", "Start the local stack and stay with it until Ctrl-C."),
    "down": Command("pipeline.cli.up:down", "Stop the local stack from another terminal."),
    "doctor": Command("pipeline.cli.doctor:doctor", "Look at every part: reachable, version, lag, what to do."),
    "init": Command("pipeline.cli.init:init", "Prepare Config Server and Kafka: the application object and the topics."),
    "config": Command("pipeline.cli.config:config", "Show all settings and where they come from, or check them."),
    "send": Command("pipeline.cli.send:send", "Post the messages of a file to ActiveMQ as they stand."),
    "simulate": Command("pipeline.cli.simulate:simulate", "Post the messages of made-up calls to ActiveMQ."),
    "import": Command("pipeline.cli.importing:import_app", "Post records of other systems as billing messages."),
    "tables": Command("pipeline.cli.tables:tables", "List the topic tables: keys, bytes, partitions."),
    "table": Command("pipeline.cli.tables:table", "Show a topic table, or one key of it, from its changelog."),
    "purge": Command("pipeline.cli.purge:purge", "Remove from the store what is older than retention allows."),
    "billing": Command("pipeline.cli.billing:billing_app", "Close months, adjust closed ones, show statements."),
    "explain": Command("pipeline.cli.explain:explain", "Tell a call message by message: what each changed, and where it counts."),
    "rebuild": Command("pipeline.cli.rebuild:rebuild", "Fold the log anew beside what runs, compare, and put it in its place."),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point `rs`. Ends with 0, 1 (the command found or met a fault) or 2 (wrong settings or usage)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build(next((word for word in given if not word.startswith("-")), None))(given, prog_name="rs")
    except WrongSettings as exc:
        typer.echo(str(exc), err=True)
        raise SystemExit(WRONG_USE) from None
    finally:
        if (configserver := sys.modules.get("pipeline.configserver")) is not None:  # else nobody has asked for settings
            for note in configserver.told():
                typer.echo(f"note: {note}", err=True)


def build(wanted: str | None) -> typer.Typer:
    """The Typer app: the wanted command as a whole, the others as their line in the help."""
    app = typer.Typer(
        help="The Reporting Server: billing messages in, exact figures out. Start with: rs up",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_show_locals=False,  # locals hold callers' numbers
    )
    app.callback()(_rs)
    for name, command in COMMANDS.items():
        if name != wanted:
            app.command(name, help=command.help)(_not_loaded)
            continue
        module, _, attribute = command.where.partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name)
        else:
            app.command(name)(target)
    return app


def _rs() -> None:
    """Without it Typer would take a single command for the whole program."""


def _not_loaded() -> None:
    raise AssertionError("a command runs only after it was built as the wanted one")
