"""How far a camera's clock is off, by what it tells for nothing: ONVIF's GetSystemDateAndTime (which needs no
credentials), or the `Date` header that RTSP (RFC 2326, 12.18) and HTTP answers carry."""

from __future__ import annotations

import re
import socket
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from thap.kernel.errors import ThapError
from thap.kernel.settings import Settings
from thap.observe.cameras.addresses import Address, check_host, read_address, read_service
from thap.observe.cameras.camera import Camera

__all__ = ["ALLOWED_S", "skew_s"]

ALLOWED_S = 60.0
"""Seconds a camera's clock may be off: what it writes into its picture must not mislead."""
_PATIENCE_S = 3.0
_MOST = 65_536
"""Bytes of an answer that tells a time."""
_ASK = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
    '<GetSystemDateAndTime xmlns="http://www.onvif.org/ver10/device/wsdl"/></s:Body></s:Envelope>'
)
_FIELD = r"<[^>]*:?{}>\s*(\d+)\s*<"


def skew_s(camera: Camera, settings: Settings) -> float | None:
    """Seconds the camera's clock is ahead of this machine's; None where it tells nothing, or may not be asked.

    The device service is checked whoever added the camera: trust is in the address of its pictures alone.
    """
    import httpx

    try:
        if camera.onvif:
            service = read_service(camera.onvif)
            return _onvif(service, check_host(service.host, service.port, settings.cameras.refuse))
        address = read_address(camera.address)
        if address.scheme not in ("rtsp", "http", "https"):
            return None
        number = address.host
        if not camera.trusted:
            number = check_host(address.host, address.port, settings.cameras.refuse)
        return _rtsp(address, number) if address.scheme == "rtsp" else _http(address, number)
    except (OSError, ValueError, httpx.HTTPError, ThapError):
        return None


def _off(told: datetime) -> float:
    return round(told.timestamp() - time.time(), 1)


def _dated(text: str) -> float | None:
    found = parsedate_to_datetime(text)
    return _off(found if found.tzinfo else found.replace(tzinfo=UTC))


def _http(address: Address, number: str) -> float | None:
    from thap.observe.cameras.confined import ask

    with ask("GET", address.url, number, _PATIENCE_S) as answer:  # of a stream, only the beginning
        told = answer.headers.get("date")
    return _dated(told) if told else None


def _rtsp(address: Address, number: str) -> float | None:
    with socket.create_connection((number, address.port), _PATIENCE_S) as link:
        link.settimeout(_PATIENCE_S)
        link.sendall(f"OPTIONS {address.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        answer = link.recv(4096).decode("latin-1")
    for line in answer.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "date":
            return _dated(value.strip())
    return None


def _onvif(address: Address, number: str) -> float | None:
    from thap.observe.cameras.confined import ask

    headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
    with ask("POST", address.url, number, _PATIENCE_S, content=_ASK, headers=headers) as answer:
        told = b""
        for piece in answer.iter_bytes():
            told += piece
            if len(told) > _MOST:
                return None
    text = told.decode("utf-8", "replace")
    utc = re.search(r"<[^>]*:?UTCDateTime>(.*?)</[^>]*:?UTCDateTime>", text, re.DOTALL)
    if utc is None:
        return None
    parts = [re.search(_FIELD.format(name), utc[1]) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
    if not all(parts):
        return None
    year, month, day, hour, minute, second = (int(part[1]) for part in parts if part)
    return _off(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
