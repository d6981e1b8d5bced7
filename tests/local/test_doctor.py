"""The doctor against real brokers, and against nothing."""

from pathlib import Path

import pytest
import stomp

from pipeline import settings
from pipeline.doctor import activemq as activemq_look
from pipeline.doctor import examine, kafka, machine
from pipeline.init import create_topics
from pipeline.local.ports import free_port
from tests.conftest import PATIENCE_S
from tests.local.test_init import own_kafka  # noqa: F401 - a fixture


def nothing(tmp_path: Path) -> settings.Settings:
    health = {name: free_port() for name in ("bridge_port", "agents_port", "sinks_port")}
    return settings.read(
        activemq={"port": free_port()},
        kafka={"bootstrap": f"127.0.0.1:{free_port()}"},
        health=health,
        reports={"port": free_port()},
        stack={"data": str(tmp_path)},
    )


async def test_where_nothing_runs_each_part_is_wrong_and_has_its_mending_step(tmp_path: Path) -> None:
    found = {finding.part: finding for finding in await examine(nothing(tmp_path))}
    for part in ("ActiveMQ", "Kafka", "bridge", "agents", "sinks", "reports"):
        assert found[part].wrong, part
        assert "rs up" in found[part].mend
    assert not found["disk"].wrong
    assert not found["store"].wrong


def test_queue_depth_comes_from_the_statistics_plug_in(activemq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activemq_look, "ANSWER_S", PATIENCE_S)
    link = stomp.Connection12([("127.0.0.1", activemq)])
    link.connect(wait=True)
    for _ in range(3):
        link.send("/queue/rs.doctor", "{}", headers={"persistent": "true", "receipt": "1"})
    link.disconnect(receipt="bye")
    broker, queue = activemq_look.look(settings.read(activemq={"port": activemq, "queues": ["rs.doctor", "rs.nobody.made.it"]}))
    assert broker.said.startswith("6.1.")
    assert not broker.wrong
    assert queue.part == "queue rs.doctor"
    assert queue.said == "3 waiting, 3 taken since its start, 0 consumers"
    assert "start the bridge" in queue.mend


async def test_topics_and_groups(own_kafka: str) -> None:  # noqa: F811
    current = settings.read(kafka={"bootstrap": own_kafka, "partitions": 3})
    await create_topics(current)
    said = {finding.part: finding for finding in await kafka.look(current)}
    assert said["Kafka"].said.startswith("1 brokers")
    assert said["topics"].said == "10 of 10, 3 partitions each"
    assert said["group rs-agents"].said == "nothing committed yet"
    assert said["generation"].said == "1 is current"
    assert not any(finding.wrong for finding in said.values())
    other = {finding.part: finding for finding in await kafka.look(settings.read(kafka={"bootstrap": own_kafka, "partitions": 5}))}
    assert "RS_KAFKA__PARTITIONS=3" in other["topics"].mend


def test_a_file_that_is_no_database_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "reporting.sqlite3").write_text("thesis " * 500)
    store = machine.look(settings.read(stack={"data": str(tmp_path)}))[-1]
    assert store.wrong
    assert "not a database" in store.said


@pytest.mark.parametrize("setting", ["RS_KAFKA__BOOTSTRAP", "RS_ACTIVEMQ__PORT"])
async def test_the_setting_that_names_another_broker_is_told(setting: str, tmp_path: Path) -> None:
    assert any(setting in finding.mend for finding in await examine(nothing(tmp_path)))
