"""The settings of one process: its start with and without a Config Server, and what changes while it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from pipeline import configserver, settings
from pipeline.configserver import good_copy, process
from pipeline.configserver.errors import Away
from pipeline.configserver.folder import Folder
from pipeline.configserver.held import Held
from pipeline.configserver.preparing import prepare, simulated
from pipeline.settings import Settings, WrongSettings
from pipeline.simulator import world
from tests.configserver.parts import EtcdNode
from tests.configserver.test_folder import Editor
from tests.conftest import PATIENCE_S


@pytest.fixture
def base(tmp_path: Path) -> Settings:
    """A folder that somebody has named, so that it must be there."""
    return settings.read(stack={"data": str(tmp_path / "data")}, config={"server": f"file:{tmp_path / 'config'}"}, snmp={"lag_limit": 77})


@pytest.fixture
def operator(tmp_path: Path) -> Editor:
    return Editor(tmp_path / "config")


async def prepared(base: Settings) -> None:
    assert "application object reporting-server created" in str(await prepare(base))


def eventually(fits: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not fits():
        assert time.monotonic() < end
        time.sleep(0.05)


def metric(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


async def test_a_start_takes_all_layers(base: Settings, operator: Editor) -> None:
    await prepared(base)
    operator.set("snmp.quality_calls", "3")
    start = process.begin(base)
    assert (start.snmp.lag_limit, start.snmp.quality_calls) == (77, 3)
    assert configserver.now() == start


async def test_live_options_change_while_the_others_wait_for_a_restart(base: Settings, operator: Editor) -> None:
    await prepared(base)
    process.begin(base)
    here = configserver.follow()
    operator.set("snmp.lag_limit", "5")
    operator.set("kafka.partitions", "12")
    eventually(lambda: configserver.now().snmp.lag_limit == 5 and bool(here.after_restart()))
    assert configserver.now().kafka.partitions == 8
    assert here.after_restart() == {"kafka.partitions": (8, 12)}
    assert here.facts() == {"connected": 1, "after restart": "kafka.partitions = 12"}
    assert metric("rs_config_after_restart") == 1
    assert process.begin(base).kafka.partitions == 12


async def test_a_wrong_value_changes_nothing_and_is_told(base: Settings, operator: Editor) -> None:
    await prepared(base)
    operator.set("snmp.lag_limit", "5")
    process.begin(base)
    here = configserver.follow()
    operator.set("snmp.lag_limit", "many")
    eventually(lambda: bool(here.accepted.refused))
    assert configserver.now().snmp.lag_limit == 5
    assert "setting snmp.lag_limit is 'many'" in str(here.facts()["refused"])
    assert metric("rs_config_refused") == 1
    assert here.check() is None
    operator.unset("snmp.lag_limit")
    eventually(lambda: not here.accepted.refused)
    assert configserver.now().snmp.lag_limit == 77


async def test_the_log_level_is_that_of_the_moment(base: Settings, operator: Editor) -> None:
    root, before = logging.getLogger(), logging.getLogger().level
    silent = logging.getLogger("aiokafka")
    try:
        silent.setLevel(logging.CRITICAL)  # as a part does that tells in its own words
        await prepared(base)
        process.begin(base)
        configserver.follow()
        operator.set("log.level", "debug")
        eventually(lambda: root.level == logging.DEBUG)
        assert logging.getLogger("faust").level == logging.DEBUG
        assert silent.level == logging.CRITICAL
        operator.set("log.level", "error")
        eventually(lambda: root.level == logging.ERROR)
    finally:
        root.setLevel(before)
        silent.setLevel(logging.NOTSET)


async def test_names_come_and_change(base: Settings, operator: Editor) -> None:
    await prepared(base)
    process.begin(base)
    configserver.follow()
    operator.set_object("tenants", "1", "Environment")
    eventually(lambda: configserver.objects().tenant_name(1) == "Environment")


async def test_a_lost_one_changes_nothing_and_its_return_is_seen(base: Settings, operator: Editor) -> None:
    await prepared(base)
    operator.set("snmp.lag_limit", "5")
    process.begin(base)
    here = configserver.follow()
    eventually(lambda: metric("rs_config_server_up") == 1)
    operator.folder.rename(operator.folder.with_name("gone"))
    eventually(lambda: here.lost is not None)
    assert configserver.now().snmp.lag_limit == 5
    assert here.facts()["connected"] == 0
    assert metric("rs_config_server_up") == 0
    assert here.check() is None
    operator.folder.with_name("gone").rename(operator.folder)
    operator.set("snmp.lag_limit", "6")
    eventually(lambda: configserver.now().snmp.lag_limit == 6)
    assert here.lost is None


async def test_without_one_there_is_no_start_unless_there_is_a_copy(base: Settings, operator: Editor, tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"no application object reporting-server: make it with rs init.*RS_CONFIG__SERVER=none"):
        process.begin(base)
    await prepared(base)
    operator.set("kafka.partitions", "12")
    process.begin(base)
    assert "password" not in good_copy.path_of(base).read_text()
    operator.folder.rename(tmp_path / "gone")
    kept_at = good_copy.path_of(base).stat().st_mtime_ns
    assert process.begin(base).kafka.partitions == 12
    assert good_copy.path_of(base).stat().st_mtime_ns == kept_at  # it is no newer than what it was taken from
    (note,) = configserver.told()
    assert "settings are the last good copy" in note
    assert process.mine().facts()["connected"] == 0
    with pytest.raises(WrongSettings):  # a copy of another one is none
        process.begin(settings.read(stack={"data": base.stack.data}, config={"server": f"file:{tmp_path / 'other'}"}))


async def test_none_is_told_at_the_start(tmp_path: Path) -> None:
    process.begin(settings.read(stack={"data": str(tmp_path)}, config={"server": "none"}))
    (note,) = configserver.told()
    assert "no Config Server (config.server is none)" in note
    assert configserver.told() == []
    assert not configserver.follow().facts()["connected"]


async def test_the_folder_that_nobody_has_named_need_not_be_there(tmp_path: Path) -> None:
    base = settings.read(stack={"data": str(tmp_path)})
    assert process.begin(base) == base
    assert configserver.told() == []
    here = configserver.follow()
    await prepare(base)
    Editor(tmp_path / "config").set("snmp.lag_limit", "5")
    eventually(lambda: configserver.now().snmp.lag_limit == 5)
    assert here.facts() == {"connected": 1}


async def test_a_start_refuses_a_wrong_value_that_it_cannot_do_without(base: Settings, operator: Editor) -> None:
    await prepared(base)
    operator.set("kafka.partitions", "many")
    with pytest.raises(WrongSettings, match=r"setting kafka\.partitions is 'many'.*in file:"):
        process.begin(base)
    operator.set("kafka.partitions", "12")
    process.begin(base)
    operator.set("kafka.partitions", "many")
    assert process.begin(base).kafka.partitions == 12  # the copy knows what was right


async def test_a_start_goes_on_without_a_wrong_value_that_may_come_later(base: Settings, operator: Editor) -> None:
    await prepared(base)
    operator.set("snmp.lag_limit", "many")
    assert process.begin(base).snmp.lag_limit == 77
    assert "setting snmp.lag_limit is 'many'" in configserver.told()[0]


async def test_a_copy_that_cannot_be_kept_stops_nobody(base: Settings, operator: Editor) -> None:
    base.stack.data.write_text("a file where the folder should be")
    await prepared(base)
    assert process.begin(base).snmp.lag_limit == 77


async def test_what_nobody_understands_is_a_reason_to_be_unready(base: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(base)
    process.begin(base)

    def broken(_: Folder) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Folder, "changes", broken)
    here = configserver.follow()
    eventually(lambda: here.check() is not None)
    assert "changes in the Config Server are not seen any more (ZeroDivisionError" in str(here.check())


def test_the_simulators_objects_are_right_and_named_as_its_messages_name_them() -> None:
    accepted = configserver.accepting.accept(settings.read(), Held(objects=simulated()))
    assert not accepted.refused
    for profile in world.PROFILES:
        assert accepted.objects.tenant_name(profile.tenant.dbid) == profile.tenant.name
        assert accepted.objects.profile_name(profile.app) == profile.name
    assert {int(dbid) for dbid in json.loads(json.dumps(simulated()["components"]))} == {*world.RMS, *world.MCPS, world.CCP}


async def test_rs_init_waits_for_one_that_comes(own_etcd: EtcdNode, tmp_path: Path) -> None:
    own_etcd.kill()
    base = settings.read(stack={"data": str(tmp_path)}, config={"server": own_etcd.setting})
    with pytest.raises(Away):
        await prepare(base, wait_s=0)
    making = asyncio.create_task(prepare(base, wait_s=PATIENCE_S))
    await asyncio.to_thread(own_etcd.start)
    assert "created" in str(await making)
