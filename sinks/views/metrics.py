"""The figures of the MIB under /metrics, by the same names: rsTenantInProgress is rs_tenant_in_progress.

Text has no number: it is a label of a metric that is always 1, as the SNMP exporter shows it. Enumerations are their numbers in the MIB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sinks.snmp.mib import GENERAL, TABLES, Object
from sinks.snmp.syntax import COUNTER, NAME
from sinks.views.rows import Figures


class FigureMetrics(Collector):
    """figures: gives those of now."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Nothing is asked for to be registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        figures = self._figures()
        for thing in GENERAL:
            yield _family("rs_", thing, [], [((), getattr(figures.general, thing.attribute))])
        for table in TABLES:
            prefix = f"{spelled(table.prefix)}_"
            labels = [spelled(f"{table.prefix[2:]}{part.name}") for part in table.index]
            rows = figures.rows(table.name)
            for column in table.columns:
                values = [(tuple(map(str, index)), getattr(row, column.attribute)) for index, row in rows.items()]
                yield _family(prefix, column, labels, values)


def spelled(name: str) -> str:
    """rsTenantInProgress -> rs_tenant_in_progress"""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _family(prefix: str, thing: Object, labels: list[str], values: list[tuple[tuple[str, ...], int | str | None]]) -> Metric:
    name = f"{prefix}{thing.attribute}"
    if thing.syntax is NAME:
        labels = [*labels, name.removeprefix("rs_")]
        values = [((*index, value.encode(errors="replace").decode()), 1) for index, value in values if isinstance(value, str)]
    family = (CounterMetricFamily if thing.syntax is COUNTER else GaugeMetricFamily)(name, thing.text, labels=labels)
    for index, value in values:
        if value is not None:
            family.add_metric(index, float(thing.syntax.states[value] if isinstance(value, str) else value))
    return family
