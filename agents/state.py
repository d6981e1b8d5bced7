"""The values of the agents' tables: what is encoded in the changelogs and read by sinks, reports and `rs table`.

A changelog value is 8 bytes mark, big endian, then the msgpack of one of these Structs (`pipeline.runtime.codec`). The mark is the
source position the value is complete up to. Fields are only ever added at the end, with a default, so that older values
can be read.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from pipeline.messages.trusted import StoredEvent, name_of, restored
from pipeline.messages.types import (
    ActionEnd,
    ActionStart,
    BillingEvent,
    CallEnd,
    CallResult,
    CallStart,
    CallUpdate,
    CustomVariable,
    Failure,
    Latency,
)

Payload = CallStart | CallUpdate | CallEnd | ActionStart | ActionEnd | CallResult | CustomVariable | Latency | Failure

LOG_EVENT = "call.event"


class Message(Struct, gc=False, frozen=True):
    """One distinct event of a session, and where it came from.

    digest      32 bits that tell two different events under one name apart (rule F1)
    offset      in rs.billing; the partition is that of the call
    receipt     ms UTC at which the bridge took it
    source      queue, message_id: CloudEvents ce_source and ce_id
    """

    digest: int
    kind: str
    ts: int
    receipt: int
    offset: int
    source: str
    message_id: str


class Kept(Struct, array_like=True, gc=False):
    """An event and its message as a session keeps them.

    origin      place in the session's `origins`; `number`: what the message id has behind that
    body        the event without its envelope; None for a call.event, which goes to rs.events
    """

    digest: int
    ts: int
    receipt: int
    offset: int
    comp: str
    origin: int
    number: str
    body: StoredEvent | None


decode_kept = msgspec.msgpack.Decoder(Kept).decode


class Session(Struct, array_like=True):
    """One component's part of a call: a map from seq to event that only grows. Everything else about the session is a
    function of it (`agents.session.fold`), so order and repetition cannot matter.

    events      every distinct event by seq, each the msgpack of a `Kept`. They stay encoded: a call that is loaded, gets an event and
                is written again costs 2 us instead of 25, and only its ends look into them
    origins     of messages: queue, and the beginning that their ids share, ActiveMQ's name of the sender's connection
    comp        component type of the event with seq `comp_seq`, the highest (rule M14)
    ended       it has a call.end
    timed_out   its end by a time-out, ms UTC, while that stands (rule X3); only this depends on the clock
    earliest, latest    least and greatest ts of its events
    reach       the least instant that any of its events speaks of: ts, start_ts or end_ts
    seen        greatest min(ts, receipt) of its events: the clocks have come so far
    last_start  the latest instant at which an event says or may say that it started
    """

    comp_id: int
    session: str
    events: dict[int, Raw] = field(default_factory=dict)
    origins: list[tuple[str, str]] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    comp: str = ""
    comp_seq: int = -1
    ended: bool = False
    timed_out: int | None = None
    earliest: int = 0
    latest: int = 0
    reach: int = 0
    seen: int = 0
    last_start: int = 0

    @property
    def kept(self) -> list[tuple[int, Kept]]:
        """seq and event, in the order of seq."""
        return [(seq, decode_kept(self.events[seq])) for seq in sorted(self.events)]

    @property
    def messages(self) -> dict[int, Message]:
        """seq -> message, in the order of seq."""
        return {seq: self._message(kept) for seq, kept in self.kept}

    @property
    def payloads(self) -> dict[int, BillingEvent]:
        """seq -> event, in the order of seq, but for call.event. Their `guid` is empty: only the call knows it."""
        return {
            seq: restored(kept.body, v=1, comp=kept.comp, comp_id=self.comp_id, session=self.session, ts=kept.ts, seq=seq)
            for seq, kept in self.kept
            if kept.body is not None
        }

    def _message(self, kept: Kept) -> Message:
        source, begin = self.origins[kept.origin]
        kind = LOG_EVENT if kept.body is None else name_of(kept.body)
        return Message(kept.digest, kind, kept.ts, kept.receipt, kept.offset, source, begin + kept.number)


class Call(Struct, array_like=True):
    """All sessions of one guid. Key of the table: the guid, upper case, ASCII.

    due, is_open, floor     see `agents.lifetime.Stay`
    size                    about the bytes of the encoded call (rule M15)
    missing                 events that its ended sessions lack by their numbers (rule F12)
    """

    sessions: list[Session] = field(default_factory=list)
    mark: int = 0
    due: int = 0
    is_open: bool = False
    floor: int = 0
    size: int = 0
    missing: int = 0


class CallHead(Struct, array_like=True):
    """A `Call` of which nobody looks at the sessions: they stay encoded."""

    sessions: Raw
    mark: int
    due: int
    is_open: bool
    floor: int
    size: int = 0
    missing: int = 0


class Spread(Struct, array_like=True):
    """The spread of a quantity: exact integers, so that merging is exact. Average and deviation are computed on reading.

    n, total        count, sum
    squares         sum of squares, its lower 62 bits; `squares_high`: the rest (msgpack holds 64 bits, rule X8 asks for 38 digits;
                    `agents.figures.squares_of` puts them together)
    low, high       least and greatest; after a correction they may keep a value that is gone (rule X7)
    buckets         sparse histogram: bucket number -> count (rule B10)
    """

    n: int = 0
    total: int = 0
    squares: int = 0
    low: int | None = None
    high: int | None = None
    buckets: dict[int, int] = field(default_factory=dict)
    squares_high: int = 0


Counts = dict[str, int]


class _Nothing(dict[Any, Any]):
    """An empty dict for all who have nothing to say: a decoded row would have a dozen of its own, 64 bytes each."""

    def __setitem__(self, key: object, value: object) -> None:
        raise TypeError("take agents.figures.opened to write into a measure")

    def __deepcopy__(self, memo: object) -> _Nothing:
        return self


NOTHING: Any = _Nothing()


SHORT = {  # names in the encoded form; they stay
    "arrivals": "a",
    "departures": "d",
    "completed": "c",
    "durations": "t",
    "burst": "b",
    "results": "r",
    "actions": "v",
    "last_actions": "w",
    "quality": "q",
    "failures": "f",
    "latencies": "l",
    "changes": "o",
    "opens": "p",
}


class Figures(Struct, omit_defaults=True, rename=SHORT.get):
    """What a set of sessions contributes to one bin of one dimension. Zero entries are left out, and so are empty measures in the encoded
    form: a row has some of them, seldom all. What is there is written to by `agents.figures` alone.

    arrivals        call type -> sessions with known start that started in the bin
    departures      call type -> sessions with known start that ended in the bin (in progress = arrivals - departures, summed up)
    completed       end state -> sessions that ended in the bin
    durations       end state -> spread of their durations, ms
    burst           "tenant:level" -> RM sessions with that entry that started in the bin (rule B5)
    results         UNKNOWN, SUCCESS, FAILED -> MCP sessions that ended in the bin; REJECTED -> RM sessions (rule B8)
    actions         "action|result" -> runs of VAR actions of MCP sessions that ended in the bin
    last_actions    "action|result" -> MCP sessions by the action that started last (rule V7)
    quality         "calls", "failed" -> MCP sessions that ended in the bin, and those with a failure (rule B9)
    failures        cause -> sq.failure events
    latencies       "category|type" -> spread, whole microseconds (rule X8)
    changes         second of the bin -> call type -> change of occupancy at that second (rule X11)
    opens           the same of sessions in progress whose sender's clock is ahead: their start may lie behind now, and then they
                    do not occupy it yet (rule B3)
    """

    arrivals: Counts = NOTHING
    departures: Counts = NOTHING
    completed: Counts = NOTHING
    durations: dict[str, Spread] = NOTHING
    burst: Counts = NOTHING
    results: Counts = NOTHING
    actions: Counts = NOTHING
    last_actions: Counts = NOTHING
    quality: Counts = NOTHING
    failures: Counts = NOTHING
    latencies: dict[str, Spread] = NOTHING
    changes: dict[int, Counts] = NOTHING
    opens: dict[int, Counts] = NOTHING


class Activity(Struct, array_like=True, tag=1):
    """Row of `activity`: the figures of one (dimension, base bin) from one source partition. Also the snapshot in rs.activity
    and the row of `parts`. Key: `agents.keys.activity_key`."""

    figures: Figures = field(default_factory=Figures)
    mark: int = 0


class Tick(Struct, array_like=True, tag=2):
    """What a source partition says of itself at least once a second, to every partition of rs.activity. It goes on through
    `parts` and `tenants` behind the rows it speaks of, so that whoever has read it has read them. Key: `agents.keys.tick_key`.

    stream      greatest min(ts, receipt) folded, ms; 0: nothing yet
    clock       stream plus the time since the last record: how far bins that sessions merely pass through have come
    folded_to   receipt time up to which every stored message of the partition has been folded (rule X10)
    floor       start of the earliest base bin that the partition may still change; 0: any
    """

    stream: int = 0
    clock: int = 0
    folded_to: int = 0
    mark: int = 0
    floor: int = 0


class Bin(Struct, array_like=True, tag=3):
    """Row of `tenants`: one dimension, granularity and bin, over all source partitions. Key: `agents.keys.bin_key`.

    figures         without `changes` and `opens`, which `peak` is made of
    in_progress     call type -> sessions in progress at the bin's end (rule B2)
    occupied        call type -> occupancy of the last second, which the next bin begins with; base bins only
    peak            greatest occupancy of the bin's seconds, `peak_at` the first such second (ms UTC, None: peak 0), `peak_by`
                    its split by call type
    """

    figures: Figures = field(default_factory=Figures)
    in_progress: Counts = field(default_factory=dict)
    mark: int = 0
    occupied: Counts = field(default_factory=dict)
    peak: int = 0
    peak_at: int | None = None
    peak_by: Counts = field(default_factory=dict)


Snapshot = Activity | Tick  # value of rs.activity and of `parts`
TenantsRow = Bin | Tick  # value of `tenants`
