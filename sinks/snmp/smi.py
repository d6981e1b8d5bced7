"""Writes the declaration out as a MIB file in SMIv2: python -m sinks.snmp.smi [--enterprise N] [FILE]

Without FILE to standard output; `sinks/snmp/REPORTING-SERVER-MIB.txt` is what it writes with the default number.
"""

from __future__ import annotations

import sys
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sinks.snmp.mib import DOCUMENTATION, GENERAL, MODULE, NOTICE, NOTIFICATIONS, TABLES, UPDATED, Object, Table
from sinks.snmp.syntax import CONVENTIONS, Syntax, Wire

FILE = Path(__file__).with_name(f"{MODULE}.txt")


def mib_text(enterprise: int = DOCUMENTATION) -> str:
    """The whole file."""
    return "\n".join(_lines(enterprise)) + "\n"


def _lines(enterprise: int) -> Iterator[str]:
    yield f"{MODULE} DEFINITIONS ::= BEGIN"
    yield ""
    yield f"-- Written by sinks.snmp.smi from sinks.snmp.mib, with enterprise number {enterprise} (setting snmp.enterprise)."
    yield ""
    yield "IMPORTS"
    yield "    MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, Gauge32, Unsigned32, Counter64, enterprises"
    yield "        FROM SNMPv2-SMI"
    yield "    TEXTUAL-CONVENTION"
    yield "        FROM SNMPv2-TC"
    yield "    MODULE-COMPLIANCE, OBJECT-GROUP, NOTIFICATION-GROUP"
    yield "        FROM SNMPv2-CONF;"
    yield ""
    yield "reportingServerMIB MODULE-IDENTITY"
    yield f'    LAST-UPDATED "{UPDATED}"'
    yield '    ORGANIZATION "The Reporting Server project"'
    yield '    CONTACT-INFO "See the README of the Reporting Server."'
    yield from _quoted("DESCRIPTION", "Figures and notifications of the Reporting Server. Everything is read-only.")
    yield f'    REVISION "{UPDATED}"'
    yield from _quoted("DESCRIPTION", "First version.")
    yield "    ::= { reportingServer 1 }"
    yield ""
    yield f"reportingServer OBJECT IDENTIFIER ::= {{ enterprises {enterprise} }}"
    for name, parent, number in (
        ("rsNotifications", "reportingServerMIB", 0),
        ("rsObjects", "reportingServerMIB", 1),
        ("rsGeneral", "rsObjects", 1),
        ("rsTables", "rsObjects", 2),
        ("rsNotice", "rsObjects", 3),
        ("rsConformance", "reportingServerMIB", 2),
    ):
        yield f"{name} OBJECT IDENTIFIER ::= {{ {parent} {number} }}"
    yield ""
    for convention in CONVENTIONS:
        yield from _convention(convention)
    for thing in GENERAL:
        yield from _object(f"rs{thing.name}", thing, "rsGeneral", "read-only")
    for table in TABLES:
        yield from _table(table)
    for thing in NOTICE:
        yield from _object(f"rsNotice{thing.name}", thing, "rsNotice", "accessible-for-notify")
    notice = [f"rsNotice{thing.name}" for thing in NOTICE]
    for notification in NOTIFICATIONS:
        yield f"{notification.name} NOTIFICATION-TYPE"
        yield from _list("OBJECTS", notice)
        yield "    STATUS current"
        yield from _quoted("DESCRIPTION", notification.text)
        yield f"    ::= {{ rsNotifications {notification.number} }}"
        yield ""
    yield from _conformance(notice)
    yield "END"


def _convention(syntax: Syntax) -> Iterator[str]:
    yield f"{syntax.name} ::= TEXTUAL-CONVENTION"
    if syntax.hint:
        yield f'    DISPLAY-HINT "{syntax.hint}"'
    yield "    STATUS current"
    yield from _quoted("DESCRIPTION", syntax.convention)
    yield f"    SYNTAX {syntax.base or _enumeration(syntax)}"
    yield ""


def _enumeration(syntax: Syntax) -> str:
    return f"INTEGER {{ {', '.join(f'{name}({number})' for name, number in syntax.states.items())} }}"


