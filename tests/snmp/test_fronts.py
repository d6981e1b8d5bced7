"""One contract for both ways to serve the tree, judged with Net-SNMP's tools."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from collections.abc import Iterator

import pytest

from sinks.snmp.agent import Address, Agent, NoPrivacy
from sinks.snmp.mib import DOCUMENTATION, NOTIFICATIONS, PAIRS, column_oid
from sinks.snmp.mib import TENANTS as TENANTS_TABLE
from sinks.snmp.notices import Notice
from sinks.snmp.syntax import Wire
from sinks.snmp.tree import Source, Tree
from sinks.views.rows import Component, Figures, General, Stage, Tenant, Topic
from tests.snmp.world import ROOT, USER, V2C, V3, Front, by_master, by_own_agent, eventually, free_udp_port, tool

TENANTS = 300
SAID = re.compile(r"^\.(?P<name>[\d.]+) = (?P<kind>[\w-]+): ?(?P<value>.*)$")
KINDS = {Wire.INTEGER: "INTEGER", Wire.OCTETS: "STRING", Wire.GAUGE: "Gauge32", Wire.COUNTER64: "Counter64"}


def figures(more: int = 0) -> Figures:
    return Figures(
        general=General(version="0.1.0", generation=2, database="down", in_progress=2**32 - 1, quarantined_total=2**64 - 1, freshness=None),
        tenants={
            (n,): Tenant(name="Größe 100 %" if n == 102 else f"tenant {n}", in_progress=n + more, today_peak_at=None if n % 2 else n)
            for n in range(1, TENANTS + 1)
        },
        components={("RM", 2**31 - 1): Component(in_progress=3), ("MCP", 301): Component()},
        stages={("calls",): Stage(readiness="ready", lag=4)},
        topics={("rs.billing", 0): Topic(end=2**63)},
    )


@pytest.fixture(scope="module", params=["master", "own"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    by = by_master if request.param == "master" else by_own_agent
    with by(tmp_path_factory.mktemp(request.param), figures()) as served:
        yield served


def walked(said: str) -> list[tuple[str, str, str]]:
    """name, kind and value of each line; hexadecimal strings as text."""
    found = []
    for line in said.replace('""', '" "').splitlines():
        if "No more variables left" in line:  # nothing lies behind our tree
            continue
        match = SAID.match(line) or re.match(r'^\.(?P<name>[\d.]+) = (?P<kind>)"(?P<value> )"$', line)
        assert match, line
        kind, value = match["kind"] or "STRING", match["value"].strip().strip('"').strip()
        if kind == "Hex-STRING":
            kind, value = "STRING", bytes.fromhex(value).decode()
        found.append((match["name"], kind, value))
    return found


def wanted(made: Figures) -> list[tuple[str, str, str]]:
    return [
        (
            ".".join(map(str, each.name)),
            KINDS[each.wire],
            each.value.decode() if isinstance(each.value, bytes) else str(each.value),
        )
        for each in Tree(made, DOCUMENTATION)
    ]


@pytest.mark.parametrize("access", [V2C, V3], ids=["v2c", "v3"])
@pytest.mark.parametrize("command", ["snmpwalk", "snmpbulkwalk"])
def test_a_walk_gives_the_whole_tree_and_nothing_else(front: Front, command: str, access: tuple[str, ...]) -> None:
    start = ROOT if command == "snmpbulkwalk" else f"{ROOT}.1.2.2"  # one by one takes long
    said = walked(front.ask(command, *(["-Cr40"] if command == "snmpbulkwalk" else []), start, access=access))
    assert said == [each for each in wanted(front.figures) if each[0].startswith(start)]
    assert len(said) > (4000 if command == "snmpbulkwalk" else 10)


@pytest.mark.parametrize("access", [V2C, V3], ids=["v2c", "v3"])
def test_what_is_there_and_what_is_not(front: Front, access: tuple[str, ...]) -> None:
    name = ".".join(map(str, column_oid(DOCUMENTATION, TENANTS_TABLE, TENANTS_TABLE.columns[1])))
    said = front.ask("snmpget", f"{name}.102", f"{name}.9999", f"{ROOT}.1.1.77.0", f"{ROOT}.1.1.6.0", access=access).splitlines()
    assert said == [
        f".{name}.102 = Gauge32: 102",
        f".{name}.9999 = No Such Instance currently exists at this OID",
        f".{ROOT}.1.1.77.0 = No Such Object available on this agent at this OID",
        f".{ROOT}.1.1.6.0 = No Such Instance currently exists at this OID",
    ]


def test_next_goes_from_object_to_object_and_to_the_end(front: Front) -> None:
    said = front.ask("snmpgetnext", ROOT, f"{ROOT}.1.1.5.0", f"{ROOT}.1.2.1.1.3.{TENANTS}").splitlines()
    assert [line.split(" = ")[0] for line in said] == [f".{ROOT}.1.1.1.0", f".{ROOT}.1.1.7.0", f".{ROOT}.1.2.1.1.4.1"]
    last = wanted(front.figures)[-1][0]
    assert "Gauge32" not in front.ask("snmpgetnext", last)
    assert "Counter64" not in front.ask("snmpgetnext", last)


@pytest.mark.parametrize("access", [V2C, V3], ids=["v2c", "v3"])
def test_a_write_is_refused(front: Front, access: tuple[str, ...]) -> None:
    assert "notWritable" in front.ask("snmpset", f"{ROOT}.1.1.2.0", "u", "9", access=access)
    assert front.ask("snmpget", f"{ROOT}.1.1.2.0").strip() == f".{ROOT}.1.1.2.0 = Gauge32: 2"


PLAIN = ("-v3", "-l", "noAuthNoPriv", "-u", USER.name)
UNENCRYPTED = ("-v3", "-l", "authNoPriv", "-u", USER.name, "-a", "SHA-256", "-A", USER.auth_password)


def instead(of: str, other: str) -> tuple[str, ...]:
    return tuple(other if word == of else word for word in V3)


@pytest.mark.parametrize(
    ("access", "refusal"),
    [
        (PLAIN, "authorizationError|Unsupported security level"),
        (UNENCRYPTED, "authorizationError|Unsupported security level"),
        (instead(USER.auth_password, "guess1234"), "Authentication failure"),
        (instead(USER.priv_password, "guess1234"), "Decryption error|Timeout"),
        (instead("SHA-256", "SHA"), "Authentication failure"),
        (instead(USER.name, "nobody"), "Unknown user name"),
        (("-v2c", "-c", "wrong"), "Timeout"),
        (("-v2c", "-c", ""), "Timeout"),
    ],
    ids=["no auth", "no priv", "wrong auth", "wrong priv", "other auth", "no such user", "wrong community", "no community"],
)
def test_who_is_not_let_in_gets_nothing(front: Front, access: tuple[str, ...], refusal: str) -> None:
    """In the words of Net-SNMP's tools; a community that is none is answered by silence."""
    said = front.ask("snmpget", f"{ROOT}.1.1.2.0", access=access, timeout_s=1 if "Timeout" in refusal else 20)
    assert re.search(refusal, said), said
    assert "Gauge32" not in said
    assert front.ask("snmpset", f"{ROOT}.1.1.2.0", "u", "9", access=access, timeout_s=1).strip()  # some refusal
    assert "Gauge32: 2" in front.ask("snmpget", f"{ROOT}.1.1.2.0", timeout_s=20)


