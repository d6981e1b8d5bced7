"""Recovery of tables by chunks. Faust decides what to read and when it is complete; only the reading is ours."""

from __future__ import annotations

from typing import Any

from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as FaustRecovery
from faust.types import TP
from mode import Service

from .chunk import Chunk


class Recovery(FaustRecovery):  # type: ignore[misc]  # Faust ships no types
    """Reads changelogs into states; an error in it stops the worker (stock Faust logs it and drops the record)."""

    rebalance = 0  # the count of the rebalance whose partitions we recover

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        self.rebalance = self.app.rebalancing_count
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def check_current(self) -> None:
        """Raise RebalanceAgain, for which Faust begins anew, if the partitions were revoked again meanwhile."""
        if self.rebalance != self.app.rebalancing_count:
            raise RebalanceAgain

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109  # Faust's signature
        """Faust takes a step that ran into its time-out for a stop, and would wait for ever with nothing recovered."""
        try:
            await super()._wait(coro, timeout=timeout)
        except ServiceStopped:
            if not self.should_stop:
                raise TimeoutError(f"a step of recovery took longer than {timeout} s") from None
            raise

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: dict[TP, int | None], title: str) -> None:
        """A partition we keep over a rebalance is not read again, unless somebody else wrote behind our last record (a worker
        that held it while we were out, a frozen one that thawed) or reading was interrupted: then it is read whole."""
        for tp in tps:
            stood = destination[tp]
            if stood is not None and stood != self.active_highwaters.get(tp):
                self.tp_to_table[tp].data.forget(tp.partition)
                destination[tp] = None
        await super()._build_offsets(consumer, tps, destination, title)

    def apply(self, chunk: Chunk) -> None:
        """Apply a chunk of a changelog. Raises ForeignChangelog."""
        tp = chunk.tp
        if tp not in self.active_tps or not self.in_recovery:
            return  # an echo of our own writes
        self.tp_to_table[tp].data.state(tp.partition).load(chunk.records)
        self.active_offsets[tp] = chunk.end - 1  # not the last record: the log may end in a hole
        if not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()

    def wrote(self, tp: TP, offset: int) -> None:
        """Our own writes up to `offset` are in the state already: the next rebalance need not read them."""
        if tp in self.active_tps:
            self.active_offsets[tp] = offset

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        await self.wait_until_stopped()  # replaces the loop with one wait_for() per record


class TableManager(FaustTableManager):  # type: ignore[misc]  # Faust ships no types
    _recovery: Recovery | None = None

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
