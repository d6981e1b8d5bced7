"""The supervisor with small children in the parts' place."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.local import supervisor as module
from pipeline.local.part import Part, StackFault, Step
from pipeline.local.supervisor import Backoff, Child, Supervisor
from tests.conftest import PATIENCE_S


class Said(list[tuple[str, str]]):
    def __call__(self, kind: str, text: str) -> None:
        self.append((kind, text))

    def of(self, kind: str) -> list[str]:
        return [text for said, text in self if said == kind]


@pytest.fixture
def said() -> Said:
    return Said()


async def at_once() -> str | None:
    return None


def part(name: str, code: str, *, ready=at_once, **more) -> Part:
    return Part(name, lambda: [sys.executable, "-c", textwrap.dedent(code)], ready, f"at {name}", **more)


def exists(path: Path):
    there = path.exists

    async def ready() -> str | None:
        return None if there() else f"{path.name} is not there"

    return ready


async def until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "did not come about in time"
        await asyncio.sleep(0.02)


def test_pauses_double_up_to_thirty_seconds_and_begin_again_after_a_minute_of_life() -> None:
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(61) == 1
    assert backoff.after(59) == 2


async def test_a_child_that_dies_is_started_again_and_said_so(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)
    lives = tmp_path / "lives"
    child = Child(part("mortal", f"open({str(lives)!r}, 'a').write('x'); print('last words'); raise SystemExit(3)"), tmp_path, said)
    child.start()
    await until(lambda: len(said.of("died")) >= 2)
    await child.stop()
    assert lives.read_text().startswith("xx")
    first = said.of("died")[0]
    assert first.startswith("mortal ended with exit code 3 after 0 s")
    assert str(tmp_path / "mortal.log") in first
    assert "last words" in (tmp_path / "mortal.log").read_text()


async def test_a_restarted_child_is_said_to_be_ready_again(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)
    child = Child(part("phoenix", "import time; time.sleep(60)"), tmp_path, said)
    child.start()
    await child.ready()
    assert child.process is not None
    child.process.kill()
    await until(lambda: bool(said.of("ready")))
    await child.stop()
    assert said.of("died")[0].startswith("phoenix was killed by SIGKILL")
    assert said.of("ready")[0].startswith("phoenix again after")


async def test_a_program_that_is_missing_is_said_and_tried_again(tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)

    def command() -> list[str]:
        raise subprocess.CalledProcessError(1, ["format-storage"])

    child = Child(Part("kafka", command, at_once, ""), tmp_path, said)
    child.start()
    await until(lambda: len(said.of("died")) >= 2)
    await child.stop()
    assert "cannot be started" in said.of("died")[0]
    assert "format-storage" in said.of("died")[0]


async def test_waves_are_waited_for_and_parts_stop_in_the_given_order(tmp_path: Path, said: Said) -> None:
    story = tmp_path / "story"

    def teller(name: str) -> Part:
        ready = tmp_path / f"{name}.ready"
        code = f"""
            import signal, pathlib, time
            story = open({str(story)!r}, "ab", buffering=0)
            def end(*_):
                time.sleep(0.1)
                story.write(b"-{name} ")
                raise SystemExit(0)
            signal.signal(signal.SIGTERM, end)
            time.sleep(0.1)
            story.write(b"+{name} ")
            pathlib.Path({str(ready)!r}).touch()
            time.sleep(60)
        """
        return part(name, code, ready=exists(ready))

    async def step() -> str:
        with story.open("a") as file:
            file.write("step ")
        return "done"

    stack = Supervisor([[teller("broker")], [Step("topics", step)], [teller("worker")]], ["worker", "broker"], tmp_path, said)
    await stack.start()
    await stack.stop()
    assert story.read_text() == "+broker step +worker -worker -broker "
    assert [line.split()[0] for line in said.of("ready")] == ["broker", "topics", "worker"]


async def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path, said: Said) -> None:
    ready = tmp_path / "ready"
    code = (
        f"import signal, pathlib, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    )
    child = Child(part("deaf", code, ready=exists(ready), grace_s=0.2), tmp_path, said)
    child.start()
    await child.ready()
    await child.stop()
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL
    assert "deaf did not stop within" in said.of("note")[0]


async def test_without_a_needed_part_the_start_is_given_up_with_its_last_words(tmp_path: Path, said: Said) -> None:
    async def never() -> str | None:
        while "no space left" not in (tmp_path / "broker.log").read_text():  # noqa: ASYNC110 - it may be slow to start
            await asyncio.sleep(0.02)
        return "nothing answers on 127.0.0.1:1"

    broker = part("broker", "print('no space left', flush=True); import time; time.sleep(60)", ready=never, ready_within_s=2, needed=True)
    stack = Supervisor([[broker], [part("worker", "pass")]], [], tmp_path, said)
    with pytest.raises(StackFault, match=r"(?s)broker is not ready after 2 s: nothing answers on 127.0.0.1:1.*no space left"):
        await stack.start()
    await stack.stop()
    assert "worker" not in stack.children


async def test_without_another_part_the_stack_goes_on(tmp_path: Path, said: Said) -> None:
    async def never() -> str | None:
        return "assigning"

    stack = Supervisor(
        [[part("worker", "import time; time.sleep(60)", ready=never, ready_within_s=2), part("pages", "import time; time.sleep(60)")]],
        [],
        tmp_path,
        said,
    )
    await stack.start()
    await stack.stop()
    assert "worker is not ready after 2 s: assigning" in said.of("note")[0]
    assert said.of("ready")[0].startswith("pages")


async def test_children_have_a_session_of_their_own_so_ctrl_c_reaches_only_the_supervisor(tmp_path: Path, said: Said) -> None:
    child = Child(part("apart", "import time; time.sleep(60)", environment={"RS_X": "1"}), tmp_path, said)
    child.start()
    await child.ready()
    assert child.process is not None
    assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)
    await child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
        import asyncio, sys, pathlib
        from pipeline.local.part import Part
        from pipeline.local.supervisor import Child
        async def at_once(): return None
        async def main():
            part = Part("orphan", lambda: [sys.executable, "-c", "import time; time.sleep(60)"], at_once, "")
            child = Child(part, pathlib.Path({str(tmp_path)!r}), print)
            child.start()
            await child.ready()
            print(child.process.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    orphan = int(supervisor.stdout.readline())
    end = time.monotonic() + PATIENCE_S
    while b"tied.py" in Path(f"/proc/{orphan}/cmdline").read_bytes():  # then the launcher has made its request and is the program
        assert time.monotonic() < end, "the child did not start"
        time.sleep(0.02)
    supervisor.kill()
    supervisor.wait()
    end = time.monotonic() + PATIENCE_S
    while _runs(orphan):
        assert time.monotonic() < end, "the child outlives its supervisor"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    """A zombie that nobody has buried yet does not run."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
