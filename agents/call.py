"""The summary of a call: what its sessions say together (docs/reports.md section 1, rules C1 to C4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from agents.session import SessionRecord, fold
from agents.state import Call, Session

RANKS = {"RM": 0, "MCP": 1, "CCP": 2}
OTHERS = 3
FOREVER = 1 << 62  # later than any start: unknown starts rank last


class CallSummary(Struct, frozen=True, kw_only=True):
    """A call as its sessions make it. Times are ms UTC.

    end_ts      None while in progress
    end_state   of the session that ranks first; None while that is in progress
    result      None while in progress and none is set
    sessions    how many
    """

    start_ts: int | None
    end_ts: int | None
    in_progress: bool
    tenant_path: tuple[int, ...] | None
    tenant_name: str | None
    app: int | None
    app_name: str | None
    dn: str | None
    call_type: str
    remote_uri: str | None
    local_uri: str | None
    end_state: str | None
    result: str | None
    sessions: int


def find(call: Call, comp_id: int, name: str) -> Session | None:
    """The session of that key. A call has few: looking through them beats an index."""
    for session in call.sessions:
        if session.session == name and session.comp_id == comp_id:
            return session
    return None


def session_of(call: Call, comp_id: int, name: str) -> Session:
    """The session of that key, made if it is not there."""
    session = find(call, comp_id, name)
    if session is None:
        session = Session(comp_id=comp_id, session=name)
        call.sessions.append(session)
    return session


def records_of(call: Call) -> list[SessionRecord]:
    return [fold(session) for session in call.sessions]


def summary(records: Sequence[SessionRecord]) -> CallSummary:
    """`records`: the folded sessions of the call, at least one, in any order."""
    ranked = sorted(records, key=_rank)
    leading = [r for r in ranked if r.comp == "RM"] or ranked
    in_progress = any(not r.ended for r in leading)
    start = min((r.start_ts for r in ranked if r.start_ts is not None), default=None)
    end = None
    if not in_progress:
        end = max(r.end_ts for r in leading if r.end_ts is not None)
        if start is not None:
            end = max(end, start)
    tenant = next((r for r in ranked if r.tenant_path is not None), None)
    app = next((r for r in ranked if r.app is not None), None)
    return CallSummary(
        start_ts=start,
        end_ts=end,
        in_progress=in_progress,
        tenant_path=tenant.tenant_path if tenant else None,
        tenant_name=tenant.tenant_name if tenant else None,
        app=app.app if app else None,
        app_name=app.app_name if app else None,
        dn=next((r.dn for r in ranked if r.dn is not None), None),
        call_type=next((r.call_type for r in ranked if r.call_type != "UNKNOWN"), "UNKNOWN"),
        remote_uri=next((r.remote_uri for r in ranked if r.remote_uri is not None), None),
        local_uri=next((r.local_uri for r in ranked if r.local_uri is not None), None),
        end_state=ranked[0].end_state,
        result=_result(ranked, in_progress),
        sessions=len(ranked),
    )


def _rank(r: SessionRecord) -> tuple[int, int, int, int, str]:
    """Rule C2: RM, MCP, CCP, others; inside by start, comp_id, session; the others by comp_id first."""
    rank = RANKS.get(r.comp, OTHERS)
    start = FOREVER if r.start_ts is None else r.start_ts
    first, second = (r.comp_id, start) if rank == OTHERS else (start, r.comp_id)
    return rank, first, second, r.comp_id, r.session


def _result(records: Iterable[SessionRecord], in_progress: bool) -> str | None:
    """Rule C4: the MCP session with the latest start that has a result; ties go to the higher comp_id, then session."""
    with_result = [r for r in records if r.comp == "MCP" and r.result is not None]
    if with_result:
        return max(with_result, key=lambda r: (-1 if r.start_ts is None else r.start_ts, r.comp_id, r.session)).result
    return None if in_progress else "UNKNOWN"
