-- Calls, sessions, events and bins as the sinks store them. Times are UTC. SQL Server 2016 SP1 or later.
-- Every row written from a table carries (generation, mark) and never goes back to an older pair.
-- Keys begin with the source partition, so that writers of different partitions touch different key ranges.
-- Names are compared as they are spelled, so the columns of keys have a binary collation. A limit of the contract counts code points,
-- nvarchar counts UTF-16 units: texts get twice as many.

CREATE TABLE rs_meta (
    name  varchar(64)   NOT NULL PRIMARY KEY,   -- 'generation'; 'billing_topic': id of the topic rs.billing these rows came from
    value nvarchar(256) NOT NULL
);
GO

INSERT INTO rs_meta (name, value) VALUES ('generation', '1');
GO

CREATE TABLE rs_offsets (
    topic       varchar(249) NOT NULL,
    partition   bigint       NOT NULL,
    next_offset bigint       NOT NULL,          -- everything below it is in the store
    PRIMARY KEY (topic, partition)
);
GO

CREATE TABLE calls (
    source_partition bigint         NOT NULL,
    guid             varchar(36)    COLLATE Latin1_General_BIN2 NOT NULL,
    start_ts         datetime2(3),
    end_ts           datetime2(3),
    in_progress      bit            NOT NULL,
    tenant_id        bigint,
    tenant_path      nvarchar(max),             -- JSON list of tenant DBIDs from the root
    tenant_name      nvarchar(510),
    app_id           bigint,
    app_name         nvarchar(510),
    dn               varchar(32),
    call_type        varchar(16)    NOT NULL,
    remote_uri       nvarchar(1024),
    local_uri        nvarchar(1024),
    end_state        varchar(16),               -- of the session that ranks first
    result           varchar(16),               -- call result; null while in progress and none is set
    sessions         bigint         NOT NULL,
    generation       bigint         NOT NULL,
    mark             bigint         NOT NULL,
    PRIMARY KEY (source_partition, guid)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX calls_by_guid ON calls (guid);
GO

CREATE INDEX calls_by_start ON calls (start_ts DESC, guid)
    INCLUDE (end_ts, in_progress, tenant_id, app_id, dn, call_type, end_state, result, sessions);
GO

CREATE INDEX calls_in_progress ON calls (start_ts) INCLUDE (tenant_id, app_id, dn, call_type) WHERE in_progress = 1;
GO

CREATE TABLE sessions (
    source_partition bigint         NOT NULL,
    guid             varchar(36)    COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint         NOT NULL,
    session          varchar(64)    COLLATE Latin1_General_BIN2 NOT NULL,
    comp             varchar(8)     NOT NULL,
    start_ts         datetime2(3),              -- null: unknown
    end_ts           datetime2(3),
    ended            bit            NOT NULL,
    clock_skew       bit            NOT NULL,
    tenant_id        bigint,
    tenant_path      nvarchar(max),
    tenant_name      nvarchar(510),
    app_id           bigint,
    app_name         nvarchar(510),
    dn               varchar(32),
    call_type        varchar(16)    NOT NULL,
    remote_uri       nvarchar(1024),
    local_uri        nvarchar(1024),
    origin           nvarchar(510),
    usage            nvarchar(max),             -- JSON list of [tenant, n]
    burst            nvarchar(max),             -- JSON list of [tenant, level]
    end_state        varchar(16),               -- null while in progress
    reason           nvarchar(512),
    sip_status       bigint,
    mos              float,
    jitter_ms        float,
    loss_pct         float,
    codec            nvarchar(64),
    result           varchar(16),
    duplicates       bigint         NOT NULL,
    conflicts        bigint         NOT NULL,
    messages         nvarchar(max)  NOT NULL,   -- JSON list of {seq, kind, ts, receipt, offset, source, message_id}
    payloads         nvarchar(max)  NOT NULL,   -- JSON object seq -> VAR and service quality events as they were sent
    generation       bigint         NOT NULL,
    mark             bigint         NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX sessions_by_guid ON sessions (guid);
GO

CREATE INDEX sessions_in_progress ON sessions (comp, start_ts) WHERE ended = 0;
GO

CREATE TABLE session_events (
    source_partition bigint         NOT NULL,
    guid             varchar(36)    COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint         NOT NULL,
    session          varchar(64)    COLLATE Latin1_General_BIN2 NOT NULL,
    seq              bigint         NOT NULL,
    ts               datetime2(3)   NOT NULL,
    log_id           nvarchar(128)  NOT NULL,
    level            varchar(8)     NOT NULL,
    text             nvarchar(max)  NOT NULL,
    generation       bigint         NOT NULL,
    mark             bigint         NOT NULL,   -- offset in rs.billing, plus one
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX session_events_by_guid ON session_events (guid);
GO

CREATE TABLE bins (
    source_partition bigint         NOT NULL,   -- of rs.activity
    comp             varchar(8)     COLLATE Latin1_General_BIN2 NOT NULL,
    dimension        varchar(16)    COLLATE Latin1_General_BIN2 NOT NULL,  -- component_type, component, tenant, tenant-own, app, dn
    value            varchar(32)    COLLATE Latin1_General_BIN2 NOT NULL,  -- DBID or DN; empty for component_type
    granularity      varchar(16)    COLLATE Latin1_General_BIN2 NOT NULL,
    bin_start        datetime2(3)   NOT NULL,
    arrivals         bigint         NOT NULL,
    completed        bigint         NOT NULL,
    in_progress      bigint         NOT NULL,   -- at the bin's end
    duration_n       bigint         NOT NULL,
    duration_sum     bigint         NOT NULL,   -- ms
    duration_squares decimal(38, 0) NOT NULL,
    duration_min     bigint,
    duration_max     bigint,
    arrivals_by      nvarchar(max)  NOT NULL,   -- JSON object call type -> n
    completed_by     nvarchar(max)  NOT NULL,   -- JSON object end state -> n
    in_progress_by   nvarchar(max)  NOT NULL,   -- JSON object call type -> n
    durations_by     nvarchar(max)  NOT NULL,   -- JSON object end state -> {n, sum, squares (text), min, max, buckets}
    generation       bigint         NOT NULL,
    mark             bigint         NOT NULL,
    PRIMARY KEY (source_partition, comp, dimension, value, granularity, bin_start)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX bins_by_time ON bins (granularity, dimension, comp, bin_start, value)
    INCLUDE (arrivals, completed, in_progress, duration_n, duration_sum);
GO

CREATE TABLE freshness (
    source_partition  bigint       NOT NULL,    -- of rs.activity
    billing_partition bigint       NOT NULL,
    stream            datetime2(3) NOT NULL,    -- stream time of the partition
    clock             datetime2(3) NOT NULL,
    folded_to         datetime2(3) NOT NULL,    -- receipt time up to which every message is in the bins
    generation        bigint       NOT NULL,
    mark              bigint       NOT NULL,
    PRIMARY KEY (source_partition, billing_partition)
);
GO

-- What people read: a bin gone to zero stays in the table as a guarded row and is hidden here.
CREATE VIEW bin_rows AS
    SELECT * FROM bins WHERE arrivals <> 0 OR completed <> 0 OR in_progress <> 0;
GO
