-- Views for people who write SQL: plain names, times as text (UTC), nothing of the inside. Their columns stay as they are from here on.

CREATE VIEW call_overview AS
    SELECT guid,
        strftime('%Y-%m-%d %H:%M:%S', start_ts / 1000, 'unixepoch') || printf('.%03d', start_ts % 1000) AS started,
        strftime('%Y-%m-%d %H:%M:%S', end_ts / 1000, 'unixepoch') || printf('.%03d', end_ts % 1000) AS ended,
        (end_ts - start_ts) / 1000.0 AS seconds,
        in_progress, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile, dn, call_type,
        remote_uri, local_uri, end_state, result, sessions
    FROM calls;

CREATE VIEW cdrs AS
    SELECT guid, comp AS component, comp_id AS component_id, session,
        strftime('%Y-%m-%d %H:%M:%S', start_ts / 1000, 'unixepoch') || printf('.%03d', start_ts % 1000) AS started,
        strftime('%Y-%m-%d %H:%M:%S', end_ts / 1000, 'unixepoch') || printf('.%03d', end_ts % 1000) AS ended,
        (end_ts - start_ts) / 1000.0 AS seconds,
        1 - ended AS in_progress, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile, dn, call_type,
        remote_uri, local_uri, origin, end_state, reason, sip_status, mos, jitter_ms, loss_pct, codec, result, result_reason, result_notes
    FROM sessions;

CREATE VIEW session_log AS
    SELECT guid, comp_id AS component_id, session, seq,
        strftime('%Y-%m-%d %H:%M:%S', ts / 1000, 'unixepoch') || printf('.%03d', ts % 1000) AS happened,
        log_id, level, text
    FROM session_events;

CREATE VIEW var_actions AS
    SELECT guid, comp_id AS component_id, session, seq, action, parent,
        strftime('%Y-%m-%d %H:%M:%S', start_ts / 1000, 'unixepoch') || printf('.%03d', start_ts % 1000) AS started,
        strftime('%Y-%m-%d %H:%M:%S', end_ts / 1000, 'unixepoch') || printf('.%03d', end_ts % 1000) AS ended,
        (end_ts - start_ts) / 1000.0 AS seconds,
        result, reason, notes
    FROM actions;

CREATE VIEW var_variables AS
    SELECT guid, comp_id AS component_id, session, name, value
    FROM custom_variables;

CREATE VIEW quality_failures AS
    SELECT guid, comp AS component, comp_id AS component_id, session,
        strftime('%Y-%m-%d %H:%M:%S', ts / 1000, 'unixepoch') || printf('.%03d', ts % 1000) AS happened,
        cause, detail, tenant_id, tenant_name AS tenant, app_id AS profile_id, app_name AS profile
    FROM failures;

CREATE VIEW session_latencies AS
    SELECT guid, comp_id AS component_id, session, category, type, samples,
        total_us / 1000.0 / samples AS average_ms, low_us / 1000.0 AS lowest_ms, high_us / 1000.0 AS highest_ms
    FROM latencies;

CREATE VIEW bin_figures AS
    SELECT comp AS component, dimension, value, granularity,
        strftime('%Y-%m-%d %H:%M:%S', bin_start / 1000, 'unixepoch') AS bin_start,
        arrivals, completed, in_progress, duration_sum / 1000.0 / nullif(duration_n, 0) AS average_seconds,
        peak, strftime('%Y-%m-%d %H:%M:%S', peak_at / 1000, 'unixepoch') AS peak_at,
        quality_calls, quality_failed
    FROM bin_rows;
