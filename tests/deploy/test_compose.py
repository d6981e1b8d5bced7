"""docker-compose.yml against the local stack and the settings. No engine runs here: docs/deployment.md says what was built and run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from pipeline import settings
from pipeline.local import parts
from pipeline.local.part import Part
from pipeline.readiness import REPORTS_ALONE

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COUNTERPARTS = {"activemq", "kafka", "sqlserver", "etcd", "snmpd", "prometheus", "snmp-exporter", "grafana"}
ONCE = {"rs-init", "rs-database"}
OURS = set(SERVICES) - COUNTERPARTS
EXAMPLE = dict(line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if re.match(r"\w+=", line))
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def spelled(value: object) -> str:
    """With variables replaced as for somebody who sets none."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == "-" else "given", str(value))


def local_parts(tmp_path: Path) -> dict[str, Part]:
    current = settings.read(stack={"data": str(tmp_path)})
    return {part.name: part for wave in parts.waves(current, simulator=True) for part in wave if isinstance(part, Part)}


def test_it_has_the_parts_of_the_local_stack_and_all_counterparts(tmp_path: Path) -> None:
    assert set(SERVICES) == set(local_parts(tmp_path)) | ONCE | COUNTERPARTS


@pytest.mark.parametrize("name", sorted(OURS))
def test_its_settings_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {key: spelled(value) for key, value in SERVICES[name]["environment"].items() if key.startswith("RS_")}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    current = settings.read()
    assert current.kafka.bootstrap == "kafka:9092"
    assert current.config.server == "etcd://etcd:8888"
    assert set(current.environment()) >= set(given)


@pytest.mark.parametrize("asking", ["view", "reports"])
def test_the_view_and_the_reports_ask_every_part_that_answers(monkeypatch: pytest.MonkeyPatch, asking: str) -> None:
    monkeypatch.setenv("RS_SNMP__PARTS", SERVICES[asking]["environment"]["RS_SNMP__PARTS"])
    own = settings.read()
    ports = {
        "bridge": own.health.bridge_port,
        "agents": own.health.agents_port,
        "sinks": own.health.sinks_port,
        "view": own.snmp.health_port,
        "reports": own.reports.port,
    }
    assert own.snmp.parts == {name: f"http://{name}:{port}" for name, port in ports.items()}
    for name, port in ports.items():
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "healthy", str(port), *([REPORTS_ALONE] if name == "reports" else [])]


def test_workers_are_started_as_by_the_local_stack(tmp_path: Path) -> None:
    local = local_parts(tmp_path)
    for name in ("bridge", "agents", "sinks"):
        _python, _m, *command = local[name].command()
        assert [word for word in SERVICES[name]["command"] if not word.startswith("/")] == [
            word for word in command if not word.startswith("/")
        ]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_unless_told_otherwise(name: str) -> None:
    assert all(spelled(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_no_secret_is_in_it() -> None:
    found = [
        (service, key, str(value))
        for service, given in SERVICES.items()
        for key, value in given.get("environment", {}).items()
        if "PASSWORD" in key
    ]
    assert len(found) >= 6
    for service, key, value in found:
        named = VARIABLE.fullmatch(value)
        assert named, (service, key)
        assert named[2] == "?", f"{service}: {key} must be asked for"
        assert EXAMPLE[named[1]] == "", f".env.example holds a value of {named[1]}"


def test_every_variable_is_in_the_example() -> None:
    used = {found[1] for found in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text())}
    assert used | {"COMPOSE_PROFILES"} == set(EXAMPLE)


def test_profiles_of_the_example_are_those_there_are() -> None:
    assert set(EXAMPLE["COMPOSE_PROFILES"].split(",")) == {profile for given in SERVICES.values() for profile in given.get("profiles", [])}


@pytest.mark.parametrize("name", sorted(COUNTERPARTS - {"snmpd"}))
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", SERVICES[name]["image"])


@pytest.mark.parametrize("dockerfile", ["deploy/Dockerfile", "deploy/snmpd/Dockerfile"])
def test_bases_are_pinned(dockerfile: str) -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / dockerfile).read_text(), re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+", base) for base in bases if base != "scratch")


