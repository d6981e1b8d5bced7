"""How quickly the store takes in records, and so when it will have caught up after it was away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

WINDOW_S = 30.0  # long enough for several transactions of a slow store


class Pace:
    """Records over the last half minute. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._noted: deque[tuple[float, int]] = deque()
        self._since = clock()

    def note(self, records: int) -> None:
        """So many more records are in the store now."""
        self._noted.append((self._clock(), records))
        self._forget()

    def per_second(self) -> float:
        """0 when nothing came in."""
        self._forget()
        seen = min(WINDOW_S, self._clock() - self._since)
        return sum(records for _, records in self._noted) / seen if seen else 0.0

    def _forget(self) -> None:
        while self._noted and self._noted[0][0] < self._clock() - WINDOW_S:
            self._noted.popleft()


def told(behind: int, per_second: float) -> dict[str, int]:
    """As readiness tells it. How long it takes is known only while records come in."""
    facts = {"records behind": behind, "records a second": round(per_second)}
    if behind and per_second >= 1:
        facts["seconds to catch up, if no more came"] = round(behind / per_second)
    return facts
