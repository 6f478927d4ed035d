"""Who is calling: a bearer token, or the session of a browser.

    Authorization: Bearer … ── token ──────────────┐
    cookie ── session ──┬── of a person ── policy ─┼──▶ Caller
                        └── of a token ────────────┘

`thap up` prints a link `/?key=<token>`; opening it starts a session of that token and removes the key from the
address. A session's cookie is a random secret and nothing else; see `thap.kernel.sessions`. A change that rides
on a cookie must come from the centre's own page and carry the header `X-CSRF-Token`.
"""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from thap.kernel.accounts import Accounts
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError, UnauthenticatedError
from thap.kernel.policy import ACTIONS, EVERYWHERE, ROLES, SCOPE_ROLES, Grant, Who
from thap.kernel.sessions import Session, Sessions, csrf_token
from thap.kernel.tokens import LOCAL, Token, Tokens
from thap.web.deps import Caller, Centre, policy_of

__all__ = [
    "CSRF_HEADER",
    "accounts_of",
    "authenticate",
    "bearer_token",
    "caller_of",
    "check_own_page",
    "doubt_credentials",
    "end_session",
    "flush_credentials",
    "forget_cookies",
    "is_secure",
    "may",
    "network_address",
    "own_url",
    "sessions_of",
    "sign_in",
    "start_session",
    "tokens_of",
    "who_of_token",
]

CSRF_HEADER = "X-CSRF-Token"
_WIDE = {"operate": "quarantine.act", "write": "record.write", "admin": "system.write"}
"""Each scope with the action that, held in the whole province, amounts to it."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def tokens_of(centre: Centre) -> Tokens:
    """The token checker of this process, made at first use."""
    found: Tokens | None = centre.parts.get("tokens")
    if found is None:
        found = centre.parts["tokens"] = Tokens(centre.records, centre.settings.run_dir / "centre.json")
    return found


def sessions_of(centre: Centre) -> Sessions:
    """The sessions of this process, made at first use."""
    found: Sessions | None = centre.parts.get("sessions")
    if found is None:
        found = centre.parts["sessions"] = Sessions(centre.records, centre.settings.sign_in)
    return found


def accounts_of(centre: Centre) -> Accounts:
    """The accounts, made at first use."""
    found: Accounts | None = centre.parts.get("accounts")
    if found is None:
        found = centre.parts["accounts"] = Accounts(centre.records, centre.settings.sign_in)
    return found


async def flush_credentials(centre: Centre) -> None:
    """Write down how tokens and sessions were used; called every few seconds and at the end."""
    await tokens_of(centre).flush()
    await sessions_of(centre).flush()


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


# ---- who


async def authenticate(request: HTTPConnection, need: str) -> Caller:
    """The caller of a request, who must be allowed `need`: an action, somewhere; or a scope.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: the credential does not allow it, or a change comes from another site's page.
    """
    caller = await caller_of(request)
    if need not in caller.scopes and not may(caller.who, need):
        what = f"the token {caller.name!r}" if caller.who.kind == "token" else repr(caller.name)
        hint = "an administrator can give a role that may; `thap policy explain` says why"
        if caller.who.kind == "token":
            hint = f"it may {', '.join(sorted(caller.scopes))}; `thap tokens create` makes others"
        raise DeniedError(f"{what} may not {need}", where=request.url.path, hint=hint)
    return caller


async def caller_of(request: HTTPConnection) -> Caller:
    """The caller of a request, whatever they may do.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: a change comes from another site's page.
    """
    centre: Centre = request.app.state.centre
    header = request.headers.get("authorization")
    secret = None if header else request.cookies.get(_cookie_name(request))
    if secret is not None:
        return await _of_session(request, centre, secret)
    token = await bearer_token(centre, header)
    tokens_of(centre).count(token)
    return _token_caller(token, None, network_address(request))


async def _of_session(request: HTTPConnection, centre: Centre, secret: str) -> Caller:
    session = await sessions_of(centre).check(secret)
    if session is None:
        raise _over()
    if request.scope.get("method", "GET") not in _SAFE:
        check_own_page(request)
        _check_csrf(request, secret)
    address = network_address(request)
    if session.person_id is None:
        token = await tokens_of(centre).named(session.token)
        if token is None or session.method != _method(token):
            raise _over()
        tokens_of(centre).count(token)
        return _token_caller(token, session.id, address)
    who = (await policy_of(centre).current()).person(session.person_id)
    if who is None:
        raise _over()
    return Caller(who.name, _scopes_of(who), who, session.id, address)


def _token_caller(token: Token, session: int | None, address: str) -> Caller:
    return Caller(token.name, _wide_scopes(token), who_of_token(token), session, address, token.digest.hex()[:64])


def _over() -> UnauthenticatedError:
    return UnauthenticatedError(
        "this session is over", hint="sign in again, or open the link that `thap up` prints again"
    )


def who_of_token(token: Token) -> Who:
    """What policy knows of a token: the roles of its scopes; the local one is the machine's owner."""
    roles = frozenset[str]().union(*(SCOPE_ROLES[scope] for scope in token.scopes))
    return Who(
        name=token.name,
        kind="local" if token.name == LOCAL else "token",
        person_id=None,
        unit=token.unit,
        grants=tuple(Grant(role, token.unit, token.domain) for role in sorted(roles)),
        clearances=frozenset(),
        language="vi",
    )


def doubt_credentials(centre: Centre) -> None:
    """Tokens, sessions or people may have changed: what this process knows of them is read again."""
    tokens_of(centre).changed()
    sessions_of(centre).changed()
    policy_of(centre).changed()


