"""Billing messages: their types, limits and faults. Knows nothing of Kafka, ActiveMQ or SQL."""

from pipeline.messages.headers import record_headers, rfc3339
from pipeline.messages.parse import Bad, Good, Parsed, parse
from pipeline.messages.reasons import REASONS, Fault, Reason

__all__ = ["REASONS", "Bad", "Fault", "Good", "Parsed", "Reason", "parse", "record_headers", "rfc3339"]
