"""A client of another Open311 GeoReport v2 endpoint, JSON where it speaks it, XML otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from thap.kernel.clock import iso
from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.kernel.settings import Open311Settings
from thap.services.reports import georeport

__all__ = ["Open311Client", "RefusedError"]

_MOST = 16 << 20


class RefusedError(ThapError):
    """The other side said no, and would say so again."""

    code, status = "refused", 502


class Open311Client:
    """Speaks with one endpoint.

    Args:
        endpoint: its address, jurisdiction and key.
        http: the connections to use.

    Raises (each method):
        UnavailableError: it does not answer, or not now.
        RefusedError: it refuses; the message is its own.
        InputError: what it answers cannot be read.
    """

    def __init__(self, endpoint: Open311Settings, http: httpx.AsyncClient) -> None:
        self.endpoint, self._http = endpoint, http
        self._base = endpoint.url.rstrip("/")
        self._form = "json"

    async def services(self) -> list[dict[str, Any]]:
        """Its kinds of report."""
        return await self._get("services", {})

    async def requests(self, **asked: str) -> list[dict[str, Any]]:
        """Its requests."""
        return await self._get("requests", asked)

    async def updates(self, since: int, until: int) -> list[dict[str, Any]]:
        """What became of requests in a span of time (µs)."""
        return await self._get("servicerequestupdates", {"start_date": iso(since), "end_date": iso(until)})

    async def number_of(self, token: str) -> str:
        """The number a token stands for, '' where there is none yet."""
        found = await self._get(f"tokens/{token}", {})
        return str(found[0].get("service_request_id", "")) if found else ""

    async def send(self, fields: Mapping[str, str]) -> tuple[str, str]:
        """Send a request; its number, or the token it will get one by."""
        found = await self._post("requests", fields)
        if not found:
            raise InputError("the answer names no request")
        return str(found[0].get("service_request_id", "")), str(found[0].get("token", ""))

    async def send_update(self, fields: Mapping[str, str]) -> str:
        """Send what became of a request; the update's number over there."""
        found = await self._post("servicerequestupdates", fields)
        return str(found[0].get("update_id", "")) if found else ""

    async def _get(self, path: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
        return await self._ask("GET", path, params=self._known(asked, key=bool(self.endpoint.api_key)))

    async def _post(self, path: str, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        return await self._ask("POST", path, data=self._known(fields, key=True))

    def _known(self, given: Mapping[str, str], *, key: bool) -> dict[str, str]:
        body = {name: value for name, value in given.items() if value}
        if self.endpoint.jurisdiction:
            body["jurisdiction_id"] = self.endpoint.jurisdiction
        if key and self.endpoint.api_key:
            body["api_key"] = self.endpoint.api_key
        return body

    async def _ask(self, method: str, path: str, **arguments: Any) -> list[dict[str, Any]]:
        status, kind, content = await self._fetch(method, f"{self._base}/{path}.{self._form}", **arguments)
        if self._form == "json" and (status == 406 or (status == 404 and not content.lstrip().startswith(b"["))):
            self._form = "xml"  # XML is what every endpoint must speak
            status, kind, content = await self._fetch(method, f"{self._base}/{path}.xml", **arguments)
        if status >= 500 or status in (408, 429):
            raise UnavailableError(f"{self.endpoint.name} answered {status}", where=path)
        try:
            found = georeport.parse(content, kind)
        except InputError:
            if status < 400:
                raise
            found = []
        if status >= 300:
            said = "; ".join(str(one.get("description", "")) for one in found) or f"status {status}"
            raise RefusedError(f"{self.endpoint.name} refused: {said[:300]}", where=path)
        return found

    async def _fetch(self, method: str, url: str, **arguments: Any) -> tuple[int, str, bytes]:
        try:
            async with self._http.stream(method, url, **arguments) as answer:
                parts: list[bytes] = []
                size = 0
                async for part in answer.aiter_bytes():
                    size += len(part)
                    if size > _MOST:
                        raise InputError(f"{self.endpoint.name} answered with more than {_MOST >> 20} MiB")
                    parts.append(part)
                return answer.status_code, answer.headers.get("content-type", ""), b"".join(parts)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise UnavailableError(f"{self.endpoint.name} does not answer: {said[:200]}") from None


def entries_by_id(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Requests by their number over there."""
    return {str(one["service_request_id"]): one for one in entries if one.get("service_request_id")}
