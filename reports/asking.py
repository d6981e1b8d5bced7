"""From the parameters of a request to what is asked of the store: the same for JSON and pages."""

from __future__ import annotations

from typing import Literal, cast
from zoneinfo import ZoneInfo

from agents.bins import end_of, start_of
from reports import parameters as p
from reports.parameters import Parameter, Reader
from reports.queries.bins import BinFilter
from reports.queries.calls import CallFilter, SessionFilter
from reports.queries.paging import Cursor, Page

PAGING: tuple[Parameter[object], ...] = (p.PAGE, p.PAGE_SIZE, p.CURSOR)
CALLS: tuple[Parameter[object], ...] = (
    p.NUMBER, p.GUID, p.TENANT_ID, p.OWN, p.APP_ID, p.DN, p.STARTED_FROM, p.STARTED_TO, p.RESULT, p.END_STATE, p.CALL_TYPE, p.STATE,
)  # fmt: skip
SESSIONS: tuple[Parameter[object], ...] = (
    p.STARTED_FROM, p.STARTED_TO, p.APP_ID, p.TENANT_ID, p.OWN, p.DN, p.COMP_ID, p.REMOTE_URI, p.LOCAL_URI,
)  # fmt: skip
ENDED: tuple[Parameter[object], ...] = (p.ENDED_FROM, p.ENDED_TO)
RANGE: tuple[Parameter[object], ...] = (p.GRANULARITY, p.FROM, p.TO)
ARRIVALS: tuple[Parameter[object], ...] = (*RANGE, p.APP_ID, p.TENANT_ID, p.DN, p.COMP_ID, p.OWN)
SUMMARY: tuple[Parameter[object], ...] = (*RANGE, p.APP_ID, p.TENANT_ID, p.OWN)
BINS: tuple[Parameter[object], ...] = (*RANGE, p.COMP, p.DIMENSION, p.VALUE)


def page(reader: Reader, size: int, unique: tuple[type, ...]) -> Page:
    """`size`: how many rows unless the request says. `unique`: types of the unique columns of the list."""
    reader.exclusive(p.PAGE, p.CURSOR)
    number = reader.one(p.PAGE) or 1
    size = reader.one(p.PAGE_SIZE) or size
    text = reader.one(p.CURSOR)
    after = None
    if text is not None:
        try:
            after = Cursor.unpack(text, unique)
        except ValueError:
            reader.fault(p.CURSOR, text)
    return Page(size, number, after)


def calls(reader: Reader) -> CallFilter:
    started = _span(reader, p.STARTED_FROM, p.STARTED_TO)
    return CallFilter(
        number=reader.one(p.NUMBER),
        guid=reader.one(p.GUID),
        tenants=reader.many(p.TENANT_ID),
        own=reader.one(p.OWN) or False,
        apps=reader.many(p.APP_ID),
        dns=reader.many(p.DN),
        started_from=started[0],
        started_to=started[1],
        results=reader.many(p.RESULT),
        end_states=reader.many(p.END_STATE),
        call_types=reader.many(p.CALL_TYPE),
        state=cast(Literal["in-progress", "finished"] | None, reader.one(p.STATE)),
    )


def sessions(reader: Reader, comp: str, *, ended: bool) -> SessionFilter:
    reader.exclusive(p.APP_ID, p.TENANT_ID, p.DN)
    started = _span(reader, p.STARTED_FROM, p.STARTED_TO)
    closed = _span(reader, p.ENDED_FROM, p.ENDED_TO) if ended else (None, None)
    return SessionFilter(
        comp,
        ended,
        tenants=reader.many(p.TENANT_ID),
        own=reader.one(p.OWN) or False,
        apps=reader.many(p.APP_ID),
        dns=reader.many(p.DN),
        components=reader.many(p.COMP_ID),
        remote_uris=reader.many(p.REMOTE_URI),
        local_uris=reader.many(p.LOCAL_URI),
        started_from=started[0],
        started_to=started[1],
        ended_from=closed[0],
        ended_to=closed[1],
    )


def arrivals(reader: Reader, comp: str, now: int) -> BinFilter:
    """Without a value of a dimension: all sessions of the component type."""
    reader.exclusive(p.APP_ID, p.TENANT_ID, p.DN, p.COMP_ID)
    granularity, start, end = span_of_bins(reader, now)
    own = reader.one(p.OWN) or False
    apps, tenants, components, dns = reader.many(p.APP_ID), reader.many(p.TENANT_ID), reader.many(p.COMP_ID), reader.many(p.DN)
    if dns and comp != "RM":
        reader.fault(
            p.DN, ", ".join(value for name, value in reader.given if name == "dn"), "only in reports of RM: others have no dialled number"
        )
    if apps:
        return BinFilter(comp, "app", granularity, start, end, tuple(map(str, apps)))
    if tenants:
        return BinFilter(comp, "tenant-own" if own else "tenant", granularity, start, end, tuple(map(str, tenants)))
    if components:
        return BinFilter(comp, "component", granularity, start, end, tuple(map(str, components)))
    return BinFilter(comp, "dn" if dns else "component_type", granularity, start, end, dns=dns)


def summary(reader: Reader, now: int, having: tuple[str, ...] = ()) -> BinFilter:
    """MCP sessions by profile or tenant, or all of them. `having`: see BinFilter."""
    reader.exclusive(p.APP_ID, p.TENANT_ID)
    granularity, start, end = span_of_bins(reader, now)
    own = reader.one(p.OWN) or False
    apps, tenants = reader.many(p.APP_ID), reader.many(p.TENANT_ID)
    dimension = "app" if apps else ("tenant-own" if own else "tenant") if tenants else "component_type"
    return BinFilter("MCP", dimension, granularity, start, end, tuple(map(str, apps or tenants)), having=having)


def bins(reader: Reader, now: int) -> BinFilter:
    granularity, start, end = span_of_bins(reader, now)
    comp = reader.one(p.COMP) or "RM"
    dimension = reader.one(p.DIMENSION) or "component_type"
    return BinFilter(comp, dimension, granularity, start, end, reader.many(p.VALUE))


def span_of_bins(reader: Reader, now: int) -> tuple[str, int, int]:
    """Granularity, start, end: `from` moved back to the boundary of a bin, `to` forward; a missing `to` is now (rule Q3)."""
    granularity = reader.required(p.GRANULARITY, "DAY")
    start = reader.required(p.FROM, now)
    end = reader.one(p.TO)
    if end is not None and end < start:
        reader.fault(p.TO, _given(reader, p.TO), "not before from")
    start = start_of(granularity, start, reader.zone)
    return granularity, start, forward(granularity, now if end is None else end, reader.zone)


def forward(granularity: str, ts: int, zone: ZoneInfo) -> int:
    """The boundary of a bin at `ts` or next after it."""
    start = start_of(granularity, ts, zone)
    return ts if start == ts else end_of(granularity, start, zone)


def _span(reader: Reader, first: Parameter[int], last: Parameter[int]) -> tuple[int | None, int | None]:
    start, end = reader.one(first), reader.one(last)
    if start is not None and end is not None and end < start:
        reader.fault(last, _given(reader, last), f"not before {first.name}")
    return start, end


def _given(reader: Reader, parameter: Parameter[object]) -> str:
    return ", ".join(value for name, value in reader.given if name == parameter.name)
