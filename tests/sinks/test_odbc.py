"""From sinks.database to what the driver manager takes."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

from pathlib import Path

from pipeline.settings import WrongSettings, read
from sinks.databases import dialect_of
from sinks.sql.odbc import WrongDatabase, address_of, choose, connection_string
from sinks.sql.sqlserver import SQLServer

MS = "ODBC Driver 18 for SQL Server"
URL = "mssql://rs@db.example:1444/reporting"


def string(database: str, password: str | None = "secret", drivers: tuple[str, ...] = (MS, "FreeTDS")) -> str:
    return connection_string(address_of(database), password, lambda: list(drivers))


def test_a_url_is_encrypted_and_checked_unless_it_says_otherwise() -> None:
    assert string(URL) == (
        f"DRIVER={MS};Server=tcp:db.example,1444;Database=reporting;UID=rs;"
        "Encrypt=yes;TrustServerCertificate=no;APP=reporting-server;PWD=secret"
    )
    assert "TrustServerCertificate=yes;Encrypt=yes" in string(f"{URL}?TrustServerCertificate=yes")
    assert "Encrypt=strict" in string(f"{URL}?encrypt=strict").replace("encrypt", "Encrypt")
    assert string(f"{URL}?encrypt=strict").lower().count("encrypt=") == 1


def test_what_is_left_out_and_what_is_escaped() -> None:
    assert "Server=tcp:h,1433;Database=a b;UID=dom\\me;" in string("mssql://dom%5Cme@h/a%20b")
    assert "UID" not in string("mssql://h/d?Trusted_Connection=yes", None)
    assert "Trusted_Connection=yes" in string("mssql://h/d?Trusted_Connection=yes", None)
    assert "Authentication=ActiveDirectoryMsi" in string("mssql://h/d?Authentication=ActiveDirectoryMsi", None)
    assert "PWD" not in string("mssql://h/d", None)
    assert string(URL, "a;b}c").endswith("PWD={a;b}}c}")
    assert string(URL, " x").endswith("PWD={ x}")


def test_a_connection_string_as_it_stands() -> None:
    assert string("odbc:DSN=reporting;Database={a;b}}c}") == "DSN=reporting;Database={a;b}}c};PWD=secret"
    assert address_of("odbc:DSN=reporting;Database=x").where == "reporting"
    assert string("odbc:DRIVER={FreeTDS};Server=h;Encrypt=no;UID=u").startswith("DRIVER=FreeTDS;Server=h;UID=u;TDS_Version=7.4")


def test_freetds_checks_no_certificate_unless_its_file_says_so() -> None:
    with pytest.raises(WrongDatabase, match=r"freetds\.conf"):
        string(f"{URL}?driver=FreeTDS")
    trusting = string(f"{URL}?driver=FreeTDS&TrustServerCertificate=yes")
    assert "Encryption=require" in trusting
    assert "Server=db.example;Port=1444" in trusting
    assert "TrustServerCertificate" not in trusting
    assert "Encryption=off" in string(f"{URL}?driver=FreeTDS&Encrypt=no")
    section = string(f"{URL}?driver=FreeTDS&Servername=reporting")
    assert "Servername=reporting" in section
    assert "Server=db" not in section
    assert "Encryption" not in section


def test_freetds_knows_no_brace_in_braces() -> None:
    url = f"{URL}?driver=FreeTDS&TrustServerCertificate=yes"
    assert string(url, "a}b").endswith("PWD=a}b")
    assert string(url, "a;b").endswith("PWD={a;b}")
    with pytest.raises(WrongDatabase) as raised:
        string(url, "a;}b")
    assert "a;}b" not in str(raised.value)


def test_the_newest_driver_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(["FreeTDS", "ODBC Driver 9 for SQL Server", MS, "ODBC Driver 17 for SQL Server"]) == MS
    monkeypatch.setattr("sinks.sql.odbc._of_wheel", lambda: None)
    assert choose(["PostgreSQL", "FreeTDS"]) == "FreeTDS"
    with pytest.raises(WrongDatabase, match="no ODBC driver"):
        choose(["PostgreSQL"])
    monkeypatch.setattr("sinks.sql.odbc._of_wheel", lambda: "/w/libmsodbcsql-18.so")
    assert choose(["FreeTDS"]) == "/w/libmsodbcsql-18.so"


@pytest.mark.parametrize(
    "wrong",
    ["mssql://u:hidden@h/d", "mssql://u@h/d?PWD=hidden", "odbc:DSN=x;pwd=hidden", "mssql://h", "mssql:///d", "mssql://h:x/d", "odbc:x",
     "odbc:DSN={x", "postgresql://h/d", ""],
)  # fmt: skip
def test_what_cannot_be_used_is_said_without_the_password(wrong: str) -> None:
    with pytest.raises(WrongDatabase) as raised:
        address_of(wrong)
    assert "hidden" not in str(raised.value)


def test_settings_name_the_database(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\n")
    given = dialect_of(read(sinks={"database": URL, "password": "given"}))
    assert isinstance(given, SQLServer)
    assert (given.password, given.address.where) == ("given", "db.example:1444/reporting")
    assert dialect_of(read(sinks={"database": URL, "password_file": file})) == SQLServer(given.address, "from the file")
    assert dialect_of(read(sinks={"database": URL})) == SQLServer(given.address, None)
    with pytest.raises(WrongSettings, match=r"sinks\.password_file"):
        dialect_of(read(sinks={"database": URL, "password_file": tmp_path / "none"}))
    with pytest.raises(WrongSettings, match="sqlite:///FILE"):
        dialect_of(read(sinks={"database": "oracle://h/d"}))


def test_a_shadow_is_a_database_of_its_own() -> None:
    live = dialect_of(read(sinks={"database": URL}))
    assert isinstance(live, SQLServer)
    shadow = live.shadow(3)
    assert "Database=reporting_g3;" in connection_string(shadow.address, None, lambda: [MS])
    assert shadow.address.where == "db.example:1444/reporting_g3"