def _object(name: str, thing: Object, parent: str, access: str, most_octets: int = 0) -> Iterator[str]:
    sized = thing.syntax.wire is Wire.OCTETS and most_octets
    yield f"{name} OBJECT-TYPE"
    yield f"    SYNTAX {thing.syntax.name}{f' (SIZE (0..{most_octets}))' if sized else ''}"
    if thing.units:
        yield f'    UNITS "{thing.units}"'
    yield f"    MAX-ACCESS {access}"
    yield "    STATUS current"
    yield from _quoted("DESCRIPTION", thing.text)
    yield f"    ::= {{ {parent} {thing.number} }}"
    yield ""


def _table(table: Table) -> Iterator[str]:
    entry = f"{table.prefix}Entry"
    sequence = f"{entry[0].upper()}{entry[1:]}"
    yield f"{table.prefix}Table OBJECT-TYPE"
    yield f"    SYNTAX SEQUENCE OF {sequence}"
    yield "    MAX-ACCESS not-accessible"
    yield "    STATUS current"
    yield from _quoted("DESCRIPTION", table.text)
    yield f"    ::= {{ rsTables {table.number} }}"
    yield ""
    yield f"{entry} OBJECT-TYPE"
    yield f"    SYNTAX {sequence}"
    yield "    MAX-ACCESS not-accessible"
    yield "    STATUS current"
    yield from _quoted("DESCRIPTION", f"A row of {table.prefix}Table.")
    yield from _list("INDEX", [f"{table.prefix}{thing.name}" for thing in table.index])
    yield f"    ::= {{ {table.prefix}Table 1 }}"
    yield ""
    yield f"{sequence} ::= SEQUENCE {{"
    members = [f"    {table.prefix}{thing.name} {thing.syntax.name}" for thing in (*table.index, *table.columns)]
    yield ",\n".join(members)
    yield "}"
    yield ""
    for thing in table.index:
        yield from _object(f"{table.prefix}{thing.name}", thing, entry, "not-accessible", table.most_octets)
    for thing in table.columns:
        yield from _object(f"{table.prefix}{thing.name}", thing, entry, "read-only")


def _conformance(notice: Sequence[str]) -> Iterator[str]:
    readable = [f"rs{thing.name}" for thing in GENERAL]
    readable += [f"{table.prefix}{thing.name}" for table in TABLES for thing in table.columns]
    yield "rsCompliance MODULE-COMPLIANCE"
    yield "    STATUS current"
    yield from _quoted("DESCRIPTION", "Every Reporting Server has all of it.")
    yield "    MODULE"
    yield "        MANDATORY-GROUPS { rsFiguresGroup, rsNoticeGroup, rsNotificationsGroup }"
    yield "    ::= { rsConformance 1 }"
    yield ""
    for number, name, kind, what, members in (
        (2, "rsFiguresGroup", "OBJECT-GROUP", "OBJECTS", readable),
        (3, "rsNoticeGroup", "OBJECT-GROUP", "OBJECTS", notice),
        (4, "rsNotificationsGroup", "NOTIFICATION-GROUP", "NOTIFICATIONS", [each.name for each in NOTIFICATIONS]),
    ):
        yield f"{name} {kind}"
        yield from _list(what, members)
        yield "    STATUS current"
        yield from _quoted("DESCRIPTION", {2: "The figures.", 3: "What notifications carry.", 4: "The notifications."}[number])
        yield f"    ::= {{ rsConformance {number} }}"
        yield ""


def _quoted(keyword: str, text: str) -> Iterator[str]:
    yield f"    {keyword}"
    yield textwrap.indent(textwrap.fill(f'"{text}"', 100), "        ")


def _list(keyword: str, members: Iterable[str]) -> Iterator[str]:
    yield textwrap.fill(f"{keyword} {{ {', '.join(members)} }}", 100, initial_indent="    ", subsequent_indent="        ")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m sinks.snmp.smi", description="Write the MIB file.")
    parser.add_argument("--enterprise", type=int, default=DOCUMENTATION, help="enterprise number (setting snmp.enterprise)")
    parser.add_argument("file", type=Path, nargs="?", help="default: standard output")
    given = parser.parse_args(arguments)
    text = mib_text(given.enterprise)
    if given.file is None:
        sys.stdout.write(text)
    else:
        given.file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
