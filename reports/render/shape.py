"""What an answer looks like: one declaration a service, from which XML, CSV and the RelaxNG schema are made. JSON is as it is built.

Field  a value              JSON member, XML attribute (or the text of the element), CSV column
Part   an object            JSON object, XML child element, CSV columns with its name before theirs
Many   a list of objects    JSON list, XML child elements; in CSV columns of known labels, rows of their own, or one cell
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "instant", "flag", "integers"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """`name`: of the XML attribute, else the key with hyphens. `body`: the text of the element. What is not `required` can be null or
    missing."""

    key: str
    kind: Kind = "text"
    name: str = ""
    required: bool = False
    body: bool = False

    @property
    def attribute(self) -> str:
        return self.name or self.key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Part:
    """`name`: of the XML element, else the key with hyphens."""

    key: str
    of: Shape
    name: str = ""
    required: bool = True

    @property
    def element(self) -> str:
        return self.name or self.key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Many:
    """A list.

    name      of each XML element, else the key with hyphens
    pair      the items are lists; these are the keys of their members
    labels    CSV: a column each with the last field of the item whose first field is that label, 0 if there is none
    explode   CSV: a row each; at most one list of a shape
    """

    key: str
    of: Shape
    name: str = ""
    pair: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    explode: bool = False

    @property
    def element(self) -> str:
        return self.name or self.key.replace("_", "-")

    def items(self, value: Any) -> list[Row]:
        if not value:
            return []
        return [dict(zip(self.pair, item, strict=True)) for item in value] if self.pair else list(value)


Member = Field | Part | Many


@dataclass(frozen=True, slots=True)
class Shape:
    members: tuple[Member, ...]

    def __add__(self, more: Shape) -> Shape:
        return Shape(self.members + more.members)


def shape(*members: Member) -> Shape:
    return Shape(members)


@dataclass(frozen=True, slots=True)
class Service:
    """An answer.

    key       the JSON member beside the manifest
    root      XML root element; what is in the answer follows the manifest
    element   of each row, or of the one object
    schema    name of the RelaxNG schema
    single    one object instead of a list of rows
    """

    key: str
    root: str
    element: str
    schema: str
    of: Shape
    single: bool = False
