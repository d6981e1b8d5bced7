"""gather.py FOLDER: copy what the image needs from this machine into FOLDER, which becomes the root of the image.

Python with its packages, the project, the ODBC driver, and every shared library that one of these asks for, as ldd says. Of each Debian
package that a file comes from, the record is copied, too: scanners go by it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PYTHON = Path(f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}")
PROGRAMS = ("python", "python3", f"python3.{sys.version_info.minor}", "rs", "faust", "healthy")
# Of Python's own: what only builds, teaches or draws. pip and setuptools have done their work.
LEFT_OUT = re.compile(
    rf"{PYTHON}/((test|idlelib|ensurepip|lib2to3|tkinter|turtledemo|pydoc_data|config-[^/]*)(/|$)|lib-dynload/(nis|_tkinter)\.|unittest/test(/|$)"
    r"|site-packages/(distutils-precedence\.pth$|(pip|setuptools|pkg_resources|_distutils_hack|wheel)(-[^/]*)?(/|$)))"
)
# What programs open by name, so that no ldd tells: character sets (FreeTDS converts with them), the drivers, certificates, names.
BY_NAME = (
    "/usr/lib/*/gconv",
    "/usr/lib/*/odbc/libtdsodbc.so",
    "/etc/odbcinst.ini",
    "/etc/freetds",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/debian_version",
    "/usr/lib/os-release",
)
USER = "rs:x:10001:10001::/tmp:/nonexistent\n"


def wanted() -> Iterator[Path]:
    yield from (Path("/usr/local/bin") / name for name in PROGRAMS)
    for top in (PYTHON, Path("/app"), *(path for pattern in BY_NAME for path in Path("/").glob(pattern.lstrip("/")))):
        yield from (path for path in [top, *top.rglob("*")] if not LEFT_OUT.match(str(path)))


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(program: Path) -> set[Path]:
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    if "not found" in said:
        # A library that its own package brings and finds by its place, or one that is missing: the tests of the image would tell.
        sys.stderr.write("".join(f"{program}: {line.strip()}\n" for line in said.splitlines() if "not found" in line))
    return {Path(found) for found in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said, re.MULTILINE)}


def copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    if path.is_dir() and not path.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() and not target.is_symlink():
        shutil.copy2(path, target, follow_symlinks=False)
    if path.is_symlink():
        copy(path.parent.resolve() / path.readlink(), root)


def records(paths: set[Path], root: Path) -> None:
    """/var/lib/dpkg/status.d/PACKAGE, as images without a package manager have it."""
    folder = root / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    owners: set[str] = set()
    for path in sorted(paths):
        for name in {str(path), str(path.resolve()), str(path.resolve()).removeprefix("/usr")}:
            said = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False).stdout
            owners |= {line.split(":")[0] for line in said.splitlines()}
    for owner in owners:
        (folder / owner).write_bytes(subprocess.run(["dpkg-query", "--status", owner], capture_output=True, check=True).stdout)


def main(root: Path) -> None:
    for name in ("usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "etc", "data", "tables", "tmp", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").chmod(0o1777)
    for name in ("data", "tables"):  # a new volume gets its owner from here
        os.chown(root / name, 10001, 10001)
    (root / "etc/passwd").write_text(f"root:x:0:0::/nonexistent:/nonexistent\n{USER}")
    (root / "etc/group").write_text("root:x:0:\nrs:x:10001:\n")
    paths = set(wanted())
    programs = {path for path in paths if path.is_file() and is_elf(path)}
    needed = {library for program in programs for library in libraries(program)}
    for path in sorted(paths | needed):
        copy(path, root)
    records({path for path in needed | programs if not path.is_relative_to("/usr/local") and not path.is_relative_to("/app")}, root)
    size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_symlink())
    sys.stdout.write(f"{len(paths)} files, {len(needed)} libraries, {size / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
