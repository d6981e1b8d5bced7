"""Processes as they are started, with a real etcd that is changed, killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.ports import free_port
from tests.configserver.parts import EtcdNode
from tests.configserver.test_commands import RS
from tests.configserver.test_etcd import OWN
from tests.conftest import PATIENCE_S

# Both say how they are before they have reached Kafka: what they do with settings needs none.
BRIDGE = ["-m", "faust", "-A", "pipeline.bridge", "--quiet", "worker", "--without-web"]
VIEW = ["-m", "sinks.views"]


class Running:
    """A process of the Reporting Server with its log."""

    def __init__(self, arguments: list[str], port: int, log: Path, environment: dict[str, str]) -> None:
        self.log, self._port = log, port
        with log.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=output, stderr=output, cwd=log.parent)

    def facts(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=5) as response:
                body = response.read()
        except urllib.error.HTTPError as exc:
            body = exc.read()
        except OSError:
            return {}
        return dict(json.loads(body)["facts"]["config server"])

    def comes_to(self, fits: Callable[[dict[str, Any]], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not ((facts := self.facts()) and fits(facts)):
            assert time.monotonic() < end, f"{facts}\n{self.log.read_text()[-3000:]}"
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def says(self, *words: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not any(all(word in line for word in words) for line in self.log.read_text().splitlines()):
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def environment(own_etcd: EtcdNode, tmp_path: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RS_")}
    return {
        **own,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "RS_CONFIG__SERVER": own_etcd.setting,
        "RS_STACK__DATA": str(tmp_path / "data"),
        "RS_KAFKA__BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "RS_ACTIVEMQ__PORT": str(free_port()),
        "RS_HEALTH__BRIDGE_PORT": str(free_port()),
        "RS_SNMP__HEALTH_PORT": str(free_port()),
        "RS_SNMP__PORT": str(free_port(udp=True)),
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[[list[str]], Running]]:
    made: list[Running] = []

    def begin(arguments: list[str]) -> Running:
        name, variable = ("view", "RS_SNMP__HEALTH_PORT") if arguments == VIEW else ("bridge", "RS_HEALTH__BRIDGE_PORT")
        made.append(Running(arguments, int(environment[variable]), tmp_path / f"{name}.log", environment))
        return made[-1]

    yield begin
    for one in made:
        one.stop()


@pytest.mark.slow
def test_options_change_live_are_refused_and_outlive_the_config_server(
    own_etcd: EtcdNode, environment: dict[str, str], start: Callable[[list[str]], Running]
) -> None:
    refused = start(VIEW)
    assert refused.process.wait(PATIENCE_S) == 2
    assert "make it with rs init" in refused.log.read_text()
    subprocess.run([*RS, "init", "--only", "config"], env=environment, check=True)

    both = [start(VIEW), start(BRIDGE)]
    for one in both:
        one.comes_to(lambda facts: facts == {"connected": 1})
    own_etcd.put(f"{OWN}/options/log/level", "debug")
    own_etcd.put(f"{OWN}/options/snmp/lag_limit", "5")
    own_etcd.put(f"{OWN}/options/kafka/partitions", "12")
    for one in both:
        one.says("option changed", "log.level", "debug")
        one.says("option changed", "snmp.lag_limit")
        one.comes_to(lambda facts: facts == {"connected": 1, "after restart": "kafka.partitions = 12"})
    own_etcd.put(f"{OWN}/options/snmp/lag_limit", "lots")
    for one in both:
        one.comes_to(lambda facts: "snmp.lag_limit is 'lots'" in facts.get("refused", ""))

    own_etcd.kill()
    for one in both:
        one.comes_to(lambda facts: facts["connected"] == 0 and "does not answer" in facts["lost"])
    both[0].stop()
    again = start(VIEW)
    again.says("settings are the last good copy")
    again.comes_to(lambda facts: facts["connected"] == 0 and "after restart" not in facts)

    own_etcd.start()
    own_etcd.put(f"{OWN}/options/snmp/lag_limit", "6")
    for one in (again, both[1]):
        one.says("option changed", "snmp.lag_limit", "was=5", "value=6")
        one.comes_to(lambda facts: facts["connected"] == 1 and "refused" not in facts)
