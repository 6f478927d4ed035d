"""The words of warnings, in Vietnamese and English, from `messages/`; what domains begin with, from `domains.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

__all__ = ["LANGUAGES", "Language", "domain_defaults", "severity_word", "word"]

Language = Literal["vi", "en"]
LANGUAGES: dict[Language, str] = {"vi": "vi-VN", "en": "en-US"}
"""Languages of every warning, with CAP's name for each."""


@cache
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


def word(language: Language, name: str, /, **values: Any) -> str:
    """A text, `section.name` or `name`, filled in. A section's `default` stands for names it does not have."""
    table: Any = _table(f"messages/{language}.toml")
    section, _, key = name.rpartition(".")
    if section:
        table = table[section]
        key = key if key in table else "default"
    return str(table[key]).format(**values)


def domain_defaults(domain: str) -> tuple[list[str], list[str]]:
    """Categories and response types that a warning of a domain begins with."""
    table = _table("domains.toml")
    found = table.get(domain) if domain not in ("severities",) else None
    found = found or table["default"]
    return list(found["categories"]), list(found["responses"])


def severity_word(level: int) -> str:
    """CAP's word for an incident's severity."""
    return str(_table("domains.toml")["severities"].get(str(level), "Unknown"))
