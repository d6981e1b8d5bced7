"""Every SQL statement of the reports: a reading in, frozen typed rows out. Times are UTC milliseconds."""