@pytest.mark.parametrize(
    ("name", "pom", "artifact"), [("kafka", "kafka.xml", "kafka_2.13"), ("activemq", "activemq.xml", "activemq-spring")]
)
def test_brokers_are_of_the_version_that_is_tested(name: str, pom: str, artifact: str) -> None:
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    tree = ElementTree.parse(ROOT / "deploy" / "maven" / pom)
    versions = {
        dependency.findtext("m:artifactId", None, space): dependency.findtext("m:version", None, space)
        for dependency in tree.iterfind(".//m:dependency", space)
    }
    assert SERVICES[name]["image"].rpartition(":")[2] == versions[artifact]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_parts_have_no_rights(name: str) -> None:
    part = SERVICES[name]
    assert part["read_only"]
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in part, "the image's own, which is not root"


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_copy_of_the_config_server_is_kept(name: str) -> None:
    assert "data:/data" in SERVICES[name]["volumes"]


def test_each_of_several_agents_has_tables_of_its_own() -> None:
    agents = SERVICES["agents"]
    datadir = agents["command"][agents["command"].index("--datadir") + 1]
    unshared = [volume for volume in agents["volumes"] if ":" not in volume]
    assert any(datadir.startswith(f"{volume}/") for volume in unshared)
    assert not agents.get("ports"), "the second could not have them, too"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE - {"simulator"}))
def test_what_goes_on_is_watched_and_starts_again(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["bridge", "agents", "sinks", "view"])
def test_init_completes_first(name: str) -> None:
    assert SERVICES[name]["depends_on"]["rs-init"] == {"condition": "service_completed_successfully"}
    for once in ONCE:
        assert {"condition": "service_healthy"} in SERVICES[once]["depends_on"].values()
        assert SERVICES[once]["restart"].startswith("on-failure:"), "a start that cannot succeed must end"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_mounted_files_exist(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = str(volume).split(":", 1)[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        elif ":" in str(volume):
            assert source in COMPOSE["volumes"]


class Tagged(yaml.SafeLoader):
    """Knows compose's own tags."""


Tagged.add_constructor("!reset", lambda *_: None)
Tagged.add_constructor("!override", lambda loader, node: loader.construct_mapping(node, deep=True))


def test_the_variant_with_sqlite_changes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = yaml.load((ROOT / "deploy/compose/sqlite.yml").read_text(), Tagged)
    assert set(variant["services"]) <= set(SERVICES)
    gone = {name for name, given in variant["services"].items() if given is None}
    assert gone == {"sqlserver", "rs-database"}
    for name in OURS - gone:
        needed = {**SERVICES[name], **variant["services"].get(name, {})}["depends_on"]
        assert not gone & set(needed), name
    for key, value in variant["services"]["sinks"]["environment"].items():
        monkeypatch.setenv(key, value)
    assert settings.read(stack={"data": "/data"}).database_file == Path("/data/reporting.sqlite3")


def test_the_variant_with_tls_mounts_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = yaml.safe_load((ROOT / "deploy/compose/secure.yml").read_text())["services"]
    assert set(variant) <= set(SERVICES)
    for name, given in variant.items():
        mounted = {volume.split(":")[1] for volume in given["volumes"]}
        assert all((ROOT / volume.split(":")[0]).exists() for volume in given["volumes"] if volume.startswith("./deploy/"))
        named = set(re.findall(r"/(?:etc|run)/[\w./-]+", " ".join([*given.get("command", []), *map(str, given["environment"].values())])))
        assert named
        assert named <= mounted, name
    for name in ("bridge", "simulator"):
        with monkeypatch.context() as within:
            for key, value in variant[name]["environment"].items():
                within.setenv(key, value)
            own = settings.read().activemq
        assert own.tls
        assert own.password_file is not None
        assert own.user == {"bridge": "bridge", "simulator": "simulator"}[name]
