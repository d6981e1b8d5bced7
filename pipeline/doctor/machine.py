"""The machine: programs, disk, ports and the store's file."""

from __future__ import annotations

import platform
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.doctor.finding import Finding
from pipeline.local import needs
from pipeline.settings import Settings

MIB = 1024**2


def look(settings: Settings) -> list[Finding]:
    return [_programs(), _disk(settings.stack.data), _store(settings.database_file)]


def _programs() -> Finding:
    java = needs.java_version()
    said = f"Python {platform.python_version()}, Java {java or 'missing'}, Maven {needs.maven_version() or 'missing'}"
    faults = [fault for fault in needs.faults(Path(), setting_up=True) if "GiB" not in fault]
    return Finding("programs", said, "; ".join(faults))


def _disk(folder: Path) -> Finding:
    free = needs.free_bytes(folder)
    mend = "" if free >= needs.FREE_BYTES else "free some space, or move the data (rs up --data DIR): Kafka stops when the disk is full"
    return Finding("disk", f"{free / 1024**3:.1f} GiB free for {folder}", mend)


def _store(file: Path | None) -> Finding:
    if file is None:
        return Finding("store", "not SQLite: ask its own tools")
    if not file.is_file():
        return Finding("store", f"{file} does not exist yet", "the sinks make it when they start: rs up", warning=True)
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=2)) as connection:
            (schema,) = connection.execute("SELECT max(version) FROM rs_schema").fetchone()
            (calls,) = connection.execute("SELECT count(*) FROM calls").fetchone()
    except sqlite3.Error as exc:
        return Finding(
            "store", f"{file}: {exc}", "stop the stack and begin the store again: move the file away, the sinks fill a new one from the log"
        )
    size = sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
    return Finding("store", f"SQLite {sqlite3.sqlite_version}, schema {schema}, {calls:,} calls, {size / MIB:.1f} MiB in {file}")
