"""Pushing warnings: the signed document, sent to each subscriber by POST until it is taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import httpx

from thap.kernel.clock import HOUR_US, SECOND_US
from thap.respond.warnings.feed_rows import Row

__all__ = ["CLAIM_S", "SIGNATURE_HEADER", "push"]

SIGNATURE_HEADER = "X-Thap-Signature"
"""`sha256=` and the HMAC of the body under the subscriber's secret, in hexadecimal."""
CLAIM_S = 60
"""How long a push belongs to who took it."""
_FIRST_S, _LONGEST_S, _WHOLE_S = 5, 900, 30.0


async def push(http: httpx.AsyncClient, row: Row, now: int, patience_hours: float) -> Row:
    """One try; returns what to keep of it. A status of 2xx is success, 410 ends it, everything else is tried again."""
    tries = int(row["tries"]) + 1
    if row["removed"] is not None:
        return _kept("failed", tries, now, "the subscriber was removed", now)
    headers = {"Content-Type": "application/cap+xml; charset=utf-8", "X-Thap-Identifier": _header(row["identifier"])}
    body = bytes(row["document"])
    if row["secret"]:
        headers[SIGNATURE_HEADER] = "sha256=" + hmac.new(row["secret"].encode(), body, hashlib.sha256).hexdigest()
    try:
        async with (
            asyncio.timeout(_WHOLE_S),
            http.stream("POST", row["url"], content=body, headers=headers) as answer,
        ):
            status = answer.status_code
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        status, said = 0, (str(error) or type(error).__name__)[:300]
    else:
        said = f"status {status}"
    if 200 <= status < 300:
        return _kept("sent", tries, now, said, now)
    if status == 410 or now - int(row["created"]) >= patience_hours * HOUR_US:
        return _kept("failed", tries, now, said, now)
    wait = min(_FIRST_S * 2 ** min(tries - 1, 10), _LONGEST_S)
    return _kept("waiting", tries, now + wait * SECOND_US, said, None)


def _header(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _kept(state: str, tries: int, due: int, answer: str, done: int | None) -> Row:
    return {"state": state, "tries": tries, "due": due, "answer": answer, "done": done}
