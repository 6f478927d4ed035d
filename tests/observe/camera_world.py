"""Cameras for tests: films made here, and real servers on loopback that show them, vanish, and send garbage."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Mjpeg", "TsServer", "film", "hls", "picture", "until"]


def until(happened: Callable[[], Any], limit_s: float = 15) -> Any:
    """Wait for something, at most so long; gives what it was."""
    deadline = time.monotonic() + limit_s
    while not (found := happened()):
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.02)
    return found


def picture(number: int, size: tuple[int, int] = (320, 180), seed: int = 1) -> npt.NDArray[np.uint8]:
    """A street of grey blocks and noise with something red that moves."""
    random = np.random.default_rng(seed)
    grid = (9, 16, 1) if seed == 1 else (7, 11, 1)
    blocks = random.integers(40, 200, grid, dtype=np.uint8).repeat(3, axis=2)
    made = np.array(Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST))
    noise = np.random.default_rng(number).integers(0, 12, made.shape[:2], dtype=np.uint8)
    made = np.clip(made.astype(np.int16) + noise[:, :, None], 0, 255).astype(np.uint8)
    left = (number * 7) % (size[0] - 40)
    made[size[1] // 2 : size[1] // 2 + 24, left : left + 40] = (220, 30, 30)
    return made


def film(
    path: Path, *, seconds: float = 3, fps: int = 10, size: tuple[int, int] = (320, 180), seed: int = 1, gop: int = 10
) -> Path:
    """An H.264 film; the ending says in which container."""
    with av.open(str(path), "w", format="mpegts" if path.suffix == ".ts" else None) as output:
        stream = output.add_stream(
            "libx264", rate=fps, options={"preset": "ultrafast", "tune": "zerolatency", "g": str(gop)}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(round(seconds * fps)):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, size, seed), format="rgb24")))
        output.mux(stream.encode())
    return path


def hls(folder: Path, *, seconds: float = 6) -> Path:
    """A playlist of one-second segments that goes on for ever, as far as a player can tell."""
    folder.mkdir(parents=True, exist_ok=True)
    source = film(folder / "whole.mp4", seconds=seconds)
    options = {"hls_time": "1", "hls_list_size": "0", "hls_flags": "omit_endlist"}
    with (
        av.open(str(source)) as container,
        av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as out,
    ):
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return folder / "live.m3u8"


class _Server:
    """An HTTP server in a thread."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class Mjpeg:
    """An MJPEG camera. What it sends can be changed while it runs.

    Attributes:
        size: of its pictures.
        frozen, black, seed, blur: what it shows.
        garbage: it sends what is no picture.
        gone: it ends every connection.
        password: it wants this of the user `admin`.
        ahead_s: how far its clock is ahead.
    """

    def __init__(self, fps: float = 20) -> None:
        self.size, self.frozen, self.black, self.seed, self.blur = (320, 180), False, False, 1, 0
        self.garbage = self.gone = False
        self.password, self.ahead_s = "", 0.0
        self.asked = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + camera.ahead_s)

            def do_GET(self) -> None:
                camera.asked += 1
                if camera.gone:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if camera.password and not self._knows():
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                try:
                    while not camera.gone:
                        body = camera.jpeg(number)
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                        self.wfile.write(head.encode() + body + b"\r\n")
                        number += 1
                        threading.Event().wait(1 / fps)
                except OSError:
                    pass

            def _knows(self) -> bool:
                import base64

                told = base64.b64encode(f"admin:{camera.password}".encode()).decode()
                return self.headers.get("Authorization") == f"Basic {told}"

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._handler = Handler
        self._server = _Server(Handler)
        self.url = f"http://127.0.0.1:{self._server.port}/video"

    def jpeg(self, number: int) -> bytes:
        if self.garbage:
            return b"this is no picture " * 200
        if self.black:
            shown = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        else:
            shown = picture(0 if self.frozen else number, self.size, self.seed)
        target = io.BytesIO()
        made = Image.fromarray(shown)
        if self.blur:
            made = made.resize((16, 9)).resize(self.size, Image.Resampling.BICUBIC)
        made.save(target, "JPEG", quality=85)
        return target.getvalue()

    def close(self) -> None:
        self.gone = True
        self._server.close()


class TsServer:
    """Serves files of a folder over HTTP, at their own speed where they are streams (`.ts`).
    `moved` are paths that redirect elsewhere."""

    def __init__(self, folder: Path, moved: dict[str, str] | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if moved and self.path in moved:
                    self.send_response(302)
                    self.send_header("Location", moved[self.path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                path = folder / self.path.lstrip("/").partition("?")[0]
                if not path.is_file():
                    self.send_error(404)
                    return
                body = path.read_bytes()
                self.send_response(200)
                kind = "application/vnd.apple.mpegurl" if path.suffix == ".m3u8" else "video/mp2t"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = _Server(Handler)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def close(self) -> None:
        self._server.close()


@contextmanager
def closing(*servers: Mjpeg | TsServer) -> Iterator[None]:
    """Ends servers."""
    try:
        yield
    finally:
        for server in servers:
            server.close()
