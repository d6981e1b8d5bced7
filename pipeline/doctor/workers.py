"""The workers and the pages: what their /health/ready says."""

from __future__ import annotations

import asyncio

from pipeline.doctor.finding import Finding
from pipeline.local.parts import served
from pipeline.local.probe import http_ready
from pipeline.readiness import ready_path
from pipeline.settings import Settings

APPS = {"bridge": "pipeline.bridge", "agents": "agents", "sinks": "sinks"}


async def look(settings: Settings) -> list[Finding]:
    return await asyncio.gather(*(_worker(name, host, port) for name, host, port in served(settings)))


async def _worker(name: str, host: str, port: int) -> Finding:
    reason = await http_ready(host, port, ready_path(name))
    if reason is None:
        return Finding(name, f"ready on {host}:{port}")
    if "nothing answers" not in reason:
        return Finding(name, reason, "see its log in the data folder, logs/; most reasons go by themselves")
    app = APPS.get(name)
    return Finding(name, reason, f"start it: rs up, or faust -A {app} worker --without-web" if app else "start it: rs up")
