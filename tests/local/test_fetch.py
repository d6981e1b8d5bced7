"""Fetching with a Maven that is a script: what is fetched, what is skipped, what is said when it fails."""

import zipfile
from pathlib import Path

import pytest
from rich.progress import Progress

from pipeline.local import fetch


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "poms").mkdir()
    (tmp_path / "poms" / "kafka.xml").write_text("<project>4.1.2</project>")
    monkeypatch.setattr(fetch, "ROOT", tmp_path)
    monkeypatch.setattr(fetch, "POMS", tmp_path / "poms")
    monkeypatch.setattr(fetch, "JARS", tmp_path / "jars")
    return tmp_path


def maven(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "bin" / "mvn"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nfor a in "$@"; do case "$a" in -DoutputDirectory=*) out="${{a#*=}}";; esac; done\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_jars_are_fetched_once_for_each_state_of_the_pom(rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven(rooms, monkeypatch, 'touch "$out/kafka.jar"')
    with Progress(disable=True) as progress:
        assert fetch.fetch("kafka", progress) is True
        assert (rooms / "jars/kafka/kafka.jar").is_file()
        assert fetch.fetch("kafka", progress) is False
        (rooms / "poms/kafka.xml").write_text("<project>4.1.3</project>")
        assert fetch.fetch("kafka", progress) is True


def test_a_failed_fetch_says_what_maven_said_and_leaves_what_was_there(rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven(rooms, monkeypatch, 'touch "$out/kafka.jar"')
    with Progress(disable=True) as progress:
        fetch.fetch("kafka", progress)
        (rooms / "poms/kafka.xml").write_text("<project>4.1.3</project>")
        maven(rooms, monkeypatch, 'echo "[ERROR] Unknown host"; exit 1')
        with pytest.raises(fetch.FetchError, match=r"(?s)kafka.xml: check the network.*Unknown host"):
            fetch.fetch("kafka", progress)
        assert (rooms / "jars/kafka/kafka.jar").is_file()


def test_browser_assets_lie_without_their_version_and_only_what_is_served(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    with zipfile.ZipFile(jars / "htmx.org-2.0.10.jar", "w") as jar:
        jar.writestr("META-INF/resources/webjars/htmx.org/2.0.10/dist/htmx.min.js", "js")
        jar.writestr("META-INF/resources/webjars/htmx.org/2.0.10/LICENSE", "free")
        jar.writestr("META-INF/resources/webjars/htmx.org/2.0.10/src/htmx.ts", "source")
        jar.writestr("META-INF/maven/pom.xml", "pom")
    with zipfile.ZipFile(jars / "axe-core-4.6.3.jar", "w") as jar:
        jar.writestr("META-INF/resources/webjars/axe-core/4.6.3/axe.min.js", "for tests")
    assert fetch.unpack(jars, tmp_path / "assets") == ["htmx.org"]
    found = sorted(str(path.relative_to(tmp_path / "assets")) for path in (tmp_path / "assets").rglob("*") if path.is_file())
    assert found == ["htmx.org/LICENSE", "htmx.org/dist/htmx.min.js"]
