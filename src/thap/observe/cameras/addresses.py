"""Where a camera's pictures come from: which addresses are taken, and from which networks.

Whoever may add a camera makes the centre connect to an address of their choice. So only schemes of cameras are taken,
networks that no camera stands in are refused when an address is given and again at every connection (a name may
resolve otherwise by then), this machine's own addresses too, and files only from folders that the settings name. What
was checked is connected to by its number, so that the name is not resolved a second time. The machine's owner is bound
by none of these but the schemes.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from thap.kernel.errors import DeniedError, InputError

__all__ = [
    "SCHEMES",
    "Address",
    "check_file",
    "check_host",
    "pinned",
    "read_address",
    "read_service",
    "with_credentials",
]

SCHEMES = ("rtsp", "rtsps", "http", "https", "file")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_LONGEST = 1000
_USER_KEYS = ("user", "username", "usr", "loginuse", "account")
_PASSWORD_KEYS = ("password", "passwd", "pwd", "pass", "psw", "loginpas", "token", "access_token", "auth")
_LOGIN = re.compile(rf"([/?&;])({'|'.join((*_USER_KEYS, *_PASSWORD_KEYS))})=([^/?&;]+)", re.IGNORECASE)
"""A user or a password in an address, as some cameras want it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A camera's address, taken apart; what is secret about it is not part of `url`."""

    scheme: str
    url: str
    """Without user and password, with `{user}` and `{password}` where path or query has them; for a file its absolute
    path."""
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""

    @property
    def is_file(self) -> bool:
        return self.scheme == "file"


def read_address(text: str) -> Address:
    """Read an address: rtsp://, rtsps://, http://, https://, file://, or the path of a file.

    Raises:
        InputError: it is none of these.
    """
    given = text.strip()
    if not given or len(given) > _LONGEST or any(ord(mark) < 32 for mark in given):
        raise InputError("this is no address", where="address", hint="as rtsp://192.168.1.20/stream1")
    if "://" not in given:
        return Address("file", str(Path(given).expanduser().resolve()))
    scheme = given.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise InputError(
            f"{scheme[:32]}:// is not taken",
            where="address",
            hint=f"one of {', '.join(f'{one}://' for one in SCHEMES)}",
        )
    try:
        parts = urlsplit(given)
        port = parts.port or _PORTS.get(scheme, 0)
    except ValueError:
        raise InputError(f"this is no {scheme} address", where="address", hint="is the port a number?") from None
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise InputError("a file of another machine", where="address", hint="write file:///path/of/film.mp4")
        return Address("file", str(Path(unquote(parts.path)).resolve()))
    host = parts.hostname or ""
    if not host:
        raise InputError("the address names no host", where="address", hint=f"as {scheme}://192.168.1.20/stream1")
    shown = f"[{host}]" if ":" in host else host
    place = shown if parts.port is None else f"{shown}:{parts.port}"
    rest, user, password = _without_login(urlunsplit(("", "", parts.path, parts.query, "")))
    user, password = user or unquote(parts.username or ""), password or unquote(parts.password or "")
    return Address(scheme, f"{scheme}://{place}{rest}", host, port, user, password)


def _without_login(rest: str) -> tuple[str, str, str]:
    """Path and query with `{user}` and `{password}` where some cameras want these, and what stood there."""
    found = {"user": "", "password": ""}

    def take(match: re.Match[str]) -> str:
        kind = "user" if match[2].lower() in _USER_KEYS else "password"
        if match[3] != f"{{{kind}}}":
            found[kind] = unquote(match[3])
        return f"{match[1]}{match[2]}={{{kind}}}"

    return _LOGIN.sub(take, rest), found["user"], found["password"]


def read_service(text: str) -> Address:
    """Read the address of a device service (ONVIF), http:// or https://.

    Raises:
        InputError: it is none.
    """
    found = read_address(text)
    if found.scheme not in ("http", "https"):
        raise InputError("a device service has an http:// address", where="onvif", hint="as http://192.168.1.20/onvif")
    return found


def pinned(url: str, number: str) -> str:
    """The address with the number its host was found to have in place of the host's name."""
    parts = urlsplit(url)
    shown = f"[{number}]" if ":" in number else number
    place = shown if parts.port is None else f"{shown}:{parts.port}"
    return urlunsplit((parts.scheme, place, parts.path, parts.query, ""))


def with_credentials(url: str, user: str, password: str) -> str:
    """The address with user and password in it: where it has room for them, else as libavformat takes them."""
    if "={user}" in url or "={password}" in url:
        return url.replace("={user}", f"={quote(user, safe='')}").replace("={password}", f"={quote(password, safe='')}")
    if not user and not password:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def check_host(host: str, port: int, refused: Sequence[str]) -> str:
    """See that every address a host has lies in a network cameras may stand in, and is not one of this machine.

    Returns:
        One of its addresses as a number, to connect to.

    Raises:
        InputError: the host has no address.
        DeniedError: one of its addresses is in a refused network, or this machine's.
    """
    networks = [ipaddress.ip_network(one) for one in refused]
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise InputError(
            f"the name {host[:120]!r} has no address", where="address", hint="is it spelled right?"
        ) from None
    for text in sorted(found):
        ip = ipaddress.ip_address(text)
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_multicast or ip.is_unspecified or any(ip in one for one in networks if one.version == ip.version):
            raise DeniedError(
                f"{host} is {text}, in a network that cameras are not read from",
                where="address",
                hint="setting `cameras.refuse` lists them; the machine's owner may add it with `thap camera add`",
            )
        if _is_here(ip):
            raise DeniedError(
                f"{host} is {text}, this machine itself",
                where="address",
                hint="the machine's owner may add it with `thap camera add`",
            )
    return min(found, key=lambda text: (":" in text, text))


def _is_here(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this machine has the address: only then may a socket be bound to it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


def check_file(path: str, folders: Sequence[Path]) -> None:
    """See that a file lies in one of the folders cameras may be read from.

    Raises:
        DeniedError: it does not.
    """
    real = Path(path).resolve()
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        raise DeniedError(
            "files are read only from the folders of setting `cameras.folders`",
            where="address",
            hint="put the file there, or let the machine's owner add it with `thap camera add`",
        )
