"""Finding cameras in this network: WS-Discovery, as ONVIF's core specification asks of devices."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

from thap.kernel.errors import UnavailableError

__all__ = ["Found", "discover"]

_NAMESPACE = "http://www.onvif.org/ver10/network/wsdl"


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered."""

    host: str
    onvif: str
    """Address of its device service."""
    name: str = ""
    model: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As the API answers it, with what its video address may be."""
        return {**asdict(self), "guess": f"rtsp://{self.host}/"}


def discover(wait_s: float = 4.0) -> list[Found]:
    """Devices that answer a probe within `wait_s`, by host. Blocks meanwhile.

    Raises:
        UnavailableError: this machine may not send to the network's multicast group.
    """
    from wsdiscovery import QName
    from wsdiscovery.discovery import ThreadedWSDiscovery

    search = ThreadedWSDiscovery()
    try:
        search.start()
    except OSError as error:
        raise UnavailableError(
            f"cameras cannot be searched for: {error.strerror}", hint="is this machine in the cameras' network?"
        ) from None
    try:
        services = search.searchServices(types=[QName(_NAMESPACE, "NetworkVideoTransmitter")], timeout=round(wait_s))
        found = [one for service in services if (one := _read(service.getXAddrs(), service.getScopes()))]
    except OSError as error:
        raise UnavailableError(f"cameras cannot be searched for: {error.strerror}") from None
    finally:
        search.stop()
    return sorted({one.host: one for one in found}.values(), key=lambda one: one.host)


def _read(addresses: list[str], scopes: list[Any]) -> Found | None:
    service = next((one for one in addresses if one.startswith(("http://", "https://"))), "")
    host = service.partition("://")[2].partition("/")[0].rpartition("@")[2]
    host = host.rpartition(":")[0] if host.count(":") == 1 else host
    if not host:
        return None
    told: dict[str, str] = {}
    for scope in scopes:
        kind, _, value = (
            str(scope.getValue() if hasattr(scope, "getValue") else scope).partition("onvif.org/")[2].partition("/")
        )
        told.setdefault(kind.lower(), unquote(value)[:120])
    return Found(host, service[:500], told.get("name", ""), told.get("hardware", ""))
