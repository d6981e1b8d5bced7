"""Install the locked Python packages with one line of progress.

Runs by the new virtual environment's Python before anything is installed in it: standard library alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

WIDTH = 30


def install(lock: Path) -> int:
    """Run pip on a hash-pinned lock file; gives its exit code. On a terminal a bar moves, elsewhere only the end is said."""
    total = len(re.findall(r"^[A-Za-z0-9][\w.-]*==", lock.read_text(), re.MULTILINE))
    command = [
        sys.executable, "-m", "pip", "install", "--require-hashes", "--no-input", "--disable-pip-version-check",
        "--progress-bar", "off", "-r", str(lock),
    ]  # fmt: skip
    said: list[str] = []
    seen = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            said.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied")):
                seen += 1
                _show(f"{lock.name}  {_bar(seen, total)} {seen}/{total}")
            elif line.startswith("Installing collected"):
                _show(f"{lock.name}  {_bar(1, 1)} installing")
    if pip.returncode:
        sys.stderr.write("\n" + "".join(said[-15:]))
        sys.stderr.write(
            f"pip could not install {lock.name}: mend what it says above (network, proxy, a package index) and run make again\n"
        )
    else:
        _show("")
        sys.stdout.write(f"{lock.name}: {total} packages\n")
    return pip.returncode


def _bar(done: int, total: int) -> str:
    full = min(WIDTH, WIDTH * done // max(total, 1))
    return "#" * full + "." * (WIDTH - full)


def _show(text: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\033[K{text}")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1])))
