"""Two kinds of store, the same answers; and every statement that SQL Server is sent, read by a parser that is not ours."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest
import sqlglot
from sqlglot import expressions as exp

from reports.api import question
from reports.store.contract import Argument, Dialect, Reading, Row, Store
from reports.store.sqlite import SQLiteStore
from reports.store.tsql import SPELLED, TSQLDialect
from tests.reports import questions
from tests.reports.conftest import client, needs_server, site
from tests.reports.seed import END, Seeded, Session, write

SCRIPTS = Path(__file__).parents[2] / "sinks" / "sql" / "schema" / "sqlserver"

MOST_PAGES = 12


@pytest.fixture(autouse=True)
def timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long an answer took is the one thing that differs."""
    monkeypatch.setattr(question, "time", SimpleNamespace(perf_counter=lambda: 0.0))


class Recorded:
    """A store that notes the rows it gave."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.given: list[Sequence[Row]] = []

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with self.store.reading() as reading:
            yield _RecordedReading(reading, self.given)


class _RecordedReading:
    def __init__(self, reading: Reading, given: list[Sequence[Row]]) -> None:
        self._reading, self._given = reading, given

    @property
    def dialect(self) -> Dialect:
        return self._reading.dialect

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> Sequence[Row]:
        self._given.append(self._reading.rows(sql, arguments))
        return self._given[-1]


class Replayed:
    """A SQL Server that answers what another store answered, and notes what it was sent."""

    dialect = TSQLDialect()

    def __init__(self, given: Sequence[Sequence[Row]]) -> None:
        self._given = list(given)
        self.sent: list[tuple[str, Sequence[Argument]]] = []

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        yield self

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> Sequence[Row]:
        self.sent.append((sql, arguments))
        return self._given.pop(0)


def paths(seeded: Seeded) -> list[str]:
    guid = max((session for session in seeded.of("MCP") if session.end_ts), key=lambda session: len(session.events)).guid
    return [*questions.ALL, f"/ems-rs/calls/{guid}", f"/calls/{guid}", f"/ems-rs/calls/{guid}%20", f"/ems-rs/calls?guid={guid}"]


async def answers(store: Store, path: str) -> list[bytes]:
    """The answer, and those of the next pages by cursor."""
    found: list[bytes] = []
    async with client(site(store)) as web:
        query = httpx.URL(path)
        for _ in range(MOST_PAGES):
            got = await web.get(query)
            found.append(str(got.status_code).encode() + got.content)
            cursor = re.search(rb'"next-cursor":"([^"]+)"', got.content)
            if cursor is None:
                break
            query = query.copy_remove_param("page").copy_set_param("cursor", cursor[1].decode())
    return found


@needs_server
async def test_sql_server_answers_the_same_byte_for_byte(sqlserver: Store, store_path: Path, seeded: Seeded) -> None:
    file = SQLiteStore(store_path)
    assert [path for path in paths(seeded) if await answers(sqlserver, path) != await answers(file, path)] == []


def odd(n: int, remote: str, start: int | None, *, length: int | None = None, name: str = "T", dn: str = "7") -> Session:
    """A session of call n with a strange text; tenant 9 has such calls alone."""
    guid = f"0DD00000-0000-0000-0000-{n:012d}"
    ended = None if start is None or length is None else start + length
    state = None if ended is None else "USER_END"
    return Session(guid, "RM", 201, f"S{n}", start, ended, (1, 9), f"Environment/{name}", (9, name), dn, "INBOUND", remote, state)


ODD = [
    odd(1, "sip:Ab%c_d[e]f\\g@x", END - 9000, length=7),
    odd(2, "sip:ab%c_d[e]f\\g@x", END - 9000, length=8, name='O\'Brien; "☎🙂" <b>'),
    odd(3, "sip:ab", END - 9000, length=9, name="Straße"),
    odd(4, "sip:ab ", END - 9000, name=" x "),
    odd(5, "☎🙂@x", None),
    odd(6, "", None, dn="*7#"),
    odd(7, "sip:ÄB@x", None, dn="07"),
    odd(8, "sip:%", END - 9001, dn="+7"),
    replace(odd(1, "sip:other", END - 9000, length=7), session="s1"),
    replace(odd(1, "sip:other", END - 9000, length=7), comp_id=1000),
    replace(odd(1, "sip:other", None), session="T1"),
]
ODD_QUESTIONS = (
    *(f"/ems-rs/calls?tenant-id=9&page-size={size}" for size in (1, 3, 5)),
    *(f"/ems-rs/calls?tenant-id=9&page-size=3&page={page}" for page in (1, 2, 3, 4)),
    *(f"/ems-rs/{kind}/CDRs/RM/details?tenant-id=9&page-size={size}" for kind in ("HIST", "RT") for size in (1, 2)),
    *(
        f"/ems-rs/RT/CDRs/RM/details?tenant-id=9&remote-uri={quote(uri)}"
        for uri in (
            "sip:ab",
            "sip:ab ",
            "sip:AB",
            "sip:ab*",
            "sip:ab *",
            "sip:%",
            "sip:%*",
            "☎*",
            "☎🙂*",
            "☎🙂@x",
            "*",
            "sip:ÄB@*",
            "sip:äb@*",
        )
    ),
    *(
        f"/ems-rs/calls?tenant-id=9&number={quote(number)}"
        for number in ("Ab%c_d[e]f\\g", "ab%c_d[e]f\\g", "ab%*", "ab_*", "Ab%c_d[*", "%", "_*", "[*", "7", "07", "7 ", "+7", "*7#", "ÄB")
    ),
    "/ems-rs/calls?tenant-id=9&dn=00-99",
    "/ems-rs/calls?tenant-id=9&dn=0-9",
    *(path for n in range(1, 9) for path in (f"/ems-rs/calls/{odd(n, '', 0).guid}", f"/calls/{odd(n, '', 0).guid}")),
    "/calls?tenant-id=9",
)


@needs_server
async def test_sql_server_tells_strange_texts_apart_as_sqlite_does(sqlserver: Store, store_path: Path, tmp_path: Path) -> None:
    from tests.reports.copying import copy_calls, remove_calls
    from tests.sinks.server import server

    path = tmp_path / "odd.sqlite3"
    shutil.copy(store_path, path)
    with closing(sqlite3.connect(path)) as connection:
        write(connection, ODD, END)
        connection.commit()
    guids = sorted({session.guid for session in ODD})
    copy_calls(path, server(), guids)
    try:
        file = SQLiteStore(path)
        expected = {path: await answers(file, path) for path in ODD_QUESTIONS}
        assert sum(b"0DD00000" in answer[0] for answer in expected.values()) > len(ODD_QUESTIONS) / 2
        assert all(answer[0][:3] == b"200" for answer in expected.values())
        assert [path for path in ODD_QUESTIONS if await answers(sqlserver, path) != expected[path]] == []
    finally:
        remove_calls(server(), guids)


async def sent(store_path: Path, seeded: Seeded) -> list[tuple[str, Sequence[Argument]]]:
    """Every statement behind all questions, in the words of SQL Server."""
    found = []
    for path in paths(seeded):
        recorded = Recorded(SQLiteStore(store_path))
        expected = await answers(recorded, path)
        assert expected[0][:3] in (b"200", b"404"), path
        replayed = Replayed(recorded.given)
        assert await answers(replayed, path) == expected
        assert replayed._given == [], "one question asks all databases in the same steps"
        found += replayed.sent
    return found


FOREIGN = (exp.Limit, exp.Glob, exp.Boolean)


async def test_every_statement_is_t_sql(store_path: Path, seeded: Seeded) -> None:
    statements = dict(await sent(store_path, seeded))
    assert len(statements) > 60
    for text, arguments in statements.items():
        assert text.count("?") == len(arguments), text
        (tree,) = sqlglot.parse(text, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)
        assert isinstance(tree, exp.Select), text
        assert tree.find(*FOREIGN) is None, text
        if tree.args.get("offset") is not None:
            assert tree.args.get("order") is not None, f"no OFFSET without ORDER BY: {text}"
    words = " ".join(statements)
    for seen in ("NOT LIKE", "ESCAPE", "FETCH NEXT", "COLLATE", "BETWEEN", "DISTINCT"):
        assert seen in words, f"no question makes the reports say {seen}"
    assert not re.search(r"\b(json_\w+|substr|GLOB|LIMIT)\b", words)


def test_columns_that_need_no_collation_have_one() -> None:
    scripts = "\n".join(script.read_text() for script in sorted(SCRIPTS.glob("*.sql")))
    for column in SPELLED:
        made = re.findall(rf"^\s+{column}\s+varchar\(\d+\)(.*)$", scripts, re.MULTILINE)
        assert made
        assert all("COLLATE Latin1_General_BIN2" in rest for rest in made), column
