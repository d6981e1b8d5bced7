"""The Grafana dashboards: their queries are PromQL over figures that are there. No Grafana runs here: how they look is NOT TESTED."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from pipeline.table_metrics import TableMetrics
from sinks.snmp.mib import TABLES
from sinks.views.metrics import FigureMetrics, spelled
from sinks.views.rows import Figures
from tests.deploy.test_compose import ROOT, SERVICES

FOLDER = ROOT / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
OF_PROMETHEUS = {"ALERTS"}
COLUMNS = 24


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where it stands, and the query with its variables replaced."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", re.sub(r"\$\w+", "1", target["expr"])
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{name}: variable {variable['name']}", re.sub(r"label_values\((\w+), \w+\)", r"\1", variable["query"]["query"])
        for annotation in board["annotations"]["list"]:
            yield f"{name}: annotation", annotation["expr"]


@lru_cache
def shown() -> dict[str, set[str]]:
    """Every metric of our processes, and its labels as far as they are known before there is a row."""
    for module in ("agents.calls", "pipeline.bridge.metrics", "pipeline.configserver.process", "sinks.metrics"):
        import_module(module)  # its metrics are in the registry then
    own = CollectorRegistry()
    own.register(FigureMetrics(Figures))
    own.register(TableMetrics(list))
    names: dict[str, set[str]] = {}
    for family in (*REGISTRY.collect(), *own.collect()):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        for end in ends:
            names[family.name + end] = {label for sample in family.samples for label in sample.labels}
    for table in TABLES:
        index = {spelled(f"{table.prefix[2:]}{part.name}") for part in table.index}
        for name in names:
            if name.startswith(f"{spelled(table.prefix)}_"):
                names[name] |= index | {name.removeprefix("rs_")}
    return names


def test_there_are_the_three() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {"rs-pipeline", "rs-tenants", "rs-quality"}
    assert all(len(panels(board)) >= 8 for board in BOARDS.values())


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("NOT TESTED: the queries of the dashboards by promtool (apt-get install prometheus)")
    found = dict(queries())
    rules = [{"record": f"query:{number}", "expr": expr, "labels": {"of": where}} for number, (where, expr) in enumerate(queries())]
    assert len(rules) >= len(found) > 30
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(tmp_path / "queries.yml")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_shown_by_a_process_of_ours() -> None:
    for where, expr in queries():
        bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"", "", expr)
        named = set(re.findall(r"\b(?:rs_\w+|ALERTS)\b", re.sub(r"(?:on|by|group_left) \([^)]*\)", "", bare)))
        assert named, where
        assert named <= set(shown()) | OF_PROMETHEUS, where


def test_every_label_of_a_figure_exists() -> None:
    known = set().union(*(labels for name, labels in shown().items() if not name.startswith("python_")))
    known |= {"instance", "le", "table", "tenant_name"} | {"alertstate", "alertname", "severity"}
    checked = 0
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                used |= set(re.findall(r"(\w+)\s*(?:=~|!=|=)\"", target["expr"]))
                used |= {label for group in re.findall(r"(?:on|by|group_left) \(([^)]*)\)", target["expr"]) for label in group.split(", ")}
                checked += len(used)
                assert used <= known, f"{name}: {panel['title']}"
    assert checked > 50


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_say_what_they_show(name: str) -> None:
    for panel in panels(BOARDS[name]):
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        if panel["type"] in ("stat", "timeseries"):
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
    titles = [panel["title"] for panel in panels(BOARDS[name]) if panel["type"] == "stat"]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARDS[name]["panels"]}) == len(BOARDS[name]["panels"])


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_variables_are_declared_and_used(name: str) -> None:
    board = BOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps({key: value for key, value in board.items() if key != "templating"})
    used = {found for found in re.findall(r"\$\{?([a-z]\w*)\b", text) if not found.startswith("__")}
    assert used == declared


def test_thresholds_are_those_of_the_alerts() -> None:
    rules = {
        rule["alert"]: rule["expr"] for rule in yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"][0]["rules"]
    }
    pipeline = {panel["title"]: panel for panel in panels(BOARDS["pipeline"]) if panel["type"] == "timeseries"}
    for title, alert in (("Lag", "LagOverLimit"), ("Freshness", "NotFresh")):
        assert str(pipeline[title]["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]) == rules[alert].split("> ")[1]
    (below,) = (panel for panel in panels(BOARDS["quality"]) if panel["title"] == "Tenants below target")
    assert rules["QualityBelowTarget"] in below["targets"][0]["expr"]


def test_grafana_of_the_compose_file_finds_them() -> None:
    mounted = {volume.split(":")[1]: ROOT / volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"] if volume.startswith("./")}
    provisioned = mounted["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioned / "dashboards/reporting-server.yml").read_text())["providers"]
    assert mounted[provider["options"]["path"]] == FOLDER / "dashboards"
    (source,) = yaml.safe_load((provisioned / "datasources/prometheus.yml").read_text())["datasources"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert SERVICES[host]["ports"][0].endswith(f":{port}")
    for board in BOARDS.values():
        (chosen,) = (variable for variable in board["templating"]["list"] if variable["name"] == "datasource")
        assert chosen["current"]["value"] == source["uid"]