def may(who: Who, action: str) -> bool:
    """Whether one of the grants in force holds the action, wherever that is."""
    now = now_us()
    if who.is_unlimited:
        return action in ACTIONS
    return any(action in ROLES.get(grant.role, ()) and grant.live(now) for grant in who.grants)


def _wide_scopes(token: Token) -> frozenset[str]:
    """The scopes that a token has for routes which ask for no more than a scope: what such a route does knows no units
    and no domains, so a token limited to one has `read` at most. What else it may do, policy says."""
    return token.scopes & {"read"} if token.unit or token.domain else token.scopes


def _scopes_of(who: Who) -> frozenset[str]:
    """What a person's grants amount to in scopes: `read` by any, the others only by grants without a limit."""
    now = now_us()
    anywhere: set[str] = set()
    everywhere: set[str] = set()
    for grant in who.grants:
        if grant.live(now):
            anywhere |= ROLES.get(grant.role, frozenset())
            if grant.unit in EVERYWHERE and not grant.domain:
                everywhere |= ROLES.get(grant.role, frozenset())
    scopes = {scope for scope, action in _WIDE.items() if action in everywhere}
    return frozenset(scopes | ({"read"} if "thing.read" in anywhere else set()))


# ---- where from


def network_address(request: HTTPConnection) -> str:
    """The address the request came from."""
    return request.client.host if request.client else ""


def own_url(request: HTTPConnection) -> str:
    """The address people know the centre by, without a slash at the end."""
    centre: Centre = request.app.state.centre
    given = centre.settings.sign_in.public_url
    return given.rstrip("/") if given else f"{request.url.scheme}://{request.url.netloc}"


def is_secure(request: HTTPConnection) -> bool:
    """Whether the browser reaches the centre through TLS."""
    return request.url.scheme == "https" or own_url(request).startswith("https:")


def check_own_page(request: HTTPConnection, *, or_no_browser: bool = False) -> None:
    """A change must come from the centre's own page.

    Args:
        request: the change.
        or_no_browser: whether a caller that sends neither `Origin` nor `Sec-Fetch-Site`, as no browser does, may
            pass too.

    Raises:
        DeniedError: it does not, or nothing says that it does.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None and site is None and or_no_browser:
        return
    parts = urlsplit(own_url(request))
    own = (f"{parts.scheme}://{parts.netloc}", f"{request.url.scheme}://{request.url.netloc}")
    if origin not in own and not (origin is None and site == "same-origin"):
        raise DeniedError(
            f"a change from {origin or 'an unnamed page'} was refused",
            where="Origin",
            hint="use the centre's own page, or a bearer token",
        )


def _check_csrf(request: HTTPConnection, secret: str) -> None:
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), csrf_token(secret).encode()):
        raise DeniedError(
            "a change came without this session's token",
            where=CSRF_HEADER,
            hint="load the page again; a script of yours uses a bearer token instead",
        )


# ---- sessions


def _cookie_name(request: HTTPConnection, what: str = "session") -> str:
    """Browsers share cookies between ports, and several centres may run on one machine. With TLS the name's prefix
    makes browsers refuse the cookie from any other host and without `Secure`."""
    return f"{'__Host-' if is_secure(request) else ''}thap-{what}-{request.url.port or 0}"


def _method(token: Token) -> str:
    """How a session of this very token is marked: another of the same name does not take it over."""
    return f"token:{token.digest.hex()[:16]}"


async def start_session(
    request: HTTPConnection,
    answer: Response,
    *,
    who: Who | str,
    method: str,
    person_id: int | None = None,
    token: str = "",
    until: int | None = None,
) -> Session:
    """Start a session: its cookies are put into `answer`, the one before it ends, and the audit log says so."""
    centre: Centre = request.app.state.centre
    checker = sessions_of(centre)
    before = await checker.check(request.cookies.get(_cookie_name(request), ""))
    address = network_address(request)
    async with centre.records.write() as connection:
        session, secret = await checker.start(
            connection,
            person_id=person_id,
            token=token,
            method=method,
            address=address,
            agent=request.headers.get("user-agent", ""),
            until=until,
        )
        shown = method.partition(":")[0] if token else method
        await append_async(connection, [Entry(who, "sign_in", f"session:{session.id}", {"method": shown}, address)])
    if before is not None:
        await end_session(request, before.id, "replaced")
    options: dict[str, Any] = {
        "samesite": "strict",
        "path": "/",
        "max_age": max(0, (session.expires - now_us()) // 1_000_000),
        "secure": is_secure(request),
    }
    answer.set_cookie(_cookie_name(request), secret, httponly=True, **options)
    answer.set_cookie(_cookie_name(request, "csrf"), csrf_token(secret), **options)  # the page's script reads it
    return session


async def end_session(request: HTTPConnection, number: int, why: str, *, person_id: int | None = None) -> None:
    """End a session, everywhere at once.

    Raises:
        NotFoundError: it is not in force, or another person's.
    """
    centre: Centre = request.app.state.centre
    await sessions_of(centre).end(number, why, person_id=person_id)
    await centre.bus.announce("centre.live.sessions", {})


def forget_cookies(request: HTTPConnection, answer: Response) -> None:
    """Tell the browser that the session is over."""
    for what in ("session", "csrf"):
        answer.delete_cookie(_cookie_name(request, what), path="/", secure=is_secure(request), samesite="strict")


async def sign_in(request: HTTPConnection, secret: str, answer: Response) -> Response:
    """Start a session with a token's secret: the cookie is put into `answer`.

    Raises:
        UnauthenticatedError: the token is not in force.
    """
    token = await tokens_of(request.app.state.centre).check(secret)
    await start_session(
        request, answer, who=who_of_token(token), method=_method(token), token=token.name, until=token.expires
    )
    return answer
