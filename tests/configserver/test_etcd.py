"""etcd as a Config Server: a real one."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.configserver import etcd as etcd_module
from pipeline.configserver.errors import Away, Refused
from pipeline.configserver.etcd import Etcd
from pipeline.configserver.preparing import prepare
from pipeline.configserver.server import server_of
from pipeline.local.ports import free_port
from tests.configserver.contract import WANTED, ConfigServerContract, following
from tests.configserver.parts import EtcdNode, Tls
from tests.conftest import PATIENCE_S

OWN = "/rs/applications/reporting-server"


class Ctl:
    def __init__(self, node: EtcdNode) -> None:
        self.node = node

    def set(self, name: str, value: str) -> None:
        self.node.put(f"{OWN}/options/{name.replace('.', '/')}", value)

    def unset(self, name: str) -> None:
        self.node.delete(f"{OWN}/options/{name.replace('.', '/')}")

    def describe(self, name: str, text: str) -> None:
        self.node.put(f"{OWN}/defaults/{name.replace('.', '/')}", text)

    def set_object(self, kind: str, dbid: str, name: str) -> None:
        self.node.put(f"/rs/{kind}/{dbid}", json.dumps({"name": name}))


def of(node: EtcdNode, **config: object) -> Etcd:
    made = server_of(settings.read(config={"server": node.setting, **config}))
    assert isinstance(made, Etcd)
    return made


@pytest.fixture
async def another(emptied: EtcdNode) -> AsyncIterator[Callable[[], Etcd]]:
    made: list[Etcd] = []

    def make() -> Etcd:
        made.append(of(emptied))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def server(another: Callable[[], Etcd]) -> Etcd:
    return another()


@pytest.fixture
def operator(emptied: EtcdNode) -> Ctl:
    return Ctl(emptied)


class TestEtcd(ConfigServerContract):
    pass


async def test_more_than_one_answer_holds_is_read_at_one_revision(server: Etcd, operator: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_module, "PAGE", 7)
    await server.add(WANTED)
    held = await server.read()
    assert held.described == WANTED.described
    assert len(held.objects["tenants"]) == 2


async def test_the_watch_goes_on_when_what_it_waits_for_is_compacted(server: Etcd, operator: Ctl) -> None:
    await server.add(WANTED)
    read = await server._read()
    for level in ("debug", "info", "error"):
        operator.set("log.level", level)
    revision = json.loads(operator.node.ctl("get", "/rs/", "-w", "json"))["header"]["revision"]
    operator.node.ctl("compact", str(revision))
    async with asyncio.timeout(PATIENCE_S):
        await server._watched(read.revision + 1)  # is cancelled, and that is a reason to read anew
    assert (await server.read()).options == {"log.level": "error"}


async def test_a_watch_that_stands_still_is_found_out(server: Etcd, operator: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_module, "ASK_S", 0.2)

    async def still(_: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "_watched", still)
    await server.add(WANTED)
    async with following(server) as until:
        operator.set("log.level", "debug")
        await until(lambda held: held.options == {"log.level": "debug"})
        operator.unset("log.level")
        await until(lambda held: not held.options)


async def test_a_server_that_is_killed_is_away_until_it_is_back_with_what_it_held(own_etcd: EtcdNode) -> None:
    server = of(own_etcd)
    await server.add(WANTED)
    Ctl(own_etcd).set("log.level", "debug")
    changes = server.changes()
    assert (await anext(changes)).options == {"log.level": "debug"}
    own_etcd.kill()
    with pytest.raises(Away):
        async with asyncio.timeout(PATIENCE_S):
            await anext(changes)
    with pytest.raises(Away, match=r"does not answer.*RS_CONFIG__SERVER"):
        await server.read()
    own_etcd.start()
    assert (await server.read()).options == {"log.level": "debug"}
    await server.close()


async def test_a_frozen_server_is_away(own_etcd: EtcdNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_module, "ASK_S", 0.2)
    server = of(own_etcd, timeout=0.5)
    await server.add(WANTED)
    changes = server.changes()
    await anext(changes)
    own_etcd.send(signal.SIGSTOP)
    try:
        with pytest.raises(Away, match="no answer in time"):
            async with asyncio.timeout(PATIENCE_S):
                await anext(changes)
    finally:
        own_etcd.send(signal.SIGCONT)
        await server.close()


async def test_the_next_endpoint_answers_where_the_first_does_not(emptied: EtcdNode) -> None:
    server = server_of(settings.read(config={"server": f"etcd://127.0.0.1:{free_port()},127.0.0.1:{emptied.port}"}))
    assert server is not None
    assert (await server.add(WANTED)).application
    async with following(server) as until:
        Ctl(emptied).set("log.level", "debug")
        await until(lambda held: held.options == {"log.level": "debug"})
    await server.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[EtcdNode]:
    node = EtcdNode(tmp_path_factory.mktemp("locked"), "--auth-token-ttl", "3", tls=tls).start()
    node.with_users(rs="s3cret")
    yield node
    node.kill()


class TestLocked:
    """TLS with client certificates, users with passwords, and tokens that soon run out."""

    @pytest.fixture
    def config(self, tls: Tls, tmp_path: Path) -> dict[str, object]:
        (tmp_path / "password").write_text("s3cret\n")
        return {
            "user": "rs",
            "password_file": tmp_path / "password",
            "ca_file": tls.ca,
            "cert_file": tls.client_cert,
            "key_file": tls.client_key,
        }

    async def test_it_lets_in_who_has_all_keys(self, node: EtcdNode, config: dict[str, object]) -> None:
        server = of(node, **config)
        await server.add(WANTED)
        assert (await server.read()).described == WANTED.described
        await server.close()

    async def test_a_token_that_has_run_out_is_renewed(
        self, node: EtcdNode, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(etcd_module, "ASK_S", 0.5)
        server = of(node, **config)
        await server.add(WANTED)
        first = server._token
        async with following(server) as until:
            end = time.monotonic() + PATIENCE_S
            while server._token == first and time.monotonic() < end:
                await asyncio.sleep(5)  # longer than a token lives: nobody uses it meanwhile
                await server.read()
            assert server._token != first
            Ctl(node).set("log.level", "debug")
            await until(lambda held: held.options == {"log.level": "debug"})
        await server.close()

    async def test_a_watch_that_begins_with_a_token_that_has_run_out_is_a_reason_to_read_anew(
        self, node: EtcdNode, config: dict[str, object]
    ) -> None:
        server = of(node, **config)
        await server.add(WANTED)
        read = await server._read()
        server._token = "none.1"
        async with asyncio.timeout(PATIENCE_S):
            await server._watched(read.revision + 1)
        assert (await server._read()).keys == read.keys
        await server.close()

    async def test_tokens_that_a_restart_has_forgotten_are_renewed(self, node: EtcdNode, config: dict[str, object]) -> None:
        server = of(node, **config)
        await server.read()
        node.kill()
        node.start()
        await server.read()
        await server.close()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"password_file": None, "password": "wrong"}, "refuses user rs .*config.password_file"),
            ({"user": "nobody"}, "refuses user nobody"),
            ({"user": "", "password_file": None}, "asks who we are: set config.user"),
            ({"ca_file": "other"}, "no TLS .*config.ca_file"),
            ({"ca_file": None}, "no TLS .*config.ca_file"),
            ({"cert_file": None, "key_file": None}, "no TLS .*config.cert_file"),
        ],
    )
    async def test_others_are_refused_with_what_to_do(
        self, node: EtcdNode, config: dict[str, object], tls: Tls, wrong: dict[str, object], said: str
    ) -> None:
        given = config | wrong
        if given["ca_file"] == "other":
            given["ca_file"] = tls.other_ca
        server = of(node, **given)
        with pytest.raises(Away, match=said) as caught:
            await server.read()
        assert "s3cret" not in str(caught.value)
        await server.close()

    async def test_nobody_waits_for_one_that_refuses(self, node: EtcdNode, config: dict[str, object]) -> None:
        wrong = settings.read(config=config | {"server": node.setting, "password_file": None, "password": "wrong"})
        with pytest.raises(Refused):
            async with asyncio.timeout(PATIENCE_S):
                await prepare(wrong, wait_s=10 * PATIENCE_S)

    async def test_a_user_without_the_right_is_told_so(self, node: EtcdNode, config: dict[str, object]) -> None:
        node.ctl("user", "add", "guest:guest")
        server = of(node, **(config | {"user": "guest", "password_file": None, "password": "guest"}))
        with pytest.raises(Away, match=r"user guest not read or write /rs/ .*give it a role"):
            await server.read()
        await server.close()
