"""How much a count has grown in the last minute. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class Growth:
    """Counts that fall (a restart, a new day, a correction) do not shrink it."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._grown = 0
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now: float, count: int) -> int:
        """Note the count and give its growth in the WINDOW_S up to now; since the first note, while that is not so long ago.
        now: seconds that only grow."""
        if self._last is not None:
            self._grown += max(0, count - self._last)
        self._last = count
        seen = self._seen
        seen.append((now, self._grown))
        while len(seen) > 1 and seen[1][0] <= now - WINDOW_S:  # the first stands for the window's beginning
            seen.popleft()
        return self._grown - seen[0][1]
