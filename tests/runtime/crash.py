"""Two workers of one group, hit at random until everything is committed; then every call and every window is compared with a
recount of the source. Writes are slowed, so that most hits fall into a cut: with prompt writes even rows without marks come through.

By hand: BROKER=host:port python -m tests.runtime.crash ROUNDS kill|term|stop|mix [SEED]
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import PATIENCE_S
from tests.runtime.job import pack_window
from tests.runtime.world import World, call_of, stop, window_of

SESSION_S = 6  # the shortest a broker allows by default
TYPES = ("offered", "answered", "ended")
EVENTS = 40_000  # of a short round: about twenty seconds
HOW = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


def traffic(events, partitions=4, seed=1):
    """records, and what they come to: (partition, key) -> (n, last seq), (partition, packed window) -> counts"""
    rnd, records, calls, windows = random.Random(seed), [], {}, {}
    for i in range(events):
        p, k = i % partitions, b"call%d" % rnd.randrange(max(1, i - 4000), i + 2)
        n, last = calls.get((p, k), (0, -1))
        tenant, kind, ts, seq = f"t{rnd.randrange(20)}", rnd.choice(TYPES), 1.7e9 + i / 50, last + rnd.randrange(-1, 3)
        records.append((p, k, b'{"tenant":"%s","type":"%s","ts":%f,"seq":%d}' % (tenant.encode(), kind.encode(), ts, seq)))
        if seq > last:
            calls[p, k] = n + 1, seq
            counts = windows.setdefault((p, pack_window((tenant, int(ts) // 60), p)), {})
            counts[kind] = counts.get(kind, 0) + 1
    return records, calls, windows


def round_of(world: World, app, topic, events, expected, mode="mix", seed=0, hits=4):
    """One round. Gives a line that says what happened; raises AssertionError if the tables are not exact."""
    rnd, done, said = random.Random(seed), 0, []
    env = {
        "INTERVAL": rnd.choice(["0.05", "0.1", "0.2"]),
        "CHUNK": rnd.choice(["100", "200", "300"]),
        "SLOW": "0.05",
        "SESSION": str(SESSION_S),
        "FAULT": "slow-writes",
    }
    workers = {name: world.start(app, topic, name=name, **env) for name in "AB"}
    began, next_hit = time.monotonic(), time.monotonic() + rnd.uniform(3, 6)
    while done < events and time.monotonic() - began < 2 * PATIENCE_S:
        for name, worker in workers.items():
            if worker.poll() is not None:
                workers[name] = world.start(app, topic, name=name, **env)
        if time.monotonic() > next_hit and len(said) < hits:
            name, how = rnd.choice("AB"), mode if mode != "mix" else rnd.choice(["kill", "term", "stop"])
            said.append(how + name)
            hit(workers[name], how, rnd)
            next_hit = time.monotonic() + rnd.uniform(0.5, 5)
        time.sleep(0.25)
        done = sum(at or 0 for at in world.committed(app, topic))
    codes = [stop(worker) for worker in workers.values()]
    line = f"{app} seed={seed} {env} hits={said} end={codes} committed={done}/{events} {time.monotonic() - began:.0f}s"
    assert done == events, f"not finished, which says nothing of the tables: {line}"
    compare(world, app, expected, line)
    return line


def hit(worker, how, rnd):
    if how in HOW:
        worker.send_signal(HOW[how])
        return
    worker.send_signal(signal.SIGSTOP)  # frozen past the session: its partitions go to the other, and then it thaws
    time.sleep(SESSION_S + rnd.uniform(1, 3))
    worker.send_signal(signal.SIGCONT)


def compare(world, app, expected, line):
    calls, windows = expected
    found = {key: (call.n, call.last) for key, call in world.table(app, "calls", call_of).items()}
    wrong = {key: (found.get(key), want) for key, want in calls.items() if found.get(key) != want}
    assert not wrong, f"{line}: {len(wrong)} of {len(calls)} calls wrong: {dict(list(wrong.items())[:3])}"
    counted = {key: window.counts for key, window in world.table(app, "win", window_of).items()}
    off = {key: (counted.get(key), want) for key, want in windows.items() if counted.get(key) != want}
    assert not off, f"{line}: {len(off)} of {len(windows)} windows wrong: {dict(list(off.items())[:3])}"
    assert len(found) == len(calls), line
    assert len(counted) == len(windows), line


def random_crashes(world, app, topic, mode="mix"):
    """A short round with a seed that is said when it fails."""
    records, *expected = traffic(EVENTS)
    world.make(topic, records)
    round_of(world, app, topic, EVENTS, expected, mode, random.randrange(2**32))


def random_kills(world, app, topic):
    """The same with kill -9 alone: no time is spent frozen, so more is hit."""
    random_crashes(world, app, topic, "kill")


def say(*words):
    print(*words, flush=True)  # noqa: T201  # run by hand


def main(rounds, mode, seed):
    with tempfile.TemporaryDirectory() as home:
        world = World(os.environ["BROKER"], Path(home))
        records, *expected = traffic(80_000)
        topic = f"crash-{time.time():.0f}"
        world.make(topic, records)
        good = 0
        try:
            for i in range(rounds):
                try:
                    say("OK   ", round_of(world, f"{topic}-{i}", topic, len(records), expected, mode, seed + i, hits=6))
                    good += 1
                except AssertionError as wrong:
                    say("WRONG", wrong)
        finally:
            world.close()
    say(f"{mode}: {good} of {rounds} rounds exact")
    return good == rounds


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())))
