"""python -m pipeline.settings_page: write docs/settings.md, every setting with its meaning, from the model."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from pipeline.configserver.description import description
from pipeline.settings import Option, Settings, options

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "settings.md"

HEAD = """\
# Settings

Written from the model by `python -m pipeline.settings_page`. [configuration.md](configuration.md) tells where settings come from, how they
are changed while everything runs, and what the Config Server is.

A setting `section.name` is `[section]` `name = ...` in `rs.toml`, `RS_SECTION__NAME` in the environment, and option `name` of section
`section` of the application object in the Config Server. *A change counts*: when a change in the Config Server takes effect.
"""


def page() -> str:
    parts = [HEAD]
    for section, field in Settings.model_fields.items():
        kind = type(field.default)
        parts.append(f"\n## {section}\n\n{' '.join((inspect.getdoc(kind) or '').split())}\n\n")
        parts.append("| Setting | Default | Values | A change counts | Meaning |\n|---|---|---|---|---|\n")
        parts += [_row(option) for name, option in options().items() if name.startswith(f"{section}.")]
    return "".join(parts)


def _row(option: Option) -> str:
    told = description(option)
    default = f"`{told.default}`" if told.default else ""
    cells = (f"`{option.name}`", default, told.type, told.change, told.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}: {len(options())} settings\n")


if __name__ == "__main__":
    main()
