"""`rs config`: every setting with its value, default and meaning."""

from __future__ import annotations

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from pipeline import settings

config = typer.Typer(invoke_without_command=True)


@config.callback()
def config_itself(context: typer.Context) -> None:
    """Show all settings; those that differ from their default are marked.

    A setting comes from rs.toml (or the file RS_SETTINGS names) or, winning, from the environment:

        rs config

        RS_BRIDGE__WINDOW=500 rs config

        rs config check
    """
    if context.invoked_subcommand is None:
        show()


@config.command()
def show() -> None:
    """The same as rs config alone.

    rs config show
    """
    Console().print(table(settings.load()))


@config.command()
def check() -> None:
    """Say whether the settings are right; each fault is one line, and the exit code 2.

    rs config check
    """
    settings.load()
    typer.echo("settings are right")


def table(current: settings.Settings) -> Table:
    shown = Table("setting", "value", "default", "meaning", box=None, pad_edge=False)
    for section, group in current:
        for name, field in type(group).model_fields.items():
            value, default = getattr(group, name), field.get_default(call_default_factory=True)
            style = "bold" if value != default else None
            shown.add_row(f"{section}.{name}", _spelled(value), _spelled(default), field.description or "", style=style)
    return shown


def _spelled(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
