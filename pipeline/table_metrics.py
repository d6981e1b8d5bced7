"""What the tables of a worker show of themselves under /metrics, read when asked: a partition that goes takes its figures along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.runtime import StateTable

Tables = Callable[[], Iterable[StateTable[Any, Any]]]


class TableMetrics(Collector):
    """tables: gives the tables there are. Collect in the event loop's thread: nothing is locked."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def describe(self) -> list[Metric]:
        """Nothing is asked for to be registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        place = ["table", "partition"]
        rows = GaugeMetricFamily("rs_table_rows", "Rows of a table as of the last checkpoint", labels=place)
        size = GaugeMetricFamily("rs_table_bytes", "Encoded bytes of these rows, without keys and marks", labels=place)
        decoded = GaugeMetricFamily("rs_table_decoded_rows", "Rows kept decoded in memory", labels=place)
        written = CounterMetricFamily("rs_changelog_bytes", "Bytes of keys and values written to a changelog", labels=["table"])
        for table in self._tables():
            written.add_metric([table.name], table.changelog_bytes)
            for partition, state in table.states.items():
                labels = [table.name, str(partition)]
                rows.add_metric(labels, state.rows)
                size.add_metric(labels, state.encoded_bytes)
                decoded.add_metric(labels, len(state))
        yield from (rows, size, decoded, written)


@contextmanager
def shown(tables: Tables, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """The figures are in the registry for as long as this lasts."""
    collector = TableMetrics(tables)
    registry.register(collector)
    try:
        yield
    finally:
        registry.unregister(collector)
