# ruff: noqa: S608 - names come from this package; values are always bound
"""Bringing a database to the schema of this program: numbered scripts, each applied once, in one transaction, under a lock.

A script is `NNNN_what_it_does.sql`. A released script never changes: what comes later is a new one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from sinks.sql.dialect import Cursor, Dialect, connected
from sinks.sql.errors import Fatal

VERSIONS = "rs_schema"

_NAME = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Script:
    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def scripts(dialect: Dialect) -> list[Script]:
    """The scripts of a dialect in their order. Their numbers go from 1 without a gap."""
    found: list[Script] = []
    for path in sorted(dialect.scripts.glob("*.sql")):
        named = _NAME.fullmatch(path.name)
        if named is None or int(named[1]) != len(found) + 1:
            raise Fatal(f"{path.name}: schema scripts are called NNNN_name.sql and count from 0001 without a gap")
        found.append(Script(int(named[1]), path.stem, path.read_text(encoding="utf-8")))
    return found


def migrate(dialect: Dialect) -> list[str]:
    """Apply what is missing; gives the names of the scripts applied. Several may call this at once: one works, the others find it
    done. Raises Transient and Fatal."""
    with connected(dialect) as connection:
        cursor = connection.cursor()
        applied = []
        for script in scripts(dialect):
            dialect.lock_schema(cursor)
            if _is_missing(dialect, cursor, script):
                for statement in dialect.statements(script.text):
                    cursor.execute(statement)
                cursor.execute(
                    f"INSERT INTO {VERSIONS} (version, name, digest) VALUES (?, ?, ?)", (script.version, script.name, script.digest)
                )
                applied.append(script.name)
            connection.commit()
        return applied


def _is_missing(dialect: Dialect, cursor: Cursor, script: Script) -> bool:
    """Whether the script must be applied; asked under the lock."""
    if not dialect.has_table(cursor, VERSIONS):
        cursor.execute(
            f"CREATE TABLE {VERSIONS} (version INTEGER NOT NULL PRIMARY KEY, name VARCHAR(128) NOT NULL, digest CHAR(64) NOT NULL)"
        )
    cursor.execute(f"SELECT version, digest FROM {VERSIONS}")
    digests = dict(cursor.fetchall())
    newest, known = max(digests, default=0), len(scripts(dialect))
    if newest > known:
        raise Fatal(
            f"the database has schema version {newest}, this program knows {known}: install the version that made it, or a newer one"
        )
    if digests.get(script.version, script.digest) != script.digest:
        raise Fatal(
            f"schema script {script.name} is not the one that made this database: "
            "start with an empty one (rs up --fresh, or another sinks.database)"
        )
    return script.version not in digests
