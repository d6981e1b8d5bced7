-- VAR and service quality of sessions as rows. They are replaced as a whole with their call. A session that was stored before this
-- script has none of them until it is written again.

ALTER TABLE sessions ADD COLUMN result_reason TEXT;                            -- of the call result
ALTER TABLE sessions ADD COLUMN result_notes TEXT;
ALTER TABLE sessions ADD COLUMN dropped_starts INTEGER NOT NULL DEFAULT 0;     -- action starts whose parent never started
ALTER TABLE sessions ADD COLUMN dropped_ends INTEGER NOT NULL DEFAULT 0;       -- action ends without an open run
ALTER TABLE sessions ADD COLUMN dropped_variables INTEGER NOT NULL DEFAULT 0;  -- custom variables beyond 32 names
CREATE INDEX sessions_by_end ON sessions (end_ts) WHERE ended = 1;
CREATE INDEX calls_by_end ON calls (end_ts) WHERE in_progress = 0;
CREATE INDEX session_events_by_time ON session_events (ts);

CREATE TABLE actions (                 -- runs of VAR actions
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    seq              INTEGER NOT NULL, -- of the start
    action           TEXT    NOT NULL,
    parent           TEXT,
    start_ts         INTEGER NOT NULL,
    end_ts           INTEGER,          -- null while open
    result           TEXT,             -- null while open
    reason           TEXT,
    notes            TEXT,
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITHOUT ROWID;
CREATE INDEX actions_by_time ON actions (start_ts, action, result);

CREATE TABLE custom_variables (
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    place            INTEGER NOT NULL, -- from 0, in the order in which the names appeared
    name             TEXT    NOT NULL,
    value            TEXT    NOT NULL,
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, place)
) WITHOUT ROWID;
CREATE INDEX custom_variables_by_name ON custom_variables (name, value);

CREATE TABLE failures (                -- service quality; kept longer than the calls
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    seq              INTEGER NOT NULL,
    ts               INTEGER NOT NULL,
    cause            TEXT    NOT NULL,
    detail           TEXT,
    comp             TEXT    NOT NULL, -- from here on: of the session
    tenant_id        INTEGER,
    tenant_path      TEXT,             -- JSON list of tenant DBIDs from the root
    tenant_name      TEXT,
    app_id           INTEGER,
    app_name         TEXT,
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITHOUT ROWID;
CREATE INDEX failures_by_time ON failures (ts);

CREATE TABLE latencies (               -- of a session, by category and type; whole microseconds
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    place            INTEGER NOT NULL, -- from 0, by category and type
    category         TEXT    NOT NULL,
    type             TEXT    NOT NULL,
    samples          INTEGER NOT NULL,
    total_us         INTEGER NOT NULL,
    squares          TEXT    NOT NULL, -- sum of squares, decimal text
    low_us           INTEGER NOT NULL,
    high_us          INTEGER NOT NULL,
    buckets          TEXT    NOT NULL, -- JSON object bucket -> n
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, place)
) WITHOUT ROWID;
