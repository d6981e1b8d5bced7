"""What every Config Server promises."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from pipeline.configserver.description import descriptions
from pipeline.configserver.held import Added, ConfigServer, Description, Held
from tests.conftest import PATIENCE_S

ACME = {"1": json.dumps({"name": "Environment"}), "101": json.dumps({"name": "Acme", "parent": 1})}
WANTED = Held(described=descriptions(), objects={"tenants": ACME})


class Operator(Protocol):
    """Somebody with an editor, or with etcdctl."""

    def set(self, name: str, value: str) -> None: ...
    def unset(self, name: str) -> None: ...
    def describe(self, name: str, text: str) -> None: ...
    def set_object(self, kind: str, dbid: str, name: str) -> None: ...


@asynccontextmanager
async def following(server: ConfigServer) -> AsyncIterator[Callable[[Callable[[Held], bool]], object]]:
    """Gives a function that waits until something is held."""
    changes: AsyncGenerator[Held, None] = server.changes()
    seen = await asyncio.wait_for(anext(changes), PATIENCE_S)

    async def until(fits: Callable[[Held], bool]) -> Held:
        nonlocal seen
        async with asyncio.timeout(PATIENCE_S):
            while not fits(seen):
                seen = await anext(changes)
        return seen

    try:
        yield until
    finally:
        await changes.aclose()


class ConfigServerContract:
    """Subclasses give the fixtures `server`, a fresh one, `another`, which makes further clients of it, and `operator`."""

    async def test_a_fresh_one_holds_nothing(self, server: ConfigServer) -> None:
        held = await server.read()
        assert not held.application
        assert not held.options
        assert not any(held.objects.values())

    async def test_the_application_object_is_made_with_every_option_described_and_none_set(self, server: ConfigServer) -> None:
        assert await server.add(WANTED) == Added(True, len(WANTED.described), 0, 2)
        held = await server.read()
        assert (held.application, held.options, held.described) == (True, {}, WANTED.described)
        assert {dbid: json.loads(text) for dbid, text in held.objects["tenants"].items()} == {
            dbid: json.loads(text) for dbid, text in ACME.items()
        }

    async def test_a_second_time_it_makes_nothing(self, server: ConfigServer) -> None:
        await server.add(WANTED)
        assert await server.add(WANTED) == Added()

    async def test_what_an_operator_has_set_stays(self, server: ConfigServer, operator: Operator) -> None:
        await server.add(Held(described=descriptions()))
        operator.set("log.level", "debug")
        operator.set_object("tenants", "101", "Acme Ltd")
        await server.add(WANTED)
        held = await server.read()
        assert held.options == {"log.level": "debug"}
        assert json.loads(held.objects["tenants"]["101"]) == {"name": "Acme Ltd"}
        assert "1" in held.objects["tenants"]

    async def test_an_upgrade_adds_what_is_new_and_describes_anew_what_has_changed(self, server: ConfigServer) -> None:
        older = dict(WANTED.described)
        del older["snmp.lag_limit"]
        older["log.level"] = Description("warning", "", "", "")
        older["log.colour"] = Description("red", "", "is gone since", "")
        await server.add(Held(described=older))
        assert await server.add(WANTED) == Added(False, 1, 2, 2)
        assert (await server.read()).described == WANTED.described

    async def test_a_description_that_somebody_has_written_into_is_written_anew(self, server: ConfigServer, operator: Operator) -> None:
        await server.add(WANTED)
        operator.describe("log.level", "nonsense")
        assert (await server.add(WANTED)).renewed == 1
        assert (await server.read()).described == WANTED.described

    async def test_ten_at_once_make_each_thing_once(self, server: ConfigServer, another: Callable[[], ConfigServer]) -> None:
        at_once = threading.Barrier(10)

        async def add() -> Added:
            one = another()
            try:
                return await one.add(WANTED)
            finally:
                await one.close()

        def client() -> Added:
            at_once.wait()
            return asyncio.run(add())

        with ThreadPoolExecutor(10) as threads:
            loop = asyncio.get_running_loop()
            added = await asyncio.gather(*(loop.run_in_executor(threads, client) for _ in range(10)))
        assert [sum(one.application for one in added), sum(one.described for one in added), sum(one.objects for one in added)] == [
            1, len(WANTED.described), 2,
        ]  # fmt: skip
        assert (await server.read()).described == WANTED.described

    async def test_changes_come_one_after_the_other(self, server: ConfigServer, operator: Operator) -> None:
        await server.add(WANTED)
        async with following(server) as until:
            operator.set("snmp.lag_limit", "5")
            await until(lambda held: held.options == {"snmp.lag_limit": "5"})
            operator.set("log.level", "debug")
            await until(lambda held: held.options == {"snmp.lag_limit": "5", "log.level": "debug"})
            operator.unset("snmp.lag_limit")
            await until(lambda held: held.options == {"log.level": "debug"})
            operator.set_object("components", "201", "RM one")
            held = await until(lambda held: bool(held.objects["components"]))
        assert json.loads(held.objects["components"]["201"]) == {"name": "RM one"}

    @pytest.mark.parametrize("value", ['["a","b"]', "Grüße, 漢字 🙂", 'a "quoted" \\ one', ""])
    async def test_any_text_is_held_as_it_is(self, server: ConfigServer, operator: Operator, value: str) -> None:
        await server.add(WANTED)
        operator.set("kafka.bootstrap", value)
        operator.set_object("tenants", "7", value)
        held = await server.read()
        assert held.options == {"kafka.bootstrap": value}
        assert json.loads(held.objects["tenants"]["7"]) == {"name": value}
