"""Testing a camera: one connection, one picture, or the exact reason why there is none.

The gateway runs it as a process of its own (`python -m thap.observe.cameras.probe`), so that whatever a camera sends
can neither hold up nor bring down the doors: the request comes as JSON on standard input, the answer leaves as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from thap.kernel.errors import ThapError, UnavailableError
from thap.kernel.settings import Settings, load_settings
from thap.observe.cameras.camera import Camera
from thap.observe.cameras.clocks import skew_s
from thap.observe.cameras.source import Opener, failure

__all__ = ["probe", "probe_apart"]

_MOST_S = 20.0
_PICTURES = 12


def probe(camera: Camera, settings: Settings, given: tuple[str, str] | None = None) -> dict[str, Any]:
    """Connect, take a few pictures, and say what came.

    Args:
        camera: registered or not.
        settings: of the centre.
        given: user and password in place of those the camera keeps.

    Returns:
        codec, width, height, rate (pictures a second, as announced), playable (a browser shows it without transcoding),
        seconds until the first picture, clock_s (how far the camera's clock is ahead, None unknown), and `jpeg`.

    Raises:
        ThapError: there is no picture; the message says why, and never a credential.
    """
    from thap.observe.cameras.reader import frame_jpeg
    from thap.observe.cameras.remux import codec_of, header_of

    began = time.monotonic()
    container = Opener(camera, settings, given).open()
    try:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        context = stream.codec_context
        mime = codec_of(header_of(container))
        first, frame, bad = 0.0, None, 0
        for packet in container.demux(stream):
            try:
                frame = next(iter(packet.decode()), None)
                first = time.monotonic() - began
            except Exception as error:
                bad += 1
                if bad > _PICTURES:
                    raise failure(error, camera.address) from None
            if frame is not None or time.monotonic() - began > _MOST_S:
                break
        if frame is None:
            raise UnavailableError(
                "connected, but no picture could be decoded", where=camera.address, hint="does another player show it?"
            )
        told = {
            "codec": context.name,
            "width": frame.width,
            "height": frame.height,
            "rate": round(float(stream.average_rate or stream.guessed_rate or 0), 2),
            "playable": bool(mime),
            "seconds": round(first, 2),
            "clock_s": skew_s(camera, settings),
        }
        told["jpeg"] = base64.b64encode(frame_jpeg(frame, 960)).decode()
        return told
    except ThapError:
        raise
    except Exception as error:
        raise failure(error, camera.address, settings.cameras.silence_s) from None
    finally:
        container.close()


async def probe_apart(camera: Camera, settings: Settings) -> dict[str, Any]:
    """`probe` in a process of its own, ended when it takes too long. Raises as `probe`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "thap.observe.cameras.probe",
        str(settings.data),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_MOST_S + settings.cameras.connect_s + 10):
            out, _ = await child.communicate(json.dumps(asdict(camera)).encode())
    except TimeoutError:
        raise UnavailableError(
            "no picture in time", where=camera.address, hint="does another player show it?"
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
    try:
        told: dict[str, Any] = json.loads(out)
    except ValueError:
        raise UnavailableError(
            "what came made the reader end", where=camera.address, hint="is it the camera's video address?"
        ) from None
    if error := told.get("error"):
        raise UnavailableError(error["message"], where=error.get("where"), hint=error.get("hint"))
    return told


def _main() -> None:
    settings = load_settings(Path(sys.argv[1]))
    camera = replace(Camera(0, ""), **json.load(sys.stdin))
    try:
        told = probe(camera, settings)
    except ThapError as error:
        told = {"error": error.as_dict()}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    _main()
