"""The alert rules: each fires when it should and stops when it is over, by promtool; and every figure they name is there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.registry import Collector

import pipeline.configserver.process  # noqa: F401 - its figures are in the registry then
from sinks.views.metrics import FigureMetrics
from sinks.views.rows import Figures, Stage

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
LOADED: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
COURSE = "{good}x9 {bad}x19 {good}x40"  # steps of half a minute: bad from 5:00 to 14:30
TENANT, STAGE = 'tenant_id="102"', 'stage_name="sinks"'


def turns(good: object, bad: object) -> str:
    return COURSE.format(good=good, bad=bad)


# alert -> series with their courses, labels of what fires, value as it is written in the summary
CASES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "ViewGone": ({"rs_generation": "1x9 _x19 1x40"}, {}, ""),
    "DatabaseDown": ({"rs_database": turns(2, 3)}, {}, ""),
    "ActiveMQDown": ({"rs_activemq": turns(1, 3)}, {}, ""),
    "KafkaDown": ({"rs_kafka": turns(2, 3)}, {}, ""),
    "PartUnreachable": ({f"rs_stage_readiness{{{STAGE}}}": turns(3, 4)}, {"stage_name": "sinks"}, ""),
    "PartNotReady": ({f"rs_stage_readiness{{{STAGE}}}": turns(2, 3)}, {"stage_name": "sinks"}, ""),
    "LagOverLimit": ({f"rs_stage_lag{{{STAGE}}}": turns(10_000, 10_001)}, {"stage_name": "sinks"}, "10001"),
    "NotFresh": ({f"rs_stage_freshness{{{STAGE}}}": turns(60_000, 60_001)}, {"stage_name": "sinks"}, ""),
    "QuarantineGrowing": (
        {'rs_quarantine_count_total{quarantine_stage="bridge",quarantine_reason="not_json"}': "0x9 10+10x18 200x40"},
        {"quarantine_stage": "bridge"},
        "",
    ),
    "TenantOverLimit": (
        {f"rs_tenant_in_progress{{{TENANT}}}": turns(5, 6), f"rs_tenant_usage_limit{{{TENANT}}}": "5x70"},
        {"tenant_id": "102"},
        "",
    ),
    "TenantBurst": ({f"rs_tenant_bin_burst_three{{{TENANT}}}": turns(0, 1)}, {"tenant_id": "102"}, ""),
    "QualityBelowTarget": (
        {
            f"rs_tenant_hour_quality_rate{{{TENANT}}}": turns(9_500, 9_499),
            f"rs_tenant_hour_quality_calls{{{TENANT}}}": "20x70",
            'rs_tenant_hour_quality_rate{tenant_id="103"}': "0x70",
            'rs_tenant_hour_quality_calls{tenant_id="103"}': "19x70",
        },
        {"tenant_id": "102"},
        "",
    ),
    "TimeoutsGrowing": ({"rs_today_timed_out": "0x9 10+10x18 200x40"}, {}, ""),
    "ConfigServerDown": ({'rs_config_server_up{instance="a"}': turns(1, 0), 'rs_config_server_up{instance="b"}': "1x70"}, {}, ""),
    "ConfigRefused": ({"rs_config_refused": turns(0, 2)}, {}, ""),
}


def rendered(template: str, labels: dict[str, str], value: str) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], template).replace("{{ $value }}", value)


def promtool(*arguments: str) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("NOT TESTED: the alert rules by promtool (apt-get install prometheus)")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    return f"{done.returncode} {done.stdout}{done.stderr}"


def test_promtool_finds_nothing_wrong() -> None:
    assert promtool("check", "rules", str(RULES)).startswith("0 ")


def test_each_alert_fires_and_stops(tmp_path: Path) -> None:
    assert [rule["alert"] for rule in LOADED] == list(CASES)
    tests = []
    for rule in LOADED:
        series, labels, value = CASES[rule["alert"]]
        fired = {
            "exp_labels": {**rule["labels"], **labels},
            "exp_annotations": {name: rendered(text, labels, value) for name, text in rule["annotations"].items()},
        }
        tests.append(
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {"eval_time": "4m", "alertname": rule["alert"], "exp_alerts": []},
                    {"eval_time": "14m", "alertname": rule["alert"], "exp_alerts": [fired]},
                    {"eval_time": "30m", "alertname": rule["alert"], "exp_alerts": []},
                ],
            }
        )
    shutil.copy(RULES, tmp_path / "rules.yml")
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": tests}))
    said = promtool("test", "rules", str(tmp_path / "tests.yml"))
    assert said.startswith("0 "), said


def test_every_figure_that_a_rule_names_is_shown() -> None:
    collector: Collector = FigureMetrics(lambda: Figures(stages={("sinks",): Stage()}))
    registry = CollectorRegistry()
    registry.register(collector)
    shown = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in collector.collect()}
    named = {name for rule in LOADED for name in re.findall(r"\brs_\w+", rule["expr"])}
    shown |= {family.name for family in REGISTRY.collect() if family.name.startswith("rs_config_")}  # of every process
    assert named
    assert named <= shown
