"""Where the encoded rows of one partition are kept, by packed key: here in memory, in `rocks.py` on disk.

Both begin empty at every assignment and are filled from the changelog, which is the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

MEMORY = "memory"
ROCKSDICT = "rocksdict"


class Rows(MutableMapping[bytes, bytes]):
    """A mapping that may hold changes back until `flush`, and may be told what it will be asked for."""

    def expect(self, keys: Iterable[bytes]) -> None:
        """These keys are read next: get them all at once."""

    def flush(self) -> None:
        """Everything set or deleted belongs together and is complete."""

    def close(self) -> None:
        """Nobody asks any more: give back what is held."""


class MemoryRows(dict[bytes, bytes]):
    """A dict, with its own speed."""

    __slots__ = ()

    def expect(self, keys: Iterable[bytes]) -> None:
        """Nothing to gain."""

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.clear()
