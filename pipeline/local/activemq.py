"""One ActiveMQ Classic broker: its configuration and how it is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
XML = ROOT / "deploy/activemq/activemq.xml"
SECURE_XML = ROOT / "deploy/activemq/activemq-secure.xml"
LOGIN = ROOT / "deploy/activemq/login.config"
LOG4J = ROOT / "deploy/activemq/log4j2.properties"


@dataclass(frozen=True, slots=True)
class ActiveMQBroker:
    """A broker below `home`, with one connector that takes STOMP and OpenWire on loopback.

    `credentials`: a folder as `pipeline.local.credentials` makes it, for TLS and users; None: neither.
    """

    jars: Path
    home: Path
    port: int
    heap_mb: int = 192
    credentials: Path | None = None

    def configure(self) -> None:
        (self.home / "conf").mkdir(parents=True, exist_ok=True)
        (self.home / "conf" / "activemq.xml").write_text((SECURE_XML if self.credentials else XML).read_text())

    def command(self) -> list[str]:
        secure = [f"-Drs.credentials={self.credentials}", f"-Djava.security.auth.login.config={LOGIN}"] if self.credentials else []
        return [
            "java", f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-Djava.net.preferIPv4Stack=true",
            "-Drs.host=127.0.0.1", f"-Drs.port={self.port}", f"-Drs.data={self.home / 'data'}",
            f"-Dactivemq.home={self.home}", f"-Dactivemq.base={self.home}", f"-Dactivemq.conf={self.home / 'conf'}",
            f"-Dactivemq.data={self.home / 'data'}", f"-Dlog4j2.configurationFile={LOG4J}",
            *secure,
            "-cp", f"{self.jars}/*", "org.apache.activemq.console.Main", "start", f"xbean:file:{self.home / 'conf' / 'activemq.xml'}",
        ]  # fmt: skip
