"""Microseconds of CPU per event of the calls fold and of the chains, on simulated traffic, without Kafka.

python -m bench.agents [calls]
"""

from __future__ import annotations

import sys
from time import process_time
from zoneinfo import ZoneInfo

import orjson

from agents.calls_fold import CallsFold
from agents.chains import Chains
from agents.keys import activity_key, tick_key
from agents.state import Activity, Bin, Call, Tick
from agents.stream_time import StreamTime
from tests.agents.world import MINUTE, T0, Table, event, record

CUT = 1000  # events folded between two cuts


def traffic(calls: int) -> list[bytes]:
    """An RM and an MCP session a call, 12 events, as the simulator's."""
    events = []
    for n in range(calls):
        t, tenant = T0 + n * 500, [1, 100 + n % 20]
        who = {"call": n + 1, "session": f"R{n}"}
        mcp = {"call": n + 1, "session": f"M{n}", "comp": "MCP", "comp_id": 301 + n % 4}
        of = {"tenant_path": tenant, "app": 300 + n % 20, "call_type": "INBOUND", "remote_uri": "sip:+15551230001@gw1"}
        script = [
            event("call.start", t, 0, **who, **of, dn=f"80055501{n % 50:02}", usage=[[1, 41], [102, 7]], tenant_name="Environment/Acme"),
            event("call.start", t + 140, 0, **mcp, **of),
            event("call.event", t + 150, 1, **mcp, log_id="incall_begin", level="METRIC", text="310|sip:+15551230001@gw1"),
            event("var.action_start", t + 3000, 2, **mcp, action="balance"),
            event("sq.latency", t + 3100, 3, **mcp, samples=[["RESPONSE", "first_prompt", 96]]),
            event("var.action_end", t + 21000, 4, **mcp, action="balance", result="SUCCESS"),
            event("var.action_start", t + 22000, 5, **mcp, action="transfer"),
            event("var.action_end", t + 23000, 6, **mcp, action="transfer", result="SUCCESS"),
            event("call.event", t + 23500, 7, **mcp, log_id="incall_end", level="METRIC", text="x"),
            event("var.result", t + 23600, 8, **mcp, result="SUCCESS"),
            event("call.end", t + 24000, 9, **mcp, end_state="USER_END"),
            event("call.end", t + 24100, 1, **who, end_state="USER_END", sip_status=200),
        ]
        events += [(e["ts"], orjson.dumps(e), e) for e in script]
    events.sort(key=lambda item: item[0])
    return [record(i, e) for i, (_, _, e) in enumerate(events)]


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    records = traffic(calls)
    activity = Table(Activity)
    fold = CallsFold(Table(Call), activity, StreamTime(0))
    parts, tenants = Table(Activity), Table(Bin)
    chains = Chains(parts, tenants, ZoneInfo("UTC"))
    folding = chaining = 0.0
    rows = 0
    for at in range(0, len(records), CUT):
        began = process_time()
        fold.fold(records[at : at + CUT])
        folding += process_time() - began
        began = process_time()
        for dimension, start in activity.touched:
            chains.take(activity_key(dimension, start, 0), Activity(activity[dimension, start].figures, at))
        clock = records[min(at + CUT, len(records)) - 1].timestamp
        chains.take(tick_key(0), Tick(clock, clock + MINUTE, clock, at))
        chains.settle(at)
        chaining += process_time() - began
        rows += len(tenants.touched)
        activity.touched.clear()
        tenants.touched.clear()
    n = len(records)
    sys.stdout.write(f"{n} events, {calls} calls: fold {folding / n * 1e6:.1f} us an event; chains {chaining / n * 1e6:.1f} us an event, ")
    sys.stdout.write(f"{chaining / rows * 1e6:.1f} us a row written ({rows} rows, a cut every {CUT} events)\n")


if __name__ == "__main__":
    main()
