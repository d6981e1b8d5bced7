"""Settings in words: for the Config Server's descriptions and the reference page."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pipeline.configserver.held import Description
from pipeline.settings import Holding, Option, Settings, options, text_of

CHANGES: dict[Holding, str] = {
    "live": "at once",
    "restart": "after restart",
    "local": "not by the Config Server",
    "secret": "not by the Config Server",
}
WORDS = {"integer": "int", "number": "number", "string": "text", "boolean": "true or false", "object": "JSON object"}


def descriptions() -> dict[str, Description]:
    """Of every option that the Config Server may hold."""
    return {name: description(option) for name, option in options().items() if option.holding in ("live", "restart")}


def description(option: Option) -> Description:
    return Description(text_of(option.default), allowed(option), option.field.description or "", CHANGES[option.holding])


def allowed(option: Option) -> str:
    """What values are right, in words."""
    section, _, name = option.name.partition(".")
    whole = _schema()
    return _words(whole["$defs"][type(Settings.model_fields[section].default).__name__]["properties"][name])


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return Settings.model_json_schema()


def _words(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_words(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("format") == "password":
        return "secret"
    if schema.get("format") == "path":
        return "path"
    if schema["type"] == "array":
        return f"JSON list of {_words(schema['items'])}"
    return WORDS[schema["type"]] + _limits(schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum"))


def _limits(least: float | None, above: float | None, most: float | None) -> str:
    begin = f", {_plain(least)}" if least is not None else f", above {_plain(above)}" if above is not None else ""
    if most is None:
        return f"{begin} or more" if least is not None else begin
    return f"{begin} to {_plain(most)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
