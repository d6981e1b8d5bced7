"""How fast tables are walked: `python -m bench.snmp [--tenants N] [--rounds N] [--own]`.

The table of tenants, every column of it, by snmpbulkwalk, in turns:

subagent    snmpd, and behind it our subagent
C helper    the same snmpd, and behind it the same values in a table of Net-SNMP's C library (PyPI: netsnmpagent; left out, and said, if
            it is not installed). The library finds a row by looking through all of them: the price of a value grows with the table.
own agent   without a master (only with --own)

A line gives values walked, and medians over the rounds: seconds on the clock, seconds of CPU of whoever has the values and of snmpd.
CPU is the figure to compare on a machine that does other things besides.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import psutil
import uvloop

from pipeline.local.ports import free_port
from sinks.snmp.agent import Address, Agent
from sinks.snmp.agentx.subagent import Subagent
from sinks.snmp.mib import DOCUMENTATION, TENANTS, column_oid
from sinks.snmp.syntax import NAME
from sinks.snmp.tree import Source
from sinks.views.rows import Figures, Tenant
from tests.snmp.world import free_udp_port, tool

HELPERS = DOCUMENTATION + 1  # enterprise number of the C helper's table: both are behind one master
REPETITIONS = "-Cr40"


def figures(tenants: int) -> Figures:
    """Every cell has a value."""
    numbers = [thing.attribute for thing in TENANTS.columns if thing.syntax is not NAME]
    return Figures(
        tenants={(n,): Tenant(name=f"tenant {n}", **{name: n * k for k, name in enumerate(numbers, 1)}) for n in range(1, tenants + 1)}
    )


# -- whoever has the values, each in a process of its own


def subagent(tenants: int, agentx: int) -> None:
    made = figures(tenants)
    uvloop.run(Subagent(Source(lambda: made, DOCUMENTATION), f"tcp:127.0.0.1:{agentx}").run())


def helper(tenants: int, agentx: int) -> None:
    import netsnmpagent  # type: ignore[import-not-found]

    os.environ["MIBS"] = ""
    agent = netsnmpagent.netsnmpAgent(AgentName="bench", MasterSocket=f"tcp:127.0.0.1:{agentx}", PersistenceDir=tempfile.mkdtemp())
    kinds = [(each, agent.DisplayString if each.syntax is NAME else agent.Unsigned32) for each in TENANTS.columns]
    table = agent.Table(
        oidstr="." + ".".join(map(str, column_oid(HELPERS, TENANTS, TENANTS.columns[0])[:-2])),
        indexes=[agent.Unsigned32()],
        columns=[(each.number, kind(), False) for each, kind in kinds],
        extendable=False,
    )
    for (number,), tenant in figures(tenants).tenants.items():
        row = table.addRow([agent.Unsigned32(number)])
        for each, kind in kinds:
            row.setRowCell(each.number, kind(getattr(tenant, each.attribute)))
    agent.start()
    while True:
        agent.check_and_process()


def own_agent(tenants: int, port: int) -> None:
    made = figures(tenants)

    async def serve() -> None:
        Agent(Source(lambda: made, DOCUMENTATION), Address("127.0.0.1", port), community="public").start()
        await asyncio.Event().wait()

    uvloop.run(serve())


# -- the race


@contextmanager
def master(folder: Path, port: int, agentx: int) -> Iterator[psutil.Process]:
    configuration = folder / "snmpd.conf"
    configuration.write_text(
        f"master agentx\nagentXSocket tcp:127.0.0.1:{agentx}\nagentaddress udp:127.0.0.1:{port}\nrocommunity public 127.0.0.1\n"
    )
    command = [tool("snmpd"), "-f", "-Lf", str(folder / "snmpd.log"), "-C", "-c", str(configuration), "-I", "-smux"]
    process = subprocess.Popen([*command, "-p", str(folder / "pid")], env={"MIBS": "", "SNMP_PERSISTENT_DIR": str(folder)})
    try:
        wait(lambda: connects(agentx))
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def holder(target: Callable[[int, int], None], tenants: int, port: int) -> Iterator[psutil.Process]:
    process = get_context("spawn").Process(target=target, args=(tenants, port), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield psutil.Process(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not check():
        if time.monotonic() > end:
            raise TimeoutError("whoever has the values does not answer")
        time.sleep(0.1)


def walk(port: int, enterprise: int) -> int:
    """Values got."""
    start = ".".join(map(str, column_oid(enterprise, TENANTS, TENANTS.columns[0])[:-1]))
    command = [tool("snmpbulkwalk"), "-v2c", "-c", "public", "-On", "-t", "60", "-r", "0", REPETITIONS, f"127.0.0.1:{port}", start]
    done = subprocess.run(command, env={"MIBS": ""}, capture_output=True, check=False)
    return done.stdout.count(b": ")


def cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def main(tenants: int, rounds: int, own: bool) -> None:
    values = tenants * len(TENANTS.columns)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port, agentx, own_port = free_udp_port(), free_port(), free_udp_port()
        snmpd = stack.enter_context(master(Path(folder), port, agentx))
        runners: dict[str, tuple[psutil.Process, psutil.Process | None, int, int]] = {}
        runners["subagent"] = stack.enter_context(holder(subagent, tenants, agentx)), snmpd, port, DOCUMENTATION
        if find_spec("netsnmpagent") is None:
            print("the C helper is left out: pip install netsnmpagent")
        else:
            runners["C helper"] = stack.enter_context(holder(helper, tenants, agentx)), snmpd, port, HELPERS
        if own:
            runners["own agent"] = stack.enter_context(holder(own_agent, tenants, own_port)), None, own_port, DOCUMENTATION
        for _, _, at, enterprise in runners.values():
            wait(lambda at=at, enterprise=enterprise: walk(at, enterprise) == values)  # type: ignore[misc]
        measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, (process, behind, at, enterprise) in runners.items():
                began, own_cpu, its_cpu = time.perf_counter(), cpu(process), cpu(behind)
                got = walk(at, enterprise)
                measured[name].append((time.perf_counter() - began, cpu(process) - own_cpu, cpu(behind) - its_cpu))
                if got != values:
                    sys.exit(f"{name} gave {got} values of {values}")
        for name, found in measured.items():
            wall, own_cpu, its_cpu = (median(column) for column in zip(*found, strict=True))
            least = min(each for each, *_ in found)
            print(f"{name:10} {values:,} values: {wall:.3f} s (least {least:.3f}), CPU {own_cpu:.3f} s, of snmpd {its_cpu:.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--own", action="store_true")
    given = parser.parse_args()
    main(given.tenants, given.rounds, given.own)
