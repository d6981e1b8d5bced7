"""From the parameters of a request to what is asked of the store: the same for JSON and pages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal, cast
from zoneinfo import ZoneInfo

from agents.bins import end_of, start_of
from reports import parameters as p
from reports.parameters import Parameter, Reader
from reports.queries import quality as quality_queries
from reports.queries.bins import BinFilter
from reports.queries.calls import CallFilter, SessionFilter
from reports.queries.paging import Cursor, Page
from reports.queries.quality import FailureFilter, QualityFilter
from reports.queries.records import EventFilter

PAGING: tuple[Parameter[object], ...] = (p.PAGE, p.PAGE_SIZE, p.CURSOR)
CALLS: tuple[Parameter[object], ...] = (
    p.NUMBER, p.GUID, p.TENANT_ID, p.OWN, p.APP_ID, p.DN, p.STARTED_FROM, p.STARTED_TO, p.RESULT, p.END_STATE, p.CALL_TYPE, p.STATE,
)  # fmt: skip
SESSIONS: tuple[Parameter[object], ...] = (
    p.STARTED_FROM, p.STARTED_TO, p.APP_ID, p.TENANT_ID, p.OWN, p.DN, p.COMP_ID, p.REMOTE_URI, p.LOCAL_URI,
)  # fmt: skip
ENDED: tuple[Parameter[object], ...] = (p.ENDED_FROM, p.ENDED_TO)
RANGE: tuple[Parameter[object], ...] = (p.GRANULARITY, p.FROM, p.TO)
ARRIVALS: tuple[Parameter[object], ...] = (*RANGE, p.APP_ID, p.TENANT_ID, p.DN, p.COMP_ID, p.OWN, p.SMA_PERIOD)
SUMMARY: tuple[Parameter[object], ...] = (*RANGE, p.APP_ID, p.TENANT_ID, p.OWN)
BINS: tuple[Parameter[object], ...] = (*RANGE, p.COMP, p.DIMENSION, p.VALUE)
EVENTS: tuple[Parameter[object], ...] = (p.ONE_COMP_ID, p.ONE_SESSION_ID, p.GVP_GUID)
VAR: tuple[Parameter[object], ...] = (p.STARTED_FROM, p.STARTED_TO, p.ENDED_FROM, p.ENDED_TO, p.APP_ID, p.TENANT_ID, p.OWN, p.COMP_ID)
QUALITY: tuple[Parameter[object], ...] = (p.QUALITY_GRANULARITY, p.FROM, p.TO, p.APP_ID, p.TENANT_ID, p.OWN, p.COMP_ID)
FAILURES: tuple[Parameter[object], ...] = (p.FROM, p.TO, p.COMP_ID, p.APP_ID, p.TENANT_ID, p.OWN, p.SESSION_ID)
MOST_BINS = 1_000  # that are computed from the sessions for one answer


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


def var(reader: Reader) -> SessionFilter:
    reader.exclusive(p.APP_ID, p.TENANT_ID)
    started, ended = _span(reader, p.STARTED_FROM, p.STARTED_TO), _span(reader, p.ENDED_FROM, p.ENDED_TO)
    return SessionFilter(
        quality_queries.COMP,
        ended=True,
        tenants=reader.many(p.TENANT_ID),
        own=reader.one(p.OWN) or False,
        apps=reader.many(p.APP_ID),
        components=reader.many(p.COMP_ID),
        started_from=started[0],
        started_to=started[1],
        ended_from=ended[0],
        ended_to=ended[1],
    )


def events(reader: Reader, comp: str) -> EventFilter:
    """A session by component and session id, or a call by its GUID."""
    component, session, guid = reader.one(p.ONE_COMP_ID), reader.one(p.ONE_SESSION_ID), reader.one(p.GVP_GUID)
    has_session = bool(_given(reader, p.ONE_SESSION_ID))
    if not has_session and not _given(reader, p.GVP_GUID):
        reader.fault(p.GVP_GUID, "", "gvp-guid, or comp-id and session-id together")
    if has_session and not _given(reader, p.ONE_COMP_ID):
        reader.fault(p.ONE_COMP_ID, "", "needed with session-id: a session id is unique inside one component only")
    return EventFilter(comp, guid, component, session)


def failures(reader: Reader) -> FailureFilter:
    reader.exclusive(p.APP_ID, p.TENANT_ID)
    start, end = _span(reader, p.FROM, p.TO)
    return FailureFilter(
        start,
        end,
        tenants=reader.many(p.TENANT_ID),
        own=reader.one(p.OWN) or False,
        apps=reader.many(p.APP_ID),
        components=reader.many(p.COMP_ID),
        sessions=reader.many(p.SESSION_ID),
    )


def quality(reader: Reader, now: int, *, by_component: bool, having: str) -> QualityFilter:
    """MCP sessions by profile, tenant or component. `by_component`: what stands for all of them when nothing is named, each component or
    the type; `having`: column of labels of bins that must not be empty. A component together with a profile or tenant is asked of the
    sessions (rule X9)."""
    reader.exclusive(p.APP_ID, p.TENANT_ID)
    granularity, start, end = span_of_bins(reader, now, p.QUALITY_GRANULARITY)
    own = reader.one(p.OWN) or False
    apps, tenants, components = reader.many(p.APP_ID), reader.many(p.TENANT_ID), reader.many(p.COMP_ID)
    if apps or tenants:
        dimension = "app" if apps else "tenant-own" if own else "tenant"
        values = tuple(map(str, apps or tenants))
        if components and sum(1 for _ in islice(bounds(granularity, start, end, reader.zone), MOST_BINS + 1)) > MOST_BINS:
            reader.fault(p.FROM, _given(reader, p.FROM), f"a range of at most {MOST_BINS} bins where comp-id is named together with others")
    else:
        dimension = "component" if components or by_component else "component_type"
        values, components = tuple(map(str, components)), ()
    return QualityFilter(BinFilter(quality_queries.COMP, dimension, granularity, start, end, values, having=(having,)), components)


def bounds(granularity: str, start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """Start and end of each bin from `start`, a boundary, up to `end`."""
    while start < end:
        stop = end_of(granularity, start, zone)
        yield start, stop
        start = stop


def moving_average(reader: Reader, granularity: str) -> int | None:
    """How many days; None: no average is asked for."""
    period = reader.one(p.SMA_PERIOD)
    if period is not None and granularity != "DAY":
        reader.fault(p.SMA_PERIOD, str(period), "only with granularity DAY")
    return period


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


def span_of_bins(reader: Reader, now: int, parameter: Parameter[str] = p.GRANULARITY) -> tuple[str, int, int]:
    """Granularity, start, end: `from` moved back to the boundary of a bin, `to` forward; a missing `to` is now (rule Q3)."""
    granularity = reader.required(parameter, "DAY")
    start = reader.required(p.FROM, now)
    end = reader.one(p.TO)
    if end is not None and end < start:
        reader.fault(p.TO, _given(reader, p.TO), "not before from")
    try:
        start = start_of(granularity, start, reader.zone)
        return granularity, start, forward(granularity, now if end is None else end, reader.zone)
    except (OverflowError, ValueError, OSError):  # bins at the ends of the calendar would reach beyond it
        reader.fault(p.FROM, _given(reader, p.FROM), "a range whose bins lie between the years 1 and 9999")
        return granularity, start_of(granularity, now, reader.zone), now


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
