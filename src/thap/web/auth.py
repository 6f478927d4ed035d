"""Who is calling: a bearer token, or the session of a browser that opened the centre's link.

`thap up` prints a link `/?key=<token>`. Opening it sets a session cookie and removes the key from the
address. The cookie names the token and is signed with the token's hash: it needs no store, survives
restarts as long as its token does, and ends when the token is revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response

from thap.kernel.errors import DeniedError, UnauthenticatedError
from thap.kernel.tokens import Token, Tokens
from thap.web.deps import Caller, Centre

__all__ = ["authenticate", "bearer_token", "sign_in", "tokens_of"]

SESSION_S = 30 * 24 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def tokens_of(centre: Centre) -> Tokens:
    """The token checker of this process, made at first use."""
    found: Tokens | None = centre.parts.get("tokens")
    if found is None:
        found = centre.parts["tokens"] = Tokens(centre.records, centre.settings.run_dir / "centre.json")
    return found


async def bearer_token(centre: Centre, header: str | None) -> Token:
    """The token in an `Authorization` header; for raw ASGI doors.

    Raises:
        UnauthenticatedError: no header, another scheme, or no token in force.
    """
    if not header:
        raise UnauthenticatedError(
            "no credential was sent", hint="send Authorization: Bearer TOKEN; `thap tokens create` makes one"
        )
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError(
            f"the credential is not a bearer token but {scheme[:20]!r}", hint="send Authorization: Bearer TOKEN"
        )
    return await tokens_of(centre).check(secret.strip())


async def authenticate(request: HTTPConnection, scope: str) -> Caller:
    """The caller of a request, who must have `scope`.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: the credential lacks the scope, or a change comes from another site's page.
    """
    centre: Centre = request.app.state.centre
    header = request.headers.get("authorization")
    token = None if header else await _session(request, centre)
    if token is None:
        token = await bearer_token(centre, header)
    else:
        _same_origin(request)
    if scope not in token.scopes:
        raise DeniedError(
            f"the token {token.name!r} may not {scope}",
            where=request.url.path,
            hint=f"it may {', '.join(sorted(token.scopes))}; make one with --scope {scope}",
        )
    tokens_of(centre).count(token)
    return Caller(token.name, token.scopes)


def _cookie_name(request: HTTPConnection) -> str:
    """Browsers share cookies between ports, and several centres may run on one machine."""
    return f"thap-session-{request.url.port or 0}"


def _signature(token: Token, until: int) -> str:
    return hmac.new(token.digest, f"session:{token.name}:{until}".encode(), hashlib.sha256).hexdigest()


async def _session(request: HTTPConnection, centre: Centre) -> Token | None:
    """The token of the session cookie, None without a cookie.

    Raises:
        UnauthenticatedError: the session is over.
    """
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return None
    morsel = jar.get(_cookie_name(request))
    if morsel is None:
        return None
    until, _, rest = morsel.value.partition(".")
    signature, _, name = rest.partition(".")
    token = await tokens_of(centre).named(name)
    if (
        token is None
        or not until.isdigit()
        or int(until) < time.time()
        or not hmac.compare_digest(_signature(token, int(until)), signature)
    ):
        raise UnauthenticatedError("this session is over", hint="open the link that `thap up` prints again")
    return token


def _same_origin(request: HTTPConnection) -> None:
    """A change that rides on the cookie must come from the centre's own page.

    Raises:
        DeniedError: it does not, or nothing says that it does.
    """
    if request.scope.get("method", "GET") in _SAFE:
        return
    origin, own = request.headers.get("origin"), f"{request.url.scheme}://{request.url.netloc}"
    if origin != own and not (origin is None and request.headers.get("sec-fetch-site") == "same-origin"):
        raise DeniedError(
            f"a change from {origin or 'an unnamed page'} was refused",
            where="Origin",
            hint="use the centre's own page, or a bearer token",
        )


async def sign_in(request: HTTPConnection, secret: str, answer: Response) -> Response:
    """Start a session with a token's secret: the cookie is put into `answer`.

    Raises:
        UnauthenticatedError: the token is not in force.
    """
    token = await tokens_of(request.app.state.centre).check(secret)
    now = int(time.time())
    until = now + SESSION_S if token.expires is None else min(now + SESSION_S, token.expires // 1_000_000)
    options: dict[str, Any] = {
        "httponly": True,
        "samesite": "strict",
        "path": "/",
        "max_age": until - now,
        "secure": request.url.scheme == "https",
    }
    answer.set_cookie(_cookie_name(request), f"{until}.{_signature(token, until)}.{token.name}", **options)
    return answer
