"""Generations: one complete reading of the log, with topics, groups, tables and rows of its own. `rs rebuild` makes the next one.

Generation 1 is what an installation begins with; its names have no number. What was set aside is shared by all, and so is the log,
until one is made with another number of partitions: it has a log of its own, a copy of the one before, and those after it share that.
Pure: `pipeline.generations` says which one is current.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct, field

TABLES = ("calls", "activity", "parts", "tenants")  # of the agents, each with a changelog topic

BILLING = "rs.billing"  # the first log

State = Literal["building", "swapping", "live", "dropped"]

_NUMBERED = re.compile(r"(rs\.billing|rs\.events|rs\.activity)\.g\d+|(rs-agents)-g\d+(-\w+-changelog)")


class Generation(Struct, frozen=True):
    """number      1, 2, ...; never used twice
    history     partition of the log -> its end when the rebuild began: records below it are folded as history, where no event is
                late and nothing is set aside again. None in generation 1.
    state       building: beside the current one, rows go to a shadow; swapping: the shadow replaces the rows of the current one;
                live: it is or was current; dropped: its topics are gone
    made        ms UTC
    billing     topic of the log
    partitions  of the log and of its own topics; 0: as many as kafka.partitions says
    copy_of     topic that the log is a copy of, until all of it is copied; then empty, as for a log that is no copy
    copied      partition of `copy_of` -> next offset to copy when `history` was written down: all below it lies below `history`
    """

    number: int = 1
    history: dict[int, int] = field(default_factory=dict)
    state: State = "live"
    made: int = 0
    billing: str = BILLING
    partitions: int = 0
    copy_of: str = ""
    copied: dict[int, int] = field(default_factory=dict)

    @property
    def agents_app(self) -> str:
        """Faust app id, and so the consumer group, of the agents."""
        return self._id("rs-agents")

    @property
    def sinks_app(self) -> str:
        return self._id("rs-sinks")

    @property
    def activity(self) -> str:
        """Topic of snapshots of activity rows."""
        return self._topic("rs.activity")

    @property
    def events(self) -> str:
        """Topic of accepted call.events."""
        return self._topic("rs.events")

    def changelog(self, table: str) -> str:
        """The changelog topic of a table of the agents, by Faust's naming."""
        return f"{self.agents_app}-{table}-changelog"

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that belong to this generation alone."""
        return self.activity, self.events, *map(self.changelog, TABLES)

    @property
    def stored(self) -> tuple[str, ...]:
        """The topics whose records the sinks store."""
        return self.changelog("calls"), self.changelog("tenants"), self.events

    @property
    def own_log(self) -> str:
        """The name of a log that is made for this generation, if one is: `billing` is this or that of an earlier one."""
        return self._topic(BILLING)

    def partition_count(self, setting: int) -> int:
        """Of the log and of the generation's own topics. `setting`: kafka.partitions."""
        return self.partitions or setting

    def history_to(self, partition: int) -> int:
        """Records of this partition of the log below the offset are history."""
        return self.history.get(partition, 0)

    def _id(self, app: str) -> str:
        return app if self.number == 1 else f"{app}-g{self.number}"

    def _topic(self, topic: str) -> str:
        return topic if self.number == 1 else f"{topic}.g{self.number}"


FIRST = Generation()


@lru_cache(maxsize=256)
def plain(topic: str) -> str:
    """The name of a topic as generation 1 has it: what kind of records it holds, whoever wrote them."""
    if (found := _NUMBERED.fullmatch(topic)) is None:
        return topic
    return found[1] or f"{found[2]}{found[3]}"
