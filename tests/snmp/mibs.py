"""The folder of standard MIB files that tools need beside ours: RS_MIBS names one; else stand-ins with the names alone."""

import os
import shutil
from pathlib import Path

from sinks.snmp.smi import FILE

STANDARD = Path(os.environ.get("RS_MIBS", Path(__file__).with_name("standard")))


def folder(target: Path) -> Path:
    """A folder with the standard files and ours, each named as its module."""
    target.mkdir(exist_ok=True)
    for file in STANDARD.iterdir():
        shutil.copy(file, target / file.stem)
    shutil.copy(FILE, target / FILE.stem)
    return target
