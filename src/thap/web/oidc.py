"""Signing in with another system: OpenID Connect, authorization code with PKCE.

    GET /session/oidc/NAME ── redirect, a signed cookie keeps state, nonce, verifier ──▶ issuer
    GET /session/oidc/NAME/callback?code ── exchange, verify ──▶ claims ──▶ person ──▶ session

Issuers are settings (`[[sign_in.issuers]]`); what their claims mean here is settings too. Who a subject is, is
kept by issuer and subject, never by a name that the issuer may give to somebody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from thap.kernel.errors import SettingsError, UnauthenticatedError, UnavailableError
from thap.kernel.settings import OidcSettings

# Authlib and joserfc are loaded by what needs them: most centres have no issuer, and each of them starts sooner.
if TYPE_CHECKING:
    from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]
    from joserfc.jwk import KeySet

__all__ = ["Issuer", "OidcError"]

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures by the issuer's own key; never `none`, never one that a shared secret makes."""
_FRESH_S = 3600.0
_LEEWAY_S = 60
_TIMEOUT_S = 10.0
_LARGEST = 1 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class OidcError(UnauthenticatedError):
    """The issuer's answer cannot be believed, or it refused."""

    code = "issuer_refused"


@dataclass(frozen=True, slots=True)
class _Found:
    """The issuer's configuration as it was read."""

    at: float
    body: Mapping[str, Any]
    keys: KeySet


class Issuer:
    """One issuer.

    Args:
        settings: how it is reached and what its claims mean.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._found: _Found | None = None
        self._finding = asyncio.Lock()

    async def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
        """Where the browser is sent.

        Raises:
            UnavailableError: the issuer does not answer.
            SettingsError: its configuration is not that of this issuer.
        """
        found = await self._configuration()
        client = self._client(found, redirect_uri)
        url, _ = client.create_authorization_url(
            found.body["authorization_endpoint"], state=state, code_verifier=verifier, nonce=nonce
        )
        return str(url)

    async def claims(self, code: str, redirect_uri: str, *, nonce: str, verifier: str) -> dict[str, Any]:
        """What the issuer says of whoever came back with this code: claims of the ID token, then of userinfo.

        Raises:
            OidcError: the code is refused, or what came for it cannot be believed.
            UnavailableError: the issuer does not answer.
        """
        found = await self._configuration()
        async with self._http() as http:
            said = await self._exchange(http, found, code, redirect_uri, verifier)
            claims = await self._verified(found, said, nonce)
            endpoint = found.body.get("userinfo_endpoint")
            if endpoint and said.get("access_token"):
                more = await self._json(
                    http, "GET", endpoint, headers={"Authorization": f"Bearer {said['access_token']}"}
                )
                if more.get("sub") == claims["sub"]:  # OpenID Connect Core, 5.3.2: else it must not be used
                    claims = {**more, **claims}
        return claims

    def _client(self, found: _Found, redirect_uri: str) -> OAuth2Client:
        from authlib.oauth2.client import OAuth2Client

        secret = self.settings.client_secret.get_secret_value()
        taken = found.body.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "none" if not secret else next((m for m in _METHODS if m in taken), _METHODS[0])
        return OAuth2Client(
            None,
            client_id=self.settings.client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method,
            scope=self.settings.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    async def _exchange(
        self, http: httpx.AsyncClient, found: _Found, code: str, redirect_uri: str, verifier: str
    ) -> dict[str, Any]:
        from authlib.oauth2.rfc6749.parameters import prepare_token_request  # type: ignore[import-untyped]

        client = self._client(found, redirect_uri)
        body = prepare_token_request("authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier)
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        auth = client.client_auth(client.token_endpoint_auth_method)
        url, headers, body = auth.prepare("POST", found.body["token_endpoint"], headers, body)
        return await self._json(http, "POST", url, headers=headers, content=body)

    async def _verified(self, found: _Found, said: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
        from joserfc import jwt
        from joserfc.errors import JoseError

        text = said.get("id_token")
        if not isinstance(text, str):
            raise OidcError("the issuer gave no ID token")
        try:
            try:
                token = jwt.decode(text, found.keys, algorithms=_ALGORITHMS)
            except (JoseError, ValueError):  # the issuer may have changed its keys
                found = await self._configuration(anew=found)
                token = jwt.decode(text, found.keys, algorithms=_ALGORITHMS)
            options: Any = {
                "iss": {"essential": True, "value": self.settings.issuer},
                "aud": {"essential": True, "value": self.settings.client_id},
            }
            params = {
                "nonce": nonce,
                "client_id": self.settings.client_id,
                "access_token": said.get("access_token"),
            }
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=_LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OidcError(f"the issuer's ID token cannot be believed: {error}") from None
        return dict(claims)

    async def _configuration(self, anew: _Found | None = None) -> _Found:
        """The issuer's configuration and keys, read at most once an hour, or when `anew` is what is known."""
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        async with self._finding:
            known = self._found
            if known is not None and known is not anew and time.monotonic() - known.at < _FRESH_S:
                return known
            if anew is not None and time.monotonic() - anew.at < 5.0:
                return anew  # read a moment ago: nobody makes us ask the issuer in a loop
            async with self._http() as http:
                issuer = self.settings.issuer
                body = await self._json(http, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if body.get("issuer") != issuer:
                    raise SettingsError(
                        f"the issuer calls itself {str(body.get('issuer'))[:200]!r}",
                        where=f"sign_in.issuers.{self.settings.name}.issuer",
                        hint="write it exactly so",
                    )
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _check_address(body.get(name), name)
                jwks: Any = await self._json(http, "GET", body["jwks_uri"])
            try:
                keys = KeySet.import_key_set({"keys": [key for key in jwks["keys"] if key.get("use", "sig") == "sig"]})
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise OidcError(f"the issuer's keys cannot be read: {error}") from None
            self._found = _Found(time.monotonic(), body, keys)
            return self._found

    def _http(self) -> httpx.AsyncClient:
        _check_address(self.settings.issuer, f"sign_in.issuers.{self.settings.name}.issuer")
        return httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False)

    async def _json(self, http: httpx.AsyncClient, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            async with http.stream(method, url, **options) as answer:
                text = b""
                async for part in answer.aiter_bytes():
                    text += part
                    if len(text) > _LARGEST:
                        raise OidcError("the issuer's answer is too long")
            answer_json = httpx.Response(answer.status_code, content=text).json()
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the issuer {self.settings.name!r} does not answer: {error or type(error).__name__}", where=url
            ) from None
        except (ValueError, UnicodeDecodeError):
            answer_json = None
        if not isinstance(answer_json, dict):
            raise OidcError(f"the issuer answered {answer.status_code} without JSON", where=url)
        if answer.status_code >= 400:
            raise OidcError(f"the issuer refused: {str(answer_json.get('error', answer.status_code))[:100]}", where=url)
        return answer_json


_METHODS = ("client_secret_basic", "client_secret_post")


def _check_address(url: Any, where: str) -> None:
    """Only TLS, or this machine itself.

    Raises:
        SettingsError: it is neither.
    """
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SettingsError(
            f"{str(url)[:200]!r} is not an https address", where=where, hint="sign-in goes through TLS only"
        )
