"""The settings of this process: read once at its start, then kept up to date by a thread that follows the Config Server.

A thread of its own, because the loops of the processes are of several kinds, and stand still while tables are recovered. What it changes
are references: whoever reads `now()` or `objects()` gets one moment, whole.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from prometheus_client import Counter, Gauge

from pipeline import logs
from pipeline.backoff import Backoff
from pipeline.configserver import good_copy
from pipeline.configserver.accepting import Accepted, accept, nothing
from pipeline.configserver.errors import Away
from pipeline.configserver.held import ConfigServer, Held
from pipeline.configserver.objects import Objects
from pipeline.configserver.server import server_of
from pipeline.settings import Settings, WrongSettings, load, options, shown, warnings

STOP_S = 2.0

CONNECTED = Gauge("rs_config_server_up", "1: the Config Server answers, or RS was told to run without; 0: settings are the last good copy")
REFUSED = Gauge("rs_config_refused", "Options and objects in the Config Server that are wrong and not taken")
AFTER_RESTART = Gauge("rs_config_after_restart", "Options that are set in the Config Server and take effect after a restart")
CHANGES = Counter("rs_config_changes", "Changes in the Config Server that were taken while the process ran")

T = TypeVar("T")
log = structlog.get_logger("config")


class Process:
    """start    the settings that this process has started with
    now      those, with the options that are live as they are now
    accepted what the Config Server says now, as far as it is right
    lost     why the Config Server is away; None: it is not
    broken   why nobody follows the Config Server any more; None: all is well
    notes    what is to be said at the start
    """

    def __init__(self, base: Settings, server: ConfigServer | None) -> None:
        self.base = base
        self.server = server
        self.start = self.now = base
        self.accepted = nothing(base)
        self.lost: str | None = None
        self.broken: str | None = None
        self.notes: list[str] = warnings()
        self._lost_at = 0.0
        self._kept: Held | None = None
        self._thread: threading.Thread | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    def begin(self) -> None:
        """Read it once. Raises WrongSettings if there is no Config Server and no copy, or if it holds what nobody can start with."""
        if self.server is None:
            self.notes.append("there is no Config Server (config.server is none): names come from calls, and every change needs a restart")
            return
        try:
            held = self._there(in_a_thread(_read_once(self.server)))
        except Away as exc:
            held = self._copied(exc)
        accepted = accept(self.base, held)
        if accepted.refused and (copy := good_copy.read(self.base)):  # it knows what was right
            accepted = accept(self.base, held, accept(self.base, copy.held))
        if unlike := _of_a_start(accepted):
            raise WrongSettings("\n".join(f"{line} (in {self.server.where})" for line in unlike))
        self.start = self.now = accepted.settings
        self.accepted = accepted
        self.notes += [f"{line} (in {self.server.where})" for line in accepted.refused.values()]
        self._keep()

    def follow(self) -> None:
        """Keep up to date from now on, in a thread."""
        if self.server is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="config", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Also harmless when nothing runs."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        atexit.unregister(self.stop)
        if self._stop is not None:
            loop, task = self._stop
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        thread.join(STOP_S)

    def after_restart(self) -> dict[str, tuple[object, object]]:
        """section.name -> the value that runs, and the one that is set."""
        found = {}
        for name, option in options().items():
            if option.holding == "restart" and (wanted := self.accepted.settings.get(name)) != (runs := self.start.get(name)):
                found[name] = runs, wanted
        return found

    def facts(self) -> dict[str, int | str]:
        """For /health/ready: what is worth knowing, and no reason to be unready, because the work goes on."""
        said: dict[str, int | str] = {"connected": int(self.lost is None and self.server is not None)}
        if self.lost is not None:
            said["lost"] = self.lost
            said["lost for seconds"] = round(time.monotonic() - self._lost_at)
        if self.accepted.refused:
            said["refused"] = "; ".join(self.accepted.refused.values())
        if pending := self.after_restart():
            said["after restart"] = ", ".join(f"{name} = {shown(wanted)}" for name, (_, wanted) in pending.items())
        return said

    def check(self) -> str | None:
        return self.broken

    def take(self, held: Held) -> None:
        """What the Config Server holds now. Raises Away if it has lost the application object."""
        held = self._there(held)
        if self.lost is not None:
            self.lost = None
            log.info("config server is back", server=self.server.where if self.server else "")
        before, self.accepted = self.accepted, accept(self.base, held, self.accepted)
        if before.held != self.accepted.held:
            CHANGES.inc()
        live = {name: self.accepted.settings.get(name) for name, option in options().items() if option.holding == "live"}
        was, self.now = self.now, self.start.over(live)
        self._say(before, was)
        if self.now.log.level != was.log.level:
            logs.set_level(self.now.log.level)
        self._keep()

    def _say(self, before: Accepted, was: Settings) -> None:
        for name, option in options().items():
            value, old = self.accepted.settings.get(name), before.settings.get(name)
            if option.holding == "live" and self.now.get(name) != was.get(name):
                log.info("option changed", option=name, value=shown(value), was=shown(was.get(name)))
            elif option.holding == "restart" and value != old:
                runs = self.start.get(name)
                if value == runs:
                    log.info("option is set to what runs", option=name, value=shown(value))
                else:
                    log.warning("option takes effect after restart", option=name, value=shown(value), runs_with=shown(runs))
        for name, line in self.accepted.refused.items():
            if before.refused.get(name) != line:
                log.error("option refused", reason=line, step="what was there before stays")
        changed = [kind for kind, texts in self.accepted.held.objects.items() if texts != before.held.objects.get(kind, {})]
        if changed:
            log.info("objects changed", kinds=", ".join(changed))

    def lose(self, exc: Away) -> None:
        if self.lost is None:
            self._lost_at = time.monotonic()
            log.warning("config server lost", reason=str(exc), step="settings stay as they are until it is back")
        self.lost = str(exc)

    def show(self) -> None:
        """Metrics that tell of this process from now on."""
        CONNECTED.set_function(lambda: float(self.lost is None))
        REFUSED.set_function(lambda: float(len(self.accepted.refused)))
        AFTER_RESTART.set_function(lambda: float(len(self.after_restart())))

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._follow())

    async def _follow(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._stop = asyncio.get_running_loop(), task
        backoff = Backoff()
        try:
            while self._thread is not None:
                try:
                    await self._follow_once(backoff)
                except Away as exc:
                    self.lose(exc)
                await asyncio.sleep(backoff.next())
        except Exception as exc:
            self.broken = f"changes in the Config Server are not seen any more ({type(exc).__name__}: {exc}): start this process again"
            log.exception("config server is not followed any more")

    async def _follow_once(self, backoff: Backoff) -> None:
        server = server_of(self.base)  # afresh: files with passwords and certificates may be others now
        assert server is not None
        changes = server.changes()
        try:
            async for held in changes:
                self.take(held)
                backoff.reset()
        except WrongSettings as exc:
            raise Away(str(exc)) from exc
        finally:
            await changes.aclose()
            await server.close()

    def _there(self, held: Held) -> Held:
        assert self.server is not None
        if held.application or self.server.optional:
            return held
        name = self.base.config.application
        raise Away(f"{self.server.where} has no application object {name}: make it with rs init, or correct config.application")

    def _copied(self, exc: Away) -> Held:
        copy = good_copy.read(self.base)
        if copy is None:
            raise WrongSettings(f"{exc}; to start without one: RS_CONFIG__SERVER=none") from None
        taken = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(copy.taken_at))
        self.lost, self._lost_at = str(exc), time.monotonic()
        self.notes.append(f"{exc}; settings are the last good copy, of {taken}")
        return copy.held

    def _keep(self) -> None:
        """The embedded folder is a part of the data folder itself: no copy of it can outlive it."""
        if self.server is None or self.server.optional or self.lost is not None or self._kept == self.accepted.held:
            return
        self._kept = self.accepted.held
        if reason := good_copy.keep(self.base, self._kept):
            log.warning("no last good copy", reason=reason, step="without it no start while the Config Server is away")


def _of_a_start(accepted: Accepted) -> list[str]:
    """What was refused and is too important to go on with another value: options that are read at the start alone."""
    known = options()
    return [
        line
        for name, line in accepted.refused.items()
        if name in known and known[name].holding == "restart" and name not in accepted.held.options
    ]


async def _read_once(server: ConfigServer) -> Held:
    try:
        return await server.read()
    finally:
        await server.close()


def in_a_thread(work: Coroutine[None, None, T]) -> T:
    """Run it to its end, whether this thread has a loop or not, and leave this thread's loop alone."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


_mine: Process | None = None


def begin(base: Settings) -> Settings:
    """The settings of this process from all layers; `base`: those below the Config Server. Raises WrongSettings."""
    global _mine
    if _mine is not None:
        _mine.stop()
    made = Process(base, server_of(base))
    made.begin()
    _mine = made
    return made.start


def mine() -> Process:
    """Of this process; read now if nobody has. Raises WrongSettings."""
    if _mine is None:
        load()
    assert _mine is not None
    return _mine


def follow() -> Process:
    """Keep the settings of this process up to date from now on, and say what is to be said at a start."""
    made = mine()
    for note in told():
        log.warning("settings", note=note)
    made.show()
    made.follow()
    return made


def told() -> list[str]:
    """What is to be said at the start, once."""
    if _mine is None:
        return []
    notes, _mine.notes = _mine.notes, []
    return notes


def now() -> Settings:
    """The settings as they are at this moment: those marked LIVE change, the others stay as at the start."""
    return mine().now


def objects() -> Objects:
    """Tenants, IVR profiles, DNs and components as the Config Server knows them at this moment."""
    return mine().accepted.objects
