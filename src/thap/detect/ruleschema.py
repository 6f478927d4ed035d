"""What rules may say, as JSON Schema with titles and help in both languages: what forms are made from.

Beside what JSON Schema knows, a field has `x-title` and, where there is more to say, `x-help` (texts by language) and
`x-unit` (`source`: that of the values watched). Its `format` says how it is written: duration, span (longer than
nothing), patterns, pair, severity, condition, areas, ages.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from thap.detect.rules import KINDS
from thap.detect.schedule import WEEKDAYS

__all__ = ["rule_schema"]


@cache
def rule_schema() -> dict[str, Any]:
    """For each kind of rule: `title`, `help`, `ways` (of these exactly one carries the limit), `level_way` (the field
    of a level that carries its limit, beside `after`; empty where it is the way chosen) and `schema`."""
    text = resources.files("thap.detect").joinpath("rulewords.toml").read_text("utf-8")
    words: dict[str, Any] = tomllib.loads(text)
    return {
        kind: {
            **words["kind"][kind],
            "ways": list(model.ways),
            "level_way": {"n_of_m": "n", "geofence": "after", "combined": "after"}.get(kind, ""),
            "schema": _schema(model.model_json_schema(), words["field"]),
        }
        for kind, model in KINDS.items()
    }


def _schema(schema: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    made = _resolved(schema, definitions)
    _told(made, words, "")
    made["properties"]["schedule"]["properties"]["weekdays"]["items"]["enum"] = list(WEEKDAYS)
    return made


def _resolved(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema without references, and without null: what is not given is left out."""
    if "$ref" in part:
        rest = {name: value for name, value in part.items() if name != "$ref"}
        return _resolved({**definitions[part["$ref"].rpartition("/")[2]], **rest}, definitions)
    choices = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        rest = {name: value for name, value in part.items() if name != "anyOf"}
        return _resolved({**rest, **choices[0]}, definitions)
    made = {name: value for name, value in part.items() if name not in ("title", "description")}
    if made.get("default", 0) is None or made.get("default") == [] or made.get("format") in ("duration", "ages"):
        made.pop("default", None)
    if "properties" in made:
        made["properties"] = {name: _resolved(one, definitions) for name, one in made["properties"].items()}
    if "items" in made:
        made["items"] = _resolved(made["items"], definitions)
    return made


def _told(part: dict[str, Any], words: dict[str, Any], within: str) -> None:
    for name, one in part.get("properties", {}).items():
        known = words.get(f"{within}{name}") or words[name]
        one |= {f"x-{word}": said for word, said in known.items()}
        _told(one, words, f"{name}.")
        _told(one.get("items", {}), words, f"{name}.")
