"""A Config Server made of files that people edit: a folder with TOML, looked at once a second.

    applications/NAME/options.toml    [log]            level = "debug"          what an operator has set
    applications/NAME/defaults.toml   [log.level]      default = "info" ...     what there is to set; written by rs init
    tenants.toml                      [101]            name = "Acme"            and so profiles, dns and components
                                                       parent = 1

Looking at a file's time needs no help of the operating system's, and works where files come over a network or from a cluster's volumes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import tomllib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from pipeline.configserver.errors import Refused
from pipeline.configserver.held import KINDS, OPTIONS, Added, Description, Held
from pipeline.settings import text_of

LOOK_S = 1.0
SETTLED_S = 0.2  # an editor may empty a file before it fills it

OPTIONS_HEAD = """\
# Options of this Reporting Server, for all its processes. defaults.toml beside this file tells what there is. For example:
#
# [log]
# level = "debug"
"""
DEFAULTS_HEAD = """\
# What can be set in options.toml, with defaults: written by rs init. A change here has no effect.
"""
OBJECTS_HEAD = """\
# {kind} by DBID; docs/configuration.md tells what belongs to them.
"""

Stamp = tuple[tuple[int, int, int] | None, ...]


class Folder:
    """`optional`: the folder need not be there."""

    def __init__(self, folder: Path, application: str, *, optional: bool) -> None:
        self.folder = folder
        self.optional = optional
        self.where = f"file:{folder}"
        own = folder / "applications" / application
        self._options, self._defaults = own / "options.toml", own / "defaults.toml"
        self._kinds = {kind: folder / f"{kind}.toml" for kind in KINDS}

    async def read(self) -> Held:
        try:
            return self._read()
        except OSError as exc:
            raise Refused(f"{exc.filename} cannot be read ({exc.strerror}): let this user read it") from exc

    async def add(self, wanted: Held) -> Added:
        try:
            with self._locked():
                return self._add(wanted, self._read())
        except OSError as exc:
            raise Refused(f"{exc.filename} cannot be written ({exc.strerror}): let this user write it") from exc

    async def changes(self) -> AsyncGenerator[Held, None]:
        seen: Stamp | None = None
        while True:
            now = self._stamp()
            if now != seen:
                while seen != now:
                    seen = now
                    await asyncio.sleep(SETTLED_S)
                    now = self._stamp()
                yield await self.read()
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        pass

    def _read(self) -> Held:
        unreadable: dict[str, str] = {}
        return Held(
            application=self._options.exists(),
            options=_options(self._tables(self._options, OPTIONS, unreadable)),
            described=_described(self._tables(self._defaults, "", {})),
            objects={kind: _objects(self._tables(file, kind, unreadable)) for kind, file in self._kinds.items()},
            unreadable=unreadable,
        )

    def _tables(self, file: Path, what: str, unreadable: dict[str, str]) -> Mapping[str, Any]:
        try:
            return tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            unreadable[what] = f"{file} is not TOML ({exc}): correct it; what it said before stays"
            return {}

    def _add(self, wanted: Held, there: Held) -> Added:
        new = {name for name in wanted.described if name not in there.described}
        renewed = {name for name, one in there.described.items() if wanted.described.get(name) != one}
        if wanted.application and wanted.described and (new or renewed):
            _write(self._defaults, DEFAULTS_HEAD + "".join(_description(name, one) for name, one in wanted.described.items()))
        objects = 0
        for kind, file in self._kinds.items():
            missing = {dbid: text for dbid, text in wanted.objects.get(kind, {}).items() if dbid not in there.objects.get(kind, {})}
            if missing and kind not in there.unreadable:
                before = file.read_text(encoding="utf-8") if file.exists() else OBJECTS_HEAD.format(kind=kind)
                _write(file, before.rstrip("\n") + "\n" + "".join(_object(dbid, text) for dbid, text in missing.items()))
                objects += len(missing)
        made = wanted.application and not there.application
        if made:  # the last: it says that the application object is there
            _write(self._options, OPTIONS_HEAD)
        return Added(made, len(new), len(renewed), objects)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stamp(self) -> Stamp:
        return tuple(_stamp(file) for file in (self._options, *self._kinds.values()))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _options(tables: Mapping[str, Any]) -> dict[str, str]:
    """What stands outside of any section is no option, and refused by its name as such."""
    found: dict[str, str] = {}
    for section, group in tables.items():
        if isinstance(group, dict):
            found.update({f"{section}.{name}": text_of(value) for name, value in group.items()})
        else:
            found[section] = text_of(group)
    return found


def _described(tables: Mapping[str, Any]) -> dict[str, Description]:
    found: dict[str, Description] = {}
    for section, group in tables.items():
        for name, one in group.items() if isinstance(group, dict) else ():
            try:
                found[f"{section}.{name}"] = msgspec.convert(one, Description)
            except msgspec.ValidationError:  # somebody has written into it: it is written anew
                found[f"{section}.{name}"] = Description("", "", "", "")
    return found


def _objects(tables: Mapping[str, Any]) -> dict[str, str]:
    return {dbid: json.dumps(table, ensure_ascii=False, sort_keys=True, default=str) for dbid, table in tables.items()}


def _description(name: str, one: Description) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {_quoted(value)}\n" for key, value in msgspec.to_builtins(one).items())


def _object(dbid: str, text: str) -> str:
    table: dict[str, Any] = json.loads(text)
    sections = table.pop("sections", {})
    lines = [f"\n[{dbid}]\n", *(f"{key} = {_quoted(value)}\n" for key, value in table.items())]
    for section, group in sections.items():
        lines += [f"[{dbid}.sections.{_quoted(section)}]\n", *(f"{_quoted(key)} = {_quoted(value)}\n" for key, value in group.items())]
    return "".join(lines)


def _quoted(value: str | int) -> str:
    """As TOML's basic string, which is JSON's but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
