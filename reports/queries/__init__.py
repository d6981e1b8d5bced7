"""Every SQL statement of the reports: connection in, frozen typed rows out. Times are UTC milliseconds."""
