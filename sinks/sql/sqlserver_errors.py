"""What the errors of SQL Server mean, by native number first: drivers disagree about SQLSTATE.

Numbers: https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
The server's own texts can quote values of a row (2627, 2628, 245), so they are never passed on; what is said here is.
"""

from __future__ import annotations

import re

import pyodbc

from sinks.sql.errors import Fatal, Poison, Race, Transient, Unclear

UNIQUE = {2601, 2627}

# May go away by themselves or by somebody's hand.
MENDED_BY_TIME = {
    1205: "it chose this transaction as the victim of a dead-lock",
    1222: "a lock was not had in time",
    1204: "it has no memory for locks",
    701: "it has no memory left",
    802: "it has no memory left",
    8645: "it has no memory left for a query",
    8651: "it has no memory left for a query",
    845: "its disk is too slow",
    1101: "its disk is full: free space, the sink goes on by itself",
    1105: "its disk is full: free space, the sink goes on by itself",
    9002: "its transaction log is full: free space, the sink goes on by itself",
    823: "its disk gives errors",
    824: "its disk gives errors",
    3960: "another transaction changed a row at the same time",
    3961: "the schema is being changed",
    3902: "it ended the transaction by itself",
    3903: "it ended the transaction by itself",
    3930: "it ended the transaction by itself",
    3998: "it ended the transaction by itself",
    3906: "the database is read-only: a fail-over, or somebody's setting",
    922: "the database is being recovered",
    921: "the database is being recovered",
    927: "the database is being restored",
    942: "the database is offline",
    945: "the database cannot be opened",
    952: "the database is changing its state",
    976: "this replica of the availability group takes no connections: a fail-over",
    978: "this replica of the availability group takes no connections: a fail-over",
    983: "this replica of the availability group takes no connections: a fail-over",
    988: "the availability group has no primary",
    4060: "the database cannot be opened: name, rights, or a fail-over",
    6005: "it is shutting down",
    17142: "it is paused",
    17809: "it has too many connections",
    18401: "it is being upgraded",
    18451: "it is shutting down",
    40197: "the service is being moved or upgraded",
    40501: "the service is busy (throttled)",
    40613: "the database is not available at the moment",
    40143: "the service had an error",
    49918: "the service has no resources (throttled)",
    49919: "the service has too many requests (throttled)",
    49920: "the service has too many requests (throttled)",
    10928: "the limit of its resources is reached (throttled)",
    10929: "the service is busy (throttled)",
    41301: "another transaction changed a row at the same time",
    41302: "another transaction changed a row at the same time",
    41305: "another transaction changed a row at the same time",
    41325: "another transaction changed a row at the same time",
}

FAULT_OF_A_ROW = {
    220: "a number is too great",
    232: "a number is too great",
    241: "a time is out of range",
    242: "a time is out of range",
    245: "a value is of another type",
    248: "a number is too great",
    515: "a value is missing",
    547: "a constraint refuses it",
    1007: "a number is too great",
    2628: "a text is too long",
    8114: "a value is of another type",
    8115: "a number is too great",
    8152: "a text is too long",
    9420: "a character is not allowed",
    13609: "it is not taken as JSON",
    13610: "it is not taken as JSON",
}

WITH_A_STEP = {
    208: "a table is missing: run rs init --database as the owner of the schema",
    207: "a column is missing: run rs init --database as the owner of the schema",
    229: "a right is missing: add the user to the role rs_writer (docs/sqlserver.md)",
    230: "a right is missing: add the user to the role rs_writer (docs/sqlserver.md)",
    262: "a right is missing: let the owner of the schema run rs init --database (docs/sqlserver.md)",
    297: "a right is missing (docs/sqlserver.md)",
    300: "a right is missing (docs/sqlserver.md)",
    911: "the database does not exist: create it (docs/sqlserver.md)",
    916: "the user may not enter the database (docs/sqlserver.md)",
    1088: "a table is missing or may not be changed: let the owner of the schema run rs init --database",
    3701: "a table may not be changed: let the owner of the schema run rs init --database",
    2760: "the schema of the user does not exist or may not be used (docs/sqlserver.md)",
    15247: "a right is missing: let the owner of the schema run rs init --database (docs/sqlserver.md)",
    15151: "a right is missing: let the owner of the schema run rs init --database (docs/sqlserver.md)",
    18452: "the login is refused: integrated login needs a ticket (kinit) or another account",
    18456: "the login is refused: look at the user in sinks.database, and sinks.password or sinks.password_file",
    18470: "the login is disabled",
    18486: "the login is locked",
    18487: "the password of the login has expired",
    18488: "the password of the login must be changed",
}

