"""Both ways to serve the tree, and the tools of Net-SNMP that managers use."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.local.ports import free_port
from sinks.snmp.agent import Address, Agent, User, engine_id
from sinks.snmp.agentx.subagent import Subagent
from sinks.snmp.mib import DOCUMENTATION, root
from sinks.snmp.notices import Notice
from sinks.snmp.tree import Source
from sinks.views.rows import Figures
from tests.conftest import PATIENCE_S

ROOT = ".".join(map(str, root(DOCUMENTATION)))
USER = User("reader", "authpass12", "privpass12")
V2C = ("-v2c", "-c", "public")
V3 = ("-v3", "-l", "authPriv", "-u", USER.name, "-a", "SHA-256", "-A", USER.auth_password, "-x", "AES", "-X", USER.priv_password)


def need(*tools: str) -> None:
    """Skip, loudly, where a tool is missing."""
    missing = [tool for tool in tools if shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin") is None]
    if missing:
        pytest.skip(f"NOT TESTED: {', '.join(missing)} is missing (apt-get install snmpd snmp snmptrapd)")


def tool(name: str) -> str:
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/bin") or name


def free_udp_port() -> int:
    return free_port(udp=True)


def eventually(check: Callable[[], object], timeout_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(every_s)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def close(self) -> None:
        async def cancel_all() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass
class Master:
    """snmpd as master agent."""

    folder: Path
    port: int = field(default_factory=free_udp_port)
    agentx: int = 0
    traps: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "snmpd.conf"
        configuration.write_text(
            f"master agentx\nagentXSocket tcp:127.0.0.1:{self.agentx}\nagentaddress udp:127.0.0.1:{self.port}\n"
            f"rwcommunity public 127.0.0.1\ntrap2sink 127.0.0.1:{self.traps} public\n"
            f'createUser {USER.name} SHA-256 "{USER.auth_password}" AES "{USER.priv_password}"\nrwuser {USER.name} priv\n'
        )
        command = [tool("snmpd"), "-f", "-Lf", str(self.folder / "snmpd.log"), "-C", "-c", str(configuration), "-I", "-smux"]
        self.process = subprocess.Popen(
            [*command, "-p", str(self.folder / "snmpd.pid")],
            env={"MIBS": "", "SNMP_PERSISTENT_DIR": str(self.folder / "state"), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)


@dataclass
class Front:
    """The tree, served at 127.0.0.1:port. `figures` may be replaced at any time."""

    name: str
    port: int
    figures: Figures
    notify: Callable[[Notice], None]
    traps: Path
    engine_id: bytes = b""
    master: Master | None = None
    subagent: Subagent | None = None

    def ask(self, command: str, *arguments: str, access: tuple[str, ...] = V2C, timeout_s: float = 5) -> str:
        """What a tool of Net-SNMP says, errors included."""
        given = [tool(command), *access, "-On", "-t", str(timeout_s), "-r", "0", *_options(arguments), f"127.0.0.1:{self.port}"]
        environment = {"MIBS": "", "PATH": "/usr/bin"}
        done = subprocess.run([*given, *_rest(arguments)], env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
        return done.stdout + done.stderr

    def received(self) -> list[str]:
        """Our notifications at snmptrapd, one a line; a master has some of its own."""
        return [line for line in self.traps.read_text().splitlines() if f"1.3.6.1.6.3.1.1.4.1.0 = OID: .{ROOT}.0." in line]


def _options(arguments: tuple[str, ...]) -> list[str]:
    return [each for each in arguments if each.startswith("-")]


def _rest(arguments: tuple[str, ...]) -> list[str]:
    return [each for each in arguments if not each.startswith("-")]


@contextlib.contextmanager
def trap_receiver(folder: Path, port: int) -> Iterator[Path]:
    """snmptrapd; gives the file it writes what it receives into."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration, log = folder / "snmptrapd.conf", folder / "traps.log"
    configuration.write_text(
        "authCommunity log public\n"
        f"createUser -e 0x{engine_id(DOCUMENTATION).hex()} {USER.name} SHA-256 {USER.auth_password} AES {USER.priv_password}\n"
        f"createUser {USER.name} SHA-256 {USER.auth_password} AES {USER.priv_password}\nauthUser log {USER.name} priv\n"
    )
    command = [tool("snmptrapd"), "-f", "-n", "-Lf", str(log), "-C", "-c", str(configuration), "-On", "-p", str(folder / "pid")]
    process = subprocess.Popen(
        [*command, f"udp:127.0.0.1:{port}"],
        env={"MIBS": "", "SNMP_PERSISTENT_DIR": str(folder / "state"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: log.is_file() and "NET-SNMP" in log.read_text())
        yield log
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextlib.contextmanager
def by_master(folder: Path, figures: Figures) -> Iterator[Front]:
    """Through snmpd."""
    need("snmpd", "snmpget", "snmptrapd")
    loop, master = Loop(), Master(folder / "snmpd", agentx=free_port(), traps=free_udp_port())
    with trap_receiver(folder / "trapd", master.traps) as traps:
        master.start()
        front = Front("master agent", master.port, figures, lambda _: None, traps, master=master)

        def begin() -> None:
            front.subagent = Subagent(Source(lambda: front.figures, DOCUMENTATION), f"tcp:127.0.0.1:{master.agentx}")
            front.notify = lambda notice: loop.call(lambda: front.subagent.notify(notice))  # type: ignore[union-attr]
            loop.loop.task = loop.loop.create_task(front.subagent.run())  # type: ignore[attr-defined]

        loop.call(begin)
        try:
            eventually(lambda: front.subagent is not None and front.subagent.trouble is None)
            yield front
        finally:
            loop.close()
            if master.process is not None and master.process.poll() is None:
                master.stop()


@contextlib.contextmanager
def by_own_agent(folder: Path, figures: Figures, *, informs: bool = False, by_v3: bool = False) -> Iterator[Front]:
    """By our own agent."""
    need("snmpget", "snmptrapd")
    loop, port, trap_port = Loop(), free_udp_port(), free_udp_port()
    with trap_receiver(folder / "trapd", trap_port) as traps:
        front = Front("own agent", port, figures, lambda _: None, traps)
        agents: list[Agent] = []

        def begin() -> None:
            agent = Agent(
                Source(lambda: front.figures, DOCUMENTATION),
                Address("127.0.0.1", port),
                community="public",
                user=USER,
                targets=[Address("localhost", trap_port)],
                informs=informs,
                by_v3=by_v3,
            )
            agent.start()
            agents.append(agent)

        loop.call(begin)
        front.notify = lambda notice: loop.call(lambda: agents[0].notify(notice))
        front.engine_id = agents[0].engine_id
        try:
            yield front
        finally:
            loop.call(agents[0].stop)
            loop.close()
