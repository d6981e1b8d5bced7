-- Views for people who write SQL: plain names, nothing of the inside. Their columns stay as they are from here on. And two roles:
-- rs_reader may read, rs_writer is what the sinks need.

CREATE VIEW call_overview AS
    SELECT guid, start_ts AS started, end_ts AS ended, CAST(DATEDIFF_BIG(millisecond, start_ts, end_ts) / 1000.0 AS decimal(18, 3)) AS seconds,
        in_progress, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile, dn, call_type,
        remote_uri, local_uri, end_state, result, sessions
    FROM calls;
GO

CREATE VIEW cdrs AS
    SELECT guid, comp AS component, comp_id AS component_id, session,
        start_ts AS started, end_ts AS ended, CAST(DATEDIFF_BIG(millisecond, start_ts, end_ts) / 1000.0 AS decimal(18, 3)) AS seconds,
        1 - CAST(ended AS int) AS in_progress, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile, dn, call_type,
        remote_uri, local_uri, origin, end_state, reason, sip_status, mos, jitter_ms, loss_pct, codec, result, result_reason, result_notes
    FROM sessions;
GO

CREATE VIEW session_log AS
    SELECT guid, comp_id AS component_id, session, seq, ts AS happened, log_id, level, text
    FROM session_events;
GO

CREATE VIEW var_actions AS
    SELECT guid, comp_id AS component_id, session, seq, action, parent,
        start_ts AS started, end_ts AS ended, CAST(DATEDIFF_BIG(millisecond, start_ts, end_ts) / 1000.0 AS decimal(18, 3)) AS seconds,
        result, reason, notes
    FROM actions;
GO

CREATE VIEW var_variables AS
    SELECT guid, comp_id AS component_id, session, name, value
    FROM custom_variables;
GO

CREATE VIEW quality_failures AS
    SELECT guid, comp AS component, comp_id AS component_id, session, ts AS happened,
        cause, detail, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile
    FROM failures;
GO

CREATE VIEW session_latencies AS
    SELECT guid, comp_id AS component_id, session, category, type, samples,
        CAST(total_us / 1000.0 / samples AS decimal(18, 3)) AS average_ms, CAST(low_us / 1000.0 AS decimal(18, 3)) AS lowest_ms,
        CAST(high_us / 1000.0 AS decimal(18, 3)) AS highest_ms
    FROM latencies;
GO

CREATE VIEW bin_figures AS
    SELECT comp AS component, dimension, value, granularity, bin_start,
        arrivals, completed, in_progress, CAST(duration_sum / 1000.0 / NULLIF(duration_n, 0) AS decimal(18, 3)) AS average_seconds,
        peak, peak_at, quality_calls, quality_failed
    FROM bin_rows;
GO

IF DATABASE_PRINCIPAL_ID('rs_reader') IS NULL CREATE ROLE rs_reader;
GO

IF DATABASE_PRINCIPAL_ID('rs_writer') IS NULL CREATE ROLE rs_writer;
GO

GRANT SELECT, INSERT, UPDATE, DELETE ON rs_meta TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON rs_offsets TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON calls TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON actions TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON custom_variables TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON failures TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON latencies TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON session_events TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON bins TO rs_writer;
GO
GRANT SELECT, INSERT, UPDATE, DELETE ON freshness TO rs_writer;
GO
GRANT SELECT ON rs_schema TO rs_writer;
GO

GRANT SELECT ON rs_meta TO rs_reader;
GO
GRANT SELECT ON rs_offsets TO rs_reader;
GO
GRANT SELECT ON calls TO rs_reader;
GO
GRANT SELECT ON sessions TO rs_reader;
GO
GRANT SELECT ON actions TO rs_reader;
GO
GRANT SELECT ON custom_variables TO rs_reader;
GO
GRANT SELECT ON failures TO rs_reader;
GO
GRANT SELECT ON latencies TO rs_reader;
GO
GRANT SELECT ON session_events TO rs_reader;
GO
GRANT SELECT ON bins TO rs_reader;
GO
GRANT SELECT ON freshness TO rs_reader;
GO
GRANT SELECT ON bin_rows TO rs_reader;
GO
GRANT SELECT ON call_overview TO rs_reader;
GO
GRANT SELECT ON cdrs TO rs_reader;
GO
GRANT SELECT ON session_log TO rs_reader;
GO
GRANT SELECT ON var_actions TO rs_reader;
GO
GRANT SELECT ON var_variables TO rs_reader;
GO
GRANT SELECT ON quality_failures TO rs_reader;
GO
GRANT SELECT ON session_latencies TO rs_reader;
GO
GRANT SELECT ON bin_figures TO rs_reader;
GO
