"""Start parts in order, keep them running, stop them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pipeline.local import logfiles
from pipeline.local.part import Part, StackFault, Step

TIED = Path(__file__).with_name("tied.py")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
SETTLED_AFTER_S = 60.0  # a child that lived this long begins again with the first pause
ASK_EVERY_S = 0.1

Say = Callable[[str, str], None]
"""Tells the user one line: kind (ready, died, waiting, stopped, note) and text."""


class Backoff:
    """How long to wait before a child that died is started again."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def after(self, life_s: float) -> float:
        """The pause after a life of `life_s` seconds: doubling while lives are short."""
        if life_s >= SETTLED_AFTER_S:
            self._next_s = FIRST_PAUSE_S
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_PAUSE_S)
        return pause_s


class Child:
    """One part, as a process in a session of its own: a Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(self, part: Part, logs: Path, say: Say) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        self.process: asyncio.subprocess.Process | None = None
        self._say = say
        self._stopping = False
        self._was_ready = False
        self._backoff = Backoff()
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def ready(self) -> float:
        """Wait until the part is ready; gives the seconds. Raises StackFault after part.ready_within_s."""
        begun = time.monotonic()
        reason: str | None = "not started"
        while time.monotonic() - begun < self.part.ready_within_s:
            reason = await self.part.ready() if self.process is not None and self.process.returncode is None else "it is not running"
            if reason is None:
                self._was_ready = True
                return time.monotonic() - begun
            await asyncio.sleep(ASK_EVERY_S)
        raise StackFault(f"{self.part.name} is not ready after {self.part.ready_within_s:.0f} s: {reason}; its log: {self.log}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace; nothing of the process group is left."""
        self._stopping = True
        if self.process is not None and self.process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), self.part.grace_s)
            except TimeoutError:
                self._say("note", f"{self.part.name} did not stop within {self.part.grace_s:.0f} s: killed")
                self.kill()
                await self.process.wait()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    def kill(self) -> None:
        self._stopping = True
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        while not self._stopping:
            begun = time.monotonic()
            try:
                self.process = await self._spawn()
            except (OSError, subprocess.CalledProcessError) as exc:
                end = f"cannot be started ({exc})"
            else:
                end = _ended(await self.process.wait())
                self._signal(signal.SIGKILL)  # what the dead leader of the group may have left
            if self._is_stopping():
                return
            life_s = time.monotonic() - begun
            pause_s = self._backoff.after(life_s)
            self._say("died", f"{self.part.name} {end} after {life_s:.0f} s: again in {pause_s:.0f} s; log: {self.log}")
            await asyncio.sleep(pause_s)
            if self._was_ready:
                self._say_when_ready()

    def _say_when_ready(self) -> None:
        async def wait() -> None:
            with contextlib.suppress(StackFault):
                seconds = await self.ready()
                if not self._stopping:
                    self._say("ready", f"{self.part.name} again after {seconds:.1f} s")

        self._again = asyncio.create_task(wait())

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = await asyncio.to_thread(self.part.command)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        logfiles.rotate(self.log)
        with self.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(TIED), str(os.getpid()), *command,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **self.part.environment}, start_new_session=True,
            )  # fmt: skip

    def _is_stopping(self) -> bool:  # asked anew after each await, which a type checker does not expect of an attribute
        return self._stopping

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Supervisor:
    """Runs waves of parts: those of a wave start together and are waited for in order, before the next wave begins."""

    def __init__(self, waves: Sequence[Sequence[Part | Step]], stop_order: Sequence[str], logs: Path, say: Say) -> None:
        self._waves = waves
        self._stop_order = stop_order
        self._logs = logs
        self._say = say
        self.children: dict[str, Child] = {}

    async def start(self) -> None:
        """Raises StackFault if a needed part does not become ready or a step fails; the caller then stops what runs."""
        for wave in self._waves:
            # All of a wave are asked at the same time: the seconds shown are each part's own, though the lines come in order.
            ready = {part.name: asyncio.create_task(self._ready(part)) for part in wave if isinstance(part, Part)}
            try:
                for part in wave:
                    await (self._awaited(part, ready[part.name]) if isinstance(part, Part) else self._done(part))
            finally:
                for task in ready.values():
                    task.cancel()

    async def stop(self) -> None:
        """Stop every child in the given order, one after the other."""
        for name in [*self._stop_order, *(name for name in self.children if name not in self._stop_order)]:
            if (child := self.children.get(name)) is not None:
                self._say("stopping", name)
                await child.stop()

    def kill(self) -> None:
        """Kill every child at once."""
        for child in self.children.values():
            child.kill()

    async def _ready(self, part: Part) -> float | StackFault:
        child = self.children[part.name] = Child(part, self._logs, self._say)
        child.start()
        try:
            return await child.ready()
        except StackFault as fault:
            return fault

    async def _awaited(self, part: Part, ready: asyncio.Task[float | StackFault]) -> None:
        self._say("waiting", part.name)
        outcome = await ready
        if not isinstance(outcome, StackFault):
            self._say("ready", f"{part.name:<12} {part.address:<34} {outcome:5.1f} s")
        elif part.needed:
            last = "\n  ".join(tail(self.children[part.name].log))
            raise StackFault(f"{outcome}; its last lines:\n  {last}")
        else:
            self._say("note", f"{outcome} (the stack goes on and keeps trying)")

    async def _done(self, step: Step) -> None:
        self._say("waiting", step.name)
        begun = time.monotonic()
        said = await step.run()
        self._say("ready", f"{step.name:<12} {said:<34} {time.monotonic() - begun:5.1f} s")


def tail(log: Path, lines: int = 5) -> Iterable[str]:
    """The last lines of a log, for the user who should not have to look for it."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
