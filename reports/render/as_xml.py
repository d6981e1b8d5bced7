"""An answer as XML: attributes and elements as its shape declares them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from reports.render.shape import Field, Part, Row, Service, Shape

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What XML 1.0 cannot hold, however it is written. Names and texts come from callers.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
QUOTED = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


def document(service: Service, manifest: Row, content: Any) -> bytes:
    rows = [content] if service.single else content
    out = [DECLARATION, f"<{service.root}>"]
    _manifest(out, manifest)
    for row in rows:
        _element(out, service.element, service.of, row)
    out.append(f"</{service.root}>\n")
    return "".join(out).encode()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return FORBIDDEN.sub("\ufffd", str(value))


def _attribute(name: str, value: Any) -> str:
    return f' {name}="{escape(_text(value), QUOTED)}"'


def _element(out: list[str], name: str, of: Shape, row: Row) -> None:
    out.append(f"<{name}")
    inside: list[str] = []
    for member in of.members:
        value = row.get(member.key)
        if isinstance(member, Field):
            if value is None:
                continue
            if member.body:
                inside.append(escape(_text(value), {"\r": "&#13;"}))
            else:
                out.append(_attribute(member.attribute, value))
        elif isinstance(member, Part):
            if value is not None:
                _element(inside, member.element, member.of, value)
        else:
            for item in member.items(value):
                _element(inside, member.element, member.of, item)
    if inside:
        out += [">", *inside, f"</{name}>"]
    else:
        out.append("/>")


def _manifest(out: list[str], manifest: Row) -> None:
    out.append(f"<manifest><request-uri>{escape(_text(manifest['request-uri']))}</request-uri>")
    for name in ("request-params", "normalized-params"):
        out.append(f"<{name}>")
        for key, values in manifest[name].items():
            each = values if isinstance(values, list) else [values]
            out += [f"<param{_attribute('name', key)}{_attribute('value', value)}/>" for value in each]
        out.append(f"</{name}>")
    out.append("<recognised-params>" + _params(manifest["recognised-params"]) + "</recognised-params>")
    if pages := manifest.get("pages"):
        out.append("<pages" + "".join(_attribute(name, value) for name, value in pages.items()) + "/>")
    if note := manifest.get("note"):
        out.append(f"<note>{escape(_text(note))}</note>")
    for name, value in manifest["meta"].items():
        if value is not None:
            out.append(f"<meta{_attribute('name', name)}{_attribute('value', value)}/>")
    out.append("</manifest>")


def _params(names: Iterable[str]) -> str:
    return "".join(f"<param{_attribute('name', name)}/>" for name in names)
