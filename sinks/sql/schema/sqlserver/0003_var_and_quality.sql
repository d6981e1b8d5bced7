-- VAR and service quality of sessions as rows. They are replaced as a whole with their call. A session that was stored before this
-- script has none of them until it is written again.

ALTER TABLE sessions ADD result_reason nvarchar(512);                         -- of the call result
GO
ALTER TABLE sessions ADD result_notes nvarchar(max);
GO
ALTER TABLE sessions ADD dropped_starts bigint NOT NULL DEFAULT 0;            -- action starts whose parent never started
GO
ALTER TABLE sessions ADD dropped_ends bigint NOT NULL DEFAULT 0;              -- action ends without an open run
GO
ALTER TABLE sessions ADD dropped_variables bigint NOT NULL DEFAULT 0;         -- custom variables beyond 32 names
GO

CREATE INDEX sessions_by_end ON sessions (end_ts) INCLUDE (comp, comp_id, tenant_id, app_id, result, end_state) WHERE ended = 1;
GO

CREATE INDEX calls_by_end ON calls (end_ts) WHERE in_progress = 0;
GO

CREATE INDEX session_events_by_time ON session_events (ts);
GO

CREATE TABLE actions (                             -- runs of VAR actions
    source_partition bigint        NOT NULL,
    guid             varchar(36)   COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint        NOT NULL,
    session          varchar(64)   COLLATE Latin1_General_BIN2 NOT NULL,
    seq              bigint        NOT NULL,       -- of the start
    action           nvarchar(128) NOT NULL,
    parent           nvarchar(128),
    start_ts         datetime2(3)  NOT NULL,
    end_ts           datetime2(3),                 -- null while open
    result           varchar(16),                  -- null while open
    reason           nvarchar(512),
    notes            nvarchar(max),
    generation       bigint        NOT NULL,
    mark             bigint        NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX actions_by_time ON actions (start_ts, action, result);
GO

CREATE TABLE custom_variables (
    source_partition bigint        NOT NULL,
    guid             varchar(36)   COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint        NOT NULL,
    session          varchar(64)   COLLATE Latin1_General_BIN2 NOT NULL,
    place            bigint        NOT NULL,       -- from 0, in the order in which the names appeared
    name             nvarchar(128) NOT NULL,
    value            nvarchar(512) NOT NULL,
    generation       bigint        NOT NULL,
    mark             bigint        NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, place)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX custom_variables_by_name ON custom_variables (name, value);
GO

CREATE TABLE failures (                            -- service quality; kept longer than the calls
    source_partition bigint        NOT NULL,
    guid             varchar(36)   COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint        NOT NULL,
    session          varchar(64)   COLLATE Latin1_General_BIN2 NOT NULL,
    seq              bigint        NOT NULL,
    ts               datetime2(3)  NOT NULL,
    cause            varchar(32)   NOT NULL,
    detail           nvarchar(512),
    comp             varchar(8)    NOT NULL,       -- from here on: of the session
    tenant_id        bigint,
    tenant_path      nvarchar(max),                -- JSON list of tenant DBIDs from the root
    tenant_name      nvarchar(510),
    app_id           bigint,
    app_name         nvarchar(510),
    generation       bigint        NOT NULL,
    mark             bigint        NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, seq)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE INDEX failures_by_time ON failures (ts) INCLUDE (cause, comp_id, tenant_id, app_id);
GO

CREATE TABLE latencies (                           -- of a session, by category and type; whole microseconds
    source_partition bigint         NOT NULL,
    guid             varchar(36)    COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint         NOT NULL,
    session          varchar(64)    COLLATE Latin1_General_BIN2 NOT NULL,
    place            bigint         NOT NULL,      -- from 0, by category and type
    category         varchar(16)    NOT NULL,
    type             nvarchar(64)   NOT NULL,
    samples          bigint         NOT NULL,
    total_us         bigint         NOT NULL,
    squares          decimal(38, 0) NOT NULL,      -- sum of squares
    low_us           bigint         NOT NULL,
    high_us          bigint         NOT NULL,
    buckets          nvarchar(max)  NOT NULL,      -- JSON object bucket -> n
    generation       bigint         NOT NULL,
    mark             bigint         NOT NULL,
    PRIMARY KEY (source_partition, guid, comp_id, session, place)
) WITH (DATA_COMPRESSION = PAGE);
GO
