"""The RelaxNG schema of an answer.   python -m reports.render.relaxng   writes reports/schema/*.rng anew."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

from reports.render.shape import Field, Kind, Many, Part, Service, Shape

FOLDER = Path(__file__).parents[1] / "schema"
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<!-- {said}\n     Made by `python -m reports.render.relaxng`. -->\n"
    '<grammar xmlns="http://relaxng.org/ns/structure/1.0" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">\n'
)
TYPES: dict[Kind, str] = {
    "text": "<text/>",
    "integer": '<data type="integer"/>',
    "number": '<data type="double"/>',
    "instant": '<data type="dateTime"/>',
    "flag": '<data type="boolean"/>',
    "integers": '<list><zeroOrMore><data type="integer"/></zeroOrMore></list>',
}
PARAMETERS = (
    '<zeroOrMore><element name="param"><attribute name="name"/><attribute name="value"/></element></zeroOrMore>',
    '<zeroOrMore><element name="param"><attribute name="name"/></element></zeroOrMore>',
)
MANIFEST = f"""  <define name="manifest">
    <element name="manifest">
      <element name="request-uri"><text/></element>
      <element name="request-params">{PARAMETERS[0]}</element>
      <element name="normalized-params">{PARAMETERS[0]}</element>
      <element name="recognised-params">{PARAMETERS[1]}</element>
      <optional>
        <element name="pages">
          <optional><attribute name="current-page"><data type="positiveInteger"/></attribute></optional>
          <optional><attribute name="page-count"><data type="nonNegativeInteger"/></attribute></optional>
          <optional><attribute name="record-count"><data type="nonNegativeInteger"/></attribute></optional>
          <attribute name="page-size"><data type="positiveInteger"/></attribute>
          <optional><attribute name="next-cursor"/></optional>
        </element>
      </optional>
      <optional><element name="note"><text/></element></optional>
      <oneOrMore><element name="meta"><attribute name="name"/><attribute name="value"/></element></oneOrMore>
    </element>
  </define>
"""


def grammar(service: Service, said: str) -> str:
    """`said`: in one line, what it is the schema of."""
    lines = [HEAD.format(said=escape(said)), "  <start>\n", f'    <element name="{service.root}">\n', '      <ref name="manifest"/>\n']
    of = _element(service.element, service.of, 4 if service.single else 5)
    lines += [of] if service.single else [f"      <zeroOrMore>\n{of}      </zeroOrMore>\n"]
    lines += ["    </element>\n", "  </start>\n", MANIFEST, "</grammar>\n"]
    return "".join(lines)


def _element(name: str, of: Shape, depth: int) -> str:
    """Attributes are interleaved: in a group, libxml2 tries all subsets of those that are optional."""
    attributes = [member for member in of.members if isinstance(member, Field) and not member.body]
    others = [member for member in of.members if member not in attributes]
    pad, inner = "  " * depth, "  " * (depth + 1)
    inside = "".join(_member(member, depth + 1 + (len(attributes) > 1)) for member in attributes)
    if len(attributes) > 1:
        inside = f"{inner}<interleave>\n{inside}{inner}</interleave>\n"
    inside += "".join(_member(member, depth + 1) for member in others)
    return f'{pad}<element name="{name}">\n{inside or inner + "<empty/>" + chr(10)}{pad}</element>\n'


def _member(member: Field | Part | Many, depth: int) -> str:
    pad = "  " * depth
    if isinstance(member, Field):
        if member.body:
            return f"{pad}<text/>\n"
        attribute = f'<attribute name="{member.attribute}">{TYPES[member.kind]}</attribute>'
        return f"{pad}{attribute}\n" if member.required else f"{pad}<optional>{attribute}</optional>\n"
    if isinstance(member, Part) and member.required:
        return _element(member.element, member.of, depth)
    around = "optional" if isinstance(member, Part) else "zeroOrMore"
    return f"{pad}<{around}>\n{_element(member.element, member.of, depth + 1)}{pad}</{around}>\n"


def files() -> dict[str, str]:
    """Name of each schema file and what is in it."""
    from reports.api.shapes import SCHEMAS

    return {f"{service.schema}.rng": grammar(service, said) for service, said in SCHEMAS}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
