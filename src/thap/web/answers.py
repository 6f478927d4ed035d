"""JSON answers written by orjson: several times faster than the standard library, NumPy arrays as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

__all__ = ["JsonAnswer", "to_json"]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def to_json(body: Any) -> bytes:
    """JSON in UTF-8; NaN and infinities become null."""
    return orjson.dumps(body, option=_OPTIONS)


class JsonAnswer(Response):
    """An answer of any JSON-able body."""

    media_type = "application/json"

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, headers)

    def render(self, content: Any) -> bytes:
        return to_json(content)
