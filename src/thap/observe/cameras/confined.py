"""A playlist's parts, fetched from the one host that was checked, whatever addresses the playlist names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx

from thap.observe.cameras.addresses import Address, pinned

__all__ = ["Confined", "ask"]

_MOST = 64 << 20
"""Bytes of one part: some ten seconds of the largest pictures are a quarter of it."""


@contextmanager
def ask(method: str, url: str, number: str, patience_s: float, **more: Any) -> Iterator[httpx.Response]:
    """A request to a host's number as it was checked, under the host's name; it follows nobody elsewhere.

    Raises:
        httpx.HTTPError: it cannot be had.
    """
    parts = urlsplit(url)
    headers = {"Host": parts.netloc, **more.pop("headers", {})}
    auth = more.pop("auth", None)
    with httpx.Client(timeout=patience_s, trust_env=False, follow_redirects=False, auth=auth) as client:
        made = client.build_request(
            method, pinned(url, number), headers=headers, extensions={"sni_hostname": parts.hostname or ""}, **more
        )
        answer = client.send(made, stream=True)
        try:
            yield answer
        finally:
            answer.close()


class Confined:
    """Opens what libavformat asks for, for it.

    Args:
        address: of the playlist; only its scheme, host and port are asked.
        number: the host's address as it was checked: its name is not resolved again.
        user: user and password, empty for none.
        patience_s: seconds to wait for an answer.

    Raises, when called:
        OSError: it leads elsewhere, it is too large, or it cannot be had.
    """

    def __init__(self, address: Address, number: str, user: tuple[str, str], patience_s: float) -> None:
        self._address, self._number = address, number
        self._ways = (httpx.BasicAuth(*user), httpx.DigestAuth(*user)) if any(user) else (None,)
        self._patience_s = patience_s

    def __call__(self, url: str, flags: int, options: dict[str, Any]) -> BytesIO:
        parts, own = urlsplit(url), self._address
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        if flags & 2 or (parts.scheme, parts.hostname or "", port) != (own.scheme, own.host, own.port):
            raise PermissionError("the playlist leads to another host")
        plain = parts._replace(netloc=urlsplit(own.url).netloc).geturl()
        status, content = 401, b""
        for auth in self._ways:
            status, content = self._get(plain, auth)
            if status != 401:
                break
        if status != 200:
            raise _refusal(status)
        return BytesIO(content)

    def _get(self, url: str, auth: httpx.Auth | None) -> tuple[int, bytes]:
        try:
            with ask("GET", url, self._number, self._patience_s, auth=auth) as answer:
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _MOST:
                        raise OSError("a part of the playlist is too large")
                return answer.status_code, bytes(content)
        except httpx.HTTPError as error:
            raise OSError(f"the playlist cannot be had: {type(error).__name__}") from None


def _refusal(status: int) -> OSError:
    """What a status that is not 200 means here."""
    if 300 <= status < 400:
        return PermissionError("the playlist leads elsewhere")
    return OSError(f"the camera answered with status {status}")
