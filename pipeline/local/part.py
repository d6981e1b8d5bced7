"""A part of the local stack: what is started, and how one sees that it is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Ready = Callable[[], Awaitable[str | None]]
"""None when ready, else the reason why not yet."""


@dataclass(frozen=True, slots=True)
class Part:
    """A child process that the supervisor keeps running."""

    name: str
    command: Callable[[], list[str]]  # asked at every start, in a thread: it may write configuration first
    ready: Ready
    address: str
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the supervisor's own
    ready_within_s: float = 60
    grace_s: float = 15  # between SIGTERM and SIGKILL
    needed: bool = False  # nothing works without it: if it does not become ready, the start is given up


@dataclass(frozen=True, slots=True)
class Step:
    """Something done once between two parts; gives what to show, raises StackFault."""

    name: str
    run: Callable[[], Awaitable[str]]


class StackFault(RuntimeError):
    """Why the stack cannot start or go on, with the mending step."""
