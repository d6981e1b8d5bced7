"""What pages on bins share: which span is shown, how bins are written, the names of values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from agents.bins import start_of
from reports import asking, formats
from reports import parameters as p
from reports.parameters import Parameter, Reader
from reports.queries.calls import Names
from reports.usage import AsOf

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LENGTHS = {  # about, ms
    "FIVE_MINUTES": HOUR_MS // 12,
    "THIRTY_MINUTES": HOUR_MS // 2,
    "HOUR": HOUR_MS,
    "DAY": DAY_MS,
    "WEEK": 7 * DAY_MS,
    "MONTH": 30 * DAY_MS,
}
SPANS = {
    "FIVE_MINUTES": 6 * HOUR_MS,
    "THIRTY_MINUTES": 24 * HOUR_MS,
    "HOUR": 48 * HOUR_MS,
    "DAY": 30 * DAY_MS,
    "WEEK": 182 * DAY_MS,
    "MONTH": 365 * DAY_MS,
}
PATTERNS = {"DAY": "%a %d %b", "WEEK": "%d %b %Y", "MONTH": "%b %Y"}  # how a bin's start is written; of shorter ones with the time
SHORT = "%d %b %H:%M"
MOST_BINS = 2_000
MOST_FIGURES = 10_000  # bins times values
OFFERED = 5  # values that are shown before somebody chooses


def span_of(reader: Reader, granularity: str, moment: AsOf, values: int = 1) -> tuple[int, int]:
    """On boundaries of bins; without `from` and `to` the last ones. Notes a fault if they hold too many bins for that many values."""
    start, end = reader.one(p.FROM), reader.one(p.TO)
    end = moment.at + 1 if end is None else end
    start = end - SPANS[granularity] if start is None else start
    if end <= start:
        reader.fault(p.TO, formats.instant(end, reader.zone) or "", "after from")
        return start, start
    most = min(MOST_BINS, MOST_FIGURES // max(1, values))
    if (end - start) / LENGTHS[granularity] > most:
        reader.fault(p.FROM, formats.instant(start, reader.zone) or "", f"at most {most} bins: a longer granularity or a shorter time")
        return end, end
    return start_of(granularity, start, reader.zone), asking.forward(granularity, end, reader.zone)


def as_fields(query: str, zone: ZoneInfo, *moments: Parameter[int]) -> dict[str, str]:
    """What was asked, as fields of a form show it: instants by the clock of the reporting time zone, without its offset."""
    given = {name: text for name, text in parse_qsl(query) if text}
    for parameter in moments:
        with contextlib.suppress(KeyError, ValueError):
            given[parameter.name] = formats.clock(parameter.read(given[parameter.name], zone), zone, "%Y-%m-%dT%H:%M:%S")
    return given


def pattern_of(granularity: str) -> str:
    return PATTERNS.get(granularity, SHORT)


def label_of(dimension: str, names: Names) -> Callable[[str], str]:
    """The name of a value of the dimension, the DBID where no name is known."""
    known = names.of(dimension)

    def label(value: str) -> str:
        return known.get(int(value), value) if value.isdecimal() else value

    return label
