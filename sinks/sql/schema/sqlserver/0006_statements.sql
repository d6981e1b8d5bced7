-- Billing statements: closed months, what they were made of, and what changed afterwards. Kept for ever; a rebuild never touches them.

CREATE TABLE billing_months ( -- a month whose statements are closed, or being closed
    month            varchar(7) COLLATE Latin1_General_BIN2 NOT NULL, -- such as 2026-10
    starts           datetime2(3)   NOT NULL,   -- in the reporting time zone of the closing
    ends             datetime2(3)   NOT NULL,
    zone             varchar(64)    NOT NULL,
    rounding         varchar(16)    NOT NULL,   -- setting billing.rounding
    state            varchar(8)     NOT NULL,   -- closing: not all of it is there; closed
    begun_at         datetime2(3)   NOT NULL,   -- by the clock on the wall
    closed_at        datetime2(3),
    closed_by        nvarchar(256)  NOT NULL,
    reason           nvarchar(1024),            -- why it was closed before its time
    folded_to        datetime2(3),              -- freshness of the figures: receipt up to which all was in the store
    as_of            datetime2(3)   NOT NULL,   -- sessions in progress occupy seconds up to this instant
    log_id           nvarchar(512),             -- id of the log that the positions of messages are of
    topic            varchar(249)   NOT NULL,   -- its name
    generation       bigint         NOT NULL,
    PRIMARY KEY (month)
);
GO

CREATE TABLE billing_sessions ( -- copies of the RM sessions of a closed month as they were then; never changed
    month            varchar(7) COLLATE Latin1_General_BIN2 NOT NULL,
    guid             varchar(36) COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint         NOT NULL,
    session          varchar(64) COLLATE Latin1_General_BIN2 NOT NULL,
    source_partition bigint         NOT NULL,   -- of the topic that the month names
    start_ts         datetime2(3),              -- null: unknown
    end_ts           datetime2(3),              -- null: in progress
    tenant_path      nvarchar(max)  NOT NULL,   -- JSON list of tenant DBIDs from the root
    app_id           bigint,
    app_name         nvarchar(510),
    dn               varchar(32),
    end_state        varchar(16),
    burst            nvarchar(max),             -- JSON list of [tenant, level]
    messages         nvarchar(max)  NOT NULL,   -- as in sessions
    PRIMARY KEY (month, guid, comp_id, session)
) WITH (DATA_COMPRESSION = PAGE);
GO

CREATE TABLE billing_lines ( -- frozen figures of a statement
    month            varchar(7) COLLATE Latin1_General_BIN2 NOT NULL,
    tenant_id        bigint         NOT NULL,
    line             varchar(16) COLLATE Latin1_General_BIN2 NOT NULL, -- profile DBID, none, or total
    name             nvarchar(510),             -- of the profile, in the total of the tenant
    calls            bigint         NOT NULL,   -- different guids
    sessions         bigint         NOT NULL,
    minutes          bigint         NOT NULL,   -- each session rounded by the rule of the month
    burst_1          bigint         NOT NULL,   -- sessions at that burst level of the tenant
    burst_2          bigint         NOT NULL,
    burst_3          bigint         NOT NULL,
    rejected         bigint         NOT NULL,   -- in no other figure but the peak
    peak             bigint         NOT NULL,   -- sessions in progress in one second
    peak_at          datetime2(3),              -- the first such second
    PRIMARY KEY (month, tenant_id, line)
);
GO

CREATE TABLE billing_changes ( -- sessions that changed, or came, after their month was closed
    month            varchar(7) COLLATE Latin1_General_BIN2 NOT NULL,
    number           bigint         NOT NULL,   -- from 1, in the order in which they were found
    receipt          datetime2(3)   NOT NULL,   -- of the latest message of the session: the date of the adjustment
    noted_at         datetime2(3)   NOT NULL,   -- by the clock on the wall
    guid             varchar(36) COLLATE Latin1_General_BIN2 NOT NULL,
    comp_id          bigint         NOT NULL,
    session          varchar(64) COLLATE Latin1_General_BIN2 NOT NULL,
    source_partition bigint         NOT NULL,
    before           nvarchar(max),             -- JSON object, what counted until then; null: a new session
    after            nvarchar(max)  NOT NULL,   -- JSON object, what counts from then on
    messages         nvarchar(max)  NOT NULL,   -- as in sessions
    log_id           nvarchar(512),             -- id of the log that the positions of messages are of
    topic            varchar(249)   NOT NULL,   -- its name
    PRIMARY KEY (month, number)
);
GO

CREATE TABLE billing_adjustments ( -- differences to the frozen figures that a change makes
    month            varchar(7) COLLATE Latin1_General_BIN2 NOT NULL,
    number           bigint         NOT NULL,   -- of the change
    tenant_id        bigint         NOT NULL,
    line             varchar(16) COLLATE Latin1_General_BIN2 NOT NULL, -- as in billing_lines
    name             nvarchar(510),             -- of the profile
    calls            bigint         NOT NULL,
    sessions         bigint         NOT NULL,
    minutes          bigint         NOT NULL,
    burst_1          bigint         NOT NULL,
    burst_2          bigint         NOT NULL,
    burst_3          bigint         NOT NULL,
    rejected         bigint         NOT NULL,
    peak             bigint         NOT NULL,
    peak_at          datetime2(3),              -- when the peak is from then on
    PRIMARY KEY (month, number, tenant_id, line)
);
GO

CREATE INDEX billing_sessions_by_end ON billing_sessions (month, end_ts);
GO

CREATE INDEX billing_changes_by_session ON billing_changes (guid);
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON billing_months TO rs_writer;
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON billing_sessions TO rs_writer;
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON billing_lines TO rs_writer;
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON billing_changes TO rs_writer;
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON billing_adjustments TO rs_writer;
GO

GRANT SELECT ON billing_months TO rs_reader;
GO

GRANT SELECT ON billing_sessions TO rs_reader;
GO

GRANT SELECT ON billing_lines TO rs_reader;
GO

GRANT SELECT ON billing_changes TO rs_reader;
GO

GRANT SELECT ON billing_adjustments TO rs_reader;
GO
