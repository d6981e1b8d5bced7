"""A failure shows the last lines of what programs wrote meanwhile: where the suite runs by itself nobody can look into its folders."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

LINES = 40  # of each log
BYTES = 16_384
BEGUN = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGUN] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and report.when != "teardown":
        base = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        report.sections += [(f"end of {log.relative_to(base)}", last_words(log)) for log in logs_since(base, item.stash[BEGUN])]
    return report


def logs_since(folder: Path, since: float) -> Iterator[Path]:
    """What was written to since then and is for people, not the data of a broker."""
    for path in sorted(folder.rglob("*")):
        named = (path.suffix in (".log", ".out") and not path.stem.isdigit()) or path.name.startswith("log-")
        if named and path.is_file() and path.stat().st_mtime >= since and (end := _end(path)) and b"\0" not in end:
            yield path


def last_words(log: Path) -> str:
    return "\n".join(_end(log).decode(errors="replace").splitlines()[-LINES:])


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - BYTES))
        return file.read()
