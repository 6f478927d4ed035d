"""What the hot HTTP doors share: raw ASGI without a framework between the socket and the records."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import structlog

from thap.kernel.errors import DeniedError, InputError, ThapError, UnauthenticatedError
from thap.kernel.tokens import Token, Tokens

__all__ = ["Receive", "Scope", "Send", "TooLargeError", "authorise", "read_body", "respond", "respond_error"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class TooLargeError(InputError):
    """The body is larger than the door takes (413)."""

    code, status = "too_large", 413


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


async def authorise(scope: Scope, tokens: Tokens, secret: str | None = None) -> Token:
    """The caller's token: `Authorization: Bearer …`, HTTP basic (the password), or as given.

    Raises:
        UnauthenticatedError: there is no valid token.
        DeniedError: it may not write records.
    """
    header = _header(scope, b"authorization").decode("latin-1")
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        secret = value.strip()
    elif kind.lower() == "basic":
        try:
            secret = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            secret = None
    if not secret:
        raise UnauthenticatedError(
            "this door needs a token",
            hint="send Authorization: Bearer <token>; `thap tokens create NAME --scope write` makes one",
        )
    token = await tokens.check(secret)
    if "write" not in token.scopes:
        raise DeniedError(f"the token {token.name!r} may not send records", hint="it needs the scope `write`")
    return token


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The request's body, unpacked if it is gzip or deflate.

    Raises:
        TooLargeError: it is larger than `limit` bytes, packed or unpacked.
        InputError: the packing is broken, unknown, or the client went away half way.
    """
    encoding = _header(scope, b"content-encoding").decode("latin-1").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise InputError(f"content encoding {encoding!r} is not taken", hint="send gzip or plain")
    unpack = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InputError("the body ended half way: nothing was taken")
        part: bytes = message.get("body", b"")
        if unpack is not None and part:
            try:
                part, unpack = _unpack(unpack, part, limit - size + 1)
            except zlib.error as error:
                raise InputError(f"the body is not {encoding}: {error}") from None
        if part:
            parts.append(part)
            size += len(part)
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit / 2**20:g} MiB", hint="send it in parts")
        if not message.get("more_body", False):
            break
    if unpack is not None and not unpack.eof:
        raise InputError(f"the {encoding} body ends too early: nothing was taken")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpack(unpack: Any, part: bytes, room: int) -> tuple[bytes, Any]:
    """Up to about `room` bytes out of a packed part, going on over the end of one gzip member into the next."""
    out = [unpack.decompress(part, room)]
    while unpack.eof and unpack.unused_data and sum(map(len, out)) < room:
        rest, unpack = unpack.unused_data, zlib.decompressobj(wbits=47)
        out.append(unpack.decompress(rest, room - sum(map(len, out))))
    return b"".join(out), unpack


async def respond(send: Send, status: int, body: Any = None, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Answer with JSON, or with nothing."""
    payload = b"" if body is None else orjson.dumps(body)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(payload)).encode()),
                (b"cache-control", b"no-store"),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": payload})


async def respond_error(send: Send, error: Exception) -> None:
    """Answer with an error in the API's shape; one that nobody meant is logged and says no more than that."""
    if not isinstance(error, ThapError):
        _log.exception("a door failed", exc_info=error)
        error = ThapError("something went wrong in the centre", hint="its log has the details")
    more: tuple[tuple[bytes, bytes], ...] = ()
    if error.status == 503:
        more = ((b"retry-after", b"5"),)
    if error.status == 401:
        more = ((b"www-authenticate", b"Bearer"),)
    await respond(send, error.status, {"error": error.as_dict()}, more)
