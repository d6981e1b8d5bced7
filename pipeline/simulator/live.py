"""Traffic by the clock on the wall, posted as components do: each sends its own events, those that come together in one message."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from pipeline.messages.types import Event
from pipeline.posting import Poster
from pipeline.simulator.traffic import Traffic

TICK_S = 0.05  # events this close together may share a message
LONGEST_NAP_S = 0.5
BATCH = 100  # events a message
GAP_S = 60.0  # behind the clock by more: the machine slept, or the broker was away
COMP = "{comp}"
STOPPED = "simulator stopped"
INTERRUPTED = "simulator interrupted"

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Tally:
    calls: int = 0
    events: int = 0
    messages: int = 0


def run(
    traffic: Traffic,
    poster: Poster,
    stop: threading.Event,
    *,
    queue: str = "",
    seconds: float | None = None,
    end_calls: bool = True,
) -> Tally:
    """Post what happens until `stop` is set or `seconds` have passed; then end the calls in progress, if `end_calls`.

    queue: where to, with {comp} for the component's type in small letters; none: the poster's own

    Raises PostingError.
    """
    tally = Tally()
    posted_to = time.time()
    end = None if seconds is None else posted_to + seconds
    while not stop.is_set() and (end is None or posted_to < end):
        now = time.time()
        if now - posted_to > GAP_S:
            _post(traffic.end_open(round(posted_to * 1000), INTERRUPTED), poster, queue, tally)
            traffic.resume_at(round(now * 1000))
        _post(traffic.until(now * 1000), poster, queue, tally)
        posted_to = now
        stop.wait(_nap(traffic, end))
    if end_calls:
        _post(traffic.end_open(round(time.time() * 1000), STOPPED), poster, queue, tally)
    tally.calls = traffic.calls
    return tally


def messages(events: Iterable[Event]) -> Iterator[tuple[str, bytes]]:
    """Component type and body: the events of one component together, in their order, at most BATCH in one."""
    by_component: dict[int, list[Event]] = {}
    for event in events:
        by_component.setdefault(event.comp_id, []).append(event)
    for sent in by_component.values():
        for start in range(0, len(sent), BATCH):
            batch = sent[start : start + BATCH]
            yield batch[0].comp, _encode(batch if len(batch) > 1 else batch[0])


def _post(events: list[Event], poster: Poster, queue: str, tally: Tally) -> None:
    for comp, body in messages(events):
        poster.post(body, queue.replace(COMP, comp.lower()))
        tally.messages += 1
    tally.events += len(events)
    poster.flush()


def _nap(traffic: Traffic, end: float | None) -> float:
    """Seconds until something happens, a tick at least."""
    now = time.time()
    until_next = LONGEST_NAP_S if traffic.next_at is None else traffic.next_at / 1000 - now
    until_end = LONGEST_NAP_S if end is None else end - now
    return max(TICK_S, min(LONGEST_NAP_S, until_next, until_end))
