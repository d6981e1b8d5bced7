"""What static/plots.js draws, as JSON: lines and stacked bars over one axis of bins. Colours are numbers of the style sheet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from reports.pages.frame import NAMES, to_json

COLOURS = 7  # --c1 to --c7; lines beyond them are dashed, then dotted
DASHES = ("solid", "dashed", "dotted")
PALETTE = {  # the colours that states have everywhere
    "INBOUND": "--c1",
    "OUTBOUND": "--c2",
    "BRIDGED": "--c3",
    "NEWCALL": "--c4",
    "EXTERNAL": "--c5",
    "CREATECCXML": "--c6",
    "USER_END": "--c1",
    "APPLICATION_END": "--c4",
    "SYSTEM_ERROR": "--failed",
    "REJECTED": "--c2",
    "TIMED_OUT": "--c3",
    "SUCCESS": "--success",
    "FAILED": "--failed",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that is pointed out, with what is written at it."""

    index: int
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line, or bars that stand upon each other. `smooth`: its moving average."""

    name: str
    colour: str
    values: Sequence[float | None]
    kind: str = "line"
    dash: str = "solid"
    smooth: Sequence[float | None] = ()
    mark: Mark | None = None


def line(index: int, name: str, values: Sequence[float | None], smooth: Sequence[float | None] = (), mark: Mark | None = None) -> Drawn:
    """The line that is `index`th of several."""
    colour, dash = f"--c{index % COLOURS + 1}", DASHES[index // COLOURS % len(DASHES)]
    return Drawn(name, colour, values, "line", dash, smooth, mark)


def stacked(code: str, values: Sequence[float | None]) -> Drawn:
    return Drawn(NAMES.get(code, code), PALETTE.get(code, "--c7"), values, "bar")


def lines_json(labels: Sequence[str], unit: str, drawn: Sequence[Drawn], *, target: float | None = None) -> str:
    return to_json({"labels": labels, "unit": unit, "drawn": [asdict(each) for each in drawn], "target": target})
