"""One call as lanes on a time line: geometry only, the template draws it as SVG.

Positions are per cent of the width and pixels of height, so the picture fits every screen and its text keeps its size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from pipeline.messages.types import ActionEnd, ActionStart, CallResult, CustomVariable, Failure, Latency
from reports.queries.calls import Message, OneCall, Session

TITLE_PX, BAR_PX, ACTION_PX, GAP_PX, AXIS_PX = 22, 16, 20, 14, 24
MOST_MARKS = 400  # of a session; more would only hide each other, the table has them all
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
MOST_TICKS = 8
LEAST_SPAN_MS = 500


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an action. `end` None: still open. `result` None while it is open."""

    action: str
    start: int
    end: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class Bar:
    """`x` and `width` in per cent, `y` in pixels. `open`: it goes on."""

    x: float
    width: float
    y: int
    text: str
    kind: str
    title: str
    open: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A message at `x` per cent; `message` names its row in the table."""

    x: float
    family: str
    message: Message


@dataclass(frozen=True, slots=True)
class Lane:
    session: Session
    y: int
    bar: Bar | None
    actions: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    hidden_marks: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """`ticks`: position in per cent and seconds since `start`."""

    start: int
    end: int
    height: int
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]


def family(kind: str) -> str:
    return {"call.event": "event"}.get(kind, kind.partition(".")[0])


def timeline(call: OneCall, now: int) -> Timeline | None:
    """None for a call of which no instant is known. `now`: where open bars end."""
    instants = [ts for s in call.sessions for ts in (s.start_ts, s.end_ts) if ts is not None] + [message.ts for message in call.messages]
    if not instants:
        return None
    start, end = min(instants), max(instants)
    if call.call.in_progress:
        end = max(end, now)
    end = max(end, start + LEAST_SPAN_MS)
    by_session: dict[tuple[int, str], list[Message]] = defaultdict(list)
    for message in call.messages:
        by_session[message.comp_id, message.session].append(message)
    scale = _Scale(start, end)
    lanes, y = list[Lane](), 4
    for session in call.sessions:
        key = (session.comp_id, session.session)
        rows, actions = _actions(runs(call, session), scale, y + TITLE_PX + BAR_PX + 4)
        messages = by_session[key]
        marks = tuple(Mark(scale.at(m.ts), family(m.kind), m) for m in messages[:MOST_MARKS])
        lanes.append(Lane(session, y, _bar(session, scale, y + TITLE_PX), actions, marks, max(0, len(messages) - MOST_MARKS)))
        y += TITLE_PX + BAR_PX + 4 + rows * ACTION_PX + GAP_PX
    return Timeline(start, end, y + AXIS_PX, tuple(lanes), _ticks(scale))


@dataclass(frozen=True, slots=True)
class _Scale:
    start: int
    end: int

    def at(self, ts: int) -> float:
        return round((ts - self.start) / (self.end - self.start) * 100, 3)


def _bar(session: Session, scale: _Scale, y: int) -> Bar | None:
    if session.start_ts is None:
        return None
    x = scale.at(session.start_ts)
    width = (100 if session.end_ts is None else scale.at(session.end_ts)) - x
    return Bar(x, width, y, "", session.end_state or "running", session.end_state or "in progress", open=not session.ended)


def runs(call: OneCall, session: Session) -> tuple[Run, ...]:
    """Runs of the session's actions by rules V1 to V3: an end closes the open run that started last; the session's end closes the rest."""
    found: list[Run] = []
    opened: dict[str, list[int]] = defaultdict(list)
    for event in call.payloads.get((session.comp_id, session.session), ()):
        if isinstance(event, ActionStart):
            if event.parent is None or event.parent in opened:
                opened[event.action].append(len(found))
                found.append(Run(event.action, event.ts, None, None))
        elif isinstance(event, ActionEnd) and opened.get(event.action):
            at = opened[event.action].pop()
            found[at] = Run(event.action, found[at].start, max(event.ts, found[at].start), event.result)
    if session.ended and session.end_ts is not None:
        found = [run if run.end is not None else Run(run.action, run.start, max(run.start, session.end_ts), "UNKNOWN") for run in found]
    return tuple(found)


def _actions(found: tuple[Run, ...], scale: _Scale, y: int) -> tuple[int, tuple[Bar, ...]]:
    """Rows used, and the bars, each in the first row that is free at its start."""
    free: list[float] = []
    bars: list[Bar] = []
    for run in sorted(found, key=lambda run: run.start):
        x = scale.at(run.start)
        stop = 100.0 if run.end is None else scale.at(run.end)
        row = next((at for at, until in enumerate(free) if until <= x), len(free))
        free[row : row + 1] = [stop]
        took = f"{((run.end or scale.end) - run.start) / 1000:.1f} s"
        title = f"{run.action}: {run.result or 'open'}, {took}"
        bars.append(Bar(x, stop - x, y + row * ACTION_PX, run.action, run.result or "open", title, open=run.end is None))
    return len(free), tuple(bars)


def _ticks(scale: _Scale) -> tuple[tuple[float, str], ...]:
    span_s = (scale.end - scale.start) / 1000
    step = next((step for step in STEPS_S if span_s / step <= MOST_TICKS), span_s / MOST_TICKS)
    ticks, at = [], 0.0
    while at <= span_s * 0.96:
        ticks.append((round(at / span_s * 100, 3), _since(at)))
        at = round(at + step, 3)
    return tuple(ticks)


def _since(seconds: float) -> str:
    if seconds < 60:
        return f"+{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{rest:02d}" if hours else f"+{minutes}:{rest:02d}"


def described(call: OneCall) -> dict[tuple[int, str, int], str]:
    """(comp_id, session, seq) -> what a message says, in words; for those whose content the store keeps."""
    found: dict[tuple[int, str, int], str] = {(line.comp_id, line.session, line.seq): f"{line.log_id}: {line.text}" for line in call.log}
    for (comp_id, session), events in call.payloads.items():
        for event in events:
            if text := _words(event):
                found[comp_id, session, event.seq] = text
    return found


def _words(event: object) -> str:
    match event:
        case ActionStart(action=action, parent=parent):
            return f"{action} starts" + (f" inside {parent}" if parent else "")
        case ActionEnd(action=action, result=result, reason=reason):
            return f"{action} ends: {result}" + (f", {reason}" if reason else "")
        case CallResult(result=result, reason=reason):
            return f"call result {result}" + (f", {reason}" if reason else "")
        case CustomVariable(name=name, value=value):
            return f"{name} = {value}"
        case Latency(samples=samples):
            return ", ".join(f"{kind} {ms:g} ms" for _, kind, ms in samples)
        case Failure(cause=cause, detail=detail):
            return f"failure {cause}" + (f", {detail}" if detail else "")
    return ""
