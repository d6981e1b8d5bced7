"""The folder as a Config Server."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.configserver.errors import Away
from pipeline.configserver.folder import Folder
from pipeline.configserver.held import Held
from tests.configserver.contract import WANTED, ConfigServerContract, following

NAME = "reporting-server"


class Editor:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = folder / "applications" / NAME / "options.toml"

    def set(self, name: str, value: str) -> None:
        section, _, option = name.partition(".")
        before = tomllib.loads(self.options.read_text()) if self.options.exists() else {}
        before.setdefault(section, {})[option] = value
        self._write(before)

    def unset(self, name: str) -> None:
        section, _, option = name.partition(".")
        before = tomllib.loads(self.options.read_text())
        del before[section][option]
        self._write(before)

    def _write(self, tables: dict[str, dict[str, str]]) -> None:
        lines = [
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in group.items())
            for section, group in tables.items()
        ]
        self.options.write_text("".join(lines))

    def describe(self, name: str, text: str) -> None:
        file = self.options.with_name("defaults.toml")
        file.write_text(file.read_text().replace(f"[{name}]\ndefault = ", f"[{name}]\n{text} = "))

    def set_object(self, kind: str, dbid: str, name: str) -> None:
        file = self.folder / f"{kind}.toml"
        before = tomllib.loads(file.read_text()) if file.exists() else {}
        before[dbid] = {"name": name}
        tables = [
            f"[{key}]\n" + "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in one.items()) for key, one in before.items()
        ]
        file.write_text("".join(tables))


@pytest.fixture
def another(tmp_path: Path) -> Callable[[], Folder]:
    return lambda: Folder(tmp_path / "config", NAME, optional=False)


@pytest.fixture
def server(another: Callable[[], Folder]) -> Folder:
    return another()


@pytest.fixture
def operator(tmp_path: Path) -> Editor:
    return Editor(tmp_path / "config")


class TestFolder(ConfigServerContract):
    async def test_at_once_is_one_after_the_other(
        self, server: Folder, another: Callable[[], Folder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also if there is much time between reading and writing."""
        read = Folder._read

        def slowly(folder: Folder) -> Held:
            held = read(folder)
            time.sleep(0.05)
            return held

        monkeypatch.setattr(Folder, "_read", slowly)
        await self.test_ten_at_once_make_each_thing_once(server, another)


async def test_what_people_write_in_toml_is_text_like_everything_else(server: Folder, operator: Editor) -> None:
    await server.add(WANTED)
    operator.options.write_text(
        "[snmp]\nlag_limit = 5\nquality_target = 99.5\nusage_limits = {101 = 3}\n"
        '[activemq]\nqueues = ["a", "b"]\ntls = true\n[log]\nlevel = "debug"\n'
    )
    assert (await server.read()).options == {
        "snmp.lag_limit": "5",
        "snmp.quality_target": "99.5",
        "snmp.usage_limits": '{"101": 3}',
        "activemq.queues": '["a", "b"]',
        "activemq.tls": "true",
        "log.level": "debug",
    }


async def test_a_file_that_is_no_toml_is_named_and_hides_no_other(server: Folder, operator: Editor) -> None:
    await server.add(WANTED)
    operator.options.write_text("[log\nlevel=")
    held = await server.read()
    assert list(held.unreadable) == ["options"]
    assert "options.toml is not TOML" in held.unreadable["options"]
    assert held.objects["tenants"]


async def test_objects_are_added_behind_what_people_have_written(server: Folder, operator: Editor) -> None:
    file = operator.folder / "tenants.toml"
    file.parent.mkdir(parents=True)
    file.write_text('# ours\n[1]\nname = "Environment" # the root\n')
    await server.add(Held(objects={"tenants": {"5": json.dumps({"name": "Five", "parent": 1, "sections": {"gvp.policy": {"a b": "x"}}})}}))
    assert file.read_text().startswith('# ours\n[1]\nname = "Environment" # the root\n')
    assert tomllib.loads(file.read_text())["5"] == {"name": "Five", "parent": 1, "sections": {"gvp.policy": {"a b": "x"}}}


async def test_nothing_is_added_to_a_file_that_is_no_toml(server: Folder, operator: Editor) -> None:
    file = operator.folder / "tenants.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[1\n")
    await server.add(WANTED)
    assert file.read_text() == "[1\n"


async def test_a_folder_that_comes_later_is_seen(another: Callable[[], Folder]) -> None:
    server = another()
    async with following(server) as until:
        await another().add(WANTED)
        await until(lambda held: held.application and len(held.objects["tenants"]) == 2)


async def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    with pytest.raises(Away, match="cannot be written"):
        await Folder(tmp_path / "config", NAME, optional=False).add(WANTED)
