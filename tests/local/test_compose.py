"""docker-compose.yml against the local stack it mirrors. No engine runs here: building and starting are NOT TESTED."""

from pathlib import Path

import pytest
import yaml

from pipeline import settings
from pipeline.local import parts
from pipeline.local.part import Part

COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def test_it_has_the_parts_of_the_local_stack_and_init(tmp_path: Path) -> None:
    current = settings.read(stack={"data": str(tmp_path)})
    ours = {part.name for wave in parts.waves(current, simulator=True) for part in wave if isinstance(part, Part)}
    assert set(SERVICES) == ours | {"init"}


def test_its_settings_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in COMPOSE["x-settings"].items():
        monkeypatch.setenv(name, str(value))
    current = settings.read()
    assert current.kafka.bootstrap == "kafka:9092"
    assert set(current.environment()) >= set(COMPOSE["x-settings"])


def test_the_view_asks_every_part_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["view"]["environment"].items():
        monkeypatch.setenv(name, str(value))
    asked = settings.read().snmp.parts
    assert {name: url.rpartition(":")[0] for name, url in asked.items()} == {
        name: f"http://{name}" for name in ("bridge", "agents", "sinks", "reports")
    }


def test_workers_are_started_as_by_the_local_stack(tmp_path: Path) -> None:
    current = settings.read(stack={"data": str(tmp_path)})
    for wave in parts.waves(current, simulator=False):
        for part in wave:
            if isinstance(part, Part) and part.name in ("bridge", "agents", "sinks"):
                _python, _m, *local = part.command()
                mine = SERVICES[part.name]["command"]
                assert [word for word in mine if not word.startswith("/")] == [word for word in local if not word.startswith("/")]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
