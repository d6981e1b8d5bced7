-- Retention looks for the oldest bins of a granularity.

CREATE INDEX bins_by_age ON bins (granularity, bin_start);
