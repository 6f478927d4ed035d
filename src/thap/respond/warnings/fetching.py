"""Getting documents from addresses that others run: no more bytes, time or hosts than allowed."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from thap.kernel.errors import InputError, UnavailableError

__all__ = ["Fetched", "check_address", "client", "fetch"]

_HOPS = 3
_WHOLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back."""

    body: bytes | None
    """None where nothing changed since the last visit."""
    etag: str = ""
    modified: str = ""


def client() -> httpx.AsyncClient:
    """A client for documents of others."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(20, connect=10),
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=40),
        headers={"User-Agent": "thap (CAP reader)", "Accept-Encoding": "gzip, identity;q=0.5"},
    )


def check_address(url: str, hosts: frozenset[str] | None = None) -> None:
    """Refuse an address that is none, or whose host is not among those allowed.

    Raises:
        InputError: it is refused, and why.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError("is no http or https address", where=url[:200])
    if hosts is not None and host.lower() not in hosts:
        raise InputError(
            f"lies on another host, {host}, than the feed", where=url[:200], hint="allow the host in the feed's `hosts`"
        )


async def fetch(
    http: httpx.AsyncClient, url: str, limit: int, hosts: frozenset[str], etag: str = "", modified: str = ""
) -> Fetched:
    """One document.

    Args:
        http: as `client` makes it.
        url: its address.
        limit: most bytes of it, unpacked.
        hosts: where it may lie, redirections included.
        etag: of the last visit; where it still holds, no body comes back.
        modified: of the last visit.

    Raises:
        InputError: the address is refused, or the document too large, or not packed as it says.
        UnavailableError: it could not be had: no answer, one cut short, or another status than success.
    """
    headers = {name: value for name, value in (("If-None-Match", etag), ("If-Modified-Since", modified)) if value}
    try:
        async with asyncio.timeout(_WHOLE_S):
            for _ in range(_HOPS + 1):
                check_address(url, hosts)
                async with http.stream("GET", url, headers=headers) as answer:
                    if answer.status_code == 304 and headers:
                        return Fetched(None, etag, modified)
                    if answer.is_redirect:
                        url = urljoin(url, answer.headers.get("location", ""))
                        continue
                    if answer.status_code != 200:
                        raise UnavailableError(f"answered with status {answer.status_code}", where=url[:200])
                    body = await _body(answer, limit, url)
                    got = answer.headers
                    return Fetched(body, got.get("etag", "")[:300], got.get("last-modified", "")[:100])
            raise UnavailableError("redirects in circles", where=url[:200])
    except TimeoutError:
        raise UnavailableError(f"took longer than {_WHOLE_S:.0f} s", where=url[:200]) from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"could not be read: {reason[:200]}", where=url[:200]) from None


async def _body(answer: httpx.Response, limit: int, url: str) -> bytes:
    packing = answer.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if packing not in ("identity", "gzip", "x-gzip", "deflate"):
        raise InputError(f"is packed as {packing[:20]}, which was not asked for", where=url[:200])
    unpack = None if packing == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    body = bytearray()
    async for chunk in answer.aiter_raw():
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(body))
        except zlib.error:
            raise InputError("is not packed as it says", where=url[:200]) from None
        if len(body) > limit or (unpack is not None and unpack.unconsumed_tail):
            raise InputError(f"is larger than {limit // 1024} KiB", where=url[:200], hint="see `warnings.feed_mib`")
    if unpack is not None and not unpack.eof:
        raise UnavailableError("ended before its end", where=url[:200])
    return bytes(body)
