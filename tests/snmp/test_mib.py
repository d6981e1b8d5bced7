"""The MIB file: what the declaration says, clean, and numbered once and for all."""

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from sinks.snmp import mib, smi
from sinks.snmp.mib import GENERAL, NOTICE, NOTIFICATIONS, TABLES
from sinks.views.rows import Figures
from tests.snmp import mibs

FINDING = re.compile(r"^(\S+):(\d+): \[(\d)\] (.*)")


def lint(folder: Path) -> list[tuple[int, str]]:
    """Severity and text of each finding about our file; smilint's exit code is 0 all the same."""
    if shutil.which("smilint") is None:
        pytest.skip("NOT TESTED: the MIB file under smilint (apt-get install smitools)")
    (folder / "smi.conf").write_text(f"path {folder}\n")
    command = ["smilint", "-c", str(folder / "smi.conf"), "-l", "6", "-s", mib.MODULE]
    done = subprocess.run(command, env={"SMIPATH": str(folder), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=30)
    assert "cannot locate" not in done.stderr
    found = [match for line in (done.stdout + done.stderr).splitlines() if (match := FINDING.match(line))]
    return [(int(match[3]), match[4]) for match in found if match[1].endswith(mib.MODULE)]


def test_the_file_is_what_the_declaration_says() -> None:
    assert smi.FILE.read_text() == smi.mib_text(), f"run: python -m sinks.snmp.smi {smi.FILE}"


def test_smilint_finds_nothing(tmp_path: Path) -> None:
    assert lint(mibs.folder(tmp_path / "mibs")) == []


def test_smilint_would_find_something(tmp_path: Path) -> None:
    folder = mibs.folder(tmp_path / "mibs")
    text = (folder / mib.MODULE).read_text()
    (folder / mib.MODULE).write_text(text.replace("SYNTAX Gauge32", "SYNTAX Gauge99", 1))
    assert min(severity for severity, _ in lint(folder)) <= 3


def test_another_enterprise_number_stands_where_the_default_stood() -> None:
    assert smi.mib_text(4711).replace("4711", "32473") == smi.mib_text()
    assert "{ enterprises 4711 }" in smi.mib_text(4711)


def test_numbers_and_names_are_given_once() -> None:
    for group in (GENERAL, NOTICE, NOTIFICATIONS, TABLES, *((*table.index, *table.columns) for table in TABLES)):
        numbers, names = [thing.number for thing in group], [thing.name for thing in group]
        assert numbers == sorted(set(numbers))
        assert len(names) == len(set(names))


def test_every_column_is_an_attribute_of_the_rows_and_no_attribute_is_left_out() -> None:
    """The other half of the one declaration: what the view fills in."""
    hints = {field.name: field.type for field in msgspec.structs.fields(Figures)}
    assert [thing.attribute for thing in GENERAL] == list(hints["general"].__struct_fields__)
    for table in TABLES:
        _key, row = hints[table.name].__args__
        assert [column.attribute for column in table.columns] == list(row.__struct_fields__)


def test_names_of_instances_stay_below_128_parts() -> None:
    for table in TABLES:
        index = tuple("x" * 300 if thing.syntax is mib.NAME else 2**32 - 1 for thing in table.index)
        for column in table.columns:
            assert len(mib.column_oid(2**31, table, column) + table.index_oid(index)) <= 128
