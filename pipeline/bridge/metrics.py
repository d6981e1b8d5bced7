"""What the bridge tells Prometheus. Labels are of the contract's own short lists."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

TAKEN = Counter("rs_bridge_messages_taken_total", "Messages taken from ActiveMQ, redeliveries included")
BRIDGED = Counter("rs_bridge_events_total", "Events confirmed by Kafka", ["kind"])
QUARANTINED = Counter("rs_bridge_quarantined_total", "Messages and elements put into quarantine", ["reason"])
ACKNOWLEDGED = Counter("rs_bridge_messages_acknowledged_total", "Messages acknowledged to ActiveMQ")
WINDOW = Gauge("rs_bridge_window_messages", "Messages taken and not yet acknowledged")
CONNECTED = Gauge("rs_bridge_connected", "1 while connected to ActiveMQ")
LOST = Counter("rs_bridge_connections_lost_total", "Connections to ActiveMQ that were lost")
RESENT = Counter("rs_bridge_kafka_failures_total", "Batches that Kafka did not confirm and that were sent again")
LATENCY = Histogram(
    "rs_bridge_latency_seconds",
    "From taking a message to acknowledging it",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
