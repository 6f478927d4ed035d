"""Rules from TOML text: every mistake with its line and column, the field, and what is allowed there."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from thap.detect.positions import Path, Position, positions
from thap.detect.rules import KINDS, Level, Rule, ScheduleSpec, Select, Title
from thap.kernel.errors import RuleError

__all__ = ["Parsed", "Problem", "bodies_of", "examples", "parse_rules", "read_rules"]

_LIMIT = 1_000_000
_SYNTAX = re.compile(r"(.*?)\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_PARTS: dict[str, type[BaseModel]] = {"select": Select, "schedule": ScheduleSpec, "title": Title, "levels": Level}
_WORDS = {
    "missing": "is needed",
    "string_type": "must be a text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be lower-case letters, digits and . _ -, at most 64",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a rule file."""

    file: str
    line: int
    column: int
    rule: str
    """Name of the rule, as far as it is known."""
    field: str
    """Dotted, as `select.property` or `levels.0.above`; empty for the rule as a whole."""
    message: str
    hint: str | None = None

    @property
    def where(self) -> str:
        """File, line and column, then the field."""
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place} `{self.field}`" if self.field else place

    def error(self) -> RuleError:
        """As an error to raise."""
        return RuleError(self.message, where=self.where, hint=self.hint)

    def as_dict(self) -> dict[str, Any]:
        """For the API and `--json`."""
        body = {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "field": self.field,
            "message": self.message,
        }
        return body if self.hint is None else {**body, "hint": self.hint}


@dataclass(slots=True)
class Parsed:
    """What a text holds: rules that are sound, and what is wrong with the others."""

    rules: list[Rule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, Position] = field(default_factory=dict)
    """Where each rule's table begins, by name."""


def read_rules(text: str, file: str = "rules") -> list[Rule]:
    """The rules of a text.

    Raises:
        RuleError: something in it is wrong; the first mistake, with its position.
    """
    parsed = parse_rules(text, file)
    if parsed.problems:
        raise parsed.problems[0].error()
    return parsed.rules


def parse_rules(text: str, file: str = "rules") -> Parsed:
    """The sound rules of a text, and every mistake in the others. `file` is shown in positions."""
    parsed = Parsed()
    if len(text) > _LIMIT:
        parsed.problems.append(Problem(file, 1, 1, "", "", "a rule file has at most a million characters"))
        return parsed
    try:
        body = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        parsed.problems.append(_syntax(error, text, file))
        return parsed
    found = positions(text)
    for key in body:
        if key != "rule":
            parsed.problems.append(
                Problem(file, *_at(found, (key,)), "", key, f"unknown field `{key}`", "a rule begins with [[rule]]")
            )
    tables = body.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        parsed.problems.append(
            Problem(
                file,
                *_at(found, ("rule",)),
                "",
                "rule",
                "must be an array of tables",
                "write [[rule]], with two brackets",
            )
        )
        return parsed
    if not body:
        parsed.problems.append(Problem(file, 1, 1, "", "", "there is no rule in it", "a rule begins with [[rule]]"))
    for number, table in enumerate(tables):
        _one(parsed, file, found, number, table)
    return parsed


def bodies_of(text: str) -> dict[str, str]:
    """Each rule of a text, by name, as a text of its own with its comments."""
    bodies: dict[str, str] = {}
    for table in tomlkit.parse(text).get("rule", []):
        document, rules = tomlkit.document(), tomlkit.aot()
        rules.append(table)
        document.append("rule", rules)
        bodies.setdefault(str(table.get("name", "")), tomlkit.dumps(document).strip() + "\n")
    return bodies


def examples() -> dict[str, str]:
    """The rule sets that come with Tháp: text by file name."""
    folder = resources.files("thap.detect") / "examples"
    return {
        item.name: item.read_text("utf-8")
        for item in sorted(folder.iterdir(), key=lambda i: i.name)
        if item.name.endswith(".toml")
    }


def _one(parsed: Parsed, file: str, found: dict[Path, Position], number: int, table: dict[str, Any]) -> None:
    root: Path = ("rule", number)
    name = table.get("name") if isinstance(table.get("name"), str) else ""
    kind = table.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = "`kind` is needed" if kind is None else f"unknown kind {kind!r}"
        parsed.problems.append(
            Problem(file, *_at(found, (*root, "kind")), str(name), "kind", message, _choice(str(kind), list(KINDS)))
        )
        return
    try:
        rule = model.model_validate(table)
    except ValidationError as error:
        for details in error.errors():
            parsed.problems.append(_problem(details, model, file, found, root, str(name)))
        return
    place = _at(found, (*root, "name"))
    if rule.name in parsed.places:
        parsed.problems.append(
            Problem(
                file,
                *place,
                rule.name,
                "name",
                f"{rule.name!r} is the name of the rule in line {parsed.places[rule.name].line} as well",
                "each rule has its own name",
            )
        )
        return
    parsed.places[rule.name] = place
    parsed.rules.append(rule)


def _problem(
    details: ErrorDetails, model: type[BaseModel], file: str, found: dict[Path, Position], root: Path, rule: str
) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    path = [part for part in details["loc"] if part not in ("__root__",)]
    if kind == "rule" and context.get("field"):
        path += [int(part) if part.isdigit() else part for part in str(context["field"]).split(".")]
    dotted = ".".join(str(part) for part in path)
    hint = None
    if kind == "extra_forbidden":
        allowed = list(_model_at(model, path).model_fields)
        message = f"unknown field `{path[-1]}`"
        hint = _choice(str(path[-1]), allowed)
    elif kind == "choice":
        message = details["msg"]
        hint = _choice(str(details["input"]), context["allowed"])
    elif kind == "literal_error":
        message = f"{details['input']!r} is not known here"
        hint = _choice(str(details["input"]), re.findall(r"'([^']+)'", str(context.get("expected", ""))))
    elif kind == "missing":
        message = f"`{path[-1]}` is needed"
    elif kind in _WORDS:
        message = _WORDS[kind]
    else:
        message = details["msg"][:1].lower() + details["msg"][1:]
    return Problem(file, *_at(found, (*root, *path)), rule, dotted, message, hint)


def _model_at(model: type[BaseModel], path: list[Any]) -> type[BaseModel]:
    return _PARTS.get(str(path[0]), model) if len(path) > 1 else model


def _at(found: dict[Path, Position], path: Path) -> Position:
    """The position of a path, or of the nearest thing around it that is written down."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, Position(1, 1))


def _choice(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, 1, 0.6)
    listed = f"allowed: {', '.join(allowed)}"
    return f"did you mean `{near[0]}`? {listed}" if near else listed


def _syntax(error: Exception, text: str, file: str) -> Problem:
    match = _SYNTAX.fullmatch(str(error))
    message = match[1] if match else str(error)
    if match and match[2]:
        line, column = int(match[2]), int(match[3])
    else:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return Problem(file, line, column, "", "", f"not valid TOML: {message[:1].lower()}{message[1:]}")
