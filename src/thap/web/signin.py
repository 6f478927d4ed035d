"""/session: where browsers sign in and out. Not part of the API: programs use tokens.

POST /session takes a login and password (and code), or a token; /session/link a one-time link; /session/oidc/NAME
leads to another issuer and back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Request
from itsdangerous import BadData, URLSafeTimedSerializer
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import RedirectResponse, Response

from thap.kernel.errors import DeniedError, InputError, NotFoundError, ThapError, UnauthenticatedError
from thap.kernel.federation import read_claims, resolve
from thap.web.answers import JsonAnswer
from thap.web.auth import (
    accounts_of,
    caller_of,
    check_own_page,
    doubt_credentials,
    end_session,
    forget_cookies,
    is_secure,
    network_address,
    own_url,
    sessions_of,
    sign_in,
    start_session,
)
from thap.web.deps import Centre, CentreDep
from thap.web.oidc import Issuer, OidcError

__all__ = ["issuers_of", "router"]

router = APIRouter(prefix="/session", include_in_schema=False)
_FLOW_S = 600
_log = structlog.get_logger(__name__)


class SignIn(BaseModel):
    """From the page's form: a token's secret, or a login with a password."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field("", max_length=200)
    login: str = Field("", max_length=64)
    password: str = Field("", max_length=1000)
    code: str = Field("", max_length=40)

    @model_validator(mode="after")
    def _one_of_them(self) -> SignIn:
        if bool(self.key) == bool(self.login):
            raise ValueError("give key, or login and password")
        return self


