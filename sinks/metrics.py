"""What the sinks show of themselves under /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("rs_sink_rows", "Rows sent to the store; older ones than it has are among them", ["table"])
TRANSACTIONS = Counter("rs_sink_transactions", "Transactions committed")
SECONDS = Histogram(
    "rs_sink_transaction_seconds",
    "Seconds from the first statement to the commit",
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
RECORDS = Counter("rs_sink_records", "Records of the topics that are in the store now: their rate is the speed of catching up")
RETRIES = Counter("rs_sink_retries", "Transactions tried again after an error that may go away")
QUARANTINED = Counter("rs_sink_quarantined", "Records put to rs.sink.quarantine", ["reason"])
BEHIND = Gauge("rs_sink_behind", "Records of the topic that are not in the store yet", ["topic", "partition"])
PURGED = Counter("rs_sink_purged", "Rows that retention removed; of classes cdr and var: calls", ["kind"])
PURGE_SECONDS = Histogram(
    "rs_sink_purge_transaction_seconds",
    "Seconds that one transaction of retention took",
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
PURGE_COMPLETED = Gauge("rs_sink_purge_completed_timestamp_seconds", "When retention last found nothing left that is too old")
ADJUSTED = Counter("rs_sink_billing_changes", "Sessions that changed after their month was closed")
