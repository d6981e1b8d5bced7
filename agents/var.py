"""VAR actions of a session: which starts and ends count, and what each run came to (docs/contract.md, rules V1 to V7). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pipeline.messages.types import ActionEnd, ActionStart, CustomVariable

UNKNOWN = "UNKNOWN"
MOST_VARIABLES = 32


ActionEvent = tuple[int, int, ActionStart | ActionEnd]  # seq, ts, event


class Run(Struct, frozen=True):
    """One run of an action, from its accepted start. Times are ms UTC.

    end_ts, result      None while the run is open and the session goes on
    reason, notes       of the end that closed it
    """

    seq: int
    action: str
    parent: str | None
    start_ts: int
    end_ts: int | None
    result: str | None
    reason: str | None = None
    notes: str | None = None


class Actions(Struct, frozen=True):
    """runs: in the order of their starts; the others count what was dropped (rule V4)."""

    runs: tuple[Run, ...] = ()
    dropped_starts: int = 0
    dropped_ends: int = 0


NO_ACTIONS = Actions()


def runs_of(events: Iterable[ActionEvent], end_ts: int | None) -> Actions:
    """`events`: of one session, in the order of `seq`; `end_ts`: of the session, None while it is in progress.

    A start whose parent has not started before is dropped; an end closes the open run of its action that started last, or is
    dropped. When the session has ended, runs still open are closed then, not before their start, with UNKNOWN.
    """
    runs: list[Run] = []
    open_runs: dict[str, list[int]] = {}  # action -> places in runs
    dropped_starts = dropped_ends = 0
    for seq, ts, event in events:
        if isinstance(event, ActionStart):
            if event.parent is not None and event.parent not in open_runs:
                dropped_starts += 1
                continue
            open_runs.setdefault(event.action, []).append(len(runs))
            runs.append(Run(seq, event.action, event.parent, ts, None, None))
        elif waiting := open_runs.get(event.action):
            place = waiting.pop()
            runs[place] = _closed(runs[place], ts, event.result, event.reason, event.notes)
        else:
            dropped_ends += 1
    if end_ts is not None:
        runs = [_closed(run, max(end_ts, run.start_ts), UNKNOWN) if run.end_ts is None else run for run in runs]
    return Actions(tuple(runs), dropped_starts, dropped_ends)


def variables_of(events: Iterable[CustomVariable]) -> tuple[dict[str, str], int]:
    """name -> value, and how many events were dropped. `events` in `seq` order: the 32 names whose first event has the lowest
    `seq` stay (rule V5); the highest `seq` wins per name."""
    values: dict[str, str] = {}
    dropped = 0
    for event in events:
        if event.name in values or len(values) < MOST_VARIABLES:
            values[event.name] = event.value
        else:
            dropped += 1
    return values, dropped


def _closed(run: Run, end_ts: int, result: str, reason: str | None = None, notes: str | None = None) -> Run:
    return Run(run.seq, run.action, run.parent, run.start_ts, end_ts, result, reason, notes)
