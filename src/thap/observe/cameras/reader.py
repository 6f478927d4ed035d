"""One thread a camera: connects, takes packets, hands them on, decodes what the plan asks for, and never gives up.

Packets go into a ring (for clips) and to the live view while somebody looks; decoded pictures at the planned rate into
a slot that holds the newest few. A picture nobody took in time is dropped, and counted.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import structlog

from thap.kernel.errors import ThapError, UnavailableError
from thap.observe.cameras.health import GREY_SIZE
from thap.observe.cameras.packets import Packet, Ring, Track
from thap.observe.cameras.remux import Fragment, Remuxer, codec_of, header_of
from thap.observe.cameras.source import GarbageError, Opener, failure

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from PIL import Image

__all__ = ["Picture", "Reader", "State"]

_log = structlog.get_logger(__name__)
State = Literal["connecting", "live", "lost", "ended", "stopped"]
_HELD = 2
_WIDEST = 1280
_JUMP_S = 2.0
_STEADY_S = 30.0
_SPARE_S = 5.0
_BAD_MOST = 50
"""Packets in a row that cannot be decoded after which a connection is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture for the analysis."""

    time_us: int
    rgb: npt.NDArray[np.uint8]
    """Height × width × 3; at most 1280 wide."""


class Reader(threading.Thread):
    """Reads one camera until `stop`.

    Args:
        opener: opens its stream.
        grey: called about once a second with time (µs) and a small grey picture.
        wants: whether decoded pictures are wanted at all; without, only key pictures are decoded, for health.
        on_picture: told whenever the slot has something new.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        grey: Callable[[int, npt.NDArray[np.uint8]], None] = lambda _time, _grey: None,
        wants: bool = True,
        on_picture: Callable[[], None] = lambda: None,
        seed: int | None = None,
    ) -> None:
        super().__init__(name=f"camera-{opener.camera.name}", daemon=True)
        self._opener, self._grey, self._on_picture = opener, grey, on_picture
        self.wants = wants
        self._random = random.Random(seed)
        self._limits = opener.settings.cameras
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._slot: deque[Picture] = deque()
        self._dropped = 0
        self._latest: tuple[VideoFrame | Packet, int] | None = None
        self.last_dts = 0
        self._listener: Callable[[Track, list[Fragment]], None] | None = None
        self._remuxer: Remuxer | None = None
        self.ring = Ring(opener.camera.before_s + opener.camera.after_s + _SPARE_S)
        self.state: State = "connecting"
        self.error: ThapError | None = None
        self.garbage = False
        self.track: Track | None = None
        self.packets = self.pictures = self.dropped = self.reconnects = self.bad = self.jumps = 0
        self.last_us = 0
        """When the last packet came, µs; 0 never."""
        self.since_us = time.time_ns() // 1000
        """Since when `state` holds."""
        self.hardware = ""
        self._packets_before = 0

    # ---- for others

    def stop(self) -> None:
        """End soon: at the next packet, or when waiting for one ends."""
        self._ending.set()

    def take(self) -> tuple[list[Picture], int]:
        """Pictures that wait, oldest first, and how many were dropped since the last call."""
        with self._lock:
            found, lost = list(self._slot), self._dropped
            self._slot.clear()
            self._dropped = 0
        return found, lost

    def listen(self, listener: Callable[[Track, list[Fragment]], None] | None) -> None:
        """Hand fragments to a listener, from the next key picture on; None ends it. Called in the reader's thread."""
        with self._lock:
            self._listener, self._remuxer = listener, None

    def jpeg(self, width: int = 0) -> tuple[bytes, int] | None:
        """The newest picture as JPEG and when it was taken; None before there is any."""
        with self._lock:
            kept = self._latest
        if kept is None:
            return None
        latest, time_us = kept
        if not isinstance(latest, Packet):
            return frame_jpeg(latest, width), time_us
        if not width or width >= latest.track.width:
            return latest.data, time_us
        from PIL import Image

        with Image.open(BytesIO(latest.data)) as picture:
            return _jpeg(picture, width), time_us

    def told(self) -> dict[str, Any]:
        """How it fares, for screens."""
        track = self.track
        return {
            "state": self.state,
            "since": self.since_us,
            "error": None if self.error is None else self.error.as_dict(),
            "last": self.last_us,
            "codec": track.codec if track else "",
            "width": track.width if track else 0,
            "height": track.height if track else 0,
            "rate": round(track.rate, 2) if track else 0.0,
            "mime": track.mime if track else "",
            "packets": self.packets,
            "pictures": self.pictures,
            "dropped": self.dropped,
            "bad": self.bad,
            "jumps": self.jumps,
            "reconnects": self.reconnects,
            "ring_bytes": self.ring.size,
            "hardware": self.hardware,
        }

    # ---- the thread

    def run(self) -> None:
        wait = self._limits.retry_s
        while not self._ending.is_set():
            began = time.monotonic()
            if self.state != "live":
                self._set("connecting")
            outcome = self._once()
            steady = time.monotonic() - began > _STEADY_S
            if outcome == "again" or (outcome == "changed" and steady):
                continue
            if self._ending.is_set() or self.state == "ended":
                break
            self.reconnects += 1
            self._set("lost")
            if steady:
                wait = self._limits.retry_s
            self._ending.wait(wait * self._random.uniform(0.6, 1.4))  # ten that flap do not come back together
            wait = min(wait * 2, self._limits.retry_max_s)
        if self.state != "ended":
            self._set("stopped")

    def _once(self) -> Literal["again", "changed", "lost"]:
        """One connection from its beginning to its end; whether to begin the next at once, or, after a change of size,
        at once where it was steady until then."""
        camera = self._opener.camera
        container: InputContainer | None = None
        try:
            container = self._opener.open()
            self._read(container)
            if "://" not in camera.address:
                if camera.loop and self.packets > self._packets_before:
                    self._packets_before = self.packets
                    return "again"
                self._set("ended")
            else:
                self.error = failure(EOFError(), camera.address)
        except _ChangedError:
            self.error = UnavailableError("the size of its pictures changed", where=camera.address)
            return "changed"
        except ThapError as error:
            self.error, self.garbage = error, isinstance(error, GarbageError)
        except Exception as error:  # whatever libavformat makes of what a camera sends
            self.error = failure(error, camera.address, self._limits.silence_s)
            self.garbage = isinstance(self.error, GarbageError)
        finally:
            if container is not None:
                container.close()
        return "lost"

    def _set(self, state: State) -> None:
        if state != self.state:
            self.state, self.since_us = state, time.time_ns() // 1000

    def _read(self, container: InputContainer) -> None:
        import av

        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        self.hardware = self._opener.device if stream.codec_context.is_hwaccel else ""
        reading = _Reading(self, container)
        for packet in container.demux(stream):
            if self._ending.is_set():
                return
            if packet.size == 0:
                continue
            try:
                reading.take(packet)
            except av.FFmpegError:
                self.bad += 1
                reading.bad += 1
                if reading.bad > _BAD_MOST:
                    raise GarbageError("what comes cannot be decoded", where=self._opener.camera.address) from None

    def hand_on(self, packet: Packet) -> None:
        """A packet into the ring and to the live view."""
        self.ring.add(packet)
        self.packets += 1
        self.last_us = packet.time_us
        with self._lock:
            listener = self._listener
            if listener is None or not packet.track.mime:
                return
            remuxer, wanted = self._remuxer, [packet]
            if remuxer is None or remuxer.track is not packet.track:
                remuxer = self._remuxer = Remuxer(packet.track)
                wanted = self.ring.since(packet.time_us)  # from the last key picture: nobody waits for the next
        made = [fragment for one in wanted for fragment in remuxer.add(one)]
        if made:
            listener(packet.track, made)

    def offer(self, picture: Picture) -> None:
        """A picture into the slot; the oldest makes room."""
        with self._lock:
            if len(self._slot) >= _HELD:
                self._slot.popleft()
                self._dropped += 1
                self.dropped += 1
            self._slot.append(picture)
        self.pictures += 1
        self._on_picture()

    def show(self, latest: VideoFrame | Packet, time_us: int) -> None:
        """Keep the newest picture for snapshots."""
        with self._lock:
            self._latest = (latest, time_us)
        self.error, self.garbage = None, False
        self._set("live")

    def grey(self, time_us: int, picture: npt.NDArray[np.uint8]) -> None:
        """One small picture for health."""
        self._grey(time_us, picture)

    @property
    def stopping(self) -> threading.Event:
        return self._ending


