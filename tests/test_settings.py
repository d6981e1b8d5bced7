from pathlib import Path

import pytest

from pipeline import settings
from pipeline.settings import WrongSettings


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file and no variable of the developer's own takes part."""
    monkeypatch.chdir(tmp_path)
    for name in list(__import__("os").environ):
        if name.startswith("RS_"):
            monkeypatch.delenv(name)
    return tmp_path


def test_the_environment_wins_over_the_file(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "rs.toml").write_text("[bridge]\nwindow = 500\nmax_event_bytes = 2048\n")
    monkeypatch.setenv("RS_BRIDGE__WINDOW", "700")
    assert settings.read().bridge.window == 700
    assert settings.read().bridge.max_event_bytes == 2048
    assert settings.read(bridge={"window": "900"}).bridge.window == 900


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("RS_BRIDGE__WINDOW", "0", "setting bridge.window is '0': Input should be greater than or equal to 1"),
        (
            "RS_BRIDGE__WINDOWS",
            "5",
            "setting bridge.windows does not exist, bridge.window does: correct its name or remove it (rs config shows them all)",
        ),
        (
            "RS_REPORTS__TIME_ZONE",
            "Mars/Base",
            "setting reports.time_zone is 'Mars/Base': Value error, not an IANA time zone, such as Europe/Berlin",
        ),
        (
            "RS_REPORTS__PORT",
            "http",
            "setting reports.port is 'http': Input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_a_fault_is_one_line_with_the_name_the_value_and_what_is_allowed(
    variable: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(WrongSettings) as caught:
        settings.read()
    assert str(caught.value) == line


def test_each_fault_has_its_line() -> None:
    with pytest.raises(WrongSettings) as caught:
        settings.read(bridge={"window": 0}, kafka={"partitions": 0}, nonsense={})
    assert len(str(caught.value).splitlines()) == 3


def test_a_named_file_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RS_SETTINGS", "nowhere.toml")
    with pytest.raises(WrongSettings, match=r"RS_SETTINGS names nowhere\.toml"):
        settings.read()


def test_a_password_is_not_shown() -> None:
    current = settings.read(activemq={"password": "s3cret"})
    assert "s3cret" not in repr(current)
    with pytest.raises(WrongSettings) as caught:
        settings.read(activemq={"password": ["s3cret"]})
    assert "s3cret" not in str(caught.value)


def test_a_child_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings.read(
        activemq={"queues": ["a", "b,c"], "password": "s3cret"}, fold={"lateness": 0}, stack={"data": "x/y"}, log={"format": "json"}
    )
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert settings.read() == given


def test_the_sqlite_file_lies_in_the_data_folder_unless_its_path_is_absolute(alone: Path) -> None:
    assert settings.read(stack={"data": "d"}).database_file == alone / "d" / "reporting.sqlite3"
    assert settings.read(sinks={"database": "sqlite:////var/lib/rs.db"}).database_file == Path("/var/lib/rs.db")
    assert settings.read(sinks={"database": "mssql://server"}).database_file is None
