-- Calls, sessions, events and bins as the sinks store them. Times are UTC milliseconds.
-- Every row written from a table carries (generation, mark) and never goes back to an older pair.
-- Keys begin with the source partition, so that writers of different partitions touch different key ranges.

CREATE TABLE rs_meta (
    name  TEXT NOT NULL PRIMARY KEY,   -- 'generation'; 'billing_topic': id of the topic rs.billing these rows came from
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO rs_meta (name, value) VALUES ('generation', '1');

CREATE TABLE rs_offsets (
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,      -- everything below it is in the store
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE calls (
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    start_ts         INTEGER,
    end_ts           INTEGER,
    in_progress      INTEGER NOT NULL,
    tenant_id        INTEGER,
    tenant_path      TEXT,             -- JSON list of tenant DBIDs from the root
    tenant_name      TEXT,
    app_id           INTEGER,
    app_name         TEXT,
    dn               TEXT,
    call_type        TEXT    NOT NULL,
    remote_uri       TEXT,
    local_uri        TEXT,
    end_state        TEXT,             -- of the session that ranks first
    result           TEXT,             -- call result; null while in progress and none is set
    sessions         INTEGER NOT NULL,
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid)
) WITHOUT ROWID;
CREATE INDEX calls_by_guid ON calls (guid);
CREATE INDEX calls_by_start ON calls (start_ts DESC, guid);
CREATE INDEX calls_in_progress ON calls (start_ts) WHERE in_progress = 1;

CREATE TABLE sessions (
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    comp             TEXT    NOT NULL,
    start_ts         INTEGER,          -- null: unknown
    end_ts           INTEGER,
    ended            INTEGER NOT NULL,
    clock_skew       INTEGER NOT NULL,
    tenant_id        INTEGER,
    tenant_path      TEXT,
    tenant_name      TEXT,
    app_id           INTEGER,
    app_name         TEXT,
    dn               TEXT,
    call_type        TEXT    NOT NULL,
    remote_uri       TEXT,
    local_uri        TEXT,
    origin           TEXT,
    usage            TEXT,             -- JSON list of [tenant, n]
    burst            TEXT,             -- JSON list of [tenant, level]
    end_state        TEXT,             -- null while in progress
    reason           TEXT,
    sip_status       INTEGER,
    mos              REAL,
    jitter_ms        REAL,
    loss_pct         REAL,
    codec            TEXT,
    result           TEXT,
    duplicates       INTEGER NOT NULL,
    conflicts        INTEGER NOT NULL,
    messages         TEXT    NOT NULL, -- JSON list of {seq, kind, ts, receipt, offset, source, message_id}
    payloads         TEXT    NOT NULL, -- JSON object seq -> VAR and service quality events as they were sent
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session)
) WITHOUT ROWID;
CREATE INDEX sessions_by_guid ON sessions (guid);
CREATE INDEX sessions_in_progress ON sessions (comp, start_ts) WHERE ended = 0;

CREATE TABLE session_events (
    source_partition INTEGER NOT NULL,
    guid             TEXT    NOT NULL,
    comp_id          INTEGER NOT NULL,
    session          TEXT    NOT NULL,
    seq              INTEGER NOT NULL,
    ts               INTEGER NOT NULL,
    log_id           TEXT    NOT NULL,
    level            TEXT    NOT NULL,
    text             TEXT    NOT NULL,
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL, -- offset in rs.billing, plus one
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITHOUT ROWID;
CREATE INDEX session_events_by_guid ON session_events (guid);

CREATE TABLE bins (
    source_partition INTEGER NOT NULL, -- of rs.activity
    comp             TEXT    NOT NULL,
    dimension        TEXT    NOT NULL, -- component_type, component, tenant, tenant-own, app, dn
    value            TEXT    NOT NULL, -- DBID or DN; empty for component_type
    granularity      TEXT    NOT NULL,
    bin_start        INTEGER NOT NULL,
    arrivals         INTEGER NOT NULL,
    completed        INTEGER NOT NULL,
    in_progress      INTEGER NOT NULL, -- at the bin's end
    duration_n       INTEGER NOT NULL,
    duration_sum     INTEGER NOT NULL, -- ms
    duration_squares TEXT    NOT NULL, -- decimal text: up to 38 digits
    duration_min     INTEGER,
    duration_max     INTEGER,
    arrivals_by      TEXT    NOT NULL, -- JSON object call type -> n
    completed_by     TEXT    NOT NULL, -- JSON object end state -> n
    in_progress_by   TEXT    NOT NULL, -- JSON object call type -> n
    durations_by     TEXT    NOT NULL, -- JSON object end state -> {n, sum, squares (text), min, max, buckets}
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, comp, dimension, value, granularity, bin_start)
) WITHOUT ROWID;
CREATE INDEX bins_by_time ON bins (granularity, dimension, comp, bin_start, value);

CREATE TABLE freshness (
    source_partition INTEGER NOT NULL, -- of rs.activity
    billing_partition INTEGER NOT NULL,
    stream           INTEGER NOT NULL, -- stream time of the partition, ms
    clock            INTEGER NOT NULL,
    folded_to        INTEGER NOT NULL, -- receipt time up to which every message is in the bins
    generation       INTEGER NOT NULL,
    mark             INTEGER NOT NULL,
    PRIMARY KEY (source_partition, billing_partition)
) WITHOUT ROWID;

-- What people read: a bin gone to zero stays in the table as a guarded row and is hidden here.
CREATE VIEW bin_rows AS
    SELECT * FROM bins WHERE arrivals <> 0 OR completed <> 0 OR in_progress <> 0;
