"""What only the user's own server can prove, tried there: `rs doctor --database` on an empty database.

Every table is written and read back with the longest, greatest and strangest cells; older rows are refused; two writers work on
neighbouring partitions at the same time and nothing is lost; and how fast it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from sinks.sql.binder import Bound
from sinks.sql.buffer import Entry
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.migrate import migrate, scripts
from sinks.sql.rows import CALLS, TABLES, Cell, Column, Kind, Row, Table
from sinks.sql.writer import LOG_ID, Writer

START_MS = 1_795_000_000_007
WRITERS = 2
BATCH = 500  # calls a transaction
CALLS_EACH = 2_000  # different calls of a writer
MOST_TRIES = 50  # of one transaction


@dataclass(frozen=True, slots=True)
class Step:
    """`fault` is empty if it went well."""

    name: str
    said: str
    fault: str = ""


def prove(dialect: Dialect, seconds: float) -> Iterator[Step]:
    """Each step as it is done; the writers work for `seconds`. Ends at the first step without which the others make no sense. What was
    written is removed. Blocks."""
    try:
        applied = migrate(dialect)
        yield Step("schema", f"{len(scripts(dialect))} scripts, {len(applied)} applied now")
        writer = Writer(dialect)
        try:
            writer.check()
            yield Step("rights", "all that the sinks need")
            _check_empty(dialect, writer)
            try:
                yield from _cells(dialect, writer)
                yield _guard(dialect, writer)
                yield from _two_writers(dialect, seconds)
            finally:
                _clear(dialect)
        finally:
            writer.close()
        yield Step("clearing up", "nothing is left but the schema")
    except (Fatal, Poison, Transient) as error:
        yield Step("store", "it does not work", str(error))


def _check_empty(dialect: Dialect, writer: Writer) -> None:
    if LOG_ID in writer.meta() or any(_read(dialect, f"SELECT count(*) FROM {table.name}") != [(0,)] for table in TABLES):  # noqa: S608
        raise Fatal("the database is in use: rows are written and removed here, so name an empty one with sinks.database")


def _cells(dialect: Dialect, writer: Writer) -> Iterator[Step]:
    for kind, said in (
        ("extremes", "greatest numbers, longest texts, every table"),
        ("strange", "quotes, backslashes, control and wide characters, blanks at the end"),
    ):
        batch = [_bound([(table, row) for table in TABLES for row in (_row(table, 0, n, 1, kind) for n in range(2))])]
        try:
            writer.write(batch, {("proof", 0): 1})
        except (Poison, Fatal) as error:
            yield Step(said, "", f"refused: {error}")
            continue
        wrong = [
            f"{table.name}.{column.name}"
            for table in TABLES
            for found, given in zip(_stored(dialect, table), [_row(table, 0, n, 1, kind) for n in range(2)], strict=False)
            for column, a, b in zip(table.columns, found, given, strict=True)
            if a != b
        ]
        counts = {table.name: len(_stored(dialect, table)) for table in TABLES}
        missing = [name for name, n in counts.items() if n != 2]
        yield Step(
            said, f"{len(TABLES)} tables", _fault("came back changed", wrong) or _fault("has not the rows that were written", missing)
        )
        _clear(dialect)


def _guard(dialect: Dialect, writer: Writer) -> Step:
    for generation, mark in ((1, 5), (1, 4), (0, 9)):
        rows = [(table, (*_row(table, 0, 0, mark, "plain")[:-2], generation, mark)) for table in TABLES]
        writer.write([_bound(rows)], {("proof", 0): 3 if mark == 5 else 2})
    kept = {row[-2:] for table in TABLES for row in _stored(dialect, table)}
    offsets = writer.offsets()
    wrong = [] if kept == {(1, 5)} else [f"rows went back to {sorted(kept)}"]
    wrong += [] if offsets == {("proof", 0): 3} else ["an offset went back"]
    _clear(dialect)
    return Step("older rows and offsets", "refused", "; ".join(wrong))


def _two_writers(dialect: Dialect, seconds: float) -> Iterator[Step]:
    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(lambda partition: _write_for(dialect, partition, seconds), range(WRITERS)))
    expected = {(partition, _guid(n)): mark for partition, (marks, *_) in enumerate(done) for n, mark in marks.items()}
    found = {(row[0], row[1]): row[-1] for row in _stored(dialect, CALLS)}
    rows, tries = sum(written for _, written, _ in done), [trouble for *_, troubles in done for trouble in troubles]
    yield Step(
        f"{WRITERS} writers on neighbouring partitions",
        f"{len(expected):,} calls, {len(tries)} transactions tried again{_most(tries)}",
        "" if found == expected else "rows are missing, or not the newest",
    )
    yield Step("speed", f"{rows / seconds:,.0f} rows a second, {WRITERS} writers, {BATCH} calls a transaction")


def _write_for(dialect: Dialect, partition: int, seconds: float) -> tuple[dict[int, int], int, list[str]]:
    """call -> mark as committed, rows written, why transactions were tried again."""
    writer, marks, rows, troubles, mark = Writer(dialect), dict[int, int](), 0, list[str](), 0
    end = monotonic() + seconds
    try:
        while monotonic() < end:
            mark += 1
            some = [(mark * BATCH + n) * 7919 % CALLS_EACH for n in range(BATCH)]
            batch = [
                _bound([(table, _row(table, partition, n, mark, "plain")) for table in TABLES if "guid" in table.key_names]) for n in some
            ]
            rows += _patiently(lambda batch=batch, mark=mark: writer.write(batch, {("proof", partition): mark}), troubles)  # type: ignore[misc]
            marks.update(dict.fromkeys(some, mark))
    finally:
        writer.close()
    return marks, rows, troubles


def _patiently(write: Callable[[], dict[str, int]], troubles: list[str]) -> int:
    for _ in range(MOST_TRIES):
        try:
            return sum(write().values())
        except Transient as error:
            troubles.append(str(error))
    raise Transient(f"given up after {MOST_TRIES} tries: {troubles[-1]}")


def _bound(rows: Sequence[tuple[Table, Row]]) -> Bound:
    return Bound(Entry("proof", 0, 0, None), tuple(rows))  # type: ignore[arg-type]  # no record: these were never in a topic


def _guid(n: int) -> str:
    return f"{n:08X}-0000-0000-0000-000000000000"


def _row(table: Table, partition: int, n: int, mark: int, kind: str) -> Row:
    given: dict[str, Cell] = {
        "source_partition": partition,
        "guid": _guid(n),
        "generation": 1,
        "mark": mark,
        "comp_id": 1,
        "session": "S",
        "seq": n,
    }
    keys = {column.name for column in table.key}
    return tuple(
        given[column.name] if column.name in given else _cell(column, n, kind if column.name not in keys else "plain")
        for column in table.columns
    )


def _cell(column: Column, n: int, kind: str) -> Cell:
    extreme = kind == "extremes"
    match column.kind:
        case Kind.INT:
            return 2**63 - 1 - n if extreme else n
        case Kind.FLAG:
            return n % 2
        case Kind.MILLIS:
            return 4_102_444_799_999 - n if extreme else START_MS + n
        case Kind.REAL:
            return 1.5 + n
        case Kind.DECIMAL:
            return "9" * 38 if extreme else str(n)
        case Kind.CODE:
            return ("z" * column.length if extreme else f"c{n}")[: column.length]
        case Kind.TEXT:
            return "🙂" * column.length if extreme else STRANGE[: column.length] if kind == "strange" else f"t{n}"
        case Kind.JSON:
            return '{"long":"' + "☎" * 20_000 + '"}' if extreme else '{"a\\"b":"c\\\\d\\n"}' if kind == "strange" else "{}"


STRANGE = "a\"b'c\\d\n\t☎🙂 "


def _stored(dialect: Dialect, table: Table) -> list[Row]:
    order = ", ".join(table.key_names)
    return _read(dialect, f"SELECT {', '.join(table.names)} FROM {table.name} ORDER BY {order}")  # noqa: S608 - names of this package


def _read(dialect: Dialect, sql: str) -> list[Row]:
    connection = dialect.connect()
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]
    finally:
        connection.close()


def _clear(dialect: Dialect) -> None:
    connection = dialect.connect()
    try:
        cursor = connection.cursor()
        dialect.begin(cursor)
        for name in (*(table.name for table in TABLES), "rs_offsets"):
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608
        connection.commit()
    finally:
        connection.close()


def _fault(said: str, names: list[str]) -> str:
    some = sorted(set(names))
    return f"{', '.join(some[:4])}{f' and {len(some) - 4} more' if len(some) > 4 else ''}: {said}" if some else ""


def _most(troubles: list[str]) -> str:
    return f" ({max(set(troubles), key=troubles.count)})" if troubles else ""
