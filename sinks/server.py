"""Which SQL Server the settings name. Knows nothing of writing, so that reports can ask it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.settings import Settings, WrongSettings

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
        return address_of(settings.sinks.database), password_of(settings)
    except WrongDatabase as wrong:
        raise WrongSettings(f"setting sinks.database: {wrong}; a file is named sqlite:///FILE") from None


def password_of(settings: Settings) -> str | None:
    """Raises WrongSettings if the file cannot be read."""
    file = settings.sinks.password_file
    if file is None:
        return settings.sinks.password.get_secret_value() or None
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongSettings(f"setting sinks.password_file is {file}: {reason}") from None
