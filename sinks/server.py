"""Which SQL Server the settings name. Knows nothing of writing, so that reports can ask it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.settings import Settings, WrongSettings, secret_of

if TYPE_CHECKING:
    from sinks.sql.odbc import Address


def server_of(settings: Settings) -> tuple[Address, str | None]:
    """The address that the setting sinks.database names, and the password. Raises WrongSettings."""
    try:  # pyodbc links unixODBC, which nobody needs for a file
        from sinks.sql.odbc import WrongDatabase, address_of
    except ImportError as missing:
        raise WrongSettings(
            f"setting sinks.database: a SQL Server is reached by unixODBC; install it (Debian: unixodbc): {missing}"
        ) from None
    try:
        address = address_of(settings.sinks.database)
    except WrongDatabase as wrong:
        raise WrongSettings(f"setting sinks.database: {wrong}; a file is named sqlite:///FILE") from None
    return address, secret_of(settings.sinks.password, settings.sinks.password_file, "sinks.password_file") or None
