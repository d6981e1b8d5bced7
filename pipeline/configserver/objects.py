"""Tenants, IVR profiles, DNs and components with their DBIDs and names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pipeline.configserver.held import KINDS

Dbid = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Sections = Mapping[str, Mapping[str, str]]
"""Options of an object by section, such as gvp.policy: kept for whoever knows them."""


class Tenant(Struct, frozen=True, forbid_unknown_fields=True):
    """`parent`: DBID; the root of the tree has none."""

    name: Name
    parent: Dbid | None = None
    sections: Sections = {}


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """An IVR profile; `tenant`: DBID of its owner."""

    name: Name
    tenant: Dbid | None = None
    sections: Sections = {}


class Dn(Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: a number, a range such as 300-400, or a beginning such as 45*."""

    name: Name
    tenant: Dbid | None = None
    profile: Dbid | None = None
    sections: Sections = {}


class Component(Struct, frozen=True, forbid_unknown_fields=True):
    """`type`: RM, MCP, CCP ..., as messages tell it in `comp`."""

    name: Name
    type: Annotated[str, Meta(max_length=32)] = ""
    sections: Sections = {}


TYPES: Mapping[str, type[Tenant | Profile | Dn | Component]] = {
    "tenants": Tenant,
    "profiles": Profile,
    "dns": Dn,
    "components": Component,
}


class Objects(Struct, frozen=True):
    """All of them by DBID. Whoever wants a name asks here, and takes another if there is none."""

    tenants: Mapping[int, Tenant] = {}
    profiles: Mapping[int, Profile] = {}
    dns: Mapping[int, Dn] = {}
    components: Mapping[int, Component] = {}

    def tenant_name(self, dbid: int) -> str | None:
        """The names along the path from the root, as messages tell it: Environment/Acme/Support."""
        names: list[str] = []
        while (tenant := self.tenants.get(dbid)) is not None:
            names.append(tenant.name)
            if tenant.parent is None:
                return "/".join(reversed(names))
            dbid = tenant.parent
        return None

    def tenant_names(self) -> dict[int, str]:
        return {dbid: name for dbid in self.tenants if (name := self.tenant_name(dbid)) is not None}

    def profile_names(self) -> dict[int, str]:
        return {dbid: one.name for dbid, one in self.profiles.items()}

    def component_names(self) -> dict[int, str]:
        return {dbid: one.name for dbid, one in self.components.items()}

    def profile_name(self, dbid: int) -> str | None:
        found = self.profiles.get(dbid)
        return None if found is None else found.name

    def component_name(self, dbid: int) -> str | None:
        found = self.components.get(dbid)
        return None if found is None else found.name


class WrongObject(ValueError):
    """The message says what is wrong and what to do."""


def parsed(kind: str, dbid: str, text: str) -> Tenant | Profile | Dn | Component:
    """Raises WrongObject."""
    if not dbid.isdecimal() or not 1 <= int(dbid) <= 2_147_483_647:
        raise WrongObject(f"{kind} {dbid}: a DBID is a number from 1 to 2147483647")
    try:
        return msgspec.json.decode(text, type=TYPES[kind])
    except msgspec.MsgspecError as exc:
        raise WrongObject(f"{kind} {dbid} is {text[:200]}: {exc}") from None


def rootless(tenants: Mapping[int, Tenant]) -> dict[int, str]:
    """The tenants whose way to the root is broken, and by what."""
    faults: dict[int, str] = {}
    for start in tenants:
        seen: set[int] = set()
        at: int | None = start
        while at is not None:
            if at in seen:
                faults[start] = f"tenants {start}: its parents lead in a circle through {at}; correct a parent"
                break
            seen.add(at)
            if at not in tenants:
                faults[start] = f"tenants {start}: there is no tenant {at} above it; make that one, or correct the parent"
                break
            at = tenants[at].parent
    return faults


def built(texts: Mapping[str, Mapping[str, str]]) -> Objects:
    """Of texts that are right."""
    found = {kind: {int(dbid): parsed(kind, dbid, text) for dbid, text in texts.get(kind, {}).items()} for kind in KINDS}
    return Objects(**found)  # type: ignore[arg-type]  # TYPES says which kind is of which type
