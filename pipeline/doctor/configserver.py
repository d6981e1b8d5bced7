"""The Config Server: reachable, its application object there, and what of it is wrong."""

from __future__ import annotations

from pipeline.configserver import good_copy
from pipeline.configserver.accepting import accept
from pipeline.configserver.errors import Away
from pipeline.configserver.held import KINDS, ConfigServer, Held
from pipeline.configserver.server import server_of
from pipeline.doctor.finding import Finding
from pipeline.settings import Settings, WrongSettings

PART = "Config Server"


async def look(settings: Settings) -> Finding:
    try:
        server = server_of(settings)
    except WrongSettings as exc:
        return Finding(PART, settings.config.server, str(exc))
    if server is None:
        return Finding(PART, "none, by config.server", "name one with RS_CONFIG__SERVER: without it there are no names", warning=True)
    try:
        return _found(settings, server, await server.read())
    except Away as exc:
        copy = "starts go on with the last good copy" if good_copy.read(settings) else "and there is no last good copy: nothing starts"
        return Finding(PART, f"{server.where}: away; {copy}", str(exc))
    finally:
        await server.close()


def _found(settings: Settings, server: ConfigServer, held: Held) -> Finding:
    if not held.application:
        return Finding(
            PART, f"{server.where}, no application object {settings.config.application}", "make it: rs init", warning=server.optional
        )
    objects = ", ".join(f"{len(held.objects.get(kind, {})):,} {kind}" for kind in KINDS)
    said = f"{settings.config.application} in {server.where}: {len(held.options)} options set; {objects}"
    return Finding(PART, said, "; ".join(accept(settings, held).refused.values()))
