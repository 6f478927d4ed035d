"""Video files as pictures: decoded at a reduced size, at a planned rate, garbage skipped and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thap.detect.vision.found import Picture
from thap.kernel.errors import InputError

__all__ = ["Clip", "Frame"]

_WIDEST = 960
"""Pictures are reduced to this while they are decoded: a detector takes 320 to 448 of an area of interest."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a clip."""

    index: int
    time_us: int
    """Since the beginning of the clip."""
    picture: Picture


class Clip:
    """A video file.

    Args:
        path: of the file.
        rate: pictures a second that are wanted at least; every n-th is taken. None: all.

    Raises:
        InputError: there is no such file, it is empty, no video, or holds no picture that can be decoded.
    """

    def __init__(self, path: Path, rate: float | None = None) -> None:
        self.path = path
        self.frames = 0
        """Pictures decoded so far; after `pictures` is through, all."""
        self.broken = 0
        """Packets that could not be decoded."""
        self.seconds = 0.0
        """How long it lasts, as far as it has been decoded."""
        self._begin = 0.0
        try:
            if path.is_dir():
                raise InputError("is a folder", where=str(path), hint="name a video file")
            if not path.stat().st_size:
                raise InputError("the file is empty", where=str(path), hint="copy it again")
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="check the path") from None
        with self._open() as container:
            stream = container.streams.video[0]
            self.width, self.height = int(stream.width or 0), int(stream.height or 0)
            given = stream.average_rate or stream.guessed_rate
            self.rate = float(given) if given else 25.0
            self.planned = int(stream.frames or 0) or round(self.rate * float(container.duration or 0) / 1e6)
            """Pictures it should hold, for a bar of progress; 0 where it does not say."""
        if not (self.width and self.height):
            raise InputError("says no size of its pictures", where=str(path), hint="is it whole?")
        self.every = 1 if rate is None else max(1, int(self.rate / rate + 0.01))
        """Each n-th picture is analysed."""

    def pictures(self) -> Iterator[Frame]:
        """The planned pictures in order of time.

        Raises:
            InputError: not one could be decoded.
        """
        import av

        step_us = 1e6 / self.rate
        last = -1
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except av.error.FFmpegError:  # the file ends before it says
                    self.broken += 1
                    break
                if packet is None:
                    break
                try:
                    decoded = packet.decode()
                except av.error.FFmpegError:
                    self.broken += 1
                    continue
                for frame in decoded:
                    at = self.frames
                    self.frames += 1
                    time = at * step_us
                    # Times of the file where they go on; a clip that jumps goes on at its own pace.
                    if frame.time is not None and at and last < frame.time * 1e6 - self._begin < last + 5e6:
                        time = frame.time * 1e6 - self._begin
                    elif at == 0:
                        self._begin = 0.0 if frame.time is None else frame.time * 1e6
                    else:
                        time = last + step_us
                        self._begin = self._begin if frame.time is None else frame.time * 1e6 - time
                    last = int(time)
                    self.seconds = (last + step_us) / 1e6
                    if at % self.every == 0:
                        yield Frame(at, last, _picture(frame))
        if not self.frames:
            raise InputError(
                "holds no picture that can be decoded", where=str(self.path), hint="is it a whole video? copy it again"
            )

    def _open(self) -> Any:
        import av

        try:
            container = av.open(str(self.path), metadata_errors="ignore")
        except (av.error.FFmpegError, ValueError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"is no video that can be read: {reason}", where=str(self.path)) from None
        if not container.streams.video:
            container.close()
            raise InputError("has no video in it", where=str(self.path))
        return container


def _picture(frame: Any) -> Picture:
    wide, high = frame.width, frame.height
    if wide > _WIDEST:
        high, wide = max(2, round(high * _WIDEST / wide / 2) * 2), _WIDEST
        frame = frame.reformat(width=wide, height=high, format="rgb24", interpolation="FAST_BILINEAR")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
