"""How far the store has come, told from how far the sinks have committed. Pure."""

from __future__ import annotations

from collections import deque

MOST_NOTES = 2_000  # a partition: ticks come once a second from each source


class Stored:
    """One partition of the changelog of `tenants`: the ticks in it by offset. What is committed has passed into the store, and a tick
    says up to which receipt time everything before it is folded."""

    def __init__(self) -> None:
        self._notes: deque[tuple[int, int, int]] = deque()  # offset, source, folded_to
        self._passed: dict[int, int] = {}

    def note(self, offset: int, source: int, folded_to: int) -> None:
        if len(self._notes) >= MOST_NOTES:  # the sinks are far behind: every other one will do
            self._notes = deque(note for number, note in enumerate(self._notes) if number % 2)
        self._notes.append((offset, source, folded_to))

    def committed(self, position: int) -> dict[int, int]:
        """Source partition -> receipt time up to which its messages are in the store, ms UTC. position: the next offset to store."""
        while self._notes and self._notes[0][0] < position:
            _, source, folded_to = self._notes.popleft()
            self._passed[source] = folded_to
        return self._passed
