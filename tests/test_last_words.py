"""What a failure shows of the programs around it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.last_words import LINES, last_words, logs_since


def test_logs_of_now_are_found_and_neither_older_ones_nor_data(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    texts = ["kafka/out.log", "agents.log", "log-gaps", "stack.out"]
    for name in (*texts, "before.log", "kafka/00000000000000000000.log", "notes.txt", "empty.log"):
        (tmp_path / name).write_text("" if name == "empty.log" else "said\n")
    (tmp_path / "db-1.log").write_bytes(b"data\0data")
    os.utime(tmp_path / "before.log", (0, 0))
    assert sorted(str(log.relative_to(tmp_path)) for log in logs_since(tmp_path, time.time() - 60)) == sorted(texts)


def test_the_end_is_what_counts(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert last_words(log).splitlines() == [f"line {n}" for n in range(100_000 - LINES, 100_000)]


def test_a_failure_shows_them(tmp_path: Path) -> None:
    inner = tmp_path / "test_inner.py"
    inner.write_text("def test_it(tmp_path):\n    (tmp_path / 'worker.log').write_text('the last words')\n    assert False\n")
    (tmp_path / "conftest.py").write_text("from tests.last_words import pytest_runtest_makereport, pytest_runtest_setup\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base"), str(inner)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "end of test_it0/worker.log" in done.stdout
    assert "the last words" in done.stdout
