-- The other measures of bins. A bin that was stored before this script has none of them until it is written again.

ALTER TABLE bins ADD COLUMN peak INTEGER NOT NULL DEFAULT 0;             -- greatest occupancy of the bin's seconds
ALTER TABLE bins ADD COLUMN peak_at INTEGER;                             -- the first such second, ms; null: peak 0
ALTER TABLE bins ADD COLUMN peak_by TEXT NOT NULL DEFAULT '{}';          -- JSON object call type -> occupancy in that second
ALTER TABLE bins ADD COLUMN burst_by TEXT NOT NULL DEFAULT '{}';         -- JSON object "tenant:level" -> n
ALTER TABLE bins ADD COLUMN results_by TEXT NOT NULL DEFAULT '{}';       -- JSON object call result -> n
ALTER TABLE bins ADD COLUMN actions_by TEXT NOT NULL DEFAULT '{}';       -- JSON object "action|result" -> runs
ALTER TABLE bins ADD COLUMN last_actions_by TEXT NOT NULL DEFAULT '{}';  -- JSON object "action|result" -> sessions
ALTER TABLE bins ADD COLUMN quality_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bins ADD COLUMN quality_failed INTEGER NOT NULL DEFAULT 0;   -- of them, those with a failure
ALTER TABLE bins ADD COLUMN failures_by TEXT NOT NULL DEFAULT '{}';      -- JSON object cause -> n
ALTER TABLE bins ADD COLUMN latencies_by TEXT NOT NULL DEFAULT '{}';     -- JSON object "category|type" -> as durations_by, microseconds

DROP VIEW bin_rows;
CREATE VIEW bin_rows AS
    SELECT * FROM bins
    WHERE arrivals <> 0 OR completed <> 0 OR in_progress <> 0 OR peak <> 0 OR quality_calls <> 0 OR quality_failed <> 0
        OR burst_by <> '{}' OR results_by <> '{}' OR actions_by <> '{}' OR last_actions_by <> '{}'
        OR failures_by <> '{}' OR latencies_by <> '{}';
