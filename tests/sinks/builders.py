"""Records as the agents write them, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from agents.keys import Dimension, bin_key, tick_key
from agents.session import add
from agents.state import Bin, Call, Figures, Message, Session, Spread, Tick
from pipeline import topics
from pipeline.messages.types import (
    ActionEnd,
    ActionStart,
    BillingEvent,
    CallEnd,
    CallResult,
    CallStart,
    CustomVariable,
    Failure,
    Latency,
    LogEvent,
)
from pipeline.runtime import codec
from sinks.sql.binder import Bound, bind
from sinks.sql.buffer import Entry

T0 = 1_795_000_000_000
GENERATION = 1
encode = msgspec.msgpack.encode


class FakeRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = T0


def guid(n: int) -> str:
    return f"{n:08X}-2B7D-4E55-9C3A-5D1E77AB0C42"


def call_value(n: int, mark: int, *, sessions: int = 2, ended: bool = True, **fields: Any) -> bytes:
    """The changelog value of call `n`: an RM session, then MCP sessions. `fields` go into each call.start."""
    made = []
    for i in range(sessions):
        comp = "RM" if i == 0 else "MCP"
        envelope = {"v": 1, "comp": comp, "comp_id": 201 + i, "session": f"S{i}", "guid": guid(n)}
        given = {"tenant_path": (1, 102), "app": 310, "dn": "8005550123", "call_type": "INBOUND", **fields}
        events = [CallStart(**envelope, ts=T0 + n, seq=0, **given), CustomVariable(**envelope, ts=T0 + n, seq=1, name="plan", value="gold")]
        if ended:
            events.append(CallEnd(**envelope, ts=T0 + n + 60_000, seq=2, end_state="USER_END"))
        session = Session(comp_id=201 + i, session=f"S{i}")
        for event in events:
            add(session, event, Message(1, str(event.__struct_config__.tag), event.ts, event.ts + 5, mark - 1, "rs.billing", f"ID:{n}"))
        made.append(session)
    return codec.join(mark, encode(Call(sessions=made)))


def call_record(n: int, mark: int, offset: int = 0, **how: Any) -> FakeRecord:
    return FakeRecord(offset, guid(n).encode(), call_value(n, mark, **how))


def busy_record(n: int, mark: int) -> FakeRecord:
    """Call `n` of one MCP session with VAR and service quality of every kind, some of it dropped."""
    envelope: dict[str, Any] = {"v": 1, "comp": "MCP", "comp_id": 202, "session": "S1", "guid": guid(n)}

    def at(seq: int) -> dict[str, Any]:
        return {**envelope, "ts": T0 + seq, "seq": seq}

    events: list[BillingEvent] = [
        CallStart(**at(0), tenant_path=(1, 102), tenant_name="Environment/Acme", app=310),
        ActionStart(**at(1), action="welcome"),
        ActionStart(**at(2), action="menu", parent="welcome"),
        ActionStart(**at(3), action="lost", parent="never_started"),
        ActionEnd(**at(4), action="welcome", result="SUCCESS", reason="heard", notes="all"),
        ActionEnd(**at(5), action="welcome", result="FAILED"),
        ActionEnd(**at(6), action="lost", result="FAILED"),
        CallResult(**at(7), result="FAILED", reason="not this one"),
        CallResult(**at(8), result="SUCCESS", notes="note\nof the result"),
        *(CustomVariable(**at(10 + i), name=f"v{i}", value="x") for i in range(35)),
        CustomVariable(**at(49), name="v0", value="latest ☎"),
        Failure(**at(50), cause="AUDIO_GAP", detail="three seconds"),
        Failure(**at(51), cause="AUDIO_GAP"),
        Latency(**at(52), samples=(("RESPONSE", "first_prompt", 96.0), ("FETCHING", "initial_page", 44.5))),
        Latency(**at(53), samples=(("RESPONSE", "first_prompt", 86_400_000.0),)),
        CallEnd(**{**at(54), "ts": T0 + 60_000}, end_state="USER_END"),
    ]
    session = Session(comp_id=202, session="S1")
    for event in reversed(events):
        add(session, event, Message(1, str(event.__struct_config__.tag), event.ts, event.ts + 5, mark - 1, "rs.billing", f"ID:{n}"))
    return FakeRecord(0, guid(n).encode(), codec.join(mark, encode(Call(sessions=[session]))))


BEYOND_62_BITS = 7 * 2**62 + 25  # a sum of squares that takes both parts of a spread


def bin_value(mark: int, arrivals: int = 3) -> bytes:
    figures = Figures(
        arrivals={"INBOUND": arrivals},
        completed={"USER_END": 2},
        durations={"USER_END": Spread(n=2, total=100_000, squares=25, low=40_000, high=60_000, buckets={4: 1, 5: 1}, squares_high=7)},
        burst={"102:1": 2, "102:2": 1},
        results={"SUCCESS": 1, "FAILED": 1},
        actions={"welcome|SUCCESS": 2, "balance|UNKNOWN": 1},
        last_actions={"welcome|SUCCESS": 1, "balance|UNKNOWN": 1},
        quality={"calls": 2, "failed": 1},
        failures={"AUDIO_GAP": 3},
        latencies={"RESPONSE|first_prompt": Spread(n=1, total=96_500, squares=96_500**2, low=96_500, high=96_500, buckets={3: 1})},
    )
    return bin_made_of(Bin(figures, {"INBOUND": 1}, peak=3, peak_at=T0 + 1000, peak_by={"INBOUND": 2, "BRIDGED": 1}), mark)


def bin_made_of(made: Bin, mark: int) -> bytes:
    return codec.join(mark, encode(made))


def bin_record(value: int, start: int, mark: int, offset: int = 0, arrivals: int = 3) -> FakeRecord:
    key = bin_key(Dimension("RM", "tenant", str(value)).pack(), "HOUR", start)
    return FakeRecord(offset, key, bin_value(mark, arrivals))


def tick_record(partition: int, mark: int, offset: int = 0, stream: int = T0) -> FakeRecord:
    return FakeRecord(offset, tick_key(partition), codec.join(mark, encode(Tick(stream, stream + 1, stream + 2))))


def event_record(n: int, seq: int, billing_offset: int, offset: int = 0, text: str = "hello", partition: int = 3) -> FakeRecord:
    event = LogEvent(
        v=1, comp="MCP", comp_id=202, session="S1", guid=guid(n), ts=T0 + seq, seq=seq, log_id="incall_begin", level=3, text=text
    )
    headers = [("offset", b"%d" % billing_offset), ("partition", b"%d" % partition)]
    return FakeRecord(offset, guid(n).encode(), msgspec.json.encode(event), headers)


def entry(topic: str, record: FakeRecord, partition: int = 0) -> Entry:
    """As the buffer would give it."""
    if topic == topics.EVENTS:
        return Entry(topic, partition, int(dict(record.headers)["offset"]) + 1, record)
    assert record.value is not None
    return Entry(topic, partition, codec.split(record.value)[0], record)


def bound(topic: str, records: Iterable[FakeRecord], partition: int = 0, generation: int = GENERATION) -> list[Bound]:
    made = []
    for record in records:
        one = bind(entry(topic, record, partition), generation)
        assert isinstance(one, Bound), one.fault
        made.append(one)
    return made


def calls(*records: FakeRecord, generation: int = GENERATION) -> list[Bound]:
    return bound(topics.CALLS_CHANGELOG, records, generation=generation)
