"""One Kafka node in KRaft mode: its configuration and how it is started."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CLUSTER_ID = "cnMtbG9jYWwtc3RhY2stMQ"  # base64 of 16 bytes; any will do, but it must stay the same for a data folder
LOG4J = "deploy/kafka/log4j2.yaml"


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """A node below `home`. It listens on loopback only."""

    jars: Path
    home: Path
    port: int
    controller_port: int
    heap_mb: int = 320

    @property
    def properties(self) -> Path:
        return self.home / "server.properties"

    def configure(self) -> None:
        """Write the configuration, and format the storage the first time. Raises CalledProcessError."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.properties.write_text(self._properties())
        if not (self.home / "log" / "meta.properties").exists():
            format_storage = [
                "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self.jars}/*", "kafka.tools.StorageTool",
                "format", "-t", CLUSTER_ID, "-c", str(self.properties),
            ]  # fmt: skip
            subprocess.run(format_storage, check=True, capture_output=True, text=True)

    def command(self) -> list[str]:
        return [
            "java", f"-Xmx{self.heap_mb}m", f"-Xms{self.heap_mb // 2}m", "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={Path(__file__).parents[2] / LOG4J}",
            "-cp", f"{self.jars}/*", "kafka.Kafka", str(self.properties),
        ]  # fmt: skip

    def _properties(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.home / "log",
            # one node: nothing can be replicated
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,  # a worker should be ready in a second, not in four
            "auto.create.topics.enable": "false",  # a misspelt topic is an error
            "message.max.bytes": 16 * 1024 * 1024,
            "log.segment.bytes": 64 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())
