"""One thread that looks at the pictures of all cameras: the gate of each first, then one detector for what is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from thap.detect.vision.analyser import Analyser, AnalyserSettings
from thap.detect.vision.found import Detections, Said
from thap.detect.vision.found import Detector as PictureDetector
from thap.detect.vision.scene import Scene
from thap.kernel.errors import ThapError

if TYPE_CHECKING:
    from thap.observe.cameras.reader import Picture, Reader

__all__ = ["Analysis", "Say"]

_log = structlog.get_logger(__name__)
Say = Callable[[str, "Picture | None", list[Said]], None]
"""Told of a camera's name, the picture (None at the end of a film), and what the analyser said of it; in the analysis
thread."""
_RETRY_S = 30.0


@dataclass(slots=True)
class _Watched:
    reader: Reader
    scene: Scene
    settings: AnalyserSettings
    analyser: Analyser | None = None
    waiting: list[Picture] = field(default_factory=list)
    last_us: int = 0
    failures: int = 0


class Analysis(threading.Thread):
    """Looks at pictures until `stop`.

    Args:
        say: told what an analyser had to say.
        make_detector: makes the detector, at first use; heavy. What it raises is shown, and tried again.
        settings: what is followed.
    """

    def __init__(
        self, say: Say, make_detector: Callable[[], PictureDetector], settings: AnalyserSettings | None = None
    ) -> None:
        super().__init__(name="analysis", daemon=True)
        self._say, self._make = say, make_detector
        self.settings = settings or AnalyserSettings()
        """Of each camera that is watched from now on."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._watched: dict[str, _Watched] = {}
        self._detector: PictureDetector | None = None
        self._tried = 0.0
        self.error = ""
        """Why nothing is analysed; '' while all is well."""
        self.frames = self.parts = self.dropped = self.failures = 0

    def watch(self, name: str, reader: Reader, scene: Scene) -> None:
        """Look at a camera from now on, with this scene; its tracks begin anew."""
        with self._lock:
            self._watched[name] = _Watched(reader, scene, self.settings)

    def leave(self, name: str) -> None:
        """Look at a camera no longer."""
        with self._lock:
            gone = self._watched.pop(name, None)
        if gone is not None and gone.analyser is not None:
            self._wake.set()

    def wake(self) -> None:
        """There is a picture."""
        self._wake.set()

    def stop(self) -> None:
        """End after what is under way."""
        self._ending = True
        self._wake.set()

    def told(self) -> dict[str, Any]:
        """How it fares."""
        return {"frames": self.frames, "parts": self.parts, "dropped": self.dropped, "error": self.error}

    def run(self) -> None:
        while not self._ending:
            self._wake.wait(0.5)
            self._wake.clear()
            with self._lock:
                watched = dict(self._watched)
            try:
                if watched and self._detector_there():
                    while self._round(watched) and not self._ending:
                        pass
            except Exception as error:  # this thread serves all cameras: it tells what went wrong and goes on
                self.failures += 1
                self.error = f"{type(error).__name__}: {error}"
                _log.exception("the analysis goes on")
                time.sleep(1)

    def _detector_there(self) -> bool:
        if self._detector is not None:
            return True
        if time.monotonic() - self._tried < _RETRY_S and self._tried:
            return False
        self._tried = time.monotonic()
        try:
            self._detector = self._make()
            self.error = ""
        except Exception as error:
            self.error = str(error) if isinstance(error, ThapError) else f"{type(error).__name__}: {error}"
            _log.error("pictures are not analysed", reason=self.error)
        return self._detector is not None

    def _round(self, watched: dict[str, _Watched]) -> bool:
        """One picture of each camera that has one; whether there was any."""
        asked: list[tuple[str, _Watched, Picture, list[Any]]] = []
        for name, one in watched.items():
            try:
                picture = self._next(one)
                if picture is None:
                    self._end_film(name, one)
                    continue
                asked.append((name, one, picture, self._analyser(one).prepare(picture.time_us, picture.rgb)))
            except Exception:
                self._failed(name, one)
        if not asked:
            return False
        found = iter(self._detected([part for *_, parts in asked for part in parts]))
        for name, one, picture, parts in asked:
            self._finish(name, one, picture, [next(found) for _ in parts])
        self.error = ""
        return True

    def _end_film(self, name: str, one: _Watched) -> None:
        """A file that is read once has ended: what is still to be said."""
        if one.reader.state == "ended" and one.analyser is not None and not one.waiting:
            said, one.analyser = one.analyser.close(), None
            self._say(name, None, said)

    def _next(self, one: _Watched) -> Picture | None:
        pictures, lost = one.reader.take()
        one.waiting += pictures
        if lost:
            self.dropped += lost
            self._analyser(one).dropped(lost)
        return one.waiting.pop(0) if one.waiting else None

    def _analyser(self, one: _Watched) -> Analyser:
        if one.analyser is None:
            assert self._detector is not None
            one.analyser = Analyser(one.scene, self._detector, one.settings)
        return one.analyser

    def _detected(self, parts: list[Any]) -> Sequence[Detections]:
        if not parts or self._detector is None:
            return []
        self.parts += len(parts)
        try:
            found = self._detector.detect(parts)
            if len(found) != len(parts):
                raise RuntimeError(f"the detector answered {len(found)} of {len(parts)} pictures")
            return found
        except Exception:
            self.failures += 1
            _log.exception("the detector failed on a batch", pictures=len(parts))
            return [Detections.none() for _ in parts]

    def _finish(self, name: str, one: _Watched, picture: Picture, found: Sequence[Detections]) -> None:
        self.frames += 1
        try:
            said = self._analyser(one).finish(found)
            if said:
                self._say(name, picture, said)
        except Exception:
            self._failed(name, one)

    def _failed(self, name: str, one: _Watched) -> None:
        """What goes wrong with one camera's pictures is that camera's affair: it begins anew."""
        self.failures += 1
        one.failures += 1
        one.analyser = None
        _log.exception("the analysis of a camera begins anew", camera=name, failures=one.failures)
