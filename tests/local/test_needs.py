"""A machine that lacks something: one line each, with the mending step."""

import shutil
from pathlib import Path

import pytest

from pipeline.local import needs


def program(folder: Path, name: str, says: str) -> None:
    script = folder / name
    script.write_text(f"#!/bin/sh\n{says}\n")
    script.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_missing_programs_are_named_with_what_to_install(path: Path) -> None:
    lines = needs.faults(path, setting_up=True)
    assert any("there is no java" in line and "apt install default-jre-headless" in line for line in lines)
    assert any("there is no mvn" in line and "apt install maven" in line for line in lines)


def test_maven_is_not_needed_to_start_what_is_set_up(path: Path) -> None:
    assert not any("mvn" in line for line in needs.faults(path, setting_up=False))


@pytest.mark.parametrize(
    ("said", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "1.8.0_392"', 8), ('openjdk version "25-ea" 2025-09-16', 25)],
)
def test_java_versions_old_and_new(path: Path, said: str, version: int) -> None:
    program(path, "java", f"echo '{said}' >&2")
    assert needs.java_version() == version


def test_an_old_java_is_named(path: Path) -> None:
    program(path, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    assert any("java is version 11" in line for line in needs.faults(path, setting_up=False))


def test_an_old_python_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs.sys, "version_info", (3, 9, 2))
    assert any("Python 3.11 or newer is needed, this is 3.9.2" in line for line in needs.faults(path, setting_up=False))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda _: usage._replace(free=1024**3))
    lines = needs.faults(tmp_path / "not" / "yet", setting_up=False)
    assert any("1.0 GiB free, 2 GiB are needed" in line for line in lines)
