"""What a worker shows of its tables equals a recount of them, and goes with the partition."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from pipeline.runtime import App, Cut, Message, StateTable
from pipeline.table_metrics import shown


class Row(msgspec.Struct, array_like=True):
    text: str = ""
    mark: int = 0


class Broker:
    """Takes what a cut writes: the parts of an app that a cut sees."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.producer = self.consumer = self
        self.tables = SimpleNamespace(recovery=SimpleNamespace(wrote=lambda tp, offset: None))

    async def send_all(self, topic: str, partition: int, messages: list[Message]) -> int:
        self.got += messages
        return len(self.got)

    async def commit_offsets(self, commits: object) -> None:
        pass

    def check_membership(self) -> None:
        pass


@pytest.fixture(params=["memory", "rocksdict"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> StateTable[bytes, Row]:
    app = App("unit", store=f"{request.param}://", datadir=tmp_path)
    return app.Table("rows", value=Row, partitions=4, cache=3)


async def cut(table: StateTable[bytes, Row], broker: Broker, positions: dict[int, int]) -> None:
    taken = Cut({TP("in", n): at for n, at in positions.items()})
    taken.encode(table)
    taken.stage(table)
    await taken.write(broker, {})


async def test_figures_equal_a_recount_and_go_with_the_partition(table: StateTable[bytes, Row]) -> None:
    registry, broker = CollectorRegistry(), Broker()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"table": "rows", **labels})

    with shown(lambda: [table], registry):
        for position, (first, last) in enumerate([(0, 20), (10, 30), (5, 9)], 1):
            for partition in (0, 2):
                state = table.state(partition)
                for i in range(first, last + partition):
                    state[b"key%d" % i].text = "x" * (i * position)
                    state.touch(b"key%d" % i)
                state.drop(b"key%d" % first)
            await cut(table, broker, {0: position, 2: position})
            for partition in (0, 2):
                state, n = table.state(partition), str(partition)
                payloads = [state.raw_of(key)[1] for key in state.keys_packed()]  # type: ignore[index]
                assert value("rs_table_rows", partition=n) == len(payloads) > 0
                assert value("rs_table_bytes", partition=n) == sum(map(len, payloads)) > 0
                assert value("rs_table_decoded_rows", partition=n) == len(state) > 0
            assert value("rs_changelog_bytes_total") == sum(len(key or b"") + len(data or b"") for key, data, *_ in broker.got) > 0
        table.data.forget(2)
        assert value("rs_table_rows", partition="2") is None
        assert value("rs_table_rows", partition="0") is not None
        table.data.forget(0)
    assert value("rs_changelog_bytes_total") is None
