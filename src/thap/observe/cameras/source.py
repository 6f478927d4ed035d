"""Opening a camera's stream, and saying in plain words why that failed.

libavformat's own messages carry the address with its credentials: they are never passed on.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.kernel.settings import Settings
from thap.observe.cameras.addresses import Address, check_file, check_host, pinned, read_address, with_credentials
from thap.observe.cameras.camera import Camera
from thap.observe.cameras.confined import Confined
from thap.observe.cameras.credentials import Vault

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer

__all__ = ["GarbageError", "Opener", "failure", "picture_folders"]

_RTSP = "rtp,udp,tcp,tls,srtp,http,https,crypto"
_HTTP = "http,https,tcp,tls,crypto,httpproxy"
_CONFINED = {"rtsp": "rtp,udp,tcp,tls,srtp,crypto", "http": "http,https,tcp,tls,crypto"}
_ONE_FILE = "mpjpeg,mjpeg,mpegts,mpeg,h264,hevc,flv,mov,matroska,jpeg_pipe,png_pipe,avi,asf"
"""Formats that lead nowhere else."""
_LISTS = "hls,mpegts,mov,aac,mp3,webvtt"
_quiet = threading.Lock()


class GarbageError(UnavailableError):
    """What came is no video."""


def picture_folders(settings: Settings) -> list[Path]:
    """Folders people may name files in."""
    return [settings.data / "cameras", *settings.cameras.folders]


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens the stream of one camera, again and again."""

    camera: Camera
    settings: Settings
    given: tuple[str, str] | None = field(default=None, repr=False)
    """User and password of a camera that is only tried, in place of kept ones."""

    @property
    def device(self) -> str:
        """The machine's video decoder, as libavutil names it; empty where there is none, or it shall not be used."""
        return _device() if self.settings.cameras.hardware else ""

    def check(self) -> str:
        """See that the address may be read at this moment.

        Returns:
            The number to connect to, and to no other; empty where there is no such limit.

        Raises:
            InputError, DeniedError: it may not.
        """
        address = read_address(self.camera.address)
        if self.camera.trusted:
            return ""
        if address.is_file:
            check_file(address.url, picture_folders(self.settings))
            return ""
        return check_host(address.host, address.port, self.settings.cameras.refuse)

    def open(self) -> InputContainer:
        """A container with at least one video stream.

        Raises:
            ThapError: it cannot be had; the message says what was tried and what to do.
        """
        import av
        import av.logging

        with _quiet:
            av.logging.set_level(None)  # libav would write addresses with their credentials to the log
        address = read_address(self.camera.address)
        number = self.check()
        if address.is_file and not Path(address.url).is_file():
            raise InputError("there is no such file", where=address.url, hint="is the path absolute and spelled right?")
        # The one place where credentials are opened.
        user = self.given or Vault(self.settings).open(self.camera.secret)
        if not any(user):
            user = (address.user, address.password)
        limits = self.settings.cameras
        options = _options(address.scheme, self.camera.transport)
        more: dict[str, Any] = {}
        if number:
            options |= _confined(address)
            if _is_list(address):
                more["io_open"] = Confined(address, number, user, limits.connect_s)
        url = with_credentials(pinned(address.url, number) if number and not more else address.url, *user)
        try:
            made: InputContainer = av.open(
                url,
                options=options,
                timeout=None if address.is_file else (limits.connect_s, limits.silence_s),
                hwaccel=_accelerator(self.device),
                **more,
            )
        except Exception as error:
            raise failure(error, self.camera.address, limits.connect_s) from None
        if not made.streams.video:
            made.close()
            raise GarbageError(
                "there is no video in it", where=self.camera.address, hint="is it the camera's video address?"
            )
        return made


def _options(scheme: str, transport: str) -> dict[str, str]:
    """Options by scheme: little waiting, and no protocol that a camera does not need, whatever a playlist names."""
    if scheme == "file":
        return {"protocol_whitelist": "file,crypto"}
    common = {"fflags": "discardcorrupt", "analyzeduration": "2000000", "probesize": "2000000"}
    if scheme.startswith("rtsp"):
        return {
            **common,
            "fflags": "nobuffer+discardcorrupt",
            "rtsp_transport": transport,
            "max_delay": "500000",
            "protocol_whitelist": _RTSP,
        }
    return {**common, "protocol_whitelist": _HTTP, "max_reload": "3", "live_start_index": "-2"}


