"""Text that no database and no file keeps: U+0000, and halves of a surrogate pair. Refused before any route sees it.

PostgreSQL takes neither, SQLite takes both: what one centre stores, another would fail at. So path, query, forms and
JSON bodies are looked at here, once, as the bytes that came. Ingest doors are not behind this; they judge each record.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thap.kernel.errors import InputError
from thap.web.errors import answer_error

__all__ = ["PlainText"]

_SOUND = re.compile(
    rb"(?:[^\\]++|\\(?:[^u]|u(?!0000|[dD][89a-fA-F])[0-9a-fA-F]{4}"
    rb"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*+"
)
"""JSON up to the first escape that is not a whole character."""
_STRANGE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
_PAIR = len(rb"\ud83d\ude00")
_HINT = "leave out U+0000 and unpaired surrogates"


class PlainText:
    """Refuses a request with 400 where a text in its path, query, form or JSON body is not one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif where := _strange_address(scope):
            error = InputError(f"the {where} holds a character that is none", where=where, hint=_HINT)
            await answer_error(error)(scope, receive, send)
        else:
            judge = _judge_of(scope)
            await self._app(scope, receive if judge is None else _watched(receive, judge), send)


def _strange_address(scope: Scope) -> str:
    # Halves of a pair are no UTF-8: in an address they have become U+FFFD by now.
    if "\0" in scope["path"]:
        return "path"
    return "query" if b"%00" in scope["query_string"] or b"\0" in scope["query_string"] else ""


class _Judge:
    """Looks at a body piece by piece."""

    def __init__(self, form: bool) -> None:
        self._form, self._rest, self._done, self._at = form, b"", False, 0

    def look(self, piece: bytes, last: bool) -> None:
        """Raises InputError where what has come so far holds what is no text."""
        if self._done or not (self._rest or b"\\" in piece or self._form):
            self._at += len(piece)
            return
        text = self._rest + piece
        if self._form:
            found = text.find(b"%00")
            strange, sound = found >= 0, found if found >= 0 else max(0, len(text) - 2)
            self._rest = text[sound:]
        else:
            match = _SOUND.match(text)
            sound = match.end() if match else 0
            self._rest = text[sound:]
            # What is left begins with a backslash: it is strange, or not whole yet, or no JSON, which its reader says.
            ended = last or len(self._rest) >= _PAIR
            strange = ended and _STRANGE.match(self._rest) is not None
            self._done = ended and bool(self._rest)
        self._at += sound
        if strange:
            raise InputError("the body holds a character that is none", where=f"body, byte {self._at + 1}", hint=_HINT)


def _judge_of(scope: Scope) -> _Judge | None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.lower()
            if b"json" in kind or b"x-www-form-urlencoded" in kind:
                return _Judge(b"json" not in kind)
    return None


def _watched(receive: Receive, judge: _Judge) -> Receive:
    async def watched() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            judge.look(message.get("body", b""), not message.get("more_body", False))
        return message

    return watched
