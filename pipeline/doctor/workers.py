"""The workers and the pages: what their /health/ready says."""

from __future__ import annotations

import asyncio

from pipeline.doctor.finding import Finding
from pipeline.local.parts import served
from pipeline.local.probe import http_ready
from pipeline.settings import Settings


async def look(settings: Settings) -> list[Finding]:
    return await asyncio.gather(*(_worker(name, host, port) for name, host, port in served(settings)))


async def _worker(name: str, host: str, port: int) -> Finding:
    reason = await http_ready(host, port)
    if reason is None:
        return Finding(name, f"ready on {host}:{port}")
    started = (
        f"faust -A {'pipeline.bridge' if name == 'bridge' else name} worker --without-web"
        if name in ("bridge", "agents", "sinks")
        else "rs up"
    )
    mend = (
        f"start it: rs up, or {started}"
        if "nothing answers" in reason
        else "see its log in the data folder, logs/; most reasons go by themselves"
    )
    return Finding(name, reason, mend)
