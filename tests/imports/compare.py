"""Whether the store holds what the CSV says: compares the plain count with the tables after an import into a log of its own.

    python tests/imports/compare.py FILE.csv[.gz] reporting.sqlite3

Says "equal", or what differs (exit code 1). The rows left out can't be seen in the store and are not compared.
"""

import datetime as dt
import json
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parent))
from plain_count import count

ISRAEL = ZoneInfo("Asia/Jerusalem")
BINS = """
    SELECT bin_start, arrivals, completed_by FROM bins
    WHERE comp = 'RM' AND dimension = 'component_type' AND granularity = 'FIVE_MINUTES' AND (arrivals <> 0 OR completed <> 0)
"""
DAYS = """
    SELECT bin_start, SUM(arrivals) FROM bins
    WHERE comp = 'RM' AND dimension = 'component_type' AND granularity = 'DAY' AND arrivals <> 0 GROUP BY bin_start
"""


def stored(database):
    """The same figures as the plain count, from the tables."""
    local_days, utc_days, fives, ends = Counter(), Counter(), Counter(), Counter()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        for start, arrivals, completed_by in store.execute(BINS):
            utc = dt.datetime.fromtimestamp(start / 1000, dt.UTC)
            local_days[utc.astimezone(ISRAEL).strftime("%Y-%m-%d")] += arrivals
            utc_days[utc.strftime("%Y-%m-%d")] += arrivals
            fives[utc.strftime("%Y-%m-%dT%H:%M:00Z")] += arrivals
            ends.update(json.loads(completed_by))
        calls = store.execute("SELECT COUNT(*) FROM calls").fetchone()[0]
        results = Counter(dict(store.execute("SELECT COALESCE(result, 'none'), COUNT(*) FROM calls GROUP BY 1")))
        days = dict(store.execute(DAYS))
    most = max(fives.values(), default=0)
    return {
        "calls": calls,
        "arrivals_by_local_day": dict(sorted((+local_days).items())),
        "arrivals_by_utc_day": dict(sorted((+utc_days).items())),
        "arrivals_of_day_bins": sum(days.values()),
        "busiest_five_minutes": {"bins": sorted(start for start, n in fives.items() if n == most), "arrivals": most},
        "completed_by_end_state": dict(sorted((+ends).items())),
        "calls_by_result": dict(sorted(results.items())),
    }


def differences(file, database):
    """One line for each figure that differs."""
    plain, tables = count(file), stored(database)
    plain["arrivals_of_day_bins"] = plain["calls"]
    return [f"{name}: the file says {plain[name]}, the tables {tables[name]}" for name in tables if plain[name] != tables[name]]


if __name__ == "__main__":
    found = differences(sys.argv[1], sys.argv[2])
    sys.stdout.write("\n".join(found or ["equal"]) + "\n")
    sys.exit(bool(found))
