"""Opening rules: which alarms open an incident, under which title, for whom, and what belongs together.

They come with the program (`opening.toml`), from a file of the same name in the data directory, and from the
records; later ones stand instead of earlier ones of the same name, and before those of other names.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import structlog

from thap.kernel import audit
from thap.kernel.clock import DAY_US, now_us, parse_duration_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.store import Transaction
from thap.kernel.units import commune
from thap.respond.incidents.model import Row
from thap.respond.incidents.records import RuleRows

__all__ = ["OpeningRule", "OpeningRules", "Title", "packaged", "put_rule", "read_rules", "remove_rule"]

_log = structlog.get_logger(__name__)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_UNIT = re.compile(r"[a-z0-9-]{1,32}")
_FIELDS = {"title": {"what", "source", "where", "condition"}, "cause": {"condition"}}


class Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In both languages."""

    vi: str
    en: str


class OpeningRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One rule, as in `opening.toml`, which says what each field means."""

    name: str
    title: Title
    domains: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ("*",)
    severity: int = 3
    cause: str = "{condition}"
    place: Literal["commune", "near", "source", "province"] = "commune"
    metres: float | None = None
    window: str = "2h"
    unit: str = "commune"
    enabled: bool = True

    @cached_property
    def window_us(self) -> int:
        """The window in µs."""
        return parse_duration_us(self.window)

    @cached_property
    def _conditions(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.conditions)))

    def fits(self, domain: str, condition: str, severity: int) -> bool:
        """Whether an alarm of this kind opens an incident by this rule."""
        return (
            self.enabled
            and severity >= self.severity
            and (not self.domains or domain in self.domains)
            and self._conditions.match(condition) is not None
        )

    def cause_of(self, condition: str) -> str:
        """What alarms that belong together have in common."""
        return self.cause.format(condition=condition)[:64]

    def unit_of(self, where: str) -> str:
        """The unit responsible for an alarm in a commune ('' for the province)."""
        return where if self.unit == "commune" else "" if self.unit == "province" else self.unit

    def titles(self, source: str, condition: str, where: str, what: Mapping[str, str]) -> dict[str, str]:
        """The incident's title in both languages; `what` is the title of what raised the alarm, if it has one."""
        known = _commune_title(where)
        fields = {"source": source, "condition": condition, "where": f" – {known}" if known else ""}
        texts = {"vi": self.title.vi, "en": self.title.en}
        return {
            language: text.format(what=what.get(language) or condition, **fields)[:200]
            for language, text in texts.items()
        }


@cache
def _commune_title(code: str) -> str:
    try:
        return commune(code).title if code else ""
    except NotFoundError:
        return code


class OpeningRules:
    """Rules in the order in which they are asked."""

    def __init__(self, rules: Sequence[OpeningRule]) -> None:
        self.rules = tuple(rules)

    def find(self, domain: str, condition: str, severity: int) -> OpeningRule | None:
        """The first rule that fits an alarm; None: it opens nothing."""
        return next((rule for rule in self.rules if rule.fits(domain, condition, severity)), None)

    @classmethod
    def gather(cls, file: Path, rows: Iterable[Row]) -> OpeningRules:
        """Those of the program, of a file if it is there, and of the records. What cannot be read is logged and left
        out: a mistake in one rule must not keep the others from opening incidents."""
        found = {rule.name: rule for rule in packaged()}
        own: dict[str, OpeningRule] = {}
        if file.is_file():
            try:
                own |= {rule.name: rule for rule in read_rules(file.read_text("utf-8"), str(file))}
            except (InputError, OSError, UnicodeDecodeError) as error:
                _log.error("opening rules cannot be read", file=str(file), reason=str(error))
        for row in rows:
            try:
                rule = _rule(msgspec.json.decode(row["body"]), row["name"])
                own[rule.name] = msgspec.structs.replace(rule, enabled=bool(row["enabled"]))
            except (InputError, msgspec.MsgspecError) as error:
                _log.error("an opening rule cannot be read", rule=row["name"], reason=str(error))
        added = [rule for name, rule in own.items() if name not in found]
        return cls([*added, *(own.get(name, rule) for name, rule in found.items())])


@cache
def packaged() -> tuple[OpeningRule, ...]:
    """The rules that come with the program."""
    return tuple(read_rules((Path(__file__).parent / "opening.toml").read_text("utf-8"), "opening.toml"))


