"""python -m reports: serve JSON and pages at reports.host and reports.port until told to stop."""

from __future__ import annotations

import ipaddress
import sys

import uvicorn

from pipeline import configserver, logs, settings
from reports.server import make

EXPECTED = "echarts/dist/echarts.min.js"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> int:
    try:
        own = settings.load()
        app = make(own)
    except settings.WrongSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    log = logs.setup("reports")
    configserver.follow()
    host, port = own.reports.host, own.reports.port
    if not is_loopback(host):
        log.warning(
            "open to others", host=host, step="there is no sign-in yet: whoever reaches this address reads all calls; set reports.host"
        )
    if not (own.reports.assets / EXPECTED).is_file():
        log.warning(
            "no plots", missing=str(own.reports.assets / EXPECTED), step="make setup fetches the browser assets; or set reports.assets"
        )
    log.info("start", address=f"http://{host}:{port}/", time_zone=own.reports.time_zone)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3)
    log.info("stop")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
