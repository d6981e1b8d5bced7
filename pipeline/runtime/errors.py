"""What stops a worker. All of these are fatal: nothing further is committed, the process ends, the supervisor starts it again.

Transient faults are retried below this package (aiokafka repeats what Kafka calls retriable); poison records are the body's
affair, since only it can say what a good record is.
"""

from __future__ import annotations


class Fatal(RuntimeError):
    """The worker must stop before it commits anything more."""


class LostRecords(Fatal):
    """Records between the position and the chunk that came were never delivered."""


class BodyGone(Fatal):
    """A body ended while it held a chunk: what is folded of it cannot be told from what is not."""


class Expelled(Fatal):
    """The group may have given our partitions to somebody else: nothing may be written any more."""


class RecordsGone(Fatal):
    """The records to start from are no longer in the topic: retention passed the offset, or the topic is another one."""


class ForeignChangelog(Fatal):
    """A changelog holds a value that was not written by this package."""


class Unrecovered(Fatal):
    """A source partition was given to us without the changelogs of its tables: folding would begin with empty tables."""


class WrongDeclaration(Fatal):
    """The app asks for something the runtime cannot keep: partition counts that differ, marks over several topics."""


class FolderInUse(Fatal):
    """Two workers were given one folder for their tables."""
