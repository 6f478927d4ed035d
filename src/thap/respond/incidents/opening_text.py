"""Opening rules as people write them: every mistake with its line, column and field, and names nobody knows."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from thap.detect.positions import Path, Position, positions
from thap.detect.ruletext import Problem
from thap.kernel.errors import InputError
from thap.respond.incidents.rules import OpeningRule, check_rule

__all__ = ["BUILT_IN", "read_opening", "read_table", "toml_of", "unknown_names"]

BUILT_IN = frozenset({"system.unreachable", "system.unanswered", "cap.warning", "cap.feed_unreachable"})
"""Conditions of the centre itself, which no rule or domain names."""
_AT = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_SYNTAX = re.compile(r"(.*?)\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_HINTED = 20
_FIELDS = OpeningRule.__struct_fields__


def read_opening(text: str, file: str = "rule") -> tuple[list[OpeningRule], list[Problem]]:
    """The sound rules of a TOML text, and every mistake in the others."""
    try:
        body = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return [], [_no_toml(error, text, file)]
    found = positions(text)
    problems = [
        Problem(file, *_place(found, (key,)), "", key, f"unknown field `{key}`", "a rule begins with [[rule]]")
        for key in body
        if key != "rule"
    ]
    tables = body.get("rule", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        where = _place(found, ("rule",))
        return [], [*problems, Problem(file, *where, "", "", "there is no rule in it", "a rule begins with [[rule]]")]
    rules: dict[str, OpeningRule] = {}
    for number, table in enumerate(tables):
        made, wrong = read_table(table, file, found, ("rule", number))
        problems += wrong
        if made is not None and made.name in rules:
            where = _place(found, ("rule", number, "name"))
            problems.append(Problem(file, *where, made.name, "name", f"there is a rule {made.name!r} above as well"))
        elif made is not None:
            rules[made.name] = made
    return list(rules.values()), problems


def read_table(
    table: Mapping[str, Any], file: str = "rule", found: Mapping[Path, Position] | None = None, root: Path = ()
) -> tuple[OpeningRule | None, list[Problem]]:
    """One rule from its fields, or the first mistake in them."""
    name = str(table.get("name", ""))
    try:
        return check_rule(msgspec.convert(table, OpeningRule), ""), []
    except msgspec.ValidationError as error:
        message, field, hint = _converted(str(error))
    except InputError as error:
        field = (error.where or "").rpartition(", ")[2].strip()
        field = field if field in _FIELDS else "window" if "length of time" in error.message else ""
        message, hint = error.message, error.hint
        if not field and "name of a rule" in message:
            field = "name"
    path: Path = (*root, *(int(part) if part.isdigit() else part for part in field.split(".") if part))
    return None, [Problem(file, *_place(found or {}, path), name, field, message, hint)]


def unknown_names(
    rule: OpeningRule,
    domains: Collection[str],
    conditions: Collection[str],
    file: str = "rule",
    found: Mapping[Path, Position] | None = None,
    root: Path = (),
) -> list[Problem]:
    """Domains of a rule that do not exist, and patterns of conditions that match none there are."""
    problems: list[Problem] = []
    for field, values, known in (("domains", rule.domains, domains), ("conditions", rule.conditions, conditions)):
        for number, value in enumerate(values):
            if value in known or (field == "conditions" and any(fnmatchcase(one, value) for one in known)):
                continue
            what = "domain" if field == "domains" else "alarm's condition"
            where = _place(found or {}, (*root, field, number))
            if len(problems) >= _HINTED:  # to find what is near takes long; by then it is no slip of the pen
                problems.append(Problem(file, *where, rule.name, f"{field}.{number}", f"no {what} is {value!r}", ""))
                continue
            hint = _near(value, known) if field == "domains" else _near(value, known, "write its alarm rule first")
            problems.append(Problem(file, *where, rule.name, f"{field}.{number}", f"no {what} is {value!r}", hint))
    return problems


def toml_of(rules: Sequence[OpeningRule]) -> str:
    """Rules as the text of `<data>/opening.toml`."""
    import tomlkit

    document, array = tomlkit.document(), tomlkit.aot()
    for rule in rules:
        table = tomlkit.table()
        for name, value in msgspec.to_builtins(rule).items():
            if value is None:
                continue
            if isinstance(value, dict):
                inline = tomlkit.inline_table()
                inline.update(value)
                table.append(name, inline)
            else:
                table.append(name, list(value) if isinstance(value, tuple) else value)
        array.append(table)
    document.append("rule", array)
    return tomlkit.dumps(document).strip() + "\n"


def _near(value: str, known: Collection[str], otherwise: str = "") -> str:
    near = difflib.get_close_matches(value, sorted(known), 1, 0.6)
    shown = sorted(known)[:30]
    listed = f"known are {', '.join(shown)}" + (" …" if len(known) > len(shown) else "")
    return "; ".join(part for part in (f"did you mean {near[0]!r}?" if near else otherwise, listed) if part)


def _converted(said: str) -> tuple[str, str, str | None]:
    match = _AT.fullmatch(said)
    message, field = (match[1], match[2] or "") if match else (said, "")
    field = re.sub(r"\[(\d+)\]", r".\1", field).replace("[...]", "").strip(".")
    unknown = _UNKNOWN.fullmatch(message)
    if unknown:
        allowed = ["vi", "en"] if field == "title" else list(_FIELDS)
        field = f"{field}.{unknown[1]}" if field else unknown[1]
        return f"unknown field `{unknown[1]}`", field, _near(unknown[1], allowed)
    missing = re.fullmatch(r"Object missing required field `(.+)`", message)
    if missing:
        return f"`{missing[1]}` is needed", f"{field}.{missing[1]}" if field else missing[1], None
    return message[:1].lower() + message[1:], field, None


def _place(found: Mapping[Path, Position], path: Path) -> Position:
    while path and path not in found:
        path = path[:-1]
    return found.get(path, Position(1, 1))


def _no_toml(error: Exception, text: str, file: str) -> Problem:
    match = _SYNTAX.fullmatch(str(error))
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if match and match[2]:
        line, column = int(match[2]), int(match[3])
    message = match[1] if match else str(error)
    return Problem(file, line, column, "", "", f"not valid TOML: {message[:1].lower()}{message[1:]}")
