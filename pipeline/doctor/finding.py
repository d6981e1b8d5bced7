"""What `rs doctor` says about one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` is empty if all is well; a warning may have a mending step, too, but is nothing wrong."""

    part: str
    said: str
    mend: str = ""
    warning: bool = False

    @property
    def wrong(self) -> bool:
        return bool(self.mend) and not self.warning
