"""What Faust lacks: chunks instead of events, checkpoints instead of acks, grouped producing, fast recovery.

    app = App("rs-agents", broker="kafka://127.0.0.1:9092")
    source = app.topic("rs.billing", key_type=bytes, value_type=bytes)
    calls = app.Table("calls", value=Call, partitions=8, pack_key=lambda guid, _partition: guid)
    activity = app.Table("activity", value=Activity, partitions=8)
    checkpoint = app.checkpoint(source, [activity, calls], interval=0.2, max_events=50_000)

    @app.agent(source)
    async def fold(stream):
        async for chunk in checkpoint.chunks(stream):
            state = calls.of(chunk)
            for record in chunk.records:
                state[record.key].add(record)
                state.touch(record.key)

    @checkpoint.outbox
    def snapshots(cut):
        return (Outgoing("rs.activity", partition_of(row.key), row.packed, row.value) for row in cut.rows(activity) if row.value)

The promise: a record is committed only when everything that was made of it is confirmed, stage after stage (`cut.py`); any
failure stops the worker with nothing committed; a replay over rows that have a mark comes out the same. So:

* A body works on a chunk and on tables of its checkpoint, and does not keep a State over a rebalance. What it raises stops
  the worker. It awaits as little as it can; no cut happens while it holds a chunk.
* Changes that no record brings (time-outs, expiry, ticks) belong into `before_cut`. They are written with that cut, whether
  positions move or not; `beat` makes a cut come when nothing moves.
* A mark is a position in the source topic: a row adds an event only if offset >= mark, else it is touched, to be sent again.
  A table of rows that carry somebody else's marks (`parts`) is declared `stamped=False`: its marks are then left as the body
  sets them, and the highest still wins in recovery. A checkpoint over several topics has only such tables.
* Drop only rows that no replay will need: what a replay makes anew begins at mark 0.
* The order of rows in a changelog and of an outbox is the order in which the keys were last touched.
* Topics without a checkpoint may be read by ordinary agents in the same app; they keep Faust's own, weaker promise
  (`ordinary.py`). Faust's own kinds of tables are not supported beside these.

The only package that touches Faust's and aiokafka's private parts; every name it relies on is listed in `pins.py`.
"""

from .app import App
from .checkpoint import Checkpoint
from .chunk import Chunk, Record
from .cut import Cut, Outgoing, Row, Stage, Start
from .errors import BodyGone, Expelled, Fatal, FolderInUse, ForeignChangelog, LostRecords, RecordsGone, Unrecovered, WrongDeclaration
from .producer import Message
from .tables import State, StateTable

__all__ = [
    "App",
    "BodyGone",
    "Checkpoint",
    "Chunk",
    "Cut",
    "Expelled",
    "Fatal",
    "FolderInUse",
    "ForeignChangelog",
    "LostRecords",
    "Message",
    "Outgoing",
    "Record",
    "RecordsGone",
    "Row",
    "Stage",
    "Start",
    "State",
    "StateTable",
    "Unrecovered",
    "WrongDeclaration",
]
