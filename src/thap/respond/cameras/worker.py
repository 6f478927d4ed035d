"""The role `vision`: keeps a reader for every enabled camera, and does with their pictures what is to be done.

A camera that is gone, sends garbage, changes its size or jumps in time concerns nobody but itself. What cannot be
written while the disk is full waits, within a bound, and what is lost then is counted and shown. What no later try
would write becomes a dead letter.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.detector import Action, Change, Severity
from thap.detect.vision.analyser import AnalyserSettings
from thap.detect.vision.found import Detector as PictureDetector
from thap.detect.vision.found import Event, Measure, Said
from thap.detect.vision.scene import Scene
from thap.kernel.bus import Bus
from thap.kernel.clock import iso, now_us
from thap.kernel.errors import InputError, NotFoundError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store
from thap.observe.cameras.clocks import ALLOWED_S, skew_s
from thap.observe.cameras.health import CONDITIONS, Condition, Health, Judgement, PictureJudge
from thap.observe.cameras.reader import Picture, Reader
from thap.observe.cameras.records import Camera, known_streams, list_cameras
from thap.observe.cameras.source import Opener
from thap.observe.intake import Intake, dead_letter
from thap.observe.kinds import BLOCK_VERSION, Kind, encode_block
from thap.observe.registry import register_datastreams
from thap.respond.book import AlarmBook
from thap.respond.cameras.analysis import Analysis
from thap.respond.cameras.backlog import Backlog
from thap.respond.cameras.evidence import Evidence
from thap.respond.cameras.samples import Samples
from thap.respond.cameras.saying import EVENTS, Sighting, Standing, Streams, condition_of, health_change, sightings_of
from thap.respond.cameras.streams import StreamServer

__all__ = ["VisionWorker", "make_detector_of"]

_log = structlog.get_logger(__name__)
_WAITING_MOST = 50_000
_REREAD_S = 60.0
_CLOCK_S = 600.0
_TIDY_S = 300.0
_NEVER = (InputError, ValueError, TypeError, OverflowError, DataError, IntegrityError)
"""What no later try mends."""
_OWN_CONDITIONS = frozenset(condition_of(kind) for kind in EVENTS)
Plates = Callable[[Camera, Picture, list[Said]], None]
"""Reads plates of a picture, given what was said of it."""
InForce = Callable[[AsyncConnection], Awaitable[AnalyserSettings]]
"""Gives how pictures are analysed by what the records say now."""


def make_detector_of(settings: Settings) -> Callable[[], PictureDetector]:
    """What makes the detector that the settings name."""

    def make() -> PictureDetector:
        from thap.detect.vision.models import model_named
        from thap.detect.vision.runtime import DetectorRuntime

        return DetectorRuntime(model_named(settings.cameras.model), threads=settings.cameras.threads)

    return make


@dataclass(slots=True)
class _Watch:
    """One camera while it is read."""

    camera: Camera
    reader: Reader
    judge: PictureJudge
    health: Health
    standing: Standing
    streams: Streams
    analysed: bool = False
    problem: str = ""
    """Why its scene is not used."""
    seen: dict[str, bool] = field(default_factory=dict)
    clock_at: float = 0.0
    jumps: int = 0
    bad: int = 0
    packets: int = 0


class VisionWorker:
    """All cameras of this machine.

    Args:
        plates: reads plates of pictures with vehicles, where the centre may; called in the analysis thread.
        make_detector: makes the detector of the analysis.
        in_force: gives the settings of the analysis; asked when cameras or rules change and once a minute. Where they
            are others than before, all cameras' tracks begin anew.
        delays: of health conditions, in place of `CONDITIONS`.
    """

    def __init__(
        self,
        bus: Bus,
        records: Records,
        store: Store,
        settings: Settings,
        intake: Intake,
        *,
        plates: Plates | None = None,
        make_detector: Callable[[], PictureDetector] | None = None,
        in_force: InForce | None = None,
        delays: dict[str, Condition] | None = None,
    ) -> None:
        self._bus, self._records, self._settings, self._intake = bus, records, settings, intake
        self._book = AlarmBook(records)
        self._plates, self._delays = plates, delays or CONDITIONS
        self._in_force = in_force
        self._watches: dict[str, _Watch] = {}
        self._changed = asyncio.Event()
        self._evidence = Evidence(settings, records, store, bus)
        self._samples = Samples(settings)
        self._analysis = Analysis(self._said, make_detector or make_detector_of(settings))
        self._server = StreamServer(settings.run_dir, lambda name: getattr(self._watches.get(name), "reader", None))
        self.counters: Counter[str] = Counter()
        self._measures: Backlog[tuple[str, Measure]] = Backlog("measures", self.counters, _WAITING_MOST)
        self._sightings: Backlog[tuple[int, Sighting]] = Backlog("sightings", self.counters, _WAITING_MOST)
        self._changes: Backlog[tuple[_Watch, Change, int]] = Backlog("changes", self.counters, _WAITING_MOST)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        self._loop = asyncio.get_running_loop()
        await self._server.start()
        self._analysis.start()
        try:
            await self._bus.listen("centre.live.cameras", self._hear)
            await self._bus.listen("centre.live.rules", self._hear)  # parameters too are announced so
            await self._bus.answer("centre.ask.cameras", self._answer_states)
            await self._bus.answer("centre.ask.camera", self._answer_picture)
            await self._take_cameras(await self._book.active())
            async with asyncio.TaskGroup() as group:
                for work in (self._follow, self._every_second, self._flush, self._upkeep):
                    group.create_task(self._kept(work))
        finally:
            self._analysis.stop()
            for watch in self._watches.values():
                watch.reader.stop()
            await self._server.stop()

    def stats(self) -> dict[str, Any]:
        """What the heartbeat says."""
        live = sum(watch.reader.state == "live" for watch in self._watches.values())
        analysis = self._analysis.told()
        return {
            "cameras": {
                "seq": self._analysis.frames,
                "lag": 0,
                "total": self._analysis.frames,
                "cameras": len(self._watches),
                "live": live,
                "dropped": analysis["dropped"],
                "viewers": self._server.viewers,
                "clips": self._evidence.kept,
                "disk_full": self._intake.disk_full,
                "error": analysis["error"] or self._evidence.error,
            }
        }

    def totals(self) -> dict[str, int]:
        """Counters of the heartbeat: frames analysed and dropped, clips kept and lost, packets and pictures."""
        readers = [watch.reader for watch in self._watches.values()]
        return {
            "vision.frames": self._analysis.frames,
            "vision.dropped": self._analysis.dropped,
            "vision.failures": self._analysis.failures,
            "cameras.packets": sum(one.packets for one in readers),
            "cameras.bad": sum(one.bad for one in readers),
            "cameras.reconnects": sum(one.reconnects for one in readers),
            "clips.kept": self._evidence.kept,
            "clips.lost": self._evidence.lost,
            **self.counters,
        }

    async def _kept(self, work: Callable[[], Any]) -> None:
        """A task that goes on after whatever passes by itself."""
        while True:
            try:
                await work()
            except Exception as error:
                self._trouble(error, "vision goes on")
            await asyncio.sleep(1)

    def _trouble(self, error: Exception, what: str) -> None:
        self.counters["vision.trouble"] += 1
        (_log.warning if isinstance(error, ThapError) else _log.exception)(what, reason=str(error))

    # ---- which cameras

    async def _hear(self, _subject: str, _payload: bytes) -> None:
        self._changed.set()

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REREAD_S):
                    await self._changed.wait()
            self._changed.clear()
            await self._take_cameras()

    async def _take_cameras(self, standing: dict[tuple[str, str], int] | None = None) -> None:
        async with self._records.read() as connection:
            wanted = {camera.name: camera for camera in await list_cameras(connection, enabled=True)}
            settings = await self._in_force(connection) if self._in_force else None
        if settings is not None and settings != self._analysis.settings:
            self._analysis.settings = settings
            for one in self._watches.values():
                self._take_scene(one)
        for name in [name for name in self._watches if name not in wanted]:
            self._leave(name)
        if standing is not None:  # of cameras that were taken away while no worker ran
            await self._end_orphans(standing, set(wanted))
        for name, camera in wanted.items():
            watch = self._watches.get(name)
            if watch is not None and watch.camera.connection != camera.connection:
                self._leave(name, moved=True)
                watch = None
            if watch is None:
                await self._begin(camera, standing)
            elif watch.camera != camera:
                redrawn = watch.camera.scene != camera.scene
                watch.camera = camera
                if redrawn:
                    self._take_scene(watch)

    async def _end_orphans(self, standing: dict[tuple[str, str], int], wanted: set[str]) -> None:
        gone = [
            (source, condition)
            for source, condition in standing
            if source not in wanted and (condition.startswith("camera.") or condition in _OWN_CONDITIONS)
        ]
        changes = [Change(source, one, Action.CLEAR, Severity.LOW, now_us(), 0) for source, one in gone]
        for event in await self._book.apply(changes) if changes else ():
            await self._bus.announce("centre.live.alarm", event)

    async def _begin(self, camera: Camera, standing: dict[tuple[str, str], int] | None) -> None:
        if standing is None:
            standing = await self._book.active()
        mine = {condition for source, condition in standing if source == camera.name}
        active = {one.removeprefix("camera.") for one in mine if one.startswith("camera.")}
        async with self._records.read() as connection:
            known = await known_streams(connection, camera.thing_id)
        judge = PictureJudge(await asyncio.to_thread(self._samples.reference, camera))

        def grey(time_us: int, picture: npt.NDArray[np.uint8], name: str = camera.name) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._looked, name, time_us, picture)

        reader = Reader(Opener(camera, self._settings), grey=grey, wants=False, on_picture=self._analysis.wake)
        watch = self._watches[camera.name] = _Watch(
            camera, reader, judge, Health(active, self._delays), Standing(), Streams(camera.name, known)
        )
        for condition in mine & _OWN_CONDITIONS:  # the analysis begins anew: what lasts is told again
            kind = condition.removeprefix("traffic.").replace("congested_zone", "congestion")
            watch.standing.take(camera, Event(now_us(), kind, "onset", ""))
        self._take_scene(watch)
        reader.start()

    def _take_scene(self, watch: _Watch) -> None:
        camera = watch.camera
        for change in watch.standing.end_all(camera, now_us()):
            self._changes.add((watch, change, 0))
        self._analysis.leave(camera.name)
        watch.problem, watch.analysed = "", False
        try:
            scene = Scene.from_json(camera.scene or {})
        except ThapError as error:
            watch.problem = str(error)
            scene = Scene()
        watch.analysed = self._settings.cameras.analyse and bool(scene.lines or scene.zones)
        watch.reader.wants = watch.analysed
        if watch.analysed:
            self._analysis.watch(camera.name, watch.reader, scene)

    def _leave(self, name: str, moved: bool = False) -> None:
        watch = self._watches.pop(name)
        self._analysis.leave(name)
        watch.reader.stop()
        self._server.gone(name)
        changes = watch.standing.end_all(watch.camera, now_us())
        if not moved:  # switched off: nothing is wrong with it any more
            changes += [health_change(watch.camera, Judgement(one, False, now_us())) for one in watch.health.active]
        self._changes.add(*((watch, change, 0) for change in changes))

    # ---- what is seen

    def _looked(self, name: str, time_us: int, picture: npt.NDArray[np.uint8]) -> None:
        watch = self._watches.get(name)
        if watch is None:
            return
        found = watch.judge.look(picture)
        for condition in ("black", "frozen", "blurred", "turned"):
            if condition in found:
                watch.health.see(condition, found[condition], now_us(), **_rounded(watch.judge.values))
            else:
                watch.health.forget(condition)
        self._samples.keep_reference(watch.camera, watch.judge)

    def _said(self, name: str, picture: Picture | None, said: list[Said]) -> None:
        """In the analysis thread."""
        watch = self._watches.get(name)
        if watch is not None and picture is not None and self._plates is not None and watch.camera.plates:
            self._plates(watch.camera, picture, said)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take_said, name, said)

    def _take_said(self, name: str, said: Sequence[Said]) -> None:
        watch = self._watches.get(name)
        if watch is None:
            return
        self._sightings.add(*((watch.camera.thing_id, one) for one in sightings_of(said)))
        for one in said:
            if isinstance(one, Measure):
                self._measures.add((name, one))
            elif isinstance(one, Event):
                if one.kind == "still_picture":
                    watch.health.see("frozen", one.state != "end", now_us(), by="analysis")
                elif change := watch.standing.take(watch.camera, one):
                    self._changes.add((watch, change, one.time_us if one.state == "onset" else 0))

    # ---- what becomes of it

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = now_us()
            for watch in list(self._watches.values()):
                self._judge_stream(watch, now)
                for judged in watch.health.tick(now):
                    self._changes.add((watch, health_change(watch.camera, judged), 0))

    def _judge_stream(self, watch: _Watch, now: int) -> None:
        """What the stream's own behaviour says."""
        reader, health = watch.reader, watch.health
        if reader.state in ("ended", "stopped"):
            for one in ("gone", "garbage", "frozen"):
                health.see(one, False, now)
            return
        silent = reader.state != "live" or now - reader.last_us > self._settings.cameras.silence_s * 1e6
        bad, packets = reader.bad - watch.bad, reader.packets - watch.packets
        watch.bad, watch.packets = reader.bad, reader.packets
        garbage = reader.garbage or (bad > 2 and bad * 2 > packets)
        reason = {"reason": str(reader.error)} if reader.error else {}
        health.see("garbage", garbage, now, **reason)
        health.see("gone", silent and not garbage, now, **reason)
        if silent:
            for one in ("black", "frozen", "blurred", "turned"):
                health.forget(one)
        jumped, watch.jumps = reader.jumps > watch.jumps, reader.jumps
        if jumped:
            self.counters["cameras.jumps"] += 1
        if time.monotonic() - watch.clock_at > _CLOCK_S and not silent:
            watch.clock_at = time.monotonic()
            self._start(self._check_clock(watch))

    async def _check_clock(self, watch: _Watch) -> None:
        skew = await asyncio.to_thread(skew_s, watch.camera, self._settings)
        if skew is not None:
            watch.health.see("clock", abs(skew) > ALLOWED_S, now_us(), ahead_s=skew)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            for flush in (self._flush_changes, self._flush_sightings, self._flush_measures):
                try:
                    await flush()
                except Exception as error:  # the journal is full or away: what waits, waits; the others go on
                    self._trouble(error, "vision waits to write")
                    await asyncio.sleep(1)

    async def _flush_changes(self) -> None:
        while self._changes:
            (found, *_), _mark = self._changes.begin(1)
            watch, change, event_us = found
            try:
                events = await self._book.apply([change])
            except (InputError, NotFoundError, ValueError, TypeError) as error:
                self.counters["vision.lost_changes"] += 1  # no later try would fare better; the next change may
                _log.error("a change of an alarm cannot be kept", change=change.condition, reason=str(error))
                events = []
            self._changes.done()
            for event in events:
                await self._bus.announce("centre.live.alarm", event)
            if event_us and events:
                self._start(self._cut(watch, event_us, change.condition, events[0].alarm))

    async def _cut(self, watch: _Watch, event_us: int, condition: str, alarm: int | None) -> None:
        """A clip of what led to an event and what followed."""
        camera = watch.camera
        await asyncio.sleep(max(0.0, event_us / 1e6 + camera.after_s - time.time()))
        begin = event_us - round(camera.before_s * 1e6)
        await self._evidence.keep(camera, watch.reader.ring.since(begin), event_us, condition, alarm)
        await self._evidence.link()

    async def _flush_sightings(self) -> None:
        while self._sightings:
            rows, mark = self._sightings.begin(5000)
            try:
                payload = encode_block(
                    Kind.SIGHTING,
                    {
                        "camera": np.array([camera for camera, _ in rows], np.int32),
                        "time": np.array([one.time for _, one in rows], np.int64),
                        "track": np.array([one.track for _, one in rows], np.int64),
                        "label": [one.label for _, one in rows],
                        "action": [one.action for _, one in rows],
                        "detail": [one.detail for _, one in rows],
                    },
                )
                headers = {"Thap-Block": BLOCK_VERSION, "Thap-Received": str(now_us()), "Nats-Msg-Id": mark}
                await self._bus.append(f"journal.{Kind.SIGHTING}", payload, headers)
            except _NEVER as error:
                camera, one = rows[0]
                await self._refused(self._sightings, "sighting", {"camera": camera, **asdict(one)}, error)
                continue
            self._sightings.done()
            self.counters["vision.sightings"] += len(rows)

    async def _flush_measures(self) -> None:
        while self._measures:
            rows, _mark = self._measures.begin(5000)  # sent again they collapse: same datastream, same time
            try:
                known = [(self._watches[name].streams, one) for name, one in rows if name in self._watches]
                await self._register(known)
                keys = [streams.key(one) for streams, one in known]
                times = np.array([one.time_us for _, one in known], np.int64)
                values = np.array([one.value for _, one in known], np.float64)
                raw = [{"datastream": key, "result": one.value} for key, (_, one) in zip(keys, known, strict=True)]
                await self._intake.observations("camera", keys, times, values, raw.__getitem__)
            except _NEVER as error:
                await self._refused(self._measures, "observation", self._measured(*rows[0]), error)
                continue
            self._measures.done()

    def _measured(self, name: str, one: Measure) -> dict[str, Any]:
        """A measure as an observation, so that its letter can be tried again."""
        watch = self._watches.get(name)
        key = f"{name}/{one.name}" if watch is None else watch.streams.key(one)
        return {"datastream": key, "at": iso(one.time_us), "result": one.value}

    async def _refused(self, waiting: Backlog[Any], kind: str, first: dict[str, Any], error: Exception) -> None:
        """A batch that no later try would write: the row at fault becomes a dead letter, the rest goes on."""
        if waiting.halve():
            return
        reason = f"{type(error).__name__}: {error}"
        await self._bus.append("dead.camera", dead_letter("camera", kind, reason, first))
        self.counters["vision.dead"] += 1
        waiting.leave()

    async def _register(self, measures: Sequence[tuple[Streams, Measure]]) -> None:
        missing = [row for streams, one in measures for row in streams.missing([one])]
        if not missing:
            return
        rows = list({row["key"]: row for row in missing}.values())
        async with self._records.write() as connection:
            await register_datastreams(connection, rows)
        for streams, one in measures:
            streams.known.add(streams.key(one))
        await self._intake.reload()
        await self._bus.announce("centre.live.registry", {"by": "vision"})

    async def _upkeep(self) -> None:
        tidied = 0.0
        while True:
            await asyncio.sleep(5)
            await self._evidence.link()
            for watch in list(self._watches.values()):
                await asyncio.to_thread(self._samples.keep, watch.camera, watch.reader)
            if time.monotonic() - tidied > _TIDY_S:
                tidied = time.monotonic()
                await self._evidence.tidy()
                await asyncio.to_thread(self._samples.tidy, set(self._watches))

    # ---- questions

    async def _answer_states(self, _payload: bytes) -> bytes:
        analysis = self._analysis.told()
        told = {
            name: {
                **watch.reader.told(),
                "analysed": watch.analysed,
                "problem": watch.problem or (analysis["error"] if watch.analysed else ""),
                "conditions": sorted(watch.health.active),
                "values": _rounded(watch.judge.values),
                "health": {one: watch.health.detail.get(one, {}) for one in watch.health.active},
            }
            for name, watch in self._watches.items()
        }
        return msgspec.json.encode(told, enc_hook=str)

    async def _answer_picture(self, payload: bytes) -> bytes:
        """A snapshot, or a clip by hand."""
        asked = msgspec.json.decode(payload)
        watch = self._watches.get(str(asked.get("camera", "")))
        if watch is None:
            return b"{}"
        if asked.get("what") == "clip":
            camera = watch.camera
            begin = now_us() - round((camera.before_s + camera.after_s) * 1e6)
            clip = await self._evidence.keep(camera, watch.reader.ring.since(begin), now_us())
            return msgspec.json.encode({"clip": clip.id} if clip else {"error": self._evidence.error})
        if asked.get("what") == "reference":
            done = await asyncio.to_thread(self._samples.take_reference, watch.camera, watch.judge, watch.reader)
            return msgspec.json.encode({"done": done})
        found = await asyncio.to_thread(watch.reader.jpeg, int(asked.get("width") or 0))
        if found is None:
            return b"{}"
        return msgspec.json.encode({"jpeg": base64.b64encode(found[0]).decode(), "time": found[1]})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