class _ChangedError(Exception):
    """The camera sends another size than it said."""


class _Reading:
    """One connection: makes its times go forward, paces a file, decodes by plan."""

    def __init__(self, reader: Reader, container: InputContainer) -> None:
        self._reader, self._container = reader, container
        self._stream = container.streams.video[0]
        camera = reader._opener.camera
        self._is_file = "://" not in camera.address
        self._fps = camera.fps
        self._base = self._stream.time_base or Fraction(1, 90_000)
        self._step = self._usual_step()
        self._last_dts: int | None = None
        self._shift: int | None = None
        self._anchor_us = 0
        self._anchor_dts = 0
        self._due = self._grey_due = 0.0
        self._size = (0, 0)
        self.bad = 0
        self._new_track()

    def _usual_step(self) -> int:
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 25)
        return max(1, round(1 / (min(max(rate, 1.0), 120.0) * float(self._base))))

    def _new_track(self) -> None:
        context = self._stream.codec_context
        header = header_of(self._container)
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        made = Track(context.name, context.width, context.height, self._base, rate, header, codec_of(header))
        before = self._reader.track
        if before is not None and (before.header, before.codec, before.time_base) == (header, made.codec, self._base):
            self._track = before  # the same camera again: players go on where they are
            self._last_dts = self._reader.last_dts
        else:
            self._track = self._reader.track = made

    def take(self, packet: Any) -> None:
        """One packet: times straightened, handed on, decoded if the plan or health asks for it."""
        made = self._straightened(packet)
        if self._is_file:
            self._pace(made)
        self._reader.hand_on(made)
        if self._track.codec == "mjpeg":
            self._reader.show(made, made.time_us)
        now = made.time_us / 1e6
        wanted = self._reader.wants and self._fps > 0
        if self._track.codec == "mjpeg" and not (wanted and now >= self._due) and now < self._grey_due:
            return  # every picture stands for itself: only those wanted are decoded
        if not wanted and not packet.is_keyframe and self._track.codec != "mjpeg":
            return
        for frame in self._stream.decode(packet):
            self.bad = 0
            self._decoded(frame, made.time_us, wanted)

    def _straightened(self, packet: Any) -> Packet:
        last = self._last_dts
        dts = int(packet.dts) if packet.dts is not None else (last or 0) + self._step - (self._shift or 0)
        ahead = max(0, int(packet.pts) - dts) if packet.pts is not None else 0
        if self._shift is None:
            self._shift = (0 if last is None else last + self._step) - dts
        elif last is not None:
            gap = dts + self._shift - last
            if gap <= 0 or gap * float(self._base) > _JUMP_S:
                if abs(gap) * float(self._base) > _JUMP_S:
                    self._reader.jumps += 1
                self._shift += self._step - gap
        now_dts = dts + self._shift
        self._last_dts = self._reader.last_dts = now_dts
        return Packet(
            bytes(packet),
            now_dts + ahead,
            now_dts,
            int(packet.duration or self._step),
            bool(packet.is_keyframe),
            self._time(now_dts),
            self._track,
        )

    def _time(self, dts: int) -> int:
        """When it was received, smoothed: the stream's clock from an anchor, which is set anew when it drifts."""
        now = time.time_ns() // 1000
        if self._track.codec == "mjpeg" and not self._is_file:
            return now  # such streams tell no times
        told = self._anchor_us + round((dts - self._anchor_dts) * float(self._base) * 1e6)
        if not self._anchor_us or (not self._is_file and abs(told - now) > _JUMP_S * 1e6):
            self._anchor_us, self._anchor_dts = now, dts
            return now
        return told

    def _pace(self, packet: Packet) -> None:
        """A file is read as fast as it would have been recorded."""
        ahead = packet.time_us / 1e6 - time.time()
        if ahead > 0:
            self._reader.stopping.wait(min(ahead, 5.0))
        elif ahead < -_JUMP_S:  # the machine was busy: do not hurry to catch up
            self._anchor_us, self._anchor_dts = time.time_ns() // 1000, packet.dts

    def _decoded(self, frame: VideoFrame, time_us: int, wanted: bool) -> None:
        if self._size == (0, 0):  # what is decoded counts, not what the container says
            self._size = (frame.width, frame.height)
            if (self._track.width, self._track.height) != self._size:
                self._track = self._reader.track = replace(self._track, width=frame.width, height=frame.height)
        elif (frame.width, frame.height) != self._size:
            if not self._is_file:
                raise _ChangedError  # a new connection tells players of the new size
            self._size = (frame.width, frame.height)
            self._track = self._reader.track = replace(self._track, width=frame.width, height=frame.height, mime="")
        now = time_us / 1e6
        if now >= self._grey_due:
            self._grey_due = now + 1.0
            if self._track.codec != "mjpeg":
                self._reader.show(frame, time_us)
            small = frame.reformat(*GREY_SIZE, format="gray8")
            self._reader.grey(time_us, np.asarray(small.to_ndarray(), np.uint8))
        if wanted and now >= self._due:
            self._due = max(self._due + 1 / self._fps, now - 1 / self._fps)
            self._reader.offer(Picture(time_us, frame_rgb(frame)))


def frame_rgb(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """A frame as height × width × 3, at most 1280 wide."""
    width, height = frame.width, frame.height
    if width > _WIDEST:
        width, height = _WIDEST, round(frame.height * _WIDEST / frame.width / 2) * 2
    return np.asarray(frame.reformat(width, height, format="rgb24").to_ndarray(), np.uint8)


def frame_jpeg(frame: VideoFrame, width: int = 0) -> bytes:
    """A frame as JPEG, not wider than `width` where that is given."""
    from PIL import Image

    return _jpeg(Image.fromarray(frame_rgb(frame)), width)


def _jpeg(picture: Image.Image, width: int) -> bytes:
    target = BytesIO()
    made = picture.convert("RGB")
    if width and width < made.width:
        made.thumbnail((width, 10_000))
    made.save(target, "JPEG", quality=80)
    return target.getvalue()
