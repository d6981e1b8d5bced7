"""deploy/prometheus/prometheus.yml: Prometheus takes it, and it asks places that are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import settings
from tests.deploy.test_compose import ROOT, SERVICES

FILE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
JOBS: dict[str, dict[str, Any]] = {job["job_name"]: job for job in yaml.safe_load(FILE.read_text())["scrape_configs"]}


def test_promtool_takes_it(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("NOT TESTED: prometheus.yml by promtool (apt-get install prometheus)")
    rules = FILE.with_name("rules.yml")
    copy = tmp_path / "prometheus.yml"
    copy.write_text(FILE.read_text().replace("/etc/prometheus/rules.yml", str(rules)))
    done = subprocess.run(["promtool", "check", "config", str(copy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_process_with_metrics_is_asked() -> None:
    own = settings.Settings()
    asked = {(name, found["port"]) for job in JOBS.values() for found in job.get("dns_sd_configs", []) for name in found["names"]}
    assert asked == {
        ("view", own.snmp.health_port),
        ("bridge", own.health.bridge_port),
        ("agents", own.health.agents_port),
        ("sinks", own.health.sinks_port),
    }
    assert {name for name, _ in asked} < set(SERVICES)


def test_the_exporter_is_asked_for_the_module_that_is_shipped() -> None:
    job = JOBS["reporting-server-snmp"]
    shipped = yaml.safe_load((ROOT / "deploy" / "snmp-exporter" / "snmp.yml").read_text())
    assert job["params"] == {"module": list(shipped["modules"]), "auth": list(shipped["auths"])}
    (target,) = job["static_configs"][0]["targets"]
    assert target.split(":")[0] in SERVICES
    assert SERVICES["snmpd"]["ports"][0].endswith(f"{target.split(':')[1]}/udp")


def test_files_lie_where_they_are_looked_for() -> None:
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["prometheus"]["volumes"]}
    for path in (*yaml.safe_load(FILE.read_text())["rule_files"], "/etc/prometheus/prometheus.yml"):
        assert Path(ROOT, mounted[path]).is_file()
