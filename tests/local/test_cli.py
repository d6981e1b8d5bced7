"""The rs command itself: quick help, settings faults, what is shown and what is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import COMMANDS, build
from pipeline.cli.up import assigned
from pipeline.local.ports import free_port
from pipeline.settings import Bridge, WrongSettings
from tests.conftest import PATIENCE_S

LOADED = """
import sys
from pipeline.cli import build
build(None)
print([name for name in ("aiokafka", "faust", "stomp", "fastapi") if name in sys.modules])
"""


def rs(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_help_names_every_command_and_loads_no_client() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    said = rs("--help").stdout
    for name, command in COMMANDS.items():
        assert f" {name} " in said
        assert command.help in said


@pytest.mark.parametrize("words", [["import", "ivr-csv"] if name == "import" else [name] for name in COMMANDS])
def test_each_command_has_help_with_an_example(words: list[str]) -> None:
    done = CliRunner().invoke(build(words[0]), [*words, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"rs {' '.join(words)}" in done.output.split("Usage:", 1)[1].split("\n", 1)[1]


def test_wrong_settings_are_their_lines_and_exit_code_2() -> None:
    done = rs("config", "check", RS_BRIDGE__WINDOW="many", RS_KAFKA__PARTITIONS="0")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "setting kafka.partitions is '0': Input should be greater than or equal to 1",
        "setting bridge.window is 'many': Input should be a valid integer, unable to parse string as an integer",
    ]
    assert rs("config", "check").returncode == 0


def test_config_shows_values_and_defaults_but_no_password() -> None:
    said = rs("config", RS_ACTIVEMQ__PASSWORD="s3cret", RS_BRIDGE__WINDOW="77").stdout
    assert "s3cret" not in said
    assert "(set)" in said
    (window,) = [line for line in said.splitlines() if line.startswith("bridge.window")]
    assert window.split()[1:3] == ["77", str(Bridge().window)]


def test_set_makes_nested_settings() -> None:
    given = assigned(["fold.lateness=0", 'activemq.queues=["a","b"]', "sinks.database=sqlite:///x=y"], {"fold": {"other": 1}})
    assert given == {"fold": {"other": 1, "lateness": "0"}, "activemq": {"queues": ["a", "b"]}, "sinks": {"database": "sqlite:///x=y"}}


@pytest.mark.parametrize("pair", ["lateness=0", "fold.lateness", "=", "fold.=1", "activemq.queues=[a"])
def test_set_says_how_it_is_written(pair: str) -> None:
    with pytest.raises(WrongSettings, match="--set"):
        assigned([pair], {})


def test_up_names_the_busy_port_before_anything_starts(tmp_path: Path, activemq: int) -> None:
    done = rs("up", "--data", str(tmp_path), RS_ACTIVEMQ__PORT=str(activemq), RS_KAFKA__BOOTSTRAP=f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert f"ActiveMQ cannot have port {activemq}: java (process " in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock"]


def test_up_says_what_it_cannot_start(tmp_path: Path) -> None:
    done = rs("up", "--data", str(tmp_path), "--set", "kafka.bootstrap=kafka1:9092,kafka2:9092")
    assert done.returncode == 1
    assert "set RS_KAFKA__BOOTSTRAP=127.0.0.1:PORT" in done.stdout + done.stderr


def test_down_without_a_stack_is_no_fault(tmp_path: Path) -> None:
    done = rs("down", "--data", str(tmp_path))
    assert done.returncode == 0
    assert "no stack runs" in done.stdout