def test_the_own_agent_gives_version_1_nothing(front: Front) -> None:
    if front.master is not None:
        pytest.skip("a master lets in as it is set up")
    v1 = ("-v1", "-c", "public")
    for command in ("snmpget", "snmpgetnext", "snmpwalk"):
        said = front.ask(command, f"{ROOT}.1.1.2.0", access=v1, timeout_s=20)
        assert "Gauge32" not in said
        assert "noSuchName" in said or "End of MIB" in said, said


def test_figures_that_change_are_seen(front: Front) -> None:
    before = front.figures
    front.figures = figures(more=1000)
    try:
        eventually(lambda: front.ask("snmpget", f"{ROOT}.1.2.1.1.3.7").strip().endswith("Gauge32: 1007"))
    finally:
        front.figures = before
        eventually(lambda: front.ask("snmpget", f"{ROOT}.1.2.1.1.3.7").strip().endswith("Gauge32: 7"))


def test_every_notification_arrives_once_with_what_it_carries(front: Front) -> None:
    before = len(front.received())
    for pair in PAIRS.values():
        for cleared in (False, True):
            front.notify(Notice(pair.name, cleared, f"about {pair.name}", 5, 2**32 - 1, "Übermaß"))
    eventually(lambda: len(front.received()) - before >= len(NOTIFICATIONS))
    found = front.received()[before:]
    assert [int(re.search(rf"OID: \.{re.escape(ROOT)}\.0\.(\d+)", line)[1]) for line in found] == [each.number for each in NOTIFICATIONS]  # type: ignore[index]
    for line, name in zip(found, [pair.name for pair in PAIRS.values() for _ in range(2)], strict=True):
        assert f'.{ROOT}.1.3.1.0 = STRING: "about {name}"' in line
        assert f".{ROOT}.1.3.2.0 = Gauge32: 5\t" in line
        assert f".{ROOT}.1.3.3.0 = Gauge32: 4294967295\t" in line
        assert "Übermaß".encode().hex(" ").upper() in line