def _is_list(address: Address) -> bool:
    return address.scheme in ("http", "https") and urlsplit(address.url).path.lower().endswith((".m3u8", ".m3u"))


def _confined(address: Address) -> dict[str, str]:
    """Options that keep libavformat at the one host that was checked: no format that names other addresses, and no
    redirection. A playlist's addresses go through `Confined`."""
    if address.scheme.startswith("rtsp"):
        return {"protocol_whitelist": _CONFINED["rtsp"], "format_whitelist": "rtsp"}
    if _is_list(address):
        return {"format_whitelist": _LISTS, "http_persistent": "0"}
    return {
        "protocol_whitelist": _CONFINED["http"],
        "format_whitelist": _ONE_FILE,
        "max_redirects": "0",
        "headers": f"Host: {urlsplit(address.url).netloc}\r\n",
    }


@cache
def _device() -> str:
    """A kind of decoder that both the library and the machine have. Whether it takes a stream shows at its opening;
    software goes on where it does not."""
    from av.codec.hwaccel import hwdevices_available

    there = {"cuda": "/dev/nvidiactl", "qsv": "/dev/dri/renderD128", "vaapi": "/dev/dri/renderD128"}
    return next((kind for kind in hwdevices_available() if kind in there and Path(there[kind]).exists()), "")


def _accelerator(device: str) -> HWAccel | None:
    from av.codec.hwaccel import HWAccel

    return HWAccel(device, allow_software_fallback=True) if device else None


_WORDS: Sequence[tuple[str, str, str]] = (
    ("HTTPUnauthorizedError", "the camera refused user and password", "check user and password"),
    ("HTTPForbiddenError", "the camera forbids it to this user", "give the user the right to view"),
    ("HTTPNotFoundError", "the camera answers, but has nothing at this address", "check the path after the host"),
    ("HTTPBadRequestError", "the camera did not understand the address", "check the path after the host"),
    ("HTTPServerError", "the camera answered with an error of its own", "try again; restart the camera"),
    ("HTTPClientError", "the camera refused the request", "check the path after the host"),
    ("InvalidDataError", "what came is no video", "is it the camera's video address, and not its web page?"),
    ("DemuxerNotFoundError", "what came is no video", "is it the camera's video address, and not its web page?"),
    ("ProtocolNotFoundError", "it leads to a protocol that is not taken", "give the camera's own address"),
)
_NUMBERS = {
    errno.ECONNREFUSED: ("nothing listens at this host and port", "is the camera on, and the port right?"),
    errno.EHOSTUNREACH: ("the host cannot be reached", "is the camera on, and in this network?"),
    errno.ENETUNREACH: ("its network cannot be reached", "is this machine in the camera's network?"),
    errno.ECONNRESET: ("the camera ended the connection", "does it allow another viewer?"),
    errno.EIO: ("the camera ended the connection", "is it on, and does it allow another viewer?"),
    errno.EPIPE: ("the camera ended the connection", "does it allow another viewer?"),
    errno.EACCES: ("this file may not be read", "let the centre's account read it"),
    errno.EISDIR: ("it is a folder", "name a file in it"),
}


def failure(error: Exception, where: str, waited_s: float = 0) -> ThapError:
    """What went wrong with a stream, without its credentials.

    Args:
        error: as PyAV raised it.
        where: the address as it may be shown.
        waited_s: how long was waited for an answer.
    """
    if isinstance(error, ThapError):
        return error
    kinds = {one.__name__ for one in type(error).__mro__}
    for name, message, hint in _WORDS:
        if name in kinds:
            made: type[ThapError] = GarbageError if "no video" in message else UnavailableError
            return made(message, where=where, hint=hint)
    number: Any = getattr(error, "errno", 0)
    if number in _NUMBERS:
        message, hint = _NUMBERS[number]
        return UnavailableError(message, where=where, hint=hint)
    if "ExitError" in kinds or "TimeoutError" in kinds or number == errno.ETIMEDOUT:
        return UnavailableError(
            f"no answer within {waited_s:g} s", where=where, hint="is the camera on, and the address right?"
        )
    if "EOFError" in kinds:
        return UnavailableError("the stream ended", where=where, hint="is the camera on?")
    said = getattr(error, "strerror", None) or type(error).__name__
    return UnavailableError(f"it cannot be opened: {said}", where=where, hint="try the address in another player")
