"""Calls to a bank's voice response units, one row of CSV each, as billing messages. The mapping stands in docs/import.md.

Pure but for reading the file: rows become calls or a reason to leave them out; calls become events; the events of all calls come in
order of time, so that an import goes through the log as the calls went through the day.
"""

from __future__ import annotations

import csv
import gzip
import io
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal, cast
from zoneinfo import ZoneInfo

from pipeline.messages.types import ActionEnd, ActionStart, CallEnd, CallResult, CallStart, CallType, EndState, Event, Result

ZONE = ZoneInfo("Asia/Jerusalem")
SERVICES = ("PS", "PE", "IN", "NE", "NW", "TT")  # the place from 1 is in tenant, profile and DN
CALLBACK = "TT"
RM = 201
MCP = 300  # + unit
ROOT = 1
TENANT, APP = 100, 300  # + place of the service
NO_TIME = "0:00:00"
OVER_MIDNIGHT = timedelta(hours=12)

COLUMNS = (
    "vru_line", "call_id", "priority", "type", "date", "vru_entry", "vru_exit", "q_start", "q_exit", "outcome", "ser_start", "ser_exit",
)  # fmt: skip

Fault = Literal["vru_back", "queue_back", "service_back"]
Outcome = Literal["AGENT", "HANG", "PHANTOM"]


class WrongFileError(Exception):
    """The file is not what it should be: which line and column, what stands there, what should. One line."""


@dataclass(frozen=True, slots=True)
class Span:
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands, its times local and without zone; a later time far before the entry has been moved to the next day."""

    identity: str
    unit: int
    service: str
    outcome: Outcome
    vru: Span
    queue: Span | None
    agent: Span | None

    @property
    def fault(self) -> Fault | None:
        """Why the row is left out: the first reason that fits."""
        if self.vru.end < self.vru.start:
            return "vru_back"
        if self.queue is not None and self.queue.end < self.queue.start:
            return "queue_back"
        if self.agent is not None and self.agent.end < self.agent.start:
            return "service_back"
        return None


@dataclass(slots=True)
class Contents:
    """What a file holds. `events` in order of time, those of a session in order of seq."""

    rows: int = 0
    calls: int = 0
    sessions: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)


def read(path: Path) -> Contents:
    """The whole file, plain or gzipped. Raises OSError, WrongFileError."""
    contents = Contents()
    timed: list[tuple[int, Event]] = []
    for row in rows(path):
        contents.rows += 1
        if row.fault is not None:
            contents.left_out[row.fault] += 1
            continue
        contents.calls += 1
        for session in sessions(row):
            contents.sessions += 1
            timed += _not_before_the_last(session)
    timed.sort(key=lambda entry: entry[0])  # stable, so the events of a session stay in order
    contents.events = [event for _, event in timed]
    return contents


def rows(path: Path) -> Iterator[Row]:
    """Raises OSError, WrongFileError."""
    with path.open("rb") as packed, io.TextIOWrapper(_unpacked(path, packed), encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        try:
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise WrongFileError(f"{path} line 1: the columns should be {','.join(COLUMNS)}")
            for values in table:
                yield _row(values, f"{path} line {table.line_num}")
        except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as exc:
            raise WrongFileError(f"{path} after line {table.line_num}: {exc}") from exc


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file


def sessions(row: Row) -> list[list[Event]]:
    """The events of each session of a sound row."""
    if row.outcome == "PHANTOM":
        return [_resource_manager(row, "REJECTED")]
    return [_resource_manager(row, "USER_END"), _media(row)]


def instant(local: datetime) -> int:
    """ms since 1970 of a local time. Of the two instants of a repeated hour the first is meant: the rows don't say which."""
    return round(local.replace(tzinfo=ZONE, fold=0).timestamp() * 1000)


