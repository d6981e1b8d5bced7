"""A Faust app whose transport, tables and recovery are the ones of this package."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import faust
from mode import CrashingSupervisor

from . import pins
from .checkpoint import Checkpoint
from .cut import Stage
from .errors import WrongDeclaration
from .recovery import TableManager
from .tables import CACHE, Marked, PackKey, StateTable, UnpackKey
from .transport import Transport

V = TypeVar("V", bound=Marked)

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "Table": StateTable,
    "TableManager": TableManager,
    "agent_supervisor": CrashingSupervisor,  # a failed body stops the worker; nothing of its chunk is committed
    "stream_wait_empty": True,  # Faust then calls Consumer.wait_empty, our last cut
    "topic_disable_leader": True,
    "table_standby_replicas": 0,
    "producer_linger": 0.0,  # cuts are grouped already
    "producer_max_batch_size": 512 * 1024,  # a cut of 2000 rows in one batch
    "consumer_max_fetch_size": 4 * 1024 * 1024,  # 1 MiB costs 15 % more CPU an event
    # A successor takes over this long after a kill -9. Heartbeats come from the consumer's own thread, so a long body does not
    # count; three of them may get lost before the group gives us up.
    "broker_session_timeout": 12.0,
    "broker_heartbeat_interval": 3.0,
    "web_enabled": False,  # Faust's own web server shows table data to whoever asks
    "worker_redirect_stdouts": False,
}
# A worker that failed must go, or nobody starts a new one. Faust's own way out takes three seconds, but waits for threads that may
# be stuck with it; nothing is left to be committed then.
LAST_RESORT_S = 8.0
FAILED = 70  # EX_SOFTWARE of sysexits.h


class App(faust.App):  # type: ignore[misc]  # Faust ships no types
    """`faust.App` with checkpoints. Started as ever: `faust -A module worker`."""

    def __init__(self, id: str, **options: Any) -> None:  # noqa: A002  # Faust's name for it
        pins.check()
        self.checkpoints: list[Checkpoint] = []
        self.checkpoint_of: dict[str, Checkpoint] = {}  # source topic -> the checkpoint that folds it
        super().__init__(id, **{**DEFAULTS, **options})

    def checkpoint(
        self,
        sources: Any,
        order: Sequence[StateTable[Any, Any] | Stage],
        *,
        interval: float,
        max_events: int,
        beat: float | None = None,
    ) -> Checkpoint:
        """Declare that `sources` are folded into the stages of `order`, made durable in that order before each commit.
        Parameters: see Checkpoint. Raises WrongDeclaration."""
        made = Checkpoint(self, sources, order, interval=interval, max_events=max_events, beat=beat)
        for topic in made.topics:
            if topic in self.checkpoint_of:
                raise WrongDeclaration(f"topic {topic} has a checkpoint already")
            self.checkpoint_of[topic] = made
        for table in made.tables:
            if any(table is theirs for other in self.checkpoints for theirs in other.tables):  # tables compare by content
                raise WrongDeclaration(f"table {table.name} belongs to another checkpoint already: its marks are positions in one source")
        self.checkpoints.append(made)
        for source in made.sources:
            self.topics.add(source)  # one agent iterates the chunks of all sources: nobody else would subscribe the others
        return made

    def Table(  # noqa: N802  # Faust's name for it
        self,
        name: str,
        *,
        value: Any,
        partitions: int,
        make: Callable[[], V] | None = None,
        pack_key: PackKey | None = None,
        unpack_key: UnpackKey | None = None,
        stamped: bool = True,
        cache: int = CACHE,
        **options: Any,
    ) -> StateTable[Any, V]:
        """Declare a table. Parameters: see StateTable."""
        table: StateTable[Any, V] = StateTable(
            self, name=name, value=value, partitions=partitions, make=make, pack_key=pack_key, unpack_key=unpack_key,
            stamped=stamped, cache=cache, beacon=self.tables.beacon, **options,
        )  # fmt: skip
        self.tables.add(table)
        return table

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    async def on_started_init_extra_tasks(self) -> None:
        """Tables are recovered: what lives now lives long, and chunks make no cycles, so look for garbage rarely."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        await super().on_started_init_extra_tasks()

    def _crash(self, reason: BaseException) -> None:
        """Called by mode when anything of the app failed: say it in one line, and make sure that the process ends."""
        if not self.crashed:
            log.critical("worker of %s stops, nothing more is committed: %s: %s", self.conf.id, type(reason).__name__, reason)
            if self.in_worker:
                last_resort = threading.Timer(LAST_RESORT_S, os._exit, [FAILED])
                last_resort.daemon = True
                last_resort.start()
        super()._crash(reason)
