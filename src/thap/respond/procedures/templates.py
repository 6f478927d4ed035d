"""Procedures as TOML: reading, checking, choosing the one that fits an incident.

A domain's procedures lie in `procedures.toml` of its package; the general one beside this module.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib import resources
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from thap.kernel.errors import InputError
from thap.kernel.working_calendar import ROUND_THE_CLOCK, packaged
from thap.respond.procedures.model import ROLES, SEVERITIES, Attachment, Procedure, Step

__all__ = ["choose", "read_procedures", "shipped"]

_log = structlog.get_logger(__name__)
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_UNIT = re.compile(r"incident|commune|province|\d{2,5}|so-[a-z0-9-]+")
_CLOCKS = ("round", "working")
_DONE_WHEN = ("acknowledged", "in_progress", "resolved")
_KEYS = frozenset({"name", "title", "domain", "severity", "causes", "source", "enabled", "step"})
_STEP_KEYS = frozenset({"key", "title", "text", "role", "unit", "within", "clock", "after", "attach", "done_when"})
_GROUP = "thap.domains"
_FILE = "procedures.toml"


def read_procedures(text: str, where: str) -> dict[str, Procedure]:
    """The procedures of a TOML text by name.

    Raises:
        InputError: one does not hold together; says which, and where.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", where=where) from None
    _known(body, frozenset({"procedure"}), where)
    entries = body.get("procedure", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("procedures are written as [[procedure]]", where=where)
    if not entries:
        raise InputError("there is no procedure in it", where=where, hint="begin one with [[procedure]]")
    found: dict[str, Procedure] = {}
    for number, entry in enumerate(entries, 1):
        one = _procedure(entry, f"{where}: procedure {entry.get('name', number)}")
        if one.name in found:
            raise InputError(f"two procedures are called {one.name!r}", where=where)
        found[one.name] = one
    return found


def choose(procedures: Iterable[Procedure], *, domain: str, severity: int, cause: str) -> Procedure | None:
    """The procedure for an incident: of those that fit, the one that says most precisely what it is for (its
    causes, then its domain, then its severities); of equals the first by name."""
    fitting = [
        one
        for one in procedures
        if one.enabled
        and one.domain in ("", domain)
        and (not one.severity or severity in one.severity)
        and (not one.causes or any(fnmatchcase(cause, pattern) for pattern in one.causes))
    ]
    return min(fitting, key=lambda one: (not one.causes, not one.domain, not one.severity, one.name), default=None)


def shipped() -> dict[str, dict[str, Procedure]]:
    """The procedures that come with installed packages, by package. A broken file stops only its own package."""
    packages = [__package__ or "", *sorted(point.module for point in entry_points(group=_GROUP))]
    found: dict[str, dict[str, Procedure]] = {}
    for package in packages:
        try:
            text = _text_of(package)
            if text:
                found[package] = read_procedures(text, f"{package}/{_FILE}")
        except Exception as error:  # whatever a foreign package is like must not stop the centre
            _log.error("procedures of a package cannot be read", package=package, reason=str(error))
    return found


def _text_of(package: str) -> str:
    """The file's text, '' where there is none. The package is not imported: its detectors are not needed here."""
    if package == __package__:
        return resources.files(package).joinpath(_FILE).read_text("utf-8")
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path.read_text("utf-8")
    return ""


def _procedure(entry: Mapping[str, Any], where: str) -> Procedure:
    _known(entry, _KEYS, where)
    name = entry.get("name", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 64:
        raise InputError(f"{name!r} is not a name for a procedure", where=where, hint="as sand.dredging, at most 64")
    domain = _text(entry, "domain", where, 32)
    causes = _texts(entry, "causes", where)
    steps = entry.get("step", [])
    if not isinstance(steps, list) or not 1 <= len(steps) <= 50 or not all(isinstance(one, dict) for one in steps):
        raise InputError("a procedure has 1 to 50 steps, each [[procedure.step]]", where=where)
    made: list[Step] = []
    for number, one in enumerate(steps, 1):
        here = f"{where}: step {one.get('key', number)}"
        step = _step(one, here)
        keys = {before.key for before in made}
        if step.key in keys:
            raise InputError(f"two steps are called {step.key!r}", where=where)
        for key in step.after:
            if key not in keys:
                raise InputError(
                    f"it comes after {key!r}, which is no step before it", where=here, hint="steps stand in order"
                )
        made.append(step)
    enabled = entry.get("enabled", True)
    if not isinstance(enabled, bool):
        raise InputError("`enabled` is true or false", where=where)
    return Procedure(
        name=name,
        title=_title(entry.get("title"), f"{where}: title", 200),
        domain=domain,
        severity=_severities(entry.get("severity", []), where),
        causes=causes,
        source=_text(entry, "source", where, 1000),
        enabled=enabled,
        steps=tuple(made),
    )


def _step(entry: Mapping[str, Any], where: str) -> Step:
    _known(entry, _STEP_KEYS, where)
    key = entry.get("key", "")
    if not isinstance(key, str) or not _NAME.fullmatch(key) or len(key) > 64:
        raise InputError(f"{key!r} is not a key for a step", where=where, hint="as verify, at most 64 letters")
    role = entry.get("role", "")
    if role not in ROLES:
        raise InputError(f"{role!r} is not a role", where=where, hint=f"one of {', '.join(sorted(ROLES))}")
    unit = entry.get("unit", "incident")
    if not isinstance(unit, str) or not _UNIT.fullmatch(unit) or len(unit) > 32:
        raise InputError(
            f"{unit!r} is not a unit", where=where, hint="incident, commune, province, or a code as so-cong-an"
        )
    clock = entry.get("clock", "round")
    if clock not in _CLOCKS:
        raise InputError(f"{clock!r} is not a clock", where=where, hint=f"one of {', '.join(_CLOCKS)}")
    within = entry.get("within", "")
    try:
        (packaged() if clock == "working" else ROUND_THE_CLOCK).length(str(within))
    except InputError as error:
        raise InputError(error.message, where=f"{where}: within", hint=error.hint) from None
    done_when = entry.get("done_when", "")
    if done_when not in ("", *_DONE_WHEN):
        raise InputError(
            f"an incident's becoming {done_when!r} does no step", where=where, hint=f"one of {', '.join(_DONE_WHEN)}"
        )
    return Step(
        key=key,
        title=_title(entry.get("title"), f"{where}: title", 200),
        text=_title(entry["text"], f"{where}: text", 4000) if "text" in entry else {},
        role=role,
        unit=unit,
        within=str(within),
        clock=clock,
        after=_texts(entry, "after", where),
        attach=_attachments(entry.get("attach", []), where),
        done_when=done_when,
    )


def _attachments(value: Any, where: str) -> tuple[Attachment, ...]:
    if not isinstance(value, list) or len(value) > 20:
        raise InputError("`attach` is a list of at most 20", where=where)
    found = []
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("key"), str) or not _NAME.fullmatch(one["key"]):
            raise InputError(
                f"{one!r} is not an attachment", where=where, hint='write { key = "photo", title = { vi = …, en = … } }'
            )
        _known(one, frozenset({"key", "title"}), where)
        found.append(Attachment(key=one["key"], title=_title(one.get("title"), f"{where}: {one['key']}", 200)))
    return tuple(found)


def _severities(value: Any, where: str) -> tuple[int, ...]:
    levels = set()
    for one in value if isinstance(value, list) else [value]:
        level = SEVERITIES.get(one, 0) if isinstance(one, str) else one
        if isinstance(level, bool) or level not in (1, 2, 3, 4):
            raise InputError(f"{one!r} is not a severity", where=where, hint=f"of {', '.join(SEVERITIES)}")
        levels.add(level)
    return tuple(sorted(levels))


def _title(value: Any, where: str, longest: int) -> dict[str, str]:
    if not isinstance(value, dict) or not {"vi", "en"} <= value.keys():
        raise InputError("it is written in both languages", where=where, hint='{ vi = "…", en = "…" }')
    for language, text in value.items():
        if not isinstance(text, str) or not text.strip() or len(text) > longest or "\0" in text:
            raise InputError(f"a text has 1 to {longest} letters", where=f"{where}.{language}")
    return {str(language): text.strip() for language, text in value.items()}


def _text(entry: Mapping[str, Any], key: str, where: str, longest: int) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise InputError(f"`{key}` is a text of at most {longest} letters", where=where)
    return value


def _texts(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= 128 for one in value):
        raise InputError(f"`{key}` is a list of texts", where=where)
    return tuple(value)


def _known(entry: Mapping[str, Any], keys: frozenset[str], where: str) -> None:
    for key in entry.keys() - keys:
        raise InputError(f"{key!r} is not known here", where=where, hint=f"one of {', '.join(sorted(keys))}")