def read_rules(text: str, where: str) -> list[OpeningRule]:
    """Rules of a TOML file with `[[rule]]`.

    Raises:
        InputError: it is no TOML, or a rule does not hold together.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"this is not TOML: {error}", where=where) from None
    found = body.get("rule")
    if not isinstance(found, list) or set(body) != {"rule"}:
        raise InputError("a file of opening rules has [[rule]] and nothing else", where=where)
    rules = [_rule(one, f"{where}, rule {number}") for number, one in enumerate(found, 1)]
    twice = {rule.name for rule in rules if sum(rule.name == other.name for other in rules) > 1}
    if twice:
        raise InputError(f"there are two rules called {min(twice)!r}", where=where, hint="give one another name")
    return rules


def _rule(body: Any, where: str) -> OpeningRule:
    try:
        rule = msgspec.convert(body, OpeningRule)
    except msgspec.ValidationError as error:
        raise InputError(f"this is no opening rule: {error}", where=where) from None
    return check_rule(rule, where)


def check_rule(rule: OpeningRule, where: str = "rule") -> OpeningRule:
    """A rule that holds together.

    Raises:
        InputError: a value is not possible; says which.
    """
    if not _NAME.fullmatch(rule.name):
        raise InputError(f"{rule.name!r} is not a name of a rule", where=where, hint="a-z, 0-9 and -")
    if not 1 <= rule.severity <= 4:
        raise InputError("severity is 1 to 4", where=f"{where}, severity")
    if not rule.conditions or len(rule.conditions) > 100:
        raise InputError("a rule names 1 to 100 conditions", where=f"{where}, conditions", hint='["*"] is all')
    if (rule.place == "near") != (rule.metres is not None) or not 0 < (rule.metres or 1) <= 10_000:
        raise InputError("`metres` (up to 10000) belongs to place near", where=f"{where}, metres")
    if not 0 < parse_duration_us(rule.window) <= 90 * DAY_US:
        raise InputError("a window is at most 90 days long", where=f"{where}, window")
    if not _UNIT.fullmatch(rule.unit):
        raise InputError(f"{rule.unit!r} is not a unit", where=f"{where}, unit", hint="commune, province or a code")
    for name, text in (("title", rule.title.vi), ("title", rule.title.en), ("cause", rule.cause)):
        _check_template(text, _FIELDS[name], f"{where}, {name}")
    return rule


def _check_template(text: str, known: set[str], where: str) -> None:
    try:
        fields = [(field, spec, how) for _, field, spec, how in string.Formatter().parse(text) if field is not None]
    except ValueError as error:
        raise InputError(f"braces do not match: {error}", where=where) from None
    for field, spec, how in fields:
        if field not in known or spec or how:
            raise InputError(
                f"{{{field}}} is not known", where=where, hint=", ".join(f"{{{n}}}" for n in sorted(known))
            )
    if not text.strip() or len(text) > 200:
        raise InputError("a text has 1 to 200 characters", where=where)


def put_rule(tx: Transaction, rule: OpeningRule, by: str, expected: int | None = None) -> int:
    """Keep a rule in the records, as a new one or as a new version of what has its name; returns its version.

    Args:
        tx: the transaction.
        rule: the rule.
        by: who changes it.
        expected: the version the caller has seen, 0 for none; None overwrites whatever there is.

    Raises:
        InputError: the rule does not hold together.
        ConflictError: the version is another one by now.
    """
    check_rule(rule)
    rows = RuleRows(tx)
    row = {
        "name": rule.name,
        "enabled": rule.enabled,
        "body": msgspec.json.encode(rule).decode(),
        "changed": now_us(),
        "changed_by": by,
    }
    version = rows.put(row, expected)
    if version is None:
        raise ConflictError(f"opening rule {rule.name!r} was changed by somebody else", hint="read it again")
    audit.append(tx, [audit.Entry(by, "opening_rule.put", f"opening_rule:{rule.name}", msgspec.to_builtins(rule))])
    return version


def remove_rule(tx: Transaction, name: str, by: str) -> None:
    """Take a rule out of the records; one of the same name that came with the program stands again.

    Raises:
        NotFoundError: there is none.
    """
    if not RuleRows(tx).remove(name):
        raise NotFoundError(f"no opening rule in the records is called {name!r}")
    audit.append(tx, [audit.Entry(by, "opening_rule.remove", f"opening_rule:{name}")])
