"""The vision worker on real streams: records, alarms, clips, and cameras that fail beside those that do not."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1] / "observe"))

from camera_world import Mjpeg, closing, film, picture

from thap.detect.detector import Change
from thap.detect.vision.analyser import Analyser
from thap.detect.vision.found import CLASSES, Crossing, Detections, Event, Measure, Picture
from thap.detect.vision.scene import Scene
from thap.domains.parameter_records import set_parameter
from thap.domains.traffic import DOMAIN
from thap.domains.traffic.flow import analyser_settings
from thap.kernel.bus import DEAD, JOURNAL, Bus
from thap.kernel.clock import now_us
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.observe.cameras.health import CONDITIONS, Condition
from thap.observe.cameras.records import Camera, add_camera, change_camera, clips_of, remove_camera, spent_clips
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, decode_block
from thap.respond.book import AlarmBook
from thap.respond.cameras.backlog import Backlog
from thap.respond.cameras.evidence import Evidence, clip_bytes
from thap.respond.cameras.saying import Sighting, Standing, Streams, health_change, sightings_of
from thap.respond.cameras.worker import VisionWorker
from thap.respond.incidents import attachments as files
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft, NewLink

QUICK = {name: Condition(name, one.severity, 0.5, 0.5) for name, one in CONDITIONS.items()}
SCENE = {"lines": [{"name": "giữa", "start": [0.5, 0], "end": [0.5, 1]}]}


class RedBlocks:
    """Finds what is red, as a detector finds cars: the worker's own way is tested here, not a model's accuracy."""

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: Picture) -> Detections:
        red = (picture[:, :, 0] > 170) & (picture[:, :, 1] < 90) & (picture[:, :, 2] < 90)
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        if not len(rows) or red.sum() < 200:
            return Detections.none()
        high, wide = picture.shape[:2]
        box = [columns[0] / wide, rows[0] / high, (columns[-1] + 1) / wide, (rows[-1] + 1) / high]
        return Detections(
            np.array([box], np.float32), np.array([0.9], np.float32), np.array([CLASSES.index("car")], np.int16)
        )


async def until(happened: Callable[[], Awaitable[Any]], limit_s: float = 45) -> Any:
    async with asyncio.timeout(limit_s):
        while not (found := await happened()):
            await asyncio.sleep(0.05)
        return found


@pytest.fixture
def quick(settings: Settings) -> Settings:
    settings.cameras.retry_s, settings.cameras.retry_max_s = 0.05, 0.2
    settings.cameras.connect_s = settings.cameras.silence_s = 2.0
    return settings


@asynccontextmanager
async def working(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[VisionWorker]:
    inward = settings.model_copy(deep=True)
    inward.doors.mqtt = False
    store = open_store(records)
    async with Intake(bus, records, inward) as intake:
        worker = VisionWorker(
            bus, records, store, settings, intake, make_detector=RedBlocks, in_force=analyser_settings, delays=QUICK
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.wait([task])
            await store.close()


async def add(records: Records, name: str, address: object, **more: object) -> Camera:
    row = {"name": name, "address": str(address), "trusted": True, **more}
    async with records.write() as connection:
        return await add_camera(connection, row, "test")


async def states(bus: Bus) -> dict[str, Any]:
    try:
        told: dict[str, Any] = msgspec.json.decode(await bus.ask("centre.ask.cameras"))
    except UnavailableError:  # the worker is not there yet
        return {}
    return told


async def standing(records: Records) -> set[tuple[str, str]]:
    return set(await AlarmBook(records).active())


async def test_what_crosses_a_line_becomes_a_sighting(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    path = film(tmp_path / "a.mp4", seconds=3.6, fps=10)  # it wraps round after four seconds
    warm = Analyser(Scene.from_json(SCENE), RedBlocks())  # what it loads at its first pictures is loaded before
    for number in range(12):
        warm.frame(now_us(), picture(number))
    made = await add(records, "cam-1", path, fps=10.0, scene=SCENE)
    async with working(bus, records, quick):

        async def crossed() -> list[dict[str, Any]]:
            found = []
            async for entries in bus.read(JOURNAL, 0, subject="journal.sighting", stop_at_end=True):
                for entry in entries:
                    found += decode_block(Kind.SIGHTING, entry.payload).to_pylist()
            return found

        rows = await until(crossed)
        assert rows[0]["camera"] == made.thing_id and rows[0]["action"] == "crossed" and rows[0]["label"] == "car"
        assert msgspec.json.decode(rows[0]["detail"])["direction"] == "right"

        async def counted() -> set[str]:
            async with records.read() as connection:
                keys = await connection.execute(sa.text("SELECT key FROM datastreams"))
                return {row.key for row in keys} & {"cam-1/count.giữa", "cam-1/count.giữa.right.car"}

        assert len(await until(counted)) == 2  # the minute that was not full ends with the film


async def test_what_the_province_sets_is_what_pictures_are_analysed_by(
    bus: Bus, records: Records, quick: Settings
) -> None:
    async with working(bus, records, quick) as worker:
        await until(lambda: _asked(bus))
        assert worker._analysis.settings.flow.units("motorcycle") == 0.3
        async with records.write() as connection:
            await set_parameter(connection, DOMAIN, "pcu_motorcycle", 0.25, "QĐ 1", version=0, by="test", now=1)
        await bus.announce("centre.live.rules", {})

        async def taken() -> bool:
            return worker._analysis.settings.flow.units("motorcycle") == 0.25

        await until(taken)


async def _asked(bus: Bus) -> bool:
    """Whether the worker answers, and so hears."""
    try:
        await bus.ask("centre.ask.cameras")
    except UnavailableError:
        return False
    return True


async def test_ten_that_flap_and_one_that_sends_garbage_leave_the_others_alone(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    good, flapping, garbage = Mjpeg(fps=5), Mjpeg(fps=5), Mjpeg(fps=5)
    garbage.garbage = True
    with closing(good, flapping, garbage):
        await add(records, "good", good.url)
        await add(records, "garbage", garbage.url)
        for number in range(10):
            await add(records, f"flap-{number}", flapping.url)
        async with working(bus, records, quick) as worker:
            await until(lambda: _live(bus, 11))
            flapping.gone = True
            gone = {(f"flap-{number}", "camera.gone") for number in range(10)} | {("garbage", "camera.garbage")}
            await until(lambda: _is(records, gone))
            before = (await states(bus))["good"]["packets"]
            flapping.gone = False
            await until(lambda: _is(records, {("garbage", "camera.garbage")}))
            garbage.garbage = False
            await until(lambda: _is(records, set()))
            told = await states(bus)
            assert told["good"]["packets"] > before and told["good"]["reconnects"] == 0
            assert told["flap-3"]["reconnects"] > 0
            assert worker.counters["vision.trouble"] == 0


async def _live(bus: Bus, number: int) -> bool:
    return sum(one["state"] == "live" for one in (await states(bus)).values()) >= number


async def _is(records: Records, wanted: set[tuple[str, str]]) -> bool:
    return await standing(records) == wanted


async def test_a_black_and_a_frozen_picture_are_alarms_and_end(bus: Bus, records: Records, quick: Settings) -> None:
    mjpeg = Mjpeg(fps=10)
    with closing(mjpeg):
        await add(records, "cam", mjpeg.url, lon=105.6, lat=10.4)
        async with working(bus, records, quick):
            await until(lambda: _live(bus, 1))
            mjpeg.black = True
            await until(lambda: _is(records, {("cam", "camera.black")}))
            mjpeg.black, mjpeg.frozen = False, True
            await until(lambda: _is(records, {("cam", "camera.frozen")}))
            mjpeg.frozen = False
            await until(lambda: _is(records, set()))


async def test_a_camera_switched_off_leaves_no_alarm_behind(bus: Bus, records: Records, quick: Settings) -> None:
    await add(records, "cam", "http://127.0.0.1:9/x")
    async with working(bus, records, quick):
        await until(lambda: _is(records, {("cam", "camera.gone")}))
        async with records.write() as connection:
            await change_camera(connection, "cam", {"enabled": False}, "test")
        await bus.announce("centre.live.cameras", {})
        await until(lambda: _is(records, set()))
        async with records.write() as connection:
            await change_camera(connection, "cam", {"enabled": True}, "test")
        await bus.announce("centre.live.cameras", {})
        await until(lambda: _is(records, {("cam", "camera.gone")}))
    async with records.write() as connection:
        await remove_camera(connection, "cam")  # while no worker runs
    async with working(bus, records, quick):
        await until(lambda: _is(records, set()))


async def test_a_clip_is_kept_with_its_hash_and_goes_to_the_incident(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    camera = await add(records, "cam", film(tmp_path / "a.mp4", seconds=2), before_s=1.0, after_s=1.0)
    packets = _packets(camera, quick)
    store = open_store(records)
    book = AlarmBook(records)
    evidence = Evidence(quick, records, store, bus)
    change = Standing().take(camera, Event(now_us(), "stopped_vehicle", "onset", "đường", "car", 7))
    assert change is not None
    (raised,) = await book.apply([change])
    clip = await evidence.keep(camera, packets, now_us(), change.condition, raised.alarm)
    assert clip is not None and not clip.encoded
    kept = await files.one(records, clip.attachment_id)
    assert kept.sha256 == clip.sha256 and kept.type == "video/mp4" and await files.verify(quick, kept)
    assert await evidence.link() == 0  # there is no incident yet
    incidents = IncidentBook(records)
    draft = Draft(title="Xe dừng", domain="traffic", severity=2, links=(NewLink("alarm", str(raised.alarm)),))
    opened = await incidents.open(draft, "test")
    assert await evidence.link() == 1
    assert any(link.kind == "file" and link.ref == str(kept.id) for link in await incidents.links(opened.id))
    async with records.read() as connection:
        (found,) = await clips_of(connection, camera="cam")
    assert found.incident_id == opened.id
    with pytest.raises(NotFoundError, match="evidence"):
        await evidence.remove(clip)  # as it was read before it was tied
    assert (await files.one(records, clip.attachment_id)).sha256 == clip.sha256
    async with records.read() as connection:
        assert await clips_of(connection, incident=opened.id) == [found]
        removals = sa.text("SELECT count(*) FROM audit WHERE action = 'clip.remove'")
        assert await connection.scalar(removals) == 0
    await store.close()
    await book.close()


def _packets(camera: Camera, settings: Settings) -> list[Any]:
    from thap.observe.cameras.reader import Reader
    from thap.observe.cameras.source import Opener

    reader = Reader(Opener(camera, settings))
    reader.start()
    reader.join(10)
    return reader.ring.since(0)


async def test_clips_go_with_their_days_and_budget_but_not_evidence(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    camera = await add(records, "cam", film(tmp_path / "a.mp4", seconds=1), keep_days=1)
    packets, store = _packets(camera, quick), open_store(records)
    evidence = Evidence(quick, records, store, bus)
    old = now_us() - 2 * 86_400_000_000
    await evidence.keep(camera, packets, old)
    await evidence.keep(camera, packets, old)
    await evidence.keep(camera, packets, now_us())
    async with records.write() as connection:
        await connection.execute(sa.text("UPDATE camera_clips SET incident_id = 5 WHERE id = 1"))
    assert await evidence.tidy() == 1
    quick.cameras.disk_gib = 1e-9
    assert await evidence.tidy() == 1
    async with records.read() as connection:
        assert [clip.id for clip in await clips_of(connection)] == [1]
    await store.close()


async def test_evidence_takes_no_room_and_clips_of_a_removed_camera_go_with_their_days(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    camera = await add(records, "cam", film(tmp_path / "a.mp4", seconds=1))
    packets, store = _packets(camera, quick), open_store(records)
    evidence = Evidence(quick, records, store, bus)
    for age_days in (0, 1, 31):
        await evidence.keep(camera, packets, now_us() - age_days * 86_400_000_000)
    async with records.write() as connection:
        await connection.execute(sa.text("UPDATE camera_clips SET incident_id = 5, size = size + (3 << 30) WHERE id=1"))
    async with records.read() as connection:
        assert [clip.id for clip in await spent_clips(connection, camera, now_us())] == [3]
    async with records.write() as connection:
        await remove_camera(connection, "cam")
    assert await evidence.tidy() == 1
    async with records.read() as connection:
        assert [clip.id for clip in await clips_of(connection)] == [2, 1]
    await store.close()


async def test_an_alarm_put_into_an_incident_days_later_takes_its_clip_along(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    camera = await add(records, "cam", film(tmp_path / "a.mp4", seconds=1))
    packets, store = _packets(camera, quick), open_store(records)
    evidence, book = Evidence(quick, records, store, bus), AlarmBook(records)
    change = Standing().take(camera, Event(now_us(), "stopped_vehicle", "onset", "đường", "car", 7))
    assert change is not None
    (raised,) = await book.apply([change])
    clip = await evidence.keep(camera, packets, now_us() - 3 * 86_400_000_000, change.condition, raised.alarm)
    draft = Draft(title="Xe dừng", domain="traffic", severity=2, links=(NewLink("alarm", str(raised.alarm)),))
    await IncidentBook(records).open(draft, "test")
    assert clip is not None and await evidence.link() == 1
    await store.close()
    await book.close()


async def test_a_clip_that_cannot_be_written_is_told_and_nothing_falls(
    bus: Bus, records: Records, quick: Settings, tmp_path: Path
) -> None:
    camera = await add(records, "cam", film(tmp_path / "a.mp4", seconds=1))
    packets, store = _packets(camera, quick), open_store(records)
    (quick.data / "attachments").write_text("a file where a folder should be")  # as a full disk: nothing can be kept
    evidence = Evidence(quick, records, store, bus)
    assert await evidence.keep(camera, packets, now_us(), "traffic.crowd", 1) is None
    assert evidence.lost == 1 and "cannot be kept" in evidence.error
    await store.close()


def test_what_waits_is_bounded_and_keeps_its_mark_until_it_is_done() -> None:
    lost: Counter[str] = Counter()
    waiting: Backlog[int] = Backlog("sightings", lost, 3)
    waiting.add(1, 2)
    rows, mark = waiting.begin(1)
    waiting.add(3, 4, 5)
    assert rows == [1] and lost == {"vision.lost_sightings": 1} and len(waiting) == 4
    assert waiting.begin(9) == ([1], mark)
    waiting.done()
    rows, other = waiting.begin(9)
    assert rows == [3, 4, 5] and other != mark
    assert waiting.halve() and waiting.begin(9)[0] == [3] and waiting.begin(9)[1] != other
    assert not waiting.halve()
    waiting.leave()
    assert waiting.begin(9)[0] == [4]  # few at a time, until they are written
    waiting.done()
    waiting.add(6)
    assert waiting.begin(9)[0] == [5, 6]
    waiting.done()
    assert not waiting


async def test_a_change_that_cannot_be_kept_holds_up_no_other(
    bus: Bus, records: Records, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mjpeg = Mjpeg(fps=5)
    with closing(mjpeg):
        camera = await add(records, "cam", mjpeg.url)
        async with working(bus, records, quick) as worker:
            await until(lambda: _live(bus, 1))
            apply = worker._book.apply

            async def refusing(changes: Sequence[Change]) -> list[Any]:
                if changes[0].condition == "traffic.crowd":
                    raise InputError("no such thing")
                return await apply(changes)

            monkeypatch.setattr(worker._book, "apply", refusing)
            watch = worker._watches["cam"]
            for kind in ("crowd", "wrong_way"):
                change = Standing().take(camera, Event(now_us(), kind, "onset", "z"))
                assert change is not None
                worker._changes.add((watch, change, 0))
            await until(lambda: _is(records, {("cam", "traffic.wrong_way")}))
            assert worker.counters["vision.lost_changes"] == 1 and not worker._changes


async def test_a_sighting_that_cannot_be_written_becomes_a_dead_letter_and_the_rest_goes_on(
    bus: Bus, records: Records, quick: Settings
) -> None:
    mjpeg = Mjpeg(fps=5)
    with closing(mjpeg):
        await add(records, "cam", mjpeg.url)
        async with working(bus, records, quick) as worker:
            await until(lambda: _live(bus, 1))
            bad: Any = "three"
            for value in (1.0, bad, 2.0):
                worker._measures.add(("cam", Measure(now_us(), "queue", value, "m", "z")))

            async def measured() -> bool:
                return not worker._measures

            await until(measured)
            assert worker.counters["vision.dead"] == 1
    async with working(bus, records, quick) as worker:
        good = [Sighting(now_us() + at, at, "truck", "cross", "{}") for at in range(5)]
        worker._sightings.add(*((1, one) for one in [*good[:3], replace(good[0], track=2**70), *good[3:]]))

        async def written() -> bool:
            return not worker._sightings

        await until(written)
        assert worker.counters["vision.sightings"] == 5 and worker.counters["vision.dead"] == 1
    letters = [entry async for group in bus.read(DEAD, 0, stop_at_end=True) for entry in group]
    assert len(letters) == 2 and b"OverflowError" in letters[1].payload
    measure = msgspec.json.decode(letters[0].payload)
    assert measure["kind"] == "observation" and measure["record"]["datastream"].startswith("cam/")
    assert measure["record"]["result"] == "three"


async def test_what_fails_for_one_camera_ends_the_analysis_of_none(
    bus: Bus, records: Records, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mjpeg = Mjpeg(fps=10)
    with closing(mjpeg):
        for name in ("bad", "good"):
            await add(records, name, mjpeg.url, scene=SCENE, fps=10.0)
        async with working(bus, records, quick) as worker:
            end_film, looked = worker._analysis._end_film, Counter[str]()

            def failing(name: str, one: Any) -> None:
                looked[name] += 1
                if name == "bad":
                    raise RuntimeError("of its own")
                end_film(name, one)

            monkeypatch.setattr(worker._analysis, "_end_film", failing)

            async def both() -> bool:
                return worker._analysis.failures > 1 and worker._analysis.frames > 5 and looked["good"] > 1

            await until(both)
            monkeypatch.setattr(worker._analysis, "_round", lambda _watched: 1 / 0)

            async def told() -> bool:
                return "ZeroDivisionError" in worker.stats()["cameras"]["error"]

            await until(told)
            monkeypatch.undo()
            frames = worker._analysis.frames

            async def recovered() -> bool:
                return worker._analysis.frames > frames and not worker.stats()["cameras"]["error"]

            await until(recovered)


async def test_measures_wait_while_the_disk_is_full(bus: Bus, records: Records, quick: Settings) -> None:
    mjpeg = Mjpeg(fps=5)
    with closing(mjpeg):
        await add(records, "cam", mjpeg.url)
        async with working(bus, records, quick) as worker:
            await until(lambda: _live(bus, 1))
            worker._intake.disk_full, check = True, worker._intake._check_disk
            worker._intake._check_disk = lambda: None  # type: ignore[method-assign]
            worker._take_said("cam", [Measure(now_us(), "queue", 3.0, "m", "z")])

            async def troubled() -> bool:
                return worker.counters["vision.trouble"] > 0 and len(worker._measures) == 1

            await until(troubled)
            worker._intake._check_disk = check  # type: ignore[method-assign]

            async def written() -> bool:
                return not worker._measures and worker._intake.counters["camera.accepted"] == 1

            await until(written)
            assert (await states(bus))["cam"]["state"] == "live"


def test_an_mjpeg_clip_is_encoded_so_that_browsers_play_it() -> None:
    from fractions import Fraction
    from io import BytesIO

    import av

    from thap.observe.cameras.packets import Packet, Track

    made = Mjpeg()
    with closing(made):
        track = Track("mjpeg", 320, 180, Fraction(1, 1000), 10, b"", "")
        packets = [Packet(made.jpeg(n), n * 100, n * 100, 100, True, n * 100_000, track) for n in range(10)]
        content, encoded = clip_bytes(packets)
    assert encoded
    with av.open(BytesIO(content)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 10


# ---- what is said, as records


CAMERA = Camera(3, "cam", lon=105.0, lat=10.0, commune="29869")


def test_an_alarm_stands_as_long_as_any_of_its_kind_does() -> None:
    lasting = Standing()
    first = lasting.take(CAMERA, Event(1, "stopped_vehicle", "onset", "z", "car", 1))
    assert first is not None and (first.source, first.condition, first.action) == (
        "cam",
        "traffic.stopped_vehicle",
        "raise",
    )
    assert lasting.take(CAMERA, Event(2, "stopped_vehicle", "onset", "z", "car", 2)) is None
    assert lasting.take(CAMERA, Event(3, "stopped_vehicle", "end", "z", "car", 1)) is None
    last = lasting.take(CAMERA, Event(4, "stopped_vehicle", "end", "z", "car", 2))
    assert last is not None and last.action == "clear" and last.commune == "29869"
    assert lasting.take(CAMERA, Event(5, "unheard_of", "onset", "")) is None
    lasting.take(CAMERA, Event(6, "congestion", "onset", "z"))
    spread = lasting.take(CAMERA, Event(7, "congestion", "spread", "z"))
    assert spread is not None and spread.action == "escalate" and spread.condition == "traffic.congested_zone"
    assert [change.action for change in lasting.end_all(CAMERA, 8)] == ["clear"]
    assert lasting.end_all(CAMERA, 9) == []


def test_datastreams_are_named_by_what_they_measure() -> None:
    streams = Streams("cam")
    one = Measure(1, "count", 4, "1/min", "Hướng vào phố", "car", "xuống dốc/2")
    assert streams.key(one) == "cam/count.Hướng-vào-phố.xuống-dốc-2.car"
    (row,) = streams.missing([one, one])
    assert row["property"] == "class_count"
    assert streams.missing([Measure(1, "speed_mean", 40, "km/h", "a")])[0]["property"] == "mean_speed"
    streams.known.add(row["key"])
    assert streams.missing([one]) == []


def test_a_crossing_is_a_sighting_with_its_speed() -> None:
    (one,) = sightings_of([Crossing(5, "north", "down", "motorcycle", 9, 31.26, (0.1, 0.2, 0.3, 0.4))])
    assert (one.time, one.track, one.label, one.action) == (5, 9, "motorcycle", "crossed")
    assert msgspec.json.decode(one.detail)["speed_kmh"] == 31.3


def test_health_names_its_condition() -> None:
    from thap.observe.cameras.health import Judgement

    change = health_change(CAMERA, Judgement("turned", True, 7, {"likeness": 0.1}))
    assert (change.source, change.condition, int(change.severity)) == ("cam", "camera.turned", 2)
