"""What SQL Server spells differently. Pure text.

Its `=` knows neither case (but for columns of a binary collation) nor blanks at the end, and what the length of a string is depends
on the collation: so none is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.store.contract import Condition

BINARY = "Latin1_General_BIN2"
SPELLED = {"guid", "value"}  # columns that have this collation by the schema: naming it again could cost an index
MOST_BYTES = 8_000  # of a pattern; no column that is searched holds so much either
NEVER: Condition = ("1 = 0", [])


class TSQLDialect:
    def equals(self, column: str, text: str) -> Condition:
        # The first condition can use an index, the second is exact: with a full stop behind them, no blanks are at the end.
        return f"({column} = ? AND ({column} + N'.') COLLATE {BINARY} = ?)", [text, f"{text}."]

    def begins(self, column: str, text: str) -> Condition:
        pattern = _escaped(text) + "%"
        if len(pattern.encode("utf-16-le")) > MOST_BYTES:
            return NEVER
        return f"{_binary(column)} LIKE ? ESCAPE '\\'", [pattern]

    def digits_between(self, column: str, low: str, high: str) -> Condition:
        digits = f"LEN({column}) = {len(low)} AND {_binary(column)} NOT LIKE '%[^0-9]%'"
        return f"({digits} AND {column} BETWEEN ? AND ?)", [low, high]

    def holds_any(self, column: str, numbers: Sequence[int]) -> Condition:
        # No OPENJSON: opening every list of a large table takes many times as long as looking at its text.
        return "(" + " OR ".join([f"{_binary(column)} LIKE ?"] * len(numbers)) + ")", [f"%[^0-9]{number}[^0-9]%" for number in numbers]

    def part(self, size: int | None, offset: int) -> Condition:
        if size is None:
            return "OFFSET ? ROWS", [offset]
        return "OFFSET ? ROWS FETCH NEXT ? ROWS ONLY", [offset, size]


def _binary(column: str) -> str:
    return column if column in SPELLED else f"{column} COLLATE {BINARY}"


def _escaped(text: str) -> str:
    return "".join("\\" + letter if letter in "\\%_[" else letter for letter in text)
