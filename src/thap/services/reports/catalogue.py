"""What can be reported: the kinds ("services" in Open311), with what each asks.

Read from `services.toml` of this package, then from `reports/services.toml` of the data directory, whose kinds
add to the first and replace those of the same code. The file is read again when it has changed.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from thap.kernel.clock import parse_time_us
from thap.kernel.errors import InputError, NotFoundError, SettingsError
from thap.kernel.settings import Settings

__all__ = ["COMMUNE", "Attribute", "Catalogue", "Choice", "Service"]

COMMUNE = "commune"
"""As a service's unit: the commune the report lies in."""

_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONG = 4000
_SHORT = 300

Words = dict[str, str]
Datatype = Literal["string", "number", "datetime", "text", "singlevaluelist", "multivaluelist"]


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of a list."""

    key: str
    name: Words


class Attribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing a service asks beyond place and words."""

    code: str
    datatype: Datatype
    description: Words
    """The question."""
    required: bool = False
    variable: bool = True
    """False: it only tells something, and asks nothing."""
    hint: Words = {}
    """How to answer."""
    values: tuple[Choice, ...] = ()


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of report."""

    code: str
    name: Words
    description: Words = {}
    group: str = "khac"
    keywords: tuple[str, ...] = ()
    domain: str = ""
    severity: int = 1
    """Of an incident opened from it, 1 low … 4 critical."""
    unit: str = COMMUNE
    """Who handles it: code of a unit, or `commune`."""
    expected_hours: float | None = None
    """Within how long the sender may expect an answer."""
    attribute: tuple[Attribute, ...] = ()
    hidden: bool = False
    """Not offered any more; reports of it remain readable."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    service: tuple[Service, ...] = ()
    groups: dict[str, Words] = {}


def say(words: Mapping[str, str], language: str) -> str:
    """The words in a language, else in Vietnamese, else in any."""
    return words.get(language) or words.get("vi") or next(iter(words.values()), "")


class Catalogue:
    """The kinds of report of one centre.

    Args:
        settings: whose data directory may hold a file of its own.

    Raises (each method):
        SettingsError: the centre's own file does not hold together; the message says where.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data / "reports" / "services.toml"
        self._stamp: tuple[int, int] | None = None
        self._services: dict[str, Service] = {}
        self._groups: dict[str, Words] = {}

    def all(self, *, hidden: bool = False) -> list[Service]:
        """Every kind that is offered, in the order of the files."""
        self._refresh()
        return [service for service in self._services.values() if hidden or not service.hidden]

    def get(self, code: str, *, hidden: bool = False) -> Service:
        """The kind with a code.

        Raises:
            NotFoundError: there is none, or it is not offered any more.
        """
        self._refresh()
        found = self._services.get(code)
        if found is None or (found.hidden and not hidden):
            raise NotFoundError(
                f"no service has the code {code[:80]!r}", where="service_code", hint="GET services lists them all"
            )
        return found

    def name(self, code: str, language: str) -> str:
        """What a kind is called; its code where it is gone from the files."""
        self._refresh()
        found = self._services.get(code)
        return code if found is None else say(found.name, language)

    def group(self, code: str, language: str) -> str:
        """What a group is called."""
        self._refresh()
        return say(self._groups.get(code, {}), language) or code

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
        except OSError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        shipped = _read((files(__package__) / "services.toml").read_text("utf-8"), "services.toml")
        services = {service.code: service for service in shipped.service}
        groups = dict(shipped.groups)
        if stamp != (0, 0):
            own = _read(self._path.read_text("utf-8"), str(self._path))
            services |= {service.code: service for service in own.service}
            groups |= own.groups
        self._services, self._groups, self._stamp = services, groups, stamp


def _read(text: str, where: str) -> _File:
    try:
        read = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(str(error), where=where, hint="docs/reports.md shows the file's form") from None
    for service in read.service:
        _check(service, where)
    return read


def _check(service: Service, where: str) -> None:
    codes = [service.code, *(attribute.code for attribute in service.attribute)]
    for code in codes:
        if not _CODE.fullmatch(code):
            raise SettingsError(f"{code!r} is not a code", where=where, hint="use letters, digits, _ and -, at most 64")
    if len(set(codes[1:])) != len(codes) - 1:
        raise SettingsError(f"an attribute of {service.code} is there twice", where=where)
    if not 1 <= service.severity <= 4:
        raise SettingsError(f"the severity of {service.code} is 1 to 4", where=where)
    if not service.name:
        raise SettingsError(f"{service.code} has no name", where=where)
    for attribute in service.attribute:
        if attribute.datatype.endswith("list") != bool(attribute.values):
            raise SettingsError(f"{service.code}.{attribute.code}: lists, and only they, have values", where=where)


def read_answers(service: Service, given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What was answered to a service's questions, checked.

    Args:
        service: which.
        given: texts by attribute code; empty ones count as not given.

    Raises:
        InputError: a required answer is missing, one is not of its type, or no such question exists.
    """
    known = {attribute.code: attribute for attribute in service.attribute if attribute.variable}
    for code in given:
        if code not in known:
            raise InputError(
                f"{service.code} has no attribute {code[:80]!r}",
                where=f"attribute[{code[:80]}]",
                hint="GET services/{code} lists them",
            )
    answers: dict[str, list[str]] = {}
    for code, attribute in known.items():
        values = [value.strip() for value in given.get(code, ()) if value.strip()]
        if not values and attribute.required:
            raise InputError(f"{code} must be answered", where=f"attribute[{code}]")
        if values:
            answers[code] = [_answer(attribute, value) for value in values]
        if len(values) > 1 and attribute.datatype != "multivaluelist":
            raise InputError(f"{code} has one answer", where=f"attribute[{code}]")
    return answers


def _answer(attribute: Attribute, value: str) -> str:
    where = f"attribute[{attribute.code}]"
    match attribute.datatype:
        case "singlevaluelist" | "multivaluelist":
            if value not in {choice.key for choice in attribute.values}:
                keys = ", ".join(choice.key for choice in attribute.values)
                raise InputError(f"{value[:80]!r} is not one of its values", where=where, hint=f"one of {keys}")
        case "number":
            try:
                number = float(value.replace(",", "."))
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                raise InputError(f"{value[:80]!r} is not a number", where=where)
            return value.replace(",", ".")
        case "datetime":
            try:
                parse_time_us(value)
            except InputError:
                raise InputError(f"{value[:80]!r} is not a time", where=where, hint="write ISO 8601") from None
        case _:
            if len(value) > (_LONG if attribute.datatype == "text" else _SHORT):
                raise InputError("it is too long", where=where)
    return value


def definition(service: Service, language: str) -> list[dict[str, Any]]:
    """A service's attributes as Open311's service definition has them."""
    return [
        {
            "variable": attribute.variable,
            "code": attribute.code,
            "datatype": attribute.datatype,
            "required": attribute.required,
            "datatype_description": say(attribute.hint, language),
            "order": order,
            "description": say(attribute.description, language),
            **(
                {"values": [{"key": choice.key, "name": say(choice.name, language)} for choice in attribute.values]}
                if attribute.values
                else {}
            ),
        }
        for order, attribute in enumerate(service.attribute, 1)
    ]


def own_file(settings: Settings) -> Path:
    """Where a centre keeps its own kinds."""
    return settings.data / "reports" / "services.toml"
