"""Settings described: what each is called, may be and is, and where its value is from. Secrets are never in it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from thap.kernel.settings import Settings

__all__ = ["BY_UP", "Origin", "SettingInfo", "describe", "origins"]

BY_UP = "THAP_BY_UP"
"""Variable in which `thap up` tells its roles which variables it set itself, to hand its command line on."""
Origin = Literal["default", "file", "environment", "command line"]
_HIDDEN = "…"
_SECRET_NAMES = re.compile(r"(^|_)(secret|password|api_key|token)$")
_ADDRESSES = ("url", "catalogue", "connect")


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting."""

    name: str
    """As in `thap.toml`, sections with dots."""
    variable: str
    """Environment variable that sets it."""
    type: str
    default: Any
    bounds: str
    description: str
    value: Any
    """In force for the data directory asked about; what is secret in it is `…`."""


def describe(current: BaseModel, prefix: str = "") -> Iterator[SettingInfo]:
    """Every setting of a model, sections flattened."""
    defaults = type(current).model_construct()
    for name, field in type(current).model_fields.items():
        value = getattr(current, name)
        full = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from describe(value, f"{full}.")
            continue
        variable = "THAP_HOME" if full == "data" else "THAP_" + full.upper().replace(".", "__")
        yield SettingInfo(
            full,
            variable,
            _type(field.annotation),
            _plain(getattr(defaults, name), name),
            _bounds(field),
            field.description or "",
            _plain(value, name),
        )


def origins(settings: Settings, environment: Mapping[str, str] = os.environ) -> dict[str, Origin]:
    """Where the value of each setting is from, as this process was started.

    A variable that `thap up` set for its roles counts as what it stands for: its command line, or else the file.
    """
    try:
        body = tomllib.loads((settings.data / "thap.toml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        body = {}
    passed_on = set(environment.get(BY_UP, "").split(","))
    given = {name.upper() for name in environment} - passed_on
    found: dict[str, Origin] = {}
    for info in describe(settings):
        sections = info.variable.split("__")
        if info.name == "data":
            found[info.name] = _origin_of_data(settings.data, environment)
        elif any("__".join(sections[:count]) in given for count in range(1, len(sections) + 1)):
            found[info.name] = "environment"
        elif info.variable in passed_on and info.value != _plain(_in_file(body, info.name), info.name):
            found[info.name] = "default" if info.value == info.default else "command line"
        else:
            found[info.name] = "default" if _in_file(body, info.name) is None else "file"
    return found


def _origin_of_data(data: Path, environment: Mapping[str, str]) -> Origin:
    if home := environment.get("THAP_HOME"):
        return "environment" if Path(home).absolute() == data else "command line"
    return "default" if Path("thap-data").absolute() == data else "command line"


def _in_file(body: Mapping[str, Any], name: str) -> Any:
    found: Any = body
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _plain(value: Any, name: str = "") -> Any:
    """A value as JSON, without its secrets."""
    if isinstance(value, SecretStr):
        return _HIDDEN if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        return {key: _plain(getattr(value, key), key) for key in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, name) for one in value]
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    if _SECRET_NAMES.search(name):
        return _HIDDEN if text else ""
    if "://" in text or name.endswith(_ADDRESSES):  # addresses may hold a password
        text = re.sub(r"(//[^:/?#\s]*):[^/?#\s]+@", r"\1:…@", text)  # up to the last @: passwords may hold one
        text = re.sub(r"//(?![^/\s]*:…@)[^/?#\s@]+@", "//…@", text)  # a token where a name would stand
        named = r"(?i)([?&;\s]|^)([\w.-]*(?:password|secret|token|key|sig|signature))=('[^']*'|[^\s&;]+)"
        text = re.sub(named, r"\1\2=…", text)
    return text


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "text"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", SecretStr: "secret text"}
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if annotation in names:
        return names[annotation]
    if get_origin(annotation) is list:
        return f"list of {_type(parts[0])}"
    if get_origin(annotation) is dict:
        return f"table of {_type(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "tables"
    return _type(parts[0]) if parts else "path"


def _bounds(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    found = []
    for rule in field.metadata:
        for kind, sign, name in (
            (annotated_types.Ge, "≥", "ge"),
            (annotated_types.Gt, ">", "gt"),
            (annotated_types.Le, "≤", "le"),
            (annotated_types.Lt, "<", "lt"),
        ):
            if isinstance(rule, kind):
                found.append(f"{sign} {getattr(rule, name):,}")
    return ", ".join(found)
