"""Microseconds a message costs in pipeline.messages: `python bench/messages.py [rounds]`. Best of the rounds."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.messages import parse, record_headers

RECEIPT = 1_795_000_030_000
PAGE = Path(__file__).parents[1] / "docs/contract.md"
EXAMPLES = PAGE.read_text().split("```json\n")[1].split("```")[0].strip().encode().split(b"\n")


def best(work: Callable[[], object], times: int, rounds: int) -> float:
    """Microseconds, of the quickest of many short runs: a busy machine slows most of them."""
    least = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(times):
            work()
        least = min(least, time.perf_counter() - begin)
    return least / times * 1e6


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    start = EXAMPLES[0]
    log_event = json.loads(EXAMPLES[1])[1]
    batch = json.dumps([dict(log_event, seq=number) for number in range(50)], separators=(",", ":")).encode()
    floats = EXAMPLES[3]
    faulty = start.replace(b'"seq":0', b'"seq":"0"')
    (good,) = parse(start, RECEIPT).good
    rows = [
        (f"call.start of {len(start)} B", best(lambda: parse(start, RECEIPT), 200, rounds), 1),
        (f"array of 50 call.event, {len(batch)} B, a message", best(lambda: parse(batch, RECEIPT), 10, rounds), 50),
        (f"sq.latency with a fraction, {len(floats)} B", best(lambda: parse(floats, RECEIPT), 200, rounds), 1),
        ("call.start with a wrong type", best(lambda: parse(faulty, RECEIPT), 50, rounds), 1),
        ("headers of a record", best(lambda: record_headers(good, "ID:host-1-1-1:1:1:1:1", "rs.billing", RECEIPT), 500, rounds), 1),
    ]
    print(f"{'':55} {'us':>8} {'us/event':>9}")
    for name, us, events in rows:
        print(f"{name:55} {us:8.2f} {us / events:9.2f}")


if __name__ == "__main__":
    main()
