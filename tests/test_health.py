import json

import pytest

from pipeline.health import HealthServer, PortTaken
from pipeline.local.ports import free_port
from pipeline.local.probe import get, http_ready


async def test_ready_tells_each_reason_and_live_does_not_care() -> None:
    reasons: dict[str, str | None] = {"kafka": None, "activemq": "not connected"}

    def broken() -> str | None:
        raise RuntimeError("lost")

    port = free_port()
    server = HealthServer("127.0.0.1", port, {"kafka": lambda: reasons["kafka"], "activemq": lambda: reasons["activemq"], "disk": broken})
    await server.start()
    try:
        status, body = await get("127.0.0.1", port, "/health/ready")
        assert status == 503
        assert json.loads(body) == {"ready": False, "reasons": {"activemq": "not connected", "disk": "RuntimeError: lost"}}
        assert await http_ready("127.0.0.1", port) == "activemq: not connected; disk: RuntimeError: lost"
        assert (await get("127.0.0.1", port, "/health/live")).status == 200
        assert b"python_info" in (await get("127.0.0.1", port, "/metrics")).body
        reasons["activemq"] = None
        del server.checks["disk"]  # type: ignore[attr-defined]
        assert await http_ready("127.0.0.1", port) is None
        assert json.loads((await get("127.0.0.1", port, "/health/ready")).body) == {"ready": True, "reasons": {}}
    finally:
        await server.stop()
    assert "nothing answers" in (await http_ready("127.0.0.1", port) or "")


async def test_facts_are_told_besides_and_make_nobody_unready() -> None:
    port = free_port()
    server = HealthServer("127.0.0.1", port, {}, facts={"records": lambda: {"late": 3}})
    await server.start()
    try:
        answer = await get("127.0.0.1", port, "/health/ready")
    finally:
        await server.stop()
    assert (answer.status, json.loads(answer.body)) == (200, {"ready": True, "reasons": {}, "facts": {"records": {"late": 3}}})


async def test_a_taken_port_is_a_clear_error() -> None:
    port = free_port()
    first, second = HealthServer("127.0.0.1", port, {}), HealthServer("127.0.0.1", port, {})
    await first.start()
    try:
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}.*health.agents_port"):
            await second.start()
        await second.stop()
    finally:
        await first.stop()
        await first.stop()