class UseLink(BaseModel):
    """From the page's form: the secret of a one-time link, and a new password."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(max_length=200)
    password: str = Field("", max_length=1000)
    code: str = Field("", max_length=40)


@router.get("")
async def read_session(request: Request, centre: CentreDep) -> JsonAnswer:
    """Whether a session is in force, and by which issuers one may begin; for anybody."""
    login = None
    with contextlib.suppress(DeniedError):
        login = (await caller_of(request)).name
    issuers = [
        {"name": issuer.name, "title": issuer.title or {"vi": issuer.name, "en": issuer.name}}
        for issuer in centre.settings.sign_in.issuers
    ]
    return JsonAnswer({"login": login, "issuers": issuers}, headers={"Cache-Control": "no-store"})


@router.post("")
async def begin(request: Request, centre: CentreDep, body: SignIn) -> Response:
    """Start a session."""
    check_own_page(request, or_no_browser=True)
    answer = Response(status_code=204)
    if body.key:
        return await sign_in(request, body.key, answer)
    person = await accounts_of(centre).sign_in(body.login, body.password, body.code, address=network_address(request))
    method = "password+code" if person.totp else "password"
    await start_session(request, answer, who=person.login, method=method, person_id=person.id)
    return answer


@router.delete("")
async def end(request: Request) -> Response:
    """End this session."""
    answer = Response(status_code=204)
    try:
        caller = await caller_of(request)
    except UnauthenticatedError:
        forget_cookies(request, answer)
        return answer
    if caller.session is None:
        raise InputError("this request rides on no session", hint="a token is revoked with `thap tokens revoke`")
    with contextlib.suppress(NotFoundError):
        await end_session(request, caller.session, "signed out")
    forget_cookies(request, answer)
    return answer


@router.post("/link/check")
async def check_link(request: Request, centre: CentreDep, body: UseLink) -> JsonAnswer:
    """Whose one-time link this is."""
    check_own_page(request, or_no_browser=True)
    return JsonAnswer({"login": await accounts_of(centre).login_of_link(body.secret)})


@router.post("/link")
async def use_link(request: Request, centre: CentreDep, body: UseLink) -> Response:
    """Set a password by a one-time link, and start a session."""
    check_own_page(request, or_no_browser=True)
    person = await accounts_of(centre).redeem(body.secret, body.password, body.code, address=network_address(request))
    await centre.bus.announce("centre.live.sessions", {})
    answer = Response(status_code=204)
    await start_session(request, answer, who=person.login, method="link", person_id=person.id)
    return answer


# ---- other issuers


def issuers_of(centre: Centre) -> dict[str, Issuer]:
    """The issuers of the settings, made at first use."""
    found: dict[str, Issuer] | None = centre.parts.get("issuers")
    if found is None:
        found = centre.parts["issuers"] = {one.name: Issuer(one) for one in centre.settings.sign_in.issuers}
    return found


def _issuer(centre: Centre, name: str) -> Issuer:
    try:
        return issuers_of(centre)[name]
    except KeyError:
        raise NotFoundError(f"no issuer named {name[:40]!r} is set up", where="sign_in.issuers") from None


@router.get("/oidc/{name}")
async def to_issuer(request: Request, centre: CentreDep, name: str, link: bool = False) -> Response:
    """To the issuer; with `link` its subject will be linked to whoever is signed in."""
    issuer = _issuer(centre, name)
    person_id = session = None
    if link:
        caller = await caller_of(request)
        person_id, session = caller.who.person_id, caller.session
        if person_id is None or session is None:
            raise DeniedError("only a person's account can be linked, by the person")
    flow: dict[str, Any] = {
        "issuer": name,
        "state": secrets.token_urlsafe(24),
        "nonce": secrets.token_urlsafe(24),
        "verifier": secrets.token_urlsafe(48),
        "link": person_id,
        "session": session,
    }
    try:
        url = await issuer.authorization_url(
            _redirect_uri(request, name), state=flow["state"], nonce=flow["nonce"], verifier=flow["verifier"]
        )
    except ThapError as error:
        return _back(error, name)
    answer = RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        _flow_cookie(request),
        _signer(centre).dumps(flow),
        max_age=_FLOW_S,
        path="/session/oidc",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",  # the issuer's page leads back, and the cookie must come along
    )
    return answer


@router.get("/oidc/{name}/callback")
async def from_issuer(request: Request, centre: CentreDep, name: str) -> Response:
    """Back from the issuer."""
    issuer = _issuer(centre, name)
    try:
        answer = await _finish(request, centre, issuer)
    except ThapError as error:
        answer = _back(error, name)
    answer.delete_cookie(_flow_cookie(request), path="/session/oidc", secure=is_secure(request), samesite="lax")
    return answer


async def _finish(request: Request, centre: Centre, issuer: Issuer) -> Response:
    name, said = issuer.settings.name, request.query_params
    try:
        flow: dict[str, Any] = _signer(centre).loads(request.cookies.get(_flow_cookie(request), ""), max_age=_FLOW_S)
    except BadData:
        raise OidcError("this way of signing in was not begun here, or too long ago", hint="begin again") from None
    if flow["issuer"] != name or not secrets.compare_digest(
        said.get("state", "").encode(), str(flow["state"]).encode()
    ):
        raise OidcError("the answer belongs to another sign-in", hint="begin again")
    if said.get("iss", issuer.settings.issuer) != issuer.settings.issuer:  # RFC 9207
        raise OidcError("the answer comes from another issuer", hint="begin again")
    if "code" not in said:
        raise OidcError(f"the issuer refused: {said.get('error', 'no reason given')[:100]}")
    claims = await issuer.claims(
        said["code"], _redirect_uri(request, name), nonce=flow["nonce"], verifier=flow["verifier"]
    )
    address = network_address(request)
    link = flow["link"]
    # The session's own cookie does not come along from another site; the flow's names the session.
    if link is not None and not await sessions_of(centre).in_force(flow["session"]):
        raise OidcError("the session in which this was begun is over", hint="sign in and begin again")
    claimed = read_claims(issuer.settings, claims)
    person, changed = await resolve(
        centre.records, accounts_of(centre), issuer.settings, claimed, link=link, address=address
    )
    if changed:
        doubt_credentials(centre)
        await centre.bus.announce("centre.live.people", {})
    answer = RedirectResponse("/#linked" if link is not None else "/", 303)
    if link is None:
        await start_session(request, answer, who=person.login, method=f"oidc:{name}", person_id=person.id)
    return answer


def _back(error: ThapError, name: str) -> Response:
    """To the page, which says it in words; the log says more."""
    _log.warning("sign-in with another issuer failed", issuer=name, error=str(error))
    return RedirectResponse(f"/#failed={quote(error.code)}", 303)


def _redirect_uri(request: Request, name: str) -> str:
    return f"{own_url(request)}/session/oidc/{name}/callback"


def _flow_cookie(request: Request) -> str:
    return f"thap-oidc-{request.url.port or 0}"


def _signer(centre: Centre) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(_signing_secret(centre.settings.run_dir / "sign-in.secret"), salt="thap oidc flow")


def _signing_secret(path: Path) -> str:
    """The secret in this file, made at first use; of two processes that make it at once, one wins."""
    with contextlib.suppress(FileNotFoundError):
        if text := path.read_text("ascii").strip():
            return text
        path.unlink()  # half written by what was killed
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return path.read_text("ascii").strip()