def _row(values: dict[str, str], where: str) -> Row:
    def wrong(column: str, should_be: str) -> WrongFileError:
        return WrongFileError(f"{where}: {column} is {values[column]!r} and should be {should_be}")

    if None in values or None in values.values():
        raise WrongFileError(f"{where}: a row should have {len(COLUMNS)} columns")
    line = values["vru_line"]
    if len(line) != 6 or not line.startswith("AA") or not line[2:].isdecimal() or line[2:4] == "00":
        raise wrong("vru_line", "AA, unit and line, such as AA0204")
    if values["type"] not in SERVICES:
        raise wrong("type", "one of " + ", ".join(SERVICES))
    outcome = values["outcome"]
    if outcome not in ("AGENT", "HANG", "PHANTOM"):
        raise wrong("outcome", "AGENT, HANG or PHANTOM")
    try:
        day = date.fromisoformat(values["date"])
    except ValueError:
        raise wrong("date", "a day, such as 2010-08-01") from None

    def time_of(column: str) -> datetime:
        try:
            hours, minutes, seconds = (int(part) for part in values[column].split(":"))
            return datetime(day.year, day.month, day.day, hours, minutes, seconds)  # noqa: DTZ001 - the zone is put on by `instant`
        except ValueError:
            raise wrong(column, "a time of day, such as 9:05:30") from None

    entry = time_of("vru_entry")

    def later(column: str) -> datetime:
        time = time_of(column)
        return time + timedelta(days=1) if entry - time > OVER_MIDNIGHT else time

    def span(start: str, end: str) -> Span | None:
        absent = values[start] == NO_TIME and values[end] == NO_TIME
        return None if absent else Span(later(start), later(end))

    return Row(
        identity=",".join(values[column] for column in ("date", "vru_line", "call_id", "vru_entry")),
        unit=int(line[2:4]),
        service=values["type"],
        outcome=outcome,  # type: ignore[arg-type]
        vru=Span(entry, later("vru_exit")),
        queue=span("q_start", "q_exit"),
        agent=span("ser_start", "ser_exit"),
    )


@dataclass(slots=True)
class _Session:
    """Numbers the events of one session."""

    row: Row
    comp: Literal["RM", "MCP"]
    comp_id: int
    events: list[Event] = field(default_factory=list)

    @property
    def place(self) -> int:
        return SERVICES.index(self.row.service) + 1

    def add(self, kind: type[Event], at: datetime, **fields: object) -> None:
        guid = uuid.uuid5(uuid.NAMESPACE_URL, f"ivr-csv:{self.row.identity}")
        session = f"{self.comp}-{guid.hex[:16].upper()}"
        self.events.append(
            kind(
                v=1, comp=self.comp, comp_id=self.comp_id, session=session, guid=str(guid).upper(),
                ts=instant(at), seq=len(self.events), **fields,
            )
        )  # fmt: skip

    def start(self, at: datetime, **more: object) -> None:
        service = self.row.service
        call_type: CallType = "OUTBOUND" if service == CALLBACK else "INBOUND"
        path = (ROOT, TENANT + self.place)
        self.add(
            CallStart, at, tenant_path=path, tenant_name=service, app=APP + self.place, app_name=service, call_type=call_type, **more
        )  # fmt: skip


def _resource_manager(row: Row, end_state: EndState) -> list[Event]:
    session = _Session(row, "RM", RM)
    session.start(row.vru.start, dn=f"80000{session.place}")
    last = max(span.end for span in (row.vru, row.queue, row.agent) if span is not None)
    session.add(CallEnd, last, end_state=end_state)
    return session.events


def _media(row: Row) -> list[Event]:
    session = _Session(row, "MCP", MCP + row.unit)
    served = row.outcome == "AGENT"
    session.start(row.vru.start)
    session.add(ActionStart, row.vru.start, action="identify")
    session.add(ActionEnd, row.vru.end, action="identify", result="SUCCESS")
    end = row.vru.end
    if row.queue is not None:
        session.add(ActionStart, row.queue.start, action="queue")
        session.add(ActionEnd, row.queue.end, action="queue", result="SUCCESS" if served else "FAILED")
        end = row.queue.end
    result: Result = "SUCCESS" if served else "FAILED" if row.queue is not None else "UNKNOWN"
    session.add(CallResult, end, result=result)
    session.add(CallEnd, end, end_state="APPLICATION_END" if served else "USER_END")
    return session.events


def _not_before_the_last(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """When each event is sent: at its time, but never before the one with the lower seq (some rows step back in time)."""
    latest = 0
    for event in events:
        latest = max(latest, event.ts)
        yield latest, event
