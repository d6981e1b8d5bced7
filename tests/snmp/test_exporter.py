"""Prometheus by the SNMP exporter: the module is up to date, and the exporter's figures are those of /metrics."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pipeline.local.ports import free_port
from sinks.snmp import exporter
from sinks.snmp.mib import GENERAL, TABLES
from sinks.views.metrics import FigureMetrics, spelled
from sinks.views.rows import Component, Figures, General, Quarantined, Raised, Stage, Tenant, Topic
from tests.conftest import wait_for_port
from tests.snmp import mibs
from tests.snmp.world import by_own_agent, eventually

SHIPPED = Path(__file__).parents[2] / "deploy" / "snmp-exporter" / "snmp.yml"
Sample = tuple[str, frozenset[tuple[str, str]]]

FIGURES = Figures(
    general=General(version="0.1.0", database="up", kafka="down", freshness=1500, quarantined_total=2**40, rows_left_out=3),
    tenants={
        (n,): Tenant(name=f"Größe {n}", in_progress=n, today_peak_at=1_795_000_200, hour_quality_rate=9_876) for n in (1, 102, 2**31 - 1)
    },
    components={("MCP", 301): Component(today_arrivals=7, today_quality_rate=None)},
    stages={("calls",): Stage(readiness="notReady", reasons='it "waits"', rate=4_000_000_000, lag=0), ("reports",): Stage()},
    quarantine={("bridge", "not_json"): Quarantined(7)},
    topics={("rs.billing", 7): Topic(end=2**52, lag=9)},
    conditions={("database", "database"): Raised(1_795_000_200, "the sinks cannot write")},
)


def objects(text: str) -> list[tuple[object, ...]]:
    """What is shown and how: help is worded anew by every generator, and an index is in every name anyway."""
    indexes = {f"{table.prefix}{part.name}" for table in TABLES for part in table.index}
    metrics = yaml.safe_load(text)["modules"][exporter.NAME]["metrics"]
    kept = [metric for metric in metrics if metric["name"] not in indexes]
    return [(metric["name"], metric["oid"], metric["type"], metric.get("indexes"), metric.get("enum_values")) for metric in kept]


def test_the_module_is_up_to_date(tmp_path: Path) -> None:
    if exporter.generator() is None:
        pytest.skip("NOT TESTED: the exporter's module by its generator (apt-get install prometheus-snmp-exporter)")
    fresh = exporter.generated(mibs.STANDARD)
    assert objects(SHIPPED.read_text()) == objects(fresh), f"run: python -m sinks.snmp.exporter {mibs.STANDARD} > {SHIPPED}"


def test_the_module_has_every_object() -> None:
    """Also where there is no generator."""
    wanted = [f"rs{thing.name}" for thing in GENERAL] + [f"{table.prefix}{thing.name}" for table in TABLES for thing in table.columns]
    assert [name for name, *_ in objects(SHIPPED.read_text())] == wanted


def test_the_older_form_is_the_modules_alone() -> None:
    text = SHIPPED.read_text()
    assert yaml.safe_load(exporter.older(text)) == yaml.safe_load(text)["modules"]
    assert yaml.safe_load(exporter.newer(exporter.older(text))) == yaml.safe_load(text)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """The real exporter; gives its address."""
    program = shutil.which("prometheus-snmp-exporter")
    if program is None:
        pytest.skip("NOT TESTED: figures by the real SNMP exporter (apt-get install prometheus-snmp-exporter)")
    version = subprocess.run([program, "--version"], capture_output=True, text=True)
    new = not any(f"version 0.{minor}." in version.stdout + version.stderr for minor in range(24))
    (folder / "snmp.yml").write_text(SHIPPED.read_text() if new else exporter.older(SHIPPED.read_text()))
    port = free_port()
    with (folder / "exporter.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={folder / 'snmp.yml'}", f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}/snmp?module={exporter.NAME}{'&auth=public_v2' if new else ''}"
    finally:
        process.terminate()
        process.wait(20)


def by_exporter(url: str) -> dict[Sample, float]:
    """Its figures under the names of /metrics."""
    with urllib.request.urlopen(url, timeout=60) as response:
        text = "\n".join(line for line in response.read().decode().splitlines() if not line.startswith("#")) + "\n"  # types add endings
    return {
        (spelled(sample.name), frozenset((spelled(name).removeprefix("rs_"), value) for name, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("rs")
    }


def by_metrics(figures: Figures) -> dict[Sample, float]:
    """Prometheus' own way to end the name of a counter is left off, where the MIB has not the same."""
    found = {}
    for family in FigureMetrics(lambda: figures).collect():
        for sample in family.samples:
            name = sample.name if sample.name == "rs_quarantined_total" else sample.name.removesuffix("_total")
            found[name, frozenset(sample.labels.items())] = sample.value
    return found


def test_the_exporters_figures_are_those_of_metrics(tmp_path: Path) -> None:
    with by_own_agent(tmp_path / "agent", FIGURES) as front, running(tmp_path) as url:
        target = f"{url}&target=127.0.0.1:{front.port}"
        assert by_exporter(target) == by_metrics(FIGURES)
        front.figures = Figures(tenants={(n,): Tenant(name=f"tenant {n}", in_progress=n) for n in range(1, 301)})
        wanted = by_metrics(front.figures)
        assert len(wanted) > 3000
        eventually(lambda: by_exporter(target) == wanted)


def test_every_object_of_the_mib_is_in_the_comparison() -> None:
    """None of them is left out of it for want of a value."""
    shown = {name for name, _ in by_metrics(FIGURES)}
    columns = {f"{spelled(table.prefix)}_{column.attribute}" for table in TABLES for column in table.columns}
    assert columns - shown == {"rs_component_today_quality_rate", "rs_component_today_peak_at", "rs_tenant_usage_limit"} | {
        "rs_tenant_today_quality_rate",
        "rs_stage_freshness",
    }
