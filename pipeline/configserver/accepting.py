"""What of a Config Server's content is taken, and what is refused. Pure.

A wrong value is refused with its name, and the last right one stays; so a slip of an operator's pen harms nothing that runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pipeline.configserver.held import KINDS, OPTIONS, Held
from pipeline.configserver.objects import Objects, Tenant, WrongObject, built, parsed, rootless
from pipeline.settings import Settings, WrongSettings, holds_password, nearest, options, variable_of


class Accepted(Struct, frozen=True):
    """`settings`: all layers; `held`: only what is right; `refused`: section.name, or kind and DBID -> why, with the mending step."""

    settings: Settings
    held: Held
    objects: Objects
    refused: Mapping[str, str]


def nothing(base: Settings) -> Accepted:
    return Accepted(base, Held(), Objects(), {})


def accept(base: Settings, held: Held, last: Accepted | None = None) -> Accepted:
    """`base`: the settings below the Config Server; `last`: what was accepted before, which stays where the new is wrong."""
    before = last.held if last else Held()
    refused = dict(held.unreadable)
    texts: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, text in (before if OPTIONS in held.unreadable else held).options.items():
        try:
            values[name], texts[name] = judged(name, text), text
        except WrongSettings as exc:
            refused[name] = str(exc)
            if name in before.options:  # it was right when it was taken
                values[name], texts[name] = judged(name, before.options[name]), before.options[name]
    objects = _objects(held, before, refused)
    return Accepted(base.over(values), Held(options=texts, objects=objects), built(objects), refused)


def judged(name: str, text: str) -> object:
    """The value of an option. Raises WrongSettings."""
    option = options().get(name)
    if option is None:
        raise WrongSettings(f"setting {name} does not exist{nearest(name, options())}: correct its name or remove it")
    elsewhere = f"remove it there and set it in the settings file or by {variable_of(name)}"
    if option.holding == "secret" or holds_password(text):
        raise WrongSettings(f"setting {name} is or holds a secret, and the Config Server keeps none: {elsewhere}")
    if option.holding == "local":
        raise WrongSettings(f"setting {name} belongs to one process or machine, and the Config Server is for all: {elsewhere}")
    return option.parsed(text)


def _objects(held: Held, before: Held, refused: dict[str, str]) -> dict[str, dict[str, str]]:
    """The right ones; adds the others to `refused`."""
    found: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        old = before.objects.get(kind, {})
        if kind in held.unreadable:
            found[kind] = dict(old)
            continue
        found[kind] = {}
        for dbid, text in held.objects.get(kind, {}).items():
            try:
                parsed(kind, dbid, text)
            except WrongObject as exc:
                refused[f"{kind} {dbid}"] = str(exc)
                if dbid in old:
                    found[kind][dbid] = old[dbid]
            else:
                found[kind][dbid] = text
    tenants = {int(dbid): parsed("tenants", dbid, text) for dbid, text in found["tenants"].items()}
    for number, fault in rootless({dbid: tenant for dbid, tenant in tenants.items() if isinstance(tenant, Tenant)}).items():
        refused[f"tenants {number}"] = fault
        del found["tenants"][str(number)]
    return found
