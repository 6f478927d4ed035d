"""The words of notices, from message files.

A package that sends notices keeps `messages/notices.vi.toml` and `messages/notices.en.toml`: a table for each
template, with `title` and `body` in Jinja. Beside the notice's parameters they may use `centre` (its address),
`url` (made whole), `ack` (the link to acknowledge with, '' where there is none), the filters `time` (a moment in
µs as Việt Nam's clocks show it), `lasting` (µs as hours and minutes), `commune` (a code's title) and `severity`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import structlog

from thap.kernel.clock import MINUTE_US, VIETNAM, from_us
from thap.kernel.errors import NotFoundError

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["LANGUAGES", "PACKAGES", "has", "render", "say"]

LANGUAGES = ("vi", "en")
PACKAGES = (
    "thap.respond.notify",
    "thap.respond.incidents",
    "thap.respond.procedures",
    "thap.respond.warnings",
    "thap.services.reports",
)
"""Named, not imported: some stand above this one."""

_log = structlog.get_logger(__name__)
_TITLE_MAX, _BODY_MAX = 250, 8000


def has(template: str) -> bool:
    """Whether there are words for a template."""
    return all(template in _words(language) for language in LANGUAGES)


def render(template: str, language: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """Title and body of a notice. One without words of its own is told by its name and parameters: better ill
    said than not at all."""
    language = language if language in LANGUAGES else LANGUAGES[0]
    words = _words(language).get(template)
    if words is None:
        _log.error("a notice has no words", template=template, language=language)
        words, params = _words(language)["other"], {"template": template, "params": params, **params}
    environment = _environment(language)
    title = environment.from_string(words["title"]).render(params)
    body = environment.from_string(words["body"]).render(params)
    return " ".join(title.split())[:_TITLE_MAX], body.strip()[:_BODY_MAX]


def say(key: str, language: str) -> str:
    """A single word of the file's table `words`."""
    return str(_words(language)["words"][key])


@cache
def _words(language: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for package in PACKAGES:
        try:
            text = (files(package) / "messages" / f"notices.{language}.toml").read_text("utf-8")
        except (FileNotFoundError, ModuleNotFoundError, NotADirectoryError):
            continue
        found = {**tomllib.loads(text), **found}
    return found


@cache
def _environment(language: str) -> SandboxedEnvironment:
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment(autoescape=False, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "time": _time,
        "lasting": lambda us: _length(int(us), language),
        "commune": _commune,
        "severity": lambda level: say(f"severity_{int(level)}", language),
    }
    return made


def _time(us: object) -> str:
    if not isinstance(us, int):
        return ""
    return from_us(us).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M")


def _length(us: int, language: str) -> str:
    minutes = max(us, 0) // MINUTE_US
    hours, rest = divmod(minutes, 60)
    spoken = [f"{hours} {say('hours', language)}"] if hours else []
    return " ".join([*spoken, f"{rest} {say('minutes', language)}"] if rest or not hours else spoken)


def _commune(code: object) -> str:
    from thap.kernel.units import commune

    try:
        return commune(str(code)).title
    except NotFoundError:
        return str(code or "")
