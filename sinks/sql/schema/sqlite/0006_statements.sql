-- Billing statements: closed months, what they were made of, and what changed afterwards. Kept for ever; a rebuild never touches them.

CREATE TABLE billing_months ( -- a month whose statements are closed, or being closed
    month            TEXT           NOT NULL, -- such as 2026-10
    starts           INTEGER        NOT NULL, -- in the reporting time zone of the closing
    ends             INTEGER        NOT NULL,
    zone             TEXT           NOT NULL,
    rounding         TEXT           NOT NULL, -- setting billing.rounding
    state            TEXT           NOT NULL, -- closing: not all of it is there; closed
    begun_at         INTEGER        NOT NULL, -- by the clock on the wall
    closed_at        INTEGER,
    closed_by        TEXT           NOT NULL,
    reason           TEXT,                    -- why it was closed before its time
    folded_to        INTEGER,                 -- freshness of the figures: receipt up to which all was in the store
    as_of            INTEGER        NOT NULL, -- sessions in progress occupy seconds up to this instant
    log_id           TEXT,                    -- id of the log that the positions of messages are of
    topic            TEXT           NOT NULL, -- its name
    generation       INTEGER        NOT NULL,
    PRIMARY KEY (month)
) WITHOUT ROWID;

CREATE TABLE billing_sessions ( -- copies of the RM sessions of a closed month as they were then; never changed
    month            TEXT           NOT NULL,
    guid             TEXT           NOT NULL,
    comp_id          INTEGER        NOT NULL,
    session          TEXT           NOT NULL,
    source_partition INTEGER        NOT NULL, -- of the topic that the month names
    start_ts         INTEGER,                 -- null: unknown
    end_ts           INTEGER,                 -- null: in progress
    tenant_path      TEXT           NOT NULL, -- JSON list of tenant DBIDs from the root
    app_id           INTEGER,
    app_name         TEXT,
    dn               TEXT,
    end_state        TEXT,
    burst            TEXT,                    -- JSON list of [tenant, level]
    messages         TEXT           NOT NULL, -- as in sessions
    PRIMARY KEY (month, guid, comp_id, session)
) WITHOUT ROWID;

CREATE TABLE billing_lines ( -- frozen figures of a statement
    month            TEXT           NOT NULL,
    tenant_id        INTEGER        NOT NULL,
    line             TEXT           NOT NULL, -- profile DBID, none, or total
    name             TEXT,                    -- of the profile, in the total of the tenant
    calls            INTEGER        NOT NULL, -- different guids
    sessions         INTEGER        NOT NULL,
    minutes          INTEGER        NOT NULL, -- each session rounded by the rule of the month
    burst_1          INTEGER        NOT NULL, -- sessions at that burst level of the tenant
    burst_2          INTEGER        NOT NULL,
    burst_3          INTEGER        NOT NULL,
    rejected         INTEGER        NOT NULL, -- in no other figure but the peak
    peak             INTEGER        NOT NULL, -- sessions in progress in one second
    peak_at          INTEGER,                 -- the first such second
    PRIMARY KEY (month, tenant_id, line)
) WITHOUT ROWID;

CREATE TABLE billing_changes ( -- sessions that changed, or came, after their month was closed
    month            TEXT           NOT NULL,
    number           INTEGER        NOT NULL, -- from 1, in the order in which they were found
    receipt          INTEGER        NOT NULL, -- of the latest message of the session: the date of the adjustment
    noted_at         INTEGER        NOT NULL, -- by the clock on the wall
    guid             TEXT           NOT NULL,
    comp_id          INTEGER        NOT NULL,
    session          TEXT           NOT NULL,
    source_partition INTEGER        NOT NULL,
    before           TEXT,                    -- JSON object, what counted until then; null: a new session
    after            TEXT           NOT NULL, -- JSON object, what counts from then on
    messages         TEXT           NOT NULL, -- as in sessions
    log_id           TEXT,                    -- id of the log that the positions of messages are of
    topic            TEXT           NOT NULL, -- its name
    PRIMARY KEY (month, number)
) WITHOUT ROWID;

CREATE TABLE billing_adjustments ( -- differences to the frozen figures that a change makes
    month            TEXT           NOT NULL,
    number           INTEGER        NOT NULL, -- of the change
    tenant_id        INTEGER        NOT NULL,
    line             TEXT           NOT NULL, -- as in billing_lines
    name             TEXT,                    -- of the profile
    calls            INTEGER        NOT NULL,
    sessions         INTEGER        NOT NULL,
    minutes          INTEGER        NOT NULL,
    burst_1          INTEGER        NOT NULL,
    burst_2          INTEGER        NOT NULL,
    burst_3          INTEGER        NOT NULL,
    rejected         INTEGER        NOT NULL,
    peak             INTEGER        NOT NULL,
    peak_at          INTEGER,                 -- when the peak is from then on
    PRIMARY KEY (month, number, tenant_id, line)
) WITHOUT ROWID;

CREATE INDEX billing_sessions_by_end ON billing_sessions (month, end_ts);

CREATE INDEX billing_changes_by_session ON billing_changes (guid);
