-- The other measures of bins. A bin that was stored before this script has none of them until it is written again.

ALTER TABLE bins ADD peak bigint NOT NULL DEFAULT 0;                          -- greatest occupancy of the bin's seconds
GO
ALTER TABLE bins ADD peak_at datetime2(3);                                    -- the first such second; null: peak 0
GO
ALTER TABLE bins ADD peak_by nvarchar(max) NOT NULL DEFAULT '{}';             -- JSON object call type -> occupancy in that second
GO
ALTER TABLE bins ADD burst_by nvarchar(max) NOT NULL DEFAULT '{}';            -- JSON object "tenant:level" -> n
GO
ALTER TABLE bins ADD results_by nvarchar(max) NOT NULL DEFAULT '{}';          -- JSON object call result -> n
GO
ALTER TABLE bins ADD actions_by nvarchar(max) NOT NULL DEFAULT '{}';          -- JSON object "action|result" -> runs
GO
ALTER TABLE bins ADD last_actions_by nvarchar(max) NOT NULL DEFAULT '{}';     -- JSON object "action|result" -> sessions
GO
ALTER TABLE bins ADD quality_calls bigint NOT NULL DEFAULT 0;
GO
ALTER TABLE bins ADD quality_failed bigint NOT NULL DEFAULT 0;                -- of them, those with a failure
GO
ALTER TABLE bins ADD failures_by nvarchar(max) NOT NULL DEFAULT '{}';         -- JSON object cause -> n
GO
ALTER TABLE bins ADD latencies_by nvarchar(max) NOT NULL DEFAULT '{}';        -- JSON object "category|type" -> as durations_by, microseconds
GO

DROP VIEW bin_rows;
GO

CREATE VIEW bin_rows AS
    SELECT * FROM bins
    WHERE arrivals <> 0 OR completed <> 0 OR in_progress <> 0 OR peak <> 0 OR quality_calls <> 0 OR quality_failed <> 0
        OR burst_by <> '{}' OR results_by <> '{}' OR actions_by <> '{}' OR last_actions_by <> '{}'
        OR failures_by <> '{}' OR latencies_by <> '{}';
GO
