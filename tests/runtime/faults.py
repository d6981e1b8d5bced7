"""Faults put into a worker by the environment variable FAULT, by replacing methods of the runtime.

produce         every send fails
calls           sends to the calls changelog fail: the windows before them are written
commit          everything is written, the commit is refused
body, drop      the body raises; a chunk vanishes between fetch and fold
slow-writes     each send and commit waits a little first: most crashes hit a cut with some subset of it written
slow            bodies longer than the session time-out
duplicates      the worker exits with 99 if it sees a duplicate
blind           the leader of the group does not know the calls changelog, as Faust's assignor takes it: it leaves it out
wrong-order, nomark  controls: what the order and the marks are for
"""

import asyncio
import os
import random

from aiokafka.errors import CommitFailedError, KafkaError
from faust.assignor.partition_assignor import PartitionAssignor

from pipeline.runtime.producer import Producer
from pipeline.runtime.transport import Consumer

FAULT = os.environ.get("FAULT", "")
REFUSED = {"produce": "", "calls": "calls-changelog", "nomark": "calls-changelog", "wrong-order": "win-changelog"}

send_all, commit_offsets = Producer.send_all, Consumer.commit_offsets


async def refusing(self, topic, partition, messages):
    if topic.endswith(REFUSED[FAULT]):
        raise KafkaError("broker said no")
    return await send_all(self, topic, partition, messages)


async def slow_send(self, topic, partition, messages):
    await asyncio.sleep(random.uniform(0, 0.15))
    return await send_all(self, topic, partition, messages)


async def slow_commit(self, commits):
    await asyncio.sleep(random.uniform(0, 0.15))
    return await commit_offsets(self, commits)


async def refused_commit(self, commits):
    raise CommitFailedError("already rebalanced")


if FAULT in REFUSED:
    Producer.send_all = refusing
if FAULT == "slow-writes":
    Producer.send_all, Consumer.commit_offsets = slow_send, slow_commit
if FAULT == "commit":
    Consumer.commit_offsets = refused_commit
if FAULT == "blind":
    groups_of = PartitionAssignor._get_copartitioned_groups.__func__

    def without_calls(cls, topics, cluster, subscriptions):
        return groups_of(cls, {topic for topic in topics if not topic.endswith("calls-changelog")}, cluster, subscriptions)

    PartitionAssignor._get_copartitioned_groups = classmethod(without_calls)


def failing_after(times, function):
    count = 0

    def failing(value):
        nonlocal count
        count += 1
        if count > times:
            raise RuntimeError("fold failed")
        return function(value)

    return failing


def dropping_third(offer):
    seen = 0

    def dropping(chunk):
        nonlocal seen
        seen += 1
        if seen != 3:
            offer(chunk)

    return dropping
