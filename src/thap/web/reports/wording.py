"""The words of the public pages, from `messages/`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from starlette.requests import Request

__all__ = ["LANGUAGES", "language_of", "text", "words"]

LANGUAGES = ("vi", "en")


@cache
def words(language: str) -> dict[str, str]:
    """All messages in a language."""
    found: dict[str, str] = json.loads((files(__package__) / "messages" / f"{language}.json").read_text("utf-8"))
    return found


def text(language: str, key: str, **values: object) -> str:
    """One message, its gaps filled."""
    return words(language)[key].format(**values)


def language_of(request: Request) -> str:
    """The language asked for: `?lang=`, else English where the browser puts it before Vietnamese, else Vietnamese."""
    asked = request.query_params.get("lang", "")
    if asked in LANGUAGES:
        return asked
    for part in request.headers.get("accept-language", "").split(","):
        tongue = part.strip()[:2].lower()
        if tongue in LANGUAGES:
            return tongue
    return "vi"
