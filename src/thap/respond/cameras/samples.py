"""What a scene is tried on before it is saved: a few seconds of each camera out of every five minutes of the last hour.

They lie in `cameras/samples/<thing>/<time>.mp4`, beside the reference picture that tells whether a camera was turned.
None of it is evidence; it is let go of after the hour, and not kept at all when the disk is full.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thap.kernel.settings import Settings
from thap.observe.cameras.health import GREY_SIZE, PictureJudge
from thap.observe.cameras.reader import Reader
from thap.observe.cameras.records import Camera
from thap.observe.cameras.remux import whole_mp4

__all__ = ["Samples"]

_EVERY_S = 300.0
_LENGTH_S = 12.0
_KEEP_S = 3600.0


class Samples:
    """Samples and reference pictures of all cameras of this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.data / "cameras" / "samples"
        self._next: dict[int, float] = {}
        self._kept: set[int] = set()

    def folder(self, camera: Camera) -> Path:
        """Where a camera's samples lie."""
        return self._root / str(camera.thing_id)

    def of(self, camera: Camera) -> list[Path]:
        """Samples of the last hour, the oldest first."""
        oldest = time.time() - _KEEP_S
        found = sorted(self.folder(camera).glob("*.mp4")) if self.folder(camera).is_dir() else []
        return [path for path in found if path.stem.isdecimal() and int(path.stem) / 1e6 >= oldest]

    def keep(self, camera: Camera, reader: Reader) -> None:
        """Keep a sample when it is time for one."""
        now = time.time()
        first = self._next.setdefault(camera.thing_id, now + _LENGTH_S)
        if now < first or reader.state not in ("live", "ended"):
            return
        self._next[camera.thing_id] = now + _EVERY_S
        packets = reader.ring.since(reader.last_us - round(_LENGTH_S * 1e6))
        if not packets or not packets[0].track.mime or not self._has_room():
            return
        with contextlib.suppress(OSError, ValueError):
            self.folder(camera).mkdir(parents=True, exist_ok=True)
            target = self.folder(camera) / f"{packets[0].time_us}.mp4"
            draft = target.with_suffix(".draft")
            draft.write_bytes(whole_mp4(packets))
            draft.replace(target)

    def tidy(self, _names: set[str]) -> None:
        """Let go of what is older than an hour."""
        oldest = time.time() - _KEEP_S
        for path in self._root.glob("*/*.mp4"):
            if path.stem.isdecimal() and int(path.stem) / 1e6 < oldest:
                path.unlink(missing_ok=True)

    def reference(self, camera: Camera) -> npt.NDArray[np.uint8] | None:
        """The picture a camera should show; None before there is one."""
        try:
            from PIL import Image

            with Image.open(self.folder(camera) / "reference.png") as picture:
                grey = np.asarray(picture.convert("L"), np.uint8)
        except OSError:
            return None
        self._kept.add(camera.thing_id)
        return grey if grey.shape == GREY_SIZE[::-1] else None

    def keep_reference(self, camera: Camera, judge: PictureJudge) -> None:
        """Keep the reference a judge has learned, once."""
        if judge.reference is not None and camera.thing_id not in self._kept:
            self._kept.add(camera.thing_id)
            self._write(camera, judge.reference)

    def take_reference(self, camera: Camera, judge: PictureJudge, reader: Reader) -> bool:
        """Take what the camera shows now as what it should show; whether there was a picture."""
        found = reader.jpeg()
        if found is None:
            return False
        from io import BytesIO

        from PIL import Image

        with Image.open(BytesIO(found[0])) as picture:
            grey = np.asarray(picture.convert("L").resize(GREY_SIZE), np.uint8)
        judge.take_reference(grey)
        self._kept.add(camera.thing_id)
        self._write(camera, grey)
        return True

    def _write(self, camera: Camera, grey: npt.NDArray[np.uint8]) -> None:
        with contextlib.suppress(OSError):
            self.folder(camera).mkdir(parents=True, exist_ok=True)
            from PIL import Image

            Image.fromarray(grey).save(self.folder(camera) / "reference.png")

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._settings.data).free > self._settings.journal.reserve_mib * 2**20
