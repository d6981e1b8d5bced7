"""rs init, rs config and rs doctor as an operator calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline import settings
from pipeline.cli import main
from pipeline.configserver import preparing
from pipeline.configserver.description import descriptions
from pipeline.doctor import configserver as doctor
from pipeline.local.ports import free_port
from pipeline.settings_page import PAGE, page
from pipeline.topics import all_topics
from sinks.sql.migrate import scripts
from sinks.sql.sqlite import SQLite
from tests.configserver.parts import EtcdNode
from tests.configserver.test_etcd import OWN
from tests.conftest import PATIENCE_S, kafka_node

RS = [sys.executable, "-m", "pipeline.cli"]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def started(cwd: Path, *words: str, **environment: str) -> Done:
    """As a process of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RS_")}
    own |= {"PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    done = subprocess.run([*RS, *words], cwd=cwd, env=own, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return Done(done.returncode, done.stdout, done.stderr)


Rs = Callable[..., Done]


@pytest.fixture
def rs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rs:
    """The command in this process, in a folder of its own and with no other settings than those given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    for name in [name for name in os.environ if name.startswith("RS_")]:
        monkeypatch.delenv(name)

    def call(*words: str, **environment: str) -> Done:
        settings.load.cache_clear()
        capsys.readouterr()
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(words)
        settings.load.cache_clear()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.mark.slow
def test_ten_at_once_make_everything_once(emptied: EtcdNode, tmp_path: Path) -> None:
    with kafka_node(tmp_path / "kafka") as bootstrap, ThreadPoolExecutor(10) as threads:
        own = {"RS_CONFIG__SERVER": emptied.setting, "RS_KAFKA__BOOTSTRAP": bootstrap, "RS_STACK__DATA": str(tmp_path / "data")}
        done = list(threads.map(lambda _: started(tmp_path, "init", "--database", **own), range(10)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 10
    config, topics, schema = (sorted(lines) for lines in zip(*(one.stdout.splitlines() for one in done), strict=True))
    created = f"{emptied.setting}: application object reporting-server created, {len(descriptions())} options described"
    assert config == sorted([created] + [f"{emptied.setting}: application object reporting-server is there, 0 options added"] * 9)
    assert sum(int(line.split()[0]) for line in topics) == len(all_topics(0))
    assert sum(int(line.split()[0]) for line in schema) == len(scripts(SQLite(tmp_path / "data" / "reporting.sqlite3")))
    keys = emptied.ctl("get", "/rs/", "--prefix", "--keys-only").split()
    assert keys == [f"{OWN}/about", *sorted(f"{OWN}/defaults/{name.replace('.', '/')}" for name in descriptions())]


def test_init_never_overwrites_what_an_operator_has_set(emptied: EtcdNode, rs: Rs) -> None:
    server = {"RS_CONFIG__SERVER": emptied.setting}
    emptied.put(f"{OWN}/options/log/level", "debug")
    emptied.put("/rs/tenants/101", '{"name": "Ours"}')
    done = rs("init", "--only", "config", "--simulated", **server)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert emptied.ctl("get", f"{OWN}/options/log/level", "--print-value-only") == "debug\n"
    assert emptied.ctl("get", "/rs/tenants/101", "--print-value-only") == '{"name": "Ours"}\n'


def test_init_says_what_is_wrong_and_ends_with_1_or_2(rs: Rs) -> None:
    away = rs("init", "--only", "topics", RS_CONFIG__SERVER=f"etcd://127.0.0.1:{free_port()}")
    assert (away.returncode, away.stderr.count("\n")) == (2, 1)
    assert "RS_CONFIG__SERVER=none" in away.stderr
    none = rs("init", "--only", "config", RS_CONFIG__SERVER="none")
    assert (none.returncode, none.stdout) == (0, "no Config Server: config.server is none\n")


def test_config_tells_where_each_value_comes_from(rs: Rs, tmp_path: Path) -> None:
    (tmp_path / "rs.toml").write_text('[bridge]\nwindow = 77\n[snmp]\nlag_limit = 5\ncommunity = "hush"\n')
    rs("init", "--only", "config")
    (tmp_path / ".rs/data/config/applications/reporting-server/options.toml").write_text("[snmp]\nquality_calls = 3\nlag_limit = 6\n")
    done = rs("config", "show", RS_KAFKA__PARTITIONS="3")
    assert "hush" not in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert rows["bridge.window"].split()[1:6] == ["77", "500", "rs.toml", "after", "restart"]
    assert rows["kafka.partitions"].split()[1:4] == ["3", "8", "RS_KAFKA__PARTITIONS"]
    assert rows["snmp.lag_limit"].split()[1:7] == ["6", "10000", "Config", "Server", "at", "once"]
    assert rows["snmp.quality_calls"].split()[1:5] == ["3", "20", "Config", "Server"]
    assert rows["snmp.community"].split()[1:4] == ["(set)", "(set)", "rs.toml"]
    assert rows["log.level"].split()[1:4] == ["info", "info", "default"]
    part = rs("config", "show", "bridge")
    assert len(part.stdout.splitlines()) == 1 + sum(name.startswith("bridge.") for name in settings.options())


@pytest.mark.parametrize(
    ("file", "environment", "options", "said"),
    [
        ("[bridge]\nwindw = 1\n", {}, "", "setting bridge.windw does not exist, bridge.window does"),
        ("", {"RS_BRIGDE__WINDOW": "1"}, "", "setting brigde.window (RS_BRIGDE__WINDOW) does not exist, bridge.window does"),
        ("", {"RS_LOG_LEVEL": "debug"}, "", "variable RS_LOG_LEVEL is no setting: RS_LOG__LEVEL is"),
        ("", {}, "[log]\nlevle = 'debug'\n", "setting log.levle does not exist, log.level does"),
        ("", {}, "[log]\nlevel = 'loud'\n", "setting log.level is 'loud'"),
        ("", {}, "[log\n", "options.toml is not TOML"),
        ("[log\n", {}, "", "settings cannot be read from rs.toml"),
        ("", {"RS_ACTIVEMQ__QUEUES": "a,b"}, "", "settings cannot be read from rs.toml and the environment"),
    ],
)
def test_check_finds_faults_in_every_layer(file: str, environment: dict[str, str], options: str, said: str, rs: Rs, tmp_path: Path) -> None:
    (tmp_path / "rs.toml").write_text(file)
    own = tmp_path / ".rs/data/config/applications/reporting-server/options.toml"
    own.parent.mkdir(parents=True)
    own.write_text(options)
    done = rs("config", "check", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_variables_of_others_are_no_fault(rs: Rs) -> None:
    done = rs("config", "check", RS_ACTIVEMQ_PORT="tcp://10.0.0.1:61616", RS_PORT="tcp://10.0.0.1:80", RS_SERVICE_HOST="10.0.0.1")
    assert (done.returncode, done.stdout) == (0, "settings are right\n")


async def test_the_doctor_says_how_the_config_server_is(emptied: EtcdNode, tmp_path: Path) -> None:
    there = settings.read(stack={"data": str(tmp_path)}, config={"server": emptied.setting})
    assert "make it: rs init" in (await doctor.look(there)).mend
    await preparing.prepare(there, preparing.simulated())
    emptied.put(f"{OWN}/options/log/format", "json")
    well = await doctor.look(there)
    assert (well.mend, well.said) == (
        "", f"reporting-server in {emptied.setting}: 1 options set; 9 tenants, 7 profiles, 10 dns, 7 components",
    )  # fmt: skip
    emptied.put(f"{OWN}/options/log/level", "loud")
    assert "setting log.level is 'loud'" in (await doctor.look(there)).mend
    away = await doctor.look(settings.read(stack={"data": str(tmp_path)}, config={"server": f"etcd://127.0.0.1:{free_port()}"}))
    assert away.wrong
    assert "no last good copy" in away.said
    assert not (await doctor.look(settings.read(config={"server": "none"}))).wrong


def test_the_page_of_settings_is_that_of_the_model() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m pipeline.settings_page writes it anew"


@pytest.mark.parametrize("name", settings.options())
def test_every_setting_says_what_it_means(name: str) -> None:
    assert settings.options()[name].field.description
