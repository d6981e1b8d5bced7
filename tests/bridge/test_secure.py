"""A broker with TLS and users, as deploy/activemq/activemq-secure.xml has it: who may what, over STOMP and OpenWire, and what is said of
what is wrong."""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from pipeline.doctor import activemq as doctor
from pipeline.local import credentials
from pipeline.local.activemq import ActiveMQBroker
from pipeline.posting import Poster, PostingError
from pipeline.settings import ActiveMQ, read
from pipeline.topics import BILLING
from tests.bridge.conftest import Start
from tests.bridge.support import custom, numbers_in, post_by_java, records, until
from tests.bridge.test_outages import Restartable
from tests.conftest import JARS, PATIENCE_S, free_port, need_brokers

RM, MCP = "rs.billing.rm", "rs.billing.mcp"
BRIDGED = "rs.billing.>"
NAMES = ["127.0.0.1"]
DAY = dt.timedelta(days=1)


class Secure(Restartable):
    """The broker, and how its users come to it. `folder`: its credentials."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "credentials"
        credentials.make(self.folder, NAMES)
        broker = ActiveMQBroker(JARS / "activemq", home, free_port(), credentials=self.folder)
        broker.configure()
        self.log = home / "out.log"
        super().__init__(broker.command(), self.log, broker.port)

    def of(self, user: str, **changed: object) -> ActiveMQ:
        """The settings of a user."""
        password = self.folder / "passwords" / user if user else None
        given = {"port": self.port, "tls": True, "ca_file": self.folder / "ca.pem", "user": user, "password_file": password}
        return ActiveMQ.model_validate(given | changed)

    def environment(self, user: str) -> dict[str, str]:
        settings = self.of(user)
        return {
            "RS_ACTIVEMQ__TLS": "true",
            "RS_ACTIVEMQ__CA_FILE": str(settings.ca_file),
            "RS_ACTIVEMQ__USER": user,
            "RS_ACTIVEMQ__PASSWORD_FILE": str(settings.password_file),
        }

    def renewed(self, **how: object) -> None:
        """Started again with another certificate."""
        self.kill()
        credentials.certify(self.folder, **({"names": NAMES} | how))  # type: ignore[arg-type]
        self.start()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    need_brokers()
    made = Secure(tmp_path_factory.mktemp("secure"))
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("stomp.py").setLevel(logging.CRITICAL)


def post(settings: ActiveMQ, queue: str, numbers: range = range(1)) -> int:
    """Gives how many were confirmed. Raises PostingError."""
    with Poster(settings, queue, patience_s=0) as poster:
        for number in numbers:
            poster.post(custom(number))
        poster.flush()
        return poster.confirmed


def refusal(settings: ActiveMQ, queue: str = RM) -> str:
    with pytest.raises(PostingError) as caught:
        post(settings, queue)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_sender_writes_to_its_queue_alone_and_the_bridge_reads_all(broker: Secure, topics: str, start: Start) -> None:
    assert post(broker.of("rm-1"), RM, range(2000)) == 2000
    assert post(broker.of("mcp-1"), MCP, range(2000, 2050)) == 50
    assert post(broker.of("simulator"), RM, range(2050, 2060)) == post(broker.of("simulator"), MCP, range(2060, 2070)) == 10
    for user, queue in [("rm-1", MCP), ("mcp-1", RM), ("rm-1", "rs.billing"), ("rm-1", "rs.other"), ("bridge", RM)]:
        said = refusal(broker.of(user), queue)
        assert f"User {user} is not authorized to write to queue://{queue}" in said
        assert "let the broker give this user the right" in said
    start(broker.port, topics, BRIDGED, **broker.environment("bridge"))
    assert numbers_in(records(topics, BILLING, RM, 2010)) == {*range(2000), *range(2050, 2060)}
    assert numbers_in(records(topics, BILLING, MCP, 60)) == {*range(2000, 2050), *range(2060, 2070)}


def test_who_is_not_known_gets_nothing(broker: Secure, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("guessed\n")
    assert "correct activemq.user (user rm-1) and activemq.password_file" in refusal(broker.of("rm-1", password_file=wrong))
    assert "activemq.user is empty" in refusal(broker.of(""))
    assert f"setting activemq.password_file is {tmp_path / 'none'}: No such file" in refusal(
        broker.of("rm-1", password_file=tmp_path / "none")
    )


def test_a_broker_that_is_not_the_right_one_gets_nothing(broker: Secure, tmp_path: Path) -> None:
    other = credentials.Authority(tmp_path).file
    assert f"activemq.ca_file ({other}) does not vouch for the broker's certificate" in refusal(broker.of("rm-1", ca_file=other))
    assert "the authorities of this machine do not vouch" in refusal(broker.of("rm-1", ca_file=None))
    assert "the broker's certificate is not for localhost" in refusal(broker.of("rm-1", host="localhost"))
    assert "there is no certificate in it" in refusal(broker.of("rm-1", ca_file=broker.folder / "users.properties"))
    assert "if its port is for TLS, set activemq.tls" in refusal(broker.of("rm-1", tls=False))


def test_the_doctor_says_what_is_wrong(broker: Secure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ANSWER_S", PATIENCE_S)

    def told(settings: ActiveMQ) -> list[tuple[str, bool]]:
        found = doctor.look(read(activemq={**settings.model_dump(), "queues": [BRIDGED]}))
        return [(f"{finding.said} / {finding.mend}", finding.wrong) for finding in found]

    (version, _), *depths = told(broker.of("bridge"))
    assert re.match(r"6\.\S+ on 127.0.0.1", version)
    assert len(depths) == 4  # one for each queue that the wildcard means
    assert all("taken since its start" in depth for depth, _ in depths)
    ((said, wrong),) = told(broker.of("bridge", ca_file=credentials.Authority(tmp_path).file))
    assert wrong
    assert "does not vouch for the broker's certificate" in said
    assert "set activemq.ca_file" in said
    ((said, wrong),) = told(broker.of("bridge", password_file=broker.folder / "passwords" / "rm-1"))
    assert wrong
    assert "correct activemq.user (user bridge)" in said


Java = Callable[..., tuple[int, str]]


@pytest.fixture
def java(broker: Secure, classes: Path, tmp_path: Path) -> Java:
    def run(user: str, queue: str, *more: str, url: str = "", authority: Path | None = None) -> tuple[int, str]:
        """Exit code and output."""
        certificate = x509.load_pem_x509_certificate((authority or broker.folder / "ca.pem").read_bytes())
        store = tmp_path / "truststore.p12"
        store.write_bytes(
            pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(certificate, b"ca")], BestAvailableEncryption(b"changeit"))
        )
        options = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]
        password = (broker.folder / "passwords" / user).read_text().strip() if user else ""
        done = post_by_java(
            classes, url or f"ssl://127.0.0.1:{broker.port}", queue, [("text", custom(7))], *more, check=False, options=options,
            POST_USER=user, POST_PASSWORD=password,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_java_client_is_held_to_the_same(broker: Secure, java: Java, tmp_path: Path) -> None:
    code, said = java("rm-1", RM)
    assert (code, said[:3]) == (0, "ID:")
    for arguments, refused in [
        (("rm-1", MCP), "not authorized to write to: queue://rs.billing.mcp"),
        (("rm-1", RM, "read"), "not authorized to read from: queue://rs.billing.rm"),
        (("", RM), "is invalid"),
    ]:
        code, said = java(*arguments)
        assert code != 0
        assert refused in said
    before = broker.log.stat().st_size
    code, said = java("rm-1", RM, authority=credentials.Authority(tmp_path).file)
    assert code != 0
    assert "Could not connect to broker URL" in said  # why, it says now one way and now another, but the broker always hears it
    until(lambda: b"certificate_unknown" in broker.log.read_bytes()[before:], what="the client's alert at the broker")


def test_the_bridge_goes_on_with_a_new_certificate_and_waits_while_one_is_wrong(
    broker: Secure, topics: str, start: Start, tmp_path: Path
) -> None:
    """One reason at a time, said once, and the same process goes on as soon as it is mended."""
    password = tmp_path / "password"
    password.write_text("not yet\n")
    worker = start(
        broker.port, topics, BRIDGED, ready=False, **{**broker.environment("bridge"), "RS_ACTIVEMQ__PASSWORD_FILE": str(password)}
    )

    def unready_for(text: str) -> None:
        until(lambda: text in (worker.unready() or {}).get("activemq", ""), what=text)

    unready_for("correct activemq.user (user bridge) and activemq.password_file")
    password.write_bytes((broker.folder / "passwords" / "rm-1").read_bytes())
    unready_for("correct activemq.user (user bridge)")
    password.write_bytes((broker.folder / "passwords" / "bridge").read_bytes())
    until(lambda: worker.unready() == {}, what="ready with the right password")

    broker.renewed()
    post(broker.of("rm-1"), RM, range(5000, 5010))
    until(lambda: worker.unready() == {}, what="ready with the new certificate")
    until(lambda: numbers_in(records(topics, BILLING, RM, 10)) >= set(range(5000, 5010)), what="what was posted then")

    broker.renewed(begin=dt.datetime.now(dt.UTC) - 10 * DAY, valid=DAY)
    unready_for("the broker's certificate is out of date")
    assert "out of date" in refusal(broker.of("rm-1"))
    broker.renewed()
    until(lambda: worker.unready() == {}, what="ready again")
    assert worker.stop() == 0
    assert worker.log.read_text().count("out of date") == 1


def test_the_bridge_that_may_not_read_says_so(broker: Secure, topics: str, start: Start) -> None:
    worker = start(broker.port, topics, RM, ready=False, **broker.environment("rm-1"))
    until(lambda: "User rm-1 is not authorized to read" in (worker.unready() or {}).get("activemq", ""), what="the reason")
    assert worker.stop() == 0
    assert worker.log.read_text().count("not authorized to read") == 1  # it tries on, and says it once


def test_the_simulator_posts_the_messages_of_each_component_to_its_queue(broker: Secure) -> None:
    environment = os.environ | {"RS_ACTIVEMQ__PORT": str(broker.port)} | broker.environment("simulator")
    command = [sys.executable, "-m", "pipeline.cli", "simulate", "--rate", "50", "--seconds", "2", "--queue", "rs.billing.{comp}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all confirmed" in done.stdout
    refused = subprocess.run([*command[:-1], "rs.billing.ivr"], env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert refused.returncode == 1
    assert "User simulator is not authorized to write to queue://rs.billing.ivr" in refused.stderr
    assert refused.stderr.count("\n") == 1
