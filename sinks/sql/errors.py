"""The three kinds of error of the store. A dialect says which of them an exception of its driver is."""

from __future__ import annotations


class Transient(Exception):
    """It may work later: nothing was committed, the same batch is tried again."""


class Race(Transient):
    """Another writer was first with the same key. Tried again a few times; if it comes again and again, the row itself is at fault."""


class Unclear(Transient):
    """The driver did not say what was wrong, as it does when a connection dies. If it comes again and again though a connection can be
    made, waiting does not help."""


class Poison(Exception):
    """A record that can never be stored: it is put aside with this reason, the rest goes on.

    `reason` is a word for counting, `detail` says more and holds no value of the record.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Fatal(Exception):
    """Going on could do harm: the worker stops before anything is committed. The message names the step to take."""
