"""The Helm chart: linted and rendered by helm, validated against the schemas of Kubernetes, and held against the program's settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline import settings
from pipeline.readiness import REPORTS_ALONE, VIEW
from tests.deploy.test_compose import ROOT

CHART = ROOT / "deploy" / "helm" / "reporting-server"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
KUBERNETES = "1.34"
EVERYTHING = (
    "serviceMonitor.enabled=true",
    "prometheusRule.enabled=true",
    "grafanaDashboards.enabled=true",
    "init.database=mssql://owner@db:1433/reporting?TrustServerCertificate=yes",
    "agents.persistence.enabled=true",
    "agents.replicas=3",
    "configServer.user=rs",
    "configServer.existingSecret=config",
    "settings.fold.lateness=3600",
    "settings.log.level=warning",
    "broker.service.type=LoadBalancer",
    "serviceMonitor.labels.release=prometheus",
)
SECURE = ("broker.secure.enabled=true", "broker.secure.host=billing.example")
Resource = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = os.environ.get("HELM") or shutil.which("helm")
    if program is None:
        pytest.skip("NOT TESTED: the Helm chart (no helm on PATH; go install helm.sh/helm/v3/cmd/helm@latest, or name it with HELM)")
    return subprocess.run([program, *arguments, "--kube-version", KUBERNETES], capture_output=True, text=True, timeout=120)


@lru_cache
def rendered(*given: str) -> tuple[Resource, ...]:
    sets = [word for value in given for word in ("--set", value)]
    done = helm("template", "here", str(CHART), "--namespace", "voice", *sets)
    assert done.returncode == 0, done.stderr
    return tuple(resource for resource in yaml.safe_load_all(done.stdout) if resource)


def of_kind(resources: tuple[Resource, ...], *kinds: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] in kinds]


def pods(resources: tuple[Resource, ...]) -> Iterator[tuple[str, Resource]]:
    for resource in of_kind(resources, "Deployment", "StatefulSet", "Job"):
        yield resource["metadata"]["name"].removeprefix("here-reporting-server-"), resource["spec"]["template"]


def containers(resources: tuple[Resource, ...]) -> Iterator[tuple[str, Resource]]:
    for _, pod in pods(resources):
        yield from ((container["name"], container) for container in pod["spec"]["containers"])


def settings_of(container: Resource, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    with monkeypatch.context() as within:
        for given in container["env"]:
            within.setenv(given["name"], given.get("value", "secret"))
        current = settings.read()
        assert {given["name"] for given in container["env"]} <= set(current.environment())
        return current


def test_the_defaults_fit_their_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(VALUES, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, "agent": {}}, schema)


def test_what_it_takes_from_elsewhere_is_there() -> None:
    assert (CHART / "files" / "activemq.xml").resolve() == ROOT / "deploy/activemq/activemq.xml"
    assert (CHART / "files" / "rules.yml").resolve() == ROOT / "deploy/prometheus/rules.yml"
    assert list((CHART / "files" / "dashboards").glob("*.json"))


def test_versions_are_the_programs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert VALUES["broker"]["image"] == compose["services"]["activemq"]["image"]


def test_helm_finds_nothing_wrong() -> None:
    done = helm("lint", str(CHART), "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "given", [(), EVERYTHING, SECURE, ("view.master=tcp:snmpd:1705", "networkPolicy.enabled=false", "init.enabled=false")]
)
def test_kubernetes_knows_every_field(given: tuple[str, ...]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="NOT TESTED: the chart against Kubernetes' schemas (kubernetes-validate)")
    resources = rendered(*given)
    own = [resource for resource in resources if not resource["apiVersion"].startswith("monitoring.coreos.com/")]
    assert len(own) >= 14
    for resource in own:
        validator.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("agents.replicas=9", "more agents than partitions"),
        ("agents.replicas=0", "minimum"),
        ("agents.replica=2", "additional properties"),
        ("kafka.bootstrap=kafka", "does not match"),
        ("database.sinks=postgres://x/y", "does not match"),
        ("image.digest=sha256:12", "does not match"),
        ("settings.fold=3", "want object"),
        ("broker.secure.enabled=true", "host"),
    ],
)
def test_wrong_values_are_refused(given: str, said: str) -> None:
    done = helm("template", "here", str(CHART), "--set", given)
    assert done.returncode
    assert said in done.stderr


@pytest.mark.parametrize("given", [(), EVERYTHING])
def test_its_settings_exist(given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: settings_of(container, monkeypatch) for name, container in containers(rendered(*given)) if name != "activemq"}
    assert set(found) == {"init", "bridge", "ready", "agents", "sinks", "view", "reports"}
    assert found["bridge"].activemq.host == "127.0.0.1"
    assert found["sinks"].sinks.database == VALUES["database"]["sinks"]
    assert found["reports"].sinks.database == VALUES["database"]["reports"]
    if given:
        assert found["init"].sinks.database.startswith("mssql://owner@")
        assert {own.fold.lateness for own in found.values()} == {3600}
        assert {own.log.level for own in found.values()} == {"warning"}


def test_each_is_asked_where_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, container in containers(rendered()):
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if name == "activemq":
            assert {container[probe]["tcpSocket"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {"billing"}
            assert ports["billing"] == settings.ActiveMQ().port
        elif name != "init":
            own = settings_of(container, monkeypatch)
            served = {
                "bridge": own.health.bridge_port,
                "agents": own.health.agents_port,
                "sinks": own.health.sinks_port,
                "view": own.snmp.health_port,
                "reports": own.reports.port,
                "ready": own.reports.port,
            }[name]
            assert {ports[container[probe]["httpGet"]["port"]] for probe in ("livenessProbe", "readinessProbe")} == {served}
            assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
            # The RS pod answers for all; of the others each answers for itself.
            assert container["readinessProbe"]["httpGet"]["path"] == (REPORTS_ALONE if name == "reports" else "/health/ready")
            if name == "ready":
                assert served == 8080


@pytest.mark.parametrize("given", [(), EVERYTHING])
def test_services_lead_to_pods(given: tuple[str, ...]) -> None:
    resources = rendered(*given)
    for service in of_kind(resources, "Service"):
        chosen = [pod for _, pod in pods(resources) if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
        (pod,) = chosen
        named = {port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named, service["metadata"]["name"]


def test_workloads_choose_their_own_pods() -> None:
    resources = rendered()
    labels = [pod["metadata"]["labels"] for _, pod in pods(resources)]
    for resource in of_kind(resources, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        wanted = resource["spec"]["selector"]["matchLabels"].items()
        assert sum(wanted <= given.items() for given in labels) == 1, resource["metadata"]["name"]
    names = {service["metadata"]["name"] for service in of_kind(resources, "Service")}
    assert {resource["spec"]["serviceName"] for resource in of_kind(resources, "StatefulSet")} <= names


@pytest.mark.parametrize("given", [(), EVERYTHING])
def test_every_process_is_asked(given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    resources = rendered(*given)
    (container,) = (container for name, container in containers(resources) if name == "view")
    asked = settings_of(container, monkeypatch).snmp.parts
    (agents,) = (resource for resource in of_kind(resources, "StatefulSet") if resource["metadata"]["name"].endswith("-agents"))
    assert sum(name.startswith("agents") for name in asked) == agents["spec"]["replicas"]
    assert {name for name in asked if not name.startswith("agents")} == {"bridge", "sinks", "reports", VIEW}
    services = {
        service["metadata"]["name"]: {port["port"] for port in service["spec"]["ports"]} for service in of_kind(resources, "Service")
    }
    for name, url in asked.items():
        host, _, port = url.removeprefix("http://").partition(":")
        *pod, service = host.split(".")
        assert int(port) in services[service], name
        assert not pod or pod[0].startswith(agents["metadata"]["name"])


def test_agents_are_members_of_their_group_by_the_name_of_their_pod() -> None:
    named = {
        name: [each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"] if each["name"] == "RS_KAFKA__INSTANCE"]
        for name, container in containers(rendered())
    }
    assert [name for name, field in named.items() if field] == ["agents"]
    assert named["agents"] == ["metadata.name"]


@pytest.mark.parametrize("given", [(), EVERYTHING])
def test_no_process_has_rights(given: tuple[str, ...]) -> None:
    for name, pod in pods(rendered(*given)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            secured = container["securityContext"]
            assert secured == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
            written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert written == ({"/tmp", "/opt/apache-activemq/data"} if container["name"] == "activemq" else {"/tmp", "/data"})


@pytest.mark.parametrize("given", [(), EVERYTHING])
def test_secrets_are_used_and_not_made(given: tuple[str, ...]) -> None:
    resources = rendered(*given)
    assert not of_kind(resources, "Secret")
    for name, container in containers(resources):
        for variable in container["env"]:
            if "PASSWORD" in variable["name"]:
                assert variable["name"].endswith("_FILE") or "secretKeyRef" in variable["valueFrom"], name


def test_init_comes_before_everything_else() -> None:
    (job,) = of_kind(rendered(*EVERYTHING), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "serviceAccountName" not in job["spec"]["template"]["spec"], "that of the release does not exist yet"
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["rs", "init", "--database"]


def test_the_view_is_one() -> None:
    (view,) = (resource for resource in of_kind(rendered(), "Deployment") if resource["metadata"]["name"].endswith("-view"))
    assert view["spec"]["replicas"] == 1
    assert view["spec"]["strategy"] == {"type": "Recreate"}


def test_policies_let_in_what_is_served_and_nothing_else() -> None:
    resources = rendered()
    policies = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: policy["spec"]
        for policy in of_kind(resources, "NetworkPolicy")
    }
    for name, pod in pods(resources):
        served = {
            (port["containerPort"], port.get("protocol", "TCP"))
            for container in pod["spec"]["containers"]
            for port in container.get("ports", [])
        }
        if served:
            let = {(port["port"], port["protocol"]) for rule in policies[name]["ingress"] for port in rule["ports"]}
            assert let == served, name
            assert all(rule["from"] for rule in policies[name]["ingress"]), "a rule without peers lets everybody in"


def test_prometheus_operator_gets_rules_and_every_metrics_port() -> None:
    resources = rendered(*EVERYTHING)
    (rule,) = of_kind(resources, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    (monitor,) = of_kind(resources, "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (expression,) = monitor["spec"]["selector"]["matchExpressions"]
    matched = [
        service
        for service in of_kind(resources, "Service")
        if monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        and service["metadata"]["labels"][expression["key"]] in expression["values"]
    ]
    ports = {
        port["port"] for service in matched for port in service["spec"]["ports"] if port["name"] == monitor["spec"]["endpoints"][0]["port"]
    }
    assert ports == {8081, 8082, 8083, 8090}
    (boards,) = (resource for resource in of_kind(resources, "ConfigMap") if resource["metadata"]["name"].endswith("-dashboards"))
    assert {json.loads(text)["uid"] for text in boards["data"].values()} == {"rs-pipeline", "rs-tenants", "rs-quality"}


def test_the_broker_gets_the_configuration_of_the_local_stack() -> None:
    (found,) = (resource for resource in of_kind(rendered(), "ConfigMap") if resource["metadata"]["name"].endswith("-rs"))
    assert found["data"]["activemq.xml"].strip() == Path(ROOT, "deploy/activemq/activemq.xml").read_text().strip()


def test_a_broker_with_users_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = rendered(*SECURE)
    (found,) = (resource for resource in of_kind(resources, "ConfigMap") if resource["metadata"]["name"].endswith("-rs"))
    assert found["data"]["activemq.xml"].strip() == Path(ROOT, "deploy/activemq/activemq-secure.xml").read_text().strip()
    ((_, pod),) = ((name, pod) for name, pod in pods(resources) if name == "rs")
    parts = {container["name"]: container for container in pod["spec"]["containers"]}
    mounted = {name: {mount["mountPath"] for mount in container["volumeMounts"]} for name, container in parts.items()}
    (options,) = (variable["value"] for variable in parts["activemq"]["env"])
    given = dict(word.removeprefix("-D").split("=", 1) for word in options.split() if word.startswith("-D"))
    assert given["rs.credentials"] in mounted["activemq"]
    folder, _, file = given["java.security.auth.login.config"].rpartition("/")
    assert folder in mounted["activemq"]
    assert file in found["data"]
    own = settings_of(parts["bridge"], monkeypatch).activemq
    assert own.tls
    assert {"ip": "127.0.0.1", "hostnames": [own.host]} in pod["spec"]["hostAliases"]
    assert own.password_file is not None
    assert {str(own.ca_file), str(own.password_file)} == {"/run/secrets/bridge/ca.pem", "/run/secrets/bridge/password"}
    assert "/run/secrets/bridge" in mounted["bridge"]
    assert "/run/secrets/bridge" not in mounted["activemq"]
