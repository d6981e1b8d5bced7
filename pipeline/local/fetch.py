"""Fetch the jars of the brokers and the browser assets of the pages with Maven; `python -m pipeline.local.fetch`.

Each of deploy/maven/*.xml becomes a folder of jars with a stamp that is the digest of the file, so a second run fetches nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

ROOT = Path(__file__).parents[2]
POMS = ROOT / "deploy" / "maven"
HOME = ROOT / ".rs"
JARS = HOME / "jars"
ASSETS = HOME / "assets"

GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
WEBJAR = "META-INF/resources/webjars/"
KEPT = (".min.js", ".min.css", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")  # a tenth of what the packages hold
OF_TESTS = "axe-core"  # not served
STAMP = ".pom"


class FetchError(RuntimeError):
    """Maven failed; the message holds its last words and the mending step."""


def fetch(name: str, progress: Progress) -> bool:
    """Fetch the jars that deploy/maven/<name>.xml asks for; False if they are here already. Raises FetchError."""
    pom, target = POMS / f"{name}.xml", JARS / name
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    if (target / STAMP).is_file() and (target / STAMP).read_text() == digest:
        return False
    # Fetched beside and moved at the end: an interrupted run leaves no half-filled folder that looks whole.
    fresh = target.with_name(f"{name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    _copy_dependencies(name, pom, fresh, progress)
    (fresh / STAMP).write_text(digest)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return True


def _copy_dependencies(name: str, pom: Path, into: Path, progress: Progress) -> None:
    command = ["mvn", "-B", "-f", str(pom), GOAL, "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    said: list[str] = []
    task = progress.add_task(name, total=None, what="asking Maven")
    downloaded = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as maven:
        for line in maven.stdout or ():
            said.append(line)
            if "Downloaded from " in line:
                downloaded += 1
                progress.update(task, what=f"{downloaded} files fetched")
    if maven.returncode:
        errors = [line for line in said if line.startswith("[ERROR]")][:4] or said[-4:]
        raise FetchError(
            f"Maven could not fetch the jars of {pom.relative_to(ROOT)}: check the network, or name a mirror in ~/.m2/settings.xml, "
            f"and run make again\n{''.join(errors)}"
        )
    progress.update(task, total=1, completed=1, what=f"{len(list(into.glob('*.jar')))} jars")


def unpack(jars: Path, assets: Path) -> list[str]:
    """Lay the WebJars out as assets/<package>/<path>, without their version; gives the packages."""
    shutil.rmtree(assets, ignore_errors=True)
    packages = []
    for jar in sorted(jars.glob("*.jar")):
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.infolist():
                if entry.is_dir() or not entry.filename.startswith(WEBJAR) or not entry.filename.endswith(KEPT):
                    continue
                package, _version, path = entry.filename.removeprefix(WEBJAR).split("/", 2)
                if package == OF_TESTS:
                    continue
                target = assets / package / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
                if package not in packages:
                    packages.append(package)
    return packages


def main() -> int:
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description:10}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            fetched = [name for name in ("kafka", "activemq", "pages") if fetch(name, progress)]
    except FetchError as exc:
        console.print(str(exc), markup=False, style="red")
        return 1
    if "pages" in fetched or not ASSETS.is_dir():
        unpack(JARS / "pages", ASSETS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
