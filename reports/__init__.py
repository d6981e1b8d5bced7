"""Reports: JSON under /ems-rs and the pages, read from the SQL store alone. Knows nothing of Kafka."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("reporting-server")
except PackageNotFoundError:  # run from a checkout that was not installed
    VERSION = "development"
