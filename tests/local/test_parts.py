"""What the settings make of the local stack."""

import json
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.local import credentials, parts
from pipeline.local.part import Part, StackFault
from pipeline.readiness import Pod, urls


def of(tmp_path: Path, **given: dict[str, object]) -> settings.Settings:
    return settings.read(**{"stack": {"data": str(tmp_path), **given.pop("stack", {})}, **given})


def named(current: settings.Settings, *, simulator: bool = True) -> dict[str, Part]:
    return {part.name: part for wave in parts.waves(current, simulator=simulator) for part in wave if isinstance(part, Part)}


def test_each_further_agents_worker_has_its_own_folder_and_the_next_health_port(tmp_path: Path) -> None:
    current = of(tmp_path, stack={"processes": 3})
    found = named(current)
    assert [name for name in found if name.startswith("agents")] == ["agents", "agents-2", "agents-3"]
    assert [found[name].environment["RS_HEALTH__AGENTS_PORT"] for name in ("agents", "agents-2", "agents-3")] == ["8082", "8084", "8085"]
    assert len({found[name].command()[found[name].command().index("--datadir") + 1] for name in found if name.startswith("agents")}) == 3
    assert [port.number for port in parts.ports(current)] == [61616, 9092, 8081, 8082, 8083, 8084, 8085, 8090, 1161, 8080]
    assert [name for name, _, _ in parts.served(current)] == ["bridge", "agents", "agents-2", "agents-3", "sinks", "view", "reports"]


def test_parts_stop_along_the_way_of_a_message_and_brokers_last(tmp_path: Path) -> None:
    current = of(tmp_path, stack={"processes": 2})
    assert parts.stop_order(current) == ["simulator", "bridge", "agents", "agents-2", "sinks", "view", "reports", "kafka", "activemq"]
    assert set(parts.stop_order(current)) == set(named(current))


def test_the_view_asks_every_process_of_the_stack(tmp_path: Path) -> None:
    found = named(of(tmp_path, stack={"processes": 2}))
    asked = json.loads(found["view"].environment["RS_SNMP__PARTS"])
    assert asked["agents-2"] == "http://127.0.0.1:8084"
    assert list(asked) == ["bridge", "agents", "agents-2", "sinks", "view", "reports"]
    assert json.loads(found["reports"].environment["RS_SNMP__PARTS"]) == asked
    given = settings.read(snmp={"parts": asked})
    assert list(urls(given)) == ["bridge", "agents", "agents-2", "sinks", "reports"]  # the view does not ask itself
    assert list(Pod(given).addresses) == ["bridge", "agents", "agents-2", "sinks", "view"]  # nor the reports themselves


def test_children_get_the_settings_and_the_data_folder_wherever_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    current = settings.read(stack={"data": "here"}, fold={"lateness": 0})
    for name in ("bridge", "agents", "sinks", "view", "reports", "simulator"):
        environment = named(current)[name].environment
        assert environment["RS_STACK__DATA"] == str(tmp_path / "here")
        assert environment["RS_FOLD__LATENESS"] == "0.0"


def test_without_simulator_there_is_none(tmp_path: Path) -> None:
    assert "simulator" not in named(of(tmp_path), simulator=False)
    rate = named(of(tmp_path, stack={"rate": 7.5}))["simulator"].command()
    assert rate[-2:] == ["--rate", "7.5"]


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ({"kafka": {"bootstrap": "kafka1:9092"}}, "RS_KAFKA__BOOTSTRAP=127.0.0.1:PORT"),
        ({"kafka": {"bootstrap": "127.0.0.1:1,127.0.0.1:2"}}, "RS_KAFKA__BOOTSTRAP=127.0.0.1:PORT"),
        ({"activemq": {"host": "broker.example"}}, "unset RS_ACTIVEMQ__HOST"),
    ],
)
def test_brokers_of_others_are_not_started(given: dict[str, dict[str, object]], mend: str, tmp_path: Path) -> None:
    with pytest.raises(StackFault, match=mend):
        parts.waves(of(tmp_path, **given), simulator=False)


async def test_another_number_of_partitions_than_the_log_has_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def differs(_: settings.Settings) -> None:
        raise parts.InitError("topic rs.billing has 4 partitions, kafka.partitions is 8")

    monkeypatch.setattr(parts, "create_topics", differs)
    (step,) = parts.waves(of(tmp_path), simulator=False)[1]
    assert not isinstance(step, Part)
    with pytest.raises(StackFault, match="has 4 partitions"):
        await step.run()


def test_a_stack_with_tls_needs_what_its_broker_and_its_simulator_show(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    with pytest.raises(StackFault, match="name a folder with RS_ACTIVEMQ__CREDENTIALS"):
        named(of(tmp_path, activemq={"tls": True}))
    with pytest.raises(StackFault, match="set RS_ACTIVEMQ__TLS=true"):
        named(of(tmp_path, activemq={"credentials": folder}))
    with pytest.raises(StackFault, match=r"activemq\.ca_file is .*: No such file"):
        named(of(tmp_path, activemq={"tls": True, "credentials": folder, "ca_file": folder / "ca.pem"}))
    credentials.make(folder)
    found = named(of(tmp_path, activemq={"tls": True, "credentials": folder, "ca_file": folder / "ca.pem"}))
    assert f"-Drs.credentials={folder}" in found["activemq"].command()
    assert found["simulator"].environment["RS_ACTIVEMQ__USER"] == "simulator"
    assert (tmp_path / "credentials" / "passwords" / "simulator").stat().st_mode & 0o077 == 0
