-- Lists of finished call detail records, newest first, and a session by its id, as its event log is asked for.

CREATE INDEX sessions_by_start ON sessions (comp, start_ts DESC, guid, comp_id, session) WHERE ended = 1;
GO
CREATE INDEX sessions_by_session ON sessions (session, comp_id);
GO