CONNECTION = re.compile(r"08...|HYT0[01]|S1T00|HY008|HY117|IMC0[0-9]")
ROLLED_BACK = re.compile(r"40...|25...")  # the transaction is gone, or is not in the state it should be in
NO_MEMORY = "HY001"
# Without a number: FreeTDS says HY000 of a connection that is dead, and HY010 of the next call on it.
UNSAID = {"HY000", "HY010"}
CERTIFICATE = re.compile(r"certificate|SSL Provider|TLS|handshake", re.IGNORECASE)
_NUMBER = re.compile(r"\((\d+)\) \(SQL\w+\)")
FREETDS_LINK = range(20000, 20100)  # numbers of the client library itself: dead, unreachable, timed out


def numbers(error: Exception) -> list[int]:
    """The native numbers in the error, in the order in which the driver gives them."""
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return [int(found) for found in _NUMBER.findall(text)]


def sqlstate(error: Exception) -> str:
    return str(error.args[0]) if error.args else ""


def meaning(where: str, error: Exception) -> Transient | Poison | Fatal | None:
    """`where`: the server as logs may show it. None: not an error of the driver."""
    if not isinstance(error, pyodbc.Error):
        return None
    given, state = numbers(error), sqlstate(error)
    for number in given:
        if number in UNIQUE:
            return Race(f"{where}: {number}, another writer was first with the same key")
        if number in MENDED_BY_TIME:
            return Transient(f"{where}: {MENDED_BY_TIME[number]} ({number})")
        if number in FAULT_OF_A_ROW:
            return Poison("refused", f"{FAULT_OF_A_ROW[number]} ({number})")
        if number in WITH_A_STEP:
            return Fatal(f"{where}: {WITH_A_STEP[number]} ({number})")
    if state in {"IM002", "IM003", "IM004"} or "Can't open lib" in str(error):
        return Fatal(f"{where}: the ODBC driver cannot be loaded ({state}): install it, or name another with ?driver= (docs/sqlserver.md)")
    if (state.startswith("08") or state == "HY000") and CERTIFICATE.search(str(error)):
        return Fatal(
            f"{where}: no encrypted connection ({state}): the server's certificate is not one this machine trusts, or is of another name: "
            "install the authority's, or say ?TrustServerCertificate=yes (docs/sqlserver.md)"
        )
    if state == "40001":
        return Transient(f"{where}: {MENDED_BY_TIME[1205]} ({state})")
    if CONNECTION.fullmatch(state) or any(number in FREETDS_LINK for number in given):
        return Transient(f"{where}: it does not answer ({state})")
    if not any(given):
        if ROLLED_BACK.fullmatch(state):
            return Transient(f"{where}: it ended the transaction by itself ({state})")
        if state == NO_MEMORY:
            return Transient(f"{where}: the driver has no memory left ({state})")
        if state in UNSAID:
            return Unclear(f"{where}: the connection broke, and the driver does not say why ({state})")
    if isinstance(error, pyodbc.DataError) or state.startswith("22"):
        return Poison("refused", f"a value is not taken ({state}{''.join(f', {number}' for number in given[:1])})")
    if isinstance(error, pyodbc.IntegrityError) or state.startswith("23"):
        return Poison("refused", f"a constraint refuses it ({state}{''.join(f', {number}' for number in given[:1])})")
    shown = ", ".join([state, *map(str, given)])
    return Fatal(f"{where}: error {shown}, which is not known: see it in the server's log or the documentation of SQL Server")