def test_five_hundred_notifications_all_arrive(front: Front) -> None:
    before = len(front.received())
    for n in range(500):
        front.notify(Notice("lag", bool(n % 2), "calls", n, 0, ""))
        if n % 20 == 19:  # no queue of the network is longer than it is
            eventually(lambda n=n: len(front.received()) - before >= n + 1)
    eventually(lambda: len(front.received()) - before == 500)


def tlv(tag: int, content: bytes) -> bytes:
    length = bytes((len(content),)) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes((tag,)) + length + content


def message(pdu: int, varbinds: int, numbers: bytes = b"\x02\x01\x00\x02\x01\x00") -> bytes:
    """By v2c and the community that is known; numbers: error status and index, or those of a bulk."""
    bound = tlv(0x30, tlv(6, bytes.fromhex("2b06010201010100")) + b"\x05\x00") * varbinds
    return tlv(0x30, b"\x02\x01\x01" + tlv(4, b"public") + tlv(pdu, b"\x02\x01\x05" + numbers + tlv(0x30, bound)))


def nested(size: int) -> bytes:
    found = b""
    while len(found) < size:
        found = tlv(0x30, found)
    return found


def damaged(good: bytes, seed: int) -> bytes:
    rnd, data = random.Random(seed), bytearray(good)
    for _ in range(rnd.randint(1, 5)):
        data[rnd.randrange(len(data))] = rnd.randrange(256)
    return bytes(data)


@pytest.mark.parametrize(
    "datagrams",
    [
        [bytes((n * k) % 251 for k in range(n)) for n in range(300)],
        [random.Random(1).randbytes(65_507)],
        [b"\x30\x82\xff\xff" + bytes(60_000), b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b""],
        [nested(20_000)],
        [damaged(message(0xA0, 1), seed) for seed in range(300)],
        [message(0xA1, 2500)],
        [message(0xA5, 200, b"\x02\x01\x00\x02\x04\x7f\xff\xff\xff")],
        [message(0xA5, 1, b"\x02\x01\xff\x02\x01\xff")],
        [message(0xA2, 1), message(0xA7, 1), message(0xA8, 1)],  # a response, a trap, a report: not for an agent
    ],
    ids=["text", "huge", "lengths that lie", "nested", "damaged", "many names", "endless bulk", "negative", "not requests"],
)
def test_no_datagram_does_harm(front: Front, datagrams: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for each in datagrams:
            sender.sendto(each, ("127.0.0.1", front.port))
    eventually(lambda: "Gauge32: 2" in front.ask("snmpget", f"{ROOT}.1.1.2.0"))
    assert [record for record in caplog.records if record.name == "asyncio"] == []  # it tells of callbacks that fail


def test_many_managers_at_once(front: Front) -> None:
    command = [tool("snmpbulkwalk"), *V2C, "-On", "-Cr40", "-t", "20", f"127.0.0.1:{front.port}", f"{ROOT}.1.2.1.1.3"]
    walks = [subprocess.Popen(command, env={"MIBS": ""}, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for walk in walks:
        said, _ = walk.communicate(timeout=60)
        assert len(said.splitlines()) == TENANTS


@pytest.mark.parametrize("by_v3", [False, True], ids=["v2c", "v3"])
def test_informs_are_confirmed(tmp_path_factory: pytest.TempPathFactory, by_v3: bool) -> None:
    with by_own_agent(tmp_path_factory.mktemp("informs"), Figures(), informs=True, by_v3=by_v3) as front:
        for n in range(3):
            front.notify(Notice("database", bool(n % 2), "database", 0, 0, "text"))
        eventually(lambda: len(front.received()) >= 3)
        assert len(front.received()) == 3


async def test_without_cryptography_there_is_an_error_and_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pysnmp.proto.secmod.rfc3826.priv.aes.PysnmpCryptoError", True)  # what pysnmp notes when it cannot import it
    source = Source(Figures, DOCUMENTATION)
    with pytest.raises(NoPrivacy, match="install the package cryptography"):
        Agent(source, Address("127.0.0.1", free_udp_port()), user=USER).start()
    plain = Agent(source, Address("127.0.0.1", free_udp_port()), community="public")
    plain.start()
    plain.stop()


def test_traps_by_v3_arrive(tmp_path_factory: pytest.TempPathFactory) -> None:
    with by_own_agent(tmp_path_factory.mktemp("traps"), Figures(), by_v3=True) as front:
        front.notify(Notice("database", False, "database", 0, 0, "text"))
        eventually(lambda: len(front.received()) == 1)
