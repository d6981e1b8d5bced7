"""ODBC: the connection string of a database that sinks.database names, and the driver that speaks to it.

    mssql://USER@HOST:1433/DATABASE?driver=...&Keyword=Value     keywords of the driver; `driver` may be left out
    odbc:DSN=...;Keyword=Value                                   a connection string as it stands

The password is never part of either: it comes from sinks.password or sinks.password_file. Encryption is on and the server's
certificate is checked, unless a keyword says otherwise.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pyodbc

MSSQL = "mssql://"
ODBC = "odbc:"
PORT = 1433
SECRETS = {"pwd", "password"}
FREETDS = "FreeTDS"
APPLICATION = "reporting-server"

# What FreeTDS and Microsoft's driver set differently: a session without these is refused filtered indexes.
OPTIONS = (
    "SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; "
    "SET QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF"
)


class WrongDatabase(ValueError):
    """sinks.database cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is. `keywords`: what the user gave to the driver, their names as spelled.

    Shown in logs as `where`, which holds no secret.
    """

    keywords: tuple[tuple[str, str], ...]
    where: str

    def given(self, *names: str) -> str | None:
        """The value of the first keyword of these names, whatever its case."""
        wanted = {name.lower() for name in names}
        return next((value for name, value in self.keywords if name.lower() in wanted), None)


def address_of(database: str) -> Address:
    """Read sinks.database. Raises WrongDatabase."""
    if database.startswith(ODBC):
        keywords = tuple(_pairs(database.removeprefix(ODBC)))
        where = next((value for name, value in keywords if name.lower() in {"dsn", "server"}), "odbc")
        address = Address(keywords, where)
    elif database.startswith(MSSQL):
        address = _of_url(database)
    else:
        raise WrongDatabase("a SQL Server is named mssql://USER@HOST:1433/DATABASE or odbc:DSN=NAME")
    if address.given(*SECRETS) is not None:
        raise WrongDatabase("the password does not belong there, where it would be shown: use sinks.password or sinks.password_file")
    return address


def _of_url(url: str) -> Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORT
    except ValueError as exc:
        raise WrongDatabase(f"it is no URL ({exc})") from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.password is not None:
        raise WrongDatabase("the password does not belong there, where it would be shown: use sinks.password or sinks.password_file")
    if not host or not database:
        raise WrongDatabase("a SQL Server is named mssql://USER@HOST:1433/DATABASE: host or database is missing")
    given = parse_qsl(parts.query, keep_blank_values=True)
    keywords = [("Server", host), ("Port", str(port)), ("Database", database)]
    if parts.username:
        keywords.append(("UID", unquote(parts.username)))
    return Address((*keywords, *given), f"{host}:{port}/{database}")


def _pairs(text: str) -> list[tuple[str, str]]:
    """Keyword=Value;Keyword={Value;with}}braces};..."""
    pairs, at = [], 0
    while at < len(text):
        name, equals, _ = text[at:].partition("=")
        if not equals:
            if name.strip(" ;"):
                raise WrongDatabase("odbc: is followed by Keyword=Value;Keyword=Value")
            break
        at += len(name) + 1
        if text[at : at + 1] == "{":
            end = at + 1
            while (end := text.find("}", end)) >= 0 and text[end + 1 : end + 2] == "}":
                end += 2
            if end < 0:
                raise WrongDatabase("odbc: a brace is not closed")
            value, at = text[at + 1 : end].replace("}}", "}"), end + 1
        else:
            value, _, _ = text[at:].partition(";")
            at += len(value)
        pairs.append((name.strip(" ;"), value))
        at += text[at : at + 1] == ";"
    return pairs


def connection_string(address: Address, password: str | None, drivers: Callable[[], list[str]] | None = None) -> str:
    """What the driver manager takes, the password in it. `drivers`: those that are installed. Raises WrongDatabase."""
    keywords = [(name, value) for name, value in address.keywords if name.lower() != "driver"]
    driver = address.given("driver")
    if driver is None and address.given("dsn") is None:
        driver = choose((drivers or installed)())
    if driver is not None:
        keywords = [("DRIVER", driver), *keywords]
    if driver is not None and is_freetds(driver):
        keywords = _for_freetds(address, keywords)
    elif address.given("dsn") is None:
        keywords = _for_microsoft(address, keywords)
    if password:
        keywords.append(("PWD", password))
    freetds = driver is not None and is_freetds(driver)
    return ";".join(f"{name}={braced(value, escape=not freetds)}" for name, value in keywords)


def is_freetds(driver: str) -> bool:
    return "freetds" in driver.lower() or "tdsodbc" in driver.lower()


def _for_microsoft(address: Address, keywords: list[tuple[str, str]]) -> list[tuple[str, str]]:
    port = address.given("port")
    if port is not None:  # this driver wants it behind the host
        keywords = [
            (name, f"tcp:{value},{port}" if name.lower() == "server" else value) for name, value in keywords if name.lower() != "port"
        ]
    return keywords + _unless_given(address, {"Encrypt": "yes", "TrustServerCertificate": "no", "APP": APPLICATION})


def _for_freetds(address: Address, keywords: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # This driver checks a certificate only if its own file, freetds.conf, names the authorities. What the user has to say in so
    # many words is that it is not checked.
    trusting = (address.given("TrustServerCertificate") or "").lower() in {"yes", "true", "1"}
    unencrypted = (address.given("Encryption", "Encrypt") or "").lower() in {"off", "no", "optional"}
    if not (trusting or unencrypted or address.given("servername")):
        raise WrongDatabase(
            "FreeTDS checks the server's certificate only when a section of freetds.conf has `ca file`: name the section with "
            "?Servername=SECTION, or accept any certificate with ?TrustServerCertificate=yes, or take Microsoft's driver"
        )
    mine = {"encrypt", "trustservercertificate"}
    if address.given("servername"):  # address and encryption are those of the section
        mine |= {"server", "port"}
    keywords = [(name, value) for name, value in keywords if name.lower() not in mine]
    defaults = {"TDS_Version": "7.4", "ClientCharset": "UTF-8", "APP": APPLICATION}
    if not address.given("servername"):
        defaults["Encryption"] = "off" if unencrypted else "require"
    return keywords + _unless_given(address, defaults)


def _unless_given(address: Address, defaults: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in defaults.items() if address.given(name) is None]


def braced(value: str, *, escape: bool = True) -> str:
    """A value as a connection string spells it: in braces when it has a character that means something there. FreeTDS 1.3 knows
    braces, but no brace in them (`escape`). Raises WrongDatabase, without the value."""
    if not (value.startswith("{") or ";" in value or value != value.strip() or (escape and "}" in value)):
        return value
    if not escape and "}" in value:
        raise WrongDatabase("FreeTDS cannot be told a value that holds both ; and }: choose another password, or Microsoft's driver")
    return "{" + value.replace("}", "}}") + "}"


def choose(drivers: list[str]) -> str:
    """The newest of Microsoft's drivers, else FreeTDS. Raises WrongDatabase."""
    microsoft = sorted((name for name in drivers if name.startswith("ODBC Driver ")), key=_version, reverse=True)
    if microsoft:
        return microsoft[0]
    if (shipped := _of_wheel()) is not None:
        return shipped
    if FREETDS in drivers:
        return FREETDS
    raise WrongDatabase(
        "no ODBC driver for SQL Server is installed: install Microsoft's ODBC Driver 18, "
        "or pip install mssql-python-odbc, or FreeTDS (apt install tdsodbc)"
    )


def installed() -> list[str]:
    return list(pyodbc.drivers())


def _version(name: str) -> int:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0)


def _of_wheel() -> str | None:
    """Microsoft's driver inside the Python package mssql-python-odbc, which registers none with the driver manager."""
    package = find_spec("mssql_python_odbc")
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(next(iter(package.submodule_search_locations)))
    found = sorted(glob.glob(str(folder / "libs/linux/debian_ubuntu/*/lib/libmsodbcsql-*.so*")))  # noqa: PTH207 - two patterns in one
    return found[-1] if found else None
