"""Kafka: reachable, brokers, topics, and how far each group is behind."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from pipeline import generations, init
from pipeline.doctor.finding import Finding
from pipeline.generation import Generation
from pipeline.settings import Settings
from pipeline.topics import all_topics

ANSWER_S = 8.0
FAR_BEHIND = 100_000
AHEAD_MS = 60_000


async def look(settings: Settings) -> list[Finding]:
    bootstrap = settings.kafka.bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="rs-doctor", request_timeout_ms=int(ANSWER_S * 1000))
    try:
        async with asyncio.timeout(ANSWER_S):
            await admin.start()
            cluster = await admin.describe_cluster()
            found = [Finding("Kafka", f"{len(cluster['brokers'])} brokers, cluster {cluster['cluster_id']}, on {bootstrap}")]
            known = await generations.read(bootstrap)
            topics = await _topics(admin, settings, known.live)
            found.append(topics)
            if not topics.wrong:
                found += await _groups(admin, bootstrap, known.live)
            found.append(_generation(known))
            return found
    except (KafkaError, OSError, TimeoutError) as exc:
        return [Finding("Kafka", f"{bootstrap}: {exc or 'no answer in time'}", "start it (rs up), or name another: RS_KAFKA__BOOTSTRAP")]
    finally:
        await admin.close()


def _generation(known: generations.Known) -> Finding:
    begun = [generation for generation in known.all.values() if generation.number > known.current and generation.state != "dropped"]
    said = f"{known.current} is current"
    for one in begun:
        said += f", {one.number} is {one.state}"
    if known.live.copy_of:
        mend = f"not all of {known.live.copy_of} is copied into {known.live.billing}: rs rebuild --compare-only copies the rest"
        return Finding("generation", said, mend)
    left = [one for one in known.all.values() if one.number < known.current and one.state != "dropped"]
    mend = f"topics of generation {', '.join(str(one.number) for one in left)} are still there: the next rs rebuild drops them"
    return Finding("generation", said, mend if left else "", warning=True)


async def _topics(admin: AIOKafkaAdminClient, settings: Settings, current: Generation) -> Finding:
    wanted = all_topics(settings.sinks.max_outage, current)
    names = [topic.name for topic in wanted]
    there = await init.partitions(admin, names)
    said = f"{len(there)} of {len(names)}, {current.partition_count(settings.kafka.partitions)} partitions each"
    if missing := sorted(set(names) - set(there)):
        return Finding("topics", said, f"missing or without leader: {', '.join(missing)}; create them: rs init")
    return Finding("topics", said, "; ".join(init.partition_faults(there, wanted, current, settings.kafka.partitions)))


async def _groups(admin: AIOKafkaAdminClient, bootstrap: str, current: Generation) -> list[Finding]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, client_id="rs-doctor")
    await consumer.start()
    try:
        return [
            await _group(admin, consumer, current.agents_app),
            await _group(admin, consumer, current.sinks_app),
            await _clock(consumer, current.billing),
        ]
    finally:
        await consumer.stop()


async def _group(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, group: str) -> Finding:
    try:
        told = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:  # so a broker answers that never had a group
        told = {}
    committed = {tp: at.offset for tp, at in told.items() if at.offset >= 0}
    if not committed:
        return Finding(f"group {group}", "nothing committed yet")
    ends = await consumer.end_offsets(list(committed))
    behind = sum(max(0, ends[tp] - offset) for tp, offset in committed.items())
    mend = "it falls behind: see whether its worker is ready, or start more (rs up --processes N)" if behind > FAR_BEHIND else ""
    return Finding(f"group {group}", f"{behind:,} records behind in {len(committed)} partitions", mend, warning=True)


async def _clock(consumer: AIOKafkaConsumer, log: str) -> Finding:
    """Receipts lie in the past of every clock that is right; stream time never goes back, so a clock that jumped must be seen."""
    later_ms = round(time.time() * 1000) + AHEAD_MS
    tps = [TopicPartition(log, number) for number in sorted(consumer.partitions_for_topic(log) or ())]
    ahead = [tp.partition for tp, at in (await consumer.offsets_for_times(dict.fromkeys(tps, later_ms))).items() if at is not None]
    said = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if not ahead:
        return Finding("clock", said)
    return Finding("clock", said, f"{log} has messages received more than a minute in the future of this clock: set it right (NTP)")
