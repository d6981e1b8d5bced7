"""The bridge from ActiveMQ to Kafka: `faust -A pipeline.bridge worker`."""

from pipeline.bridge.app import app

__all__ = ["app"]
