"""The plain judge of an import: reads the CSV with the standard library alone, shares no code with the importer, and prints counts as JSON.

    python tests/imports/plain_count.py FILE.csv[.gz]

rows, calls, left_out; arrivals by day (local and UTC); the busiest five minutes (UTC); ends by end state (RM); calls by result.
"""

import csv
import datetime as dt
import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

ISRAEL = ZoneInfo("Asia/Jerusalem")


def seconds(text):
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)


def count(path):
    left_out, local_days, utc_days, fives, ends, results = Counter(), Counter(), Counter(), Counter(), Counter(), Counter()
    rows = 0
    with gzip.open(path, "rt") if str(path).endswith(".gz") else Path(path).open() as file:
        for row in csv.DictReader(file):
            rows += 1
            entry = seconds(row["vru_entry"])
            at = {}
            for name in ("vru_exit", "q_start", "q_exit", "ser_start", "ser_exit"):
                at[name] = seconds(row[name])
                if at[name] < entry - 12 * 3600:
                    at[name] += 24 * 3600
            queued = row["q_start"] != "0:00:00" or row["q_exit"] != "0:00:00"
            served = row["ser_start"] != "0:00:00" or row["ser_exit"] != "0:00:00"
            if at["vru_exit"] < entry:
                left_out["vru_back"] += 1
            elif queued and at["q_exit"] < at["q_start"]:
                left_out["queue_back"] += 1
            elif served and at["ser_exit"] < at["ser_start"]:
                left_out["service_back"] += 1
            else:
                local = dt.datetime.fromisoformat(row["date"]) + dt.timedelta(seconds=entry)
                utc = local.replace(tzinfo=ISRAEL).astimezone(dt.UTC)
                local_days[row["date"]] += 1
                utc_days[utc.strftime("%Y-%m-%d")] += 1
                fives[utc.replace(minute=utc.minute // 5 * 5, second=0).strftime("%Y-%m-%dT%H:%M:00Z")] += 1
                ends["REJECTED" if row["outcome"] == "PHANTOM" else "USER_END"] += 1
                if row["outcome"] == "AGENT":
                    results["SUCCESS"] += 1
                elif row["outcome"] == "HANG" and queued:
                    results["FAILED"] += 1
                else:
                    results["UNKNOWN"] += 1
    most = max(fives.values(), default=0)
    return {
        "rows": rows,
        "calls": sum(local_days.values()),
        "left_out": dict(sorted(left_out.items())),
        "arrivals_by_local_day": dict(sorted(local_days.items())),
        "arrivals_by_utc_day": dict(sorted(utc_days.items())),
        "busiest_five_minutes": {"bins": sorted(start for start, n in fives.items() if n == most), "arrivals": most},
        "completed_by_end_state": dict(sorted(ends.items())),
        "calls_by_result": dict(sorted(results.items())),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(count(sys.argv[1]), indent=2) + "\n")
