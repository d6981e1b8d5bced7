"""What a Config Server holds, as it stands there: texts by name, not yet judged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Literal, Protocol, get_args

from msgspec import Struct, field

Kind = Literal["tenants", "profiles", "dns", "components"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OPTIONS = "options"


class Description(Struct, frozen=True):
    """An option, for the operator who looks into the Config Server; has no effect. `change`: when a change of it counts."""

    default: str
    type: str
    meaning: str
    change: str


class Held(Struct, frozen=True):
    """One moment of it.

    application whether the application object is there
    options     section.name -> what an operator has set
    described   section.name -> description; written by rs init
    objects     kind -> DBID -> the object as JSON
    unreadable  `options` or a kind -> why none of it can be read
    """

    application: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, Description] = field(default_factory=dict)
    objects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


class Added(Struct, frozen=True):
    """What rs init has made: the application object, descriptions that were not there, those that were others, objects."""

    application: bool = False
    described: int = 0
    renewed: int = 0
    objects: int = 0


class ConfigServer(Protocol):
    """Two implementations: `etcd.Etcd` and `folder.Folder`; tests/configserver/contract.py holds their promises.

    where       how people call it
    optional    no application object means that nobody has set anything, and is no fault
    """

    where: str
    optional: bool

    async def read(self) -> Held:
        """What it holds now. Raises Away."""
        ...

    async def add(self, wanted: Held) -> Added:
        """Make the application object, its descriptions and the objects that are not there. What an operator has set stays, also an
        object. Several at once do no harm: each thing is made by one of them. Raises Away."""
        ...

    def changes(self) -> AsyncGenerator[Held, None]:
        """What it holds now, and again after each change, within seconds. Ends by Away alone."""
        ...

    async def close(self) -> None: ...
