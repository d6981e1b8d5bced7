"""Pauses between attempts that grow, with jitter, so that many clients do not come back at the same moment."""

from __future__ import annotations

import random

FIRST_S = 0.1
LONGEST_S = 5.0  # an outage of a minute should not cost another minute


class Backoff:
    def __init__(self) -> None:
        self._pause_s = FIRST_S

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_S)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # no secret

    def reset(self) -> None:
        self._pause_s = FIRST_S
