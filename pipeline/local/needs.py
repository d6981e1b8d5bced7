"""What the machine must have before anything is fetched or started.

Runs before the virtual environment exists, as `python3 pipeline/local/needs.py`:
standard library alone, and any Python 3 must be able to parse it.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON = (3, 11)
JAVA = 17
FREE_BYTES = 2 * 1024**3  # environment 0.4 GiB, jars and Maven's cache 0.3 GiB, and room for the log to grow


def faults(folder: Path, *, setting_up: bool) -> list[str]:
    """One line for each thing that is missing, with the mending step. `setting_up`: Maven and venv are needed, too."""
    found = [_python(), _java(), _disk(folder)]
    if setting_up:
        found += [_maven(), _venv()]
    return [fault for fault in found if fault]


def java_version() -> int | None:
    """Major version of the `java` on the PATH; None if there is none."""
    if shutil.which("java") is None:
        return None
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match.group(1)) if match else None


def maven_version() -> str | None:
    """Version of the `mvn` on the PATH; None if there is none."""
    if shutil.which("mvn") is None:
        return None
    said = subprocess.run(["mvn", "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Apache Maven (\d[\w.-]*)", said)
    return match.group(1) if match else None


def free_bytes(folder: Path) -> int:
    """Free bytes where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _python() -> str | None:
    if sys.version_info[:2] >= PYTHON:
        return None
    return (
        f"Python {_dotted(PYTHON)} or newer is needed, this is {_dotted(sys.version_info[:3])}: "
        "install it (Debian, Ubuntu: apt install python3 python3-venv) or name one: make up PYTHON=python3.12"
    )


def _java() -> str | None:
    version = java_version()
    if version is not None and version >= JAVA:
        return None
    found = "there is no java" if version is None else f"java is version {version}"
    return (
        f"Java {JAVA} or newer is needed, {found}: install a JRE and put it on the PATH (Debian, Ubuntu: apt install default-jre-headless)"
    )


def _maven() -> str | None:
    if shutil.which("mvn") is not None:
        return None
    return "Maven is needed to fetch Kafka and ActiveMQ, there is no mvn: install it (Debian, Ubuntu: apt install maven)"


def _venv() -> str | None:
    if importlib.util.find_spec("ensurepip") is not None:
        return None
    return "Python's venv module is incomplete (no ensurepip): install it (Debian, Ubuntu: apt install python3-venv)"


def _disk(folder: Path) -> str | None:
    free = free_bytes(folder)
    if free >= FREE_BYTES:
        return None
    return (
        f"the disk of {folder.absolute()} has {free / 1024**3:.1f} GiB free, {FREE_BYTES // 1024**3} GiB are needed: "
        "free some, or keep the data elsewhere (rs up --data DIR)"
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


if __name__ == "__main__":
    lines = faults(Path(), setting_up=True)
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 - rich is not there yet
    sys.exit(1 if lines else 0)
