"""What `rs init` makes in the Config Server, and the local stack at its start."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from pipeline.backoff import Backoff
from pipeline.configserver.description import descriptions
from pipeline.configserver.errors import Away, Refused
from pipeline.configserver.held import Added, Held
from pipeline.configserver.server import server_of
from pipeline.settings import Settings


async def prepare(base: Settings, objects: Mapping[str, Mapping[str, str]] | None = None, *, wait_s: float = 30) -> str | None:
    """Make the application object with the description of every option, and add to it what is new; make objects that are not there.
    What an operator has set stays. Gives a line that says what was made; None: there is no Config Server by the settings.

    Waits up to `wait_s` seconds for the server. Raises Away and WrongSettings.
    """
    server = server_of(base)
    if server is None:
        return None
    until, backoff = time.monotonic() + wait_s, Backoff()
    wanted = Held(described=descriptions(), objects=objects or {})
    try:
        while True:
            try:
                added = await server.add(wanted)
                break
            except Away as exc:
                if isinstance(exc, Refused) or time.monotonic() > until:
                    raise
                await asyncio.sleep(backoff.next())
    finally:
        await server.close()
    return f"{server.where}: {_said(base.config.application, added)}"


def _said(application: str, added: Added) -> str:
    if added.application:
        line = f"application object {application} created, {added.described} options described"
    else:
        line = f"application object {application} is there, {added.described} options added"
        if added.renewed:
            line += f", {added.renewed} described anew"
    return line + (f", {added.objects} objects created" if added.objects else "")


def simulated() -> dict[str, dict[str, str]]:
    """The objects of the simulator's world."""
    from pipeline.simulator import world

    tenants: dict[str, dict[str, object]] = {str(world.ROOT): {"name": world.ROOT_NAME}}
    for tenant in (profile.tenant for profile in world.PROFILES):
        names = tenant.name.split("/")
        for depth in range(1, len(tenant.path)):
            tenants[str(tenant.path[depth])] = {"name": names[depth], "parent": tenant.path[depth - 1]}
    profiles = {str(one.app): {"name": one.name, "tenant": one.tenant.dbid} for one in world.PROFILES}
    dns = {
        str(9000 + number): {"name": dn, "tenant": one.tenant.dbid, "profile": one.app}
        for number, (one, dn) in enumerate((one, dn) for one in world.PROFILES for dn in one.dns)
    }
    places = [("RM", dbid) for dbid in world.RMS] + [("MCP", dbid) for dbid in world.MCPS] + [("CCP", world.CCP)]
    components = {str(dbid): {"name": f"{kind} {dbid}", "type": kind} for kind, dbid in places}
    found: dict[str, Mapping[str, Mapping[str, object]]] = {"tenants": tenants, "profiles": profiles, "dns": dns, "components": components}
    return {kind: {dbid: json.dumps(one) for dbid, one in ones.items()} for kind, ones in found.items()}
