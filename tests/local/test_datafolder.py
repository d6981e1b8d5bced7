import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.local import datafolder
from pipeline.local.part import StackFault

HOLDER = """
import sys, pathlib
from pipeline.local import datafolder
with datafolder.locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_stack_on_the_same_folder_is_refused_and_the_first_is_named(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        assert datafolder.holder(tmp_path) == first.pid
        with pytest.raises(StackFault, match=rf"already runs on .* \(process {first.pid}\)"), datafolder.locked(tmp_path):
            pass
    finally:
        first.kill()
        first.communicate()
    # The lock goes with its holder, however that ends.
    assert datafolder.holder(tmp_path) is None
    with datafolder.locked(tmp_path):
        pass


def test_without_a_stack_there_is_none_to_stop(tmp_path: Path) -> None:
    assert datafolder.stop_holder(tmp_path) is False


def test_a_fresh_start_removes_what_is_the_stack_s_and_nothing_else(tmp_path: Path) -> None:
    current = settings.read(stack={"data": str(tmp_path)})
    for name in ("kafka/log", "activemq", "faust/agents", "letters"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("reporting.sqlite3", "reporting.sqlite3-wal", "thesis.odt"):
        (tmp_path / name).touch()
    datafolder.wipe(current)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters", "thesis.odt"]


def test_a_database_elsewhere_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.sqlite3"
    elsewhere.touch()
    current = settings.read(stack={"data": str(tmp_path / "data")}, sinks={"database": f"sqlite:///{elsewhere}"})
    datafolder.wipe(current)
    assert elsewhere.exists()
