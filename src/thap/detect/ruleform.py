"""A rule as fields and as text: what forms edit is written into the TOML that is kept, comments and order staying."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, MutableMapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable

from thap.detect.ruletext import parse_rules
from thap.kernel.errors import RuleError

__all__ = ["rule_tables", "written"]

_FIRST = ("name", "kind", "title", "domain", "select")
_LAST = ("levels", "schedule", "source")
_SHORT = 3


def rule_tables(text: str) -> list[dict[str, Any]]:
    """Each [[rule]] of a text as it is written, JSON-able, whether or not it is sound; none where it is no TOML."""
    try:
        tables = tomllib.loads(text).get("rule", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        return []
    found = [table for table in tables if isinstance(table, dict)] if isinstance(tables, list) else []
    plain: list[dict[str, Any]] = json.loads(json.dumps(found, default=str))
    return plain


def written(text: str, table: Mapping[str, Any]) -> str:
    """A text with one [[rule]], or none, made to say what `table` says; what it says already stays as it is written.

    Raises:
        RuleError: the text cannot be read, or has more than one rule.
    """
    if not text.strip():
        return _new(table)
    try:
        document = tomlkit.parse(text)
    except RecursionError:
        raise RuleError("this is nested too deeply", where="rule") from None
    except TOMLKitError:
        problems = parse_rules(text, "rule").problems
        raise problems[0].error() if problems else RuleError("this is not TOML", where="rule") from None
    rules = document.get("rule")
    if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], MutableMapping):
        if not document:
            return text.rstrip() + "\n\n" + _new(table)
        raise RuleError("a form shows one [[rule]]", where="rule", hint="keep one rule at a time")
    _update(rules[0], table)
    return tomlkit.dumps(document).strip() + "\n"


def _new(table: Mapping[str, Any]) -> str:
    document, rules, rule = tomlkit.document(), tomlkit.aot(), tomlkit.table()
    middle = [name for name in table if name not in (*_FIRST, *_LAST)]
    for name in (*_FIRST, *middle, *_LAST):
        if table.get(name) is not None:
            rule.append(name, _item(table[name]))
    rules.append(rule)
    document.append("rule", rules)
    return tomlkit.dumps(document).strip() + "\n"


def _update(there: MutableMapping[str, Any], table: Mapping[str, Any]) -> None:
    for name in [name for name in there if table.get(name) is None]:
        del there[name]
    for name, value in table.items():
        if value is None:
            continue
        known = there.get(name)
        if isinstance(known, MutableMapping) and isinstance(value, Mapping):
            _update(known, value)
        elif name not in there or not _same(known, value):
            there[name] = _item(value)


def _same(known: Any, value: Any) -> bool:
    plain = known.unwrap() if hasattr(known, "unwrap") else known
    return bool(plain == value) and isinstance(plain, bool) == isinstance(value, bool)


def _item(value: Any) -> Any:
    if isinstance(value, Mapping):
        inline: InlineTable = tomlkit.inline_table()
        for name, one in value.items():
            if one is not None:
                inline.append(name, _item(one))
        return inline
    if isinstance(value, list | tuple):
        array: Array = tomlkit.array()
        for one in value:
            array.append(_item(one))
        return array.multiline(len(value) > _SHORT or any(isinstance(one, Mapping) for one in value[1:]))
    return tomlkit.item(value)
