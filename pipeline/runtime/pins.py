"""The names this package relies on although nobody promised them. `check()` runs when an app is made: after an upgrade it is
this list that must be read again, before anything is folded."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

# Methods replaced in a subclass (or on an instance): called by Faust at the moments the docstrings name.
OVERRIDDEN = {
    "faust.app.base:App": ["_new_transport", "_new_producer_transport", "on_started_init_extra_tasks", "_crash", "Table"],
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": [
        "on_start", "_create_worker_consumer", "_fetch_records", "subscribe", "verify_event_path",
    ],
    "faust.transport.drivers.aiokafka:Consumer": ["_new_consumer_thread", "__post_init__", "_drain_messages", "wait_empty", "perform_seek"],
    "faust.transport.drivers.aiokafka:Producer": ["_settings_extra"],
    "faust.tables.recovery:Recovery": ["_set_recovery_started", "on_rebalance", "_wait", "_build_offsets", "_slurp_changelogs"],
    "faust.tables.manager:TableManager": ["recovery"],
    "faust.tables.table:Table": ["_new_store", "on_key_set", "on_key_del", "info"],
    "faust.stores.memory:Store": ["__post_init__", "on_rebalance", "on_recovery_completed"],
    "aiokafka.consumer.group_coordinator:GroupCoordinator": ["_do_heartbeat"],
}  # fmt: skip

# Private names read or called; attributes of instances, which only exist at run time, are named in the comments.
USED = {
    # ._consumer .thread_loop
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": ["_ensure_consumer", "call_thread", "topic_partitions"],
    # ._thread ._read_offset ._unacked_messages ._acked .flow_active .callback
    "faust.transport.drivers.aiokafka:Consumer": [
        "_wait_next_records", "_add_gap", "stop_flow", "seek_wait", "earliest_offsets", "highwaters",
    ],
    "faust.transport.drivers.aiokafka:Producer": ["_ensure_producer"],
    "faust.transport.drivers.aiokafka": ["ensure_aiokafka_TP"],
    "faust.tables.recovery": ["ServiceStopped", "RebalanceAgain"],
    # .active_offsets .active_highwaters .active_tps .tp_to_table .in_recovery
    "faust.tables.recovery:Recovery": ["_set_recovery_ended", "need_recovery", "signal_recovery_end"],
    "faust.transport.conductor:Conductor": ["add"],
    "aiokafka.consumer.fetcher:FetchResult": ["check_assignment", "_update_position", "has_more"],  # ._topic_partition ._partition_records
    "aiokafka.consumer.fetcher:PartitionRecords": [],  # ._records ._check_crcs .next_fetch_offset ._records_iterator
    "aiokafka.consumer.fetcher:Fetcher": ["_notify", "_create_fetch_waiter"],  # ._records ._wait_consume_future ._subscriptions ._closed
    "aiokafka.consumer.subscription_state:SubscriptionState": ["fetch_context", "reassignment_in_progress", "is_assigned", "subscription"],
    "aiokafka.consumer.subscription_state:Assignment": ["tps", "state_value"],
    "aiokafka.consumer.group_coordinator:GroupCoordinator": ["fetch_committed_offsets"],
    "aiokafka.client:AIOKafkaClient": ["set_topics", "force_metadata_update"],  # .cluster
    # ._client ._fetcher ._coordinator ._closed ._subscription ._fetch_max_wait_ms
    "aiokafka.consumer.consumer:AIOKafkaConsumer": [],
    "aiokafka.producer.producer:AIOKafkaProducer": ["create_batch", "send_batch"],
}  # fmt: skip


def check() -> None:
    """Raise RuntimeError if a package has another version or lost one of the names."""
    for package, wanted in VERSIONS.items():
        if version(package) != wanted:
            raise RuntimeError(
                f"{package} {version(package)}: pipeline.runtime was proven with {wanted} only (see pipeline/runtime/pins.py)"
            )
    for names in (OVERRIDDEN, USED):
        for path, attributes in names.items():
            module, _, cls = path.partition(":")
            owner = import_module(module)
            owner = getattr(owner, cls) if cls else owner
            for name in attributes:
                if not hasattr(owner, name):
                    raise RuntimeError(f"{path}.{name} is gone: pipeline.runtime relies on it (see pipeline/runtime/pins.py)")
