"""Number plates: hashed at once, in clear only on a watch list."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw, ImageFont

from thap.detect.vision.found import Crossing
from thap.domains.traffic.plate_records import plate_reads
from thap.domains.traffic.plates import (
    PlateReader,
    add_watch,
    clean_plate,
    forget_old,
    hash_of,
    lookup,
    make_recogniser,
    plate_reader,
    plates_in,
)
from thap.kernel.clock import now_us
from thap.kernel.errors import UnavailableError
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.observe.cameras.reader import Picture
from thap.observe.cameras.records import add_camera
from thap.respond.book import AlarmBook

DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("text", "plate"),
    [("66A-123.45", "66A12345"), ("67-L1 234.56", "67L123456"), ("51F 12345", "51F12345"), ("THAP", ""), ("6A1", "")],
)
def test_what_is_a_plate_is_told(text: str, plate: str) -> None:
    assert clean_plate(text) == plate


def test_the_two_rows_of_a_motorbike_are_one_plate_and_doubtful_ones_none() -> None:
    assert plates_in([("66-L1", 0.95), ("123.45", 0.9)], 0.8) == [("66L112345", 0.9)]
    assert plates_in([("66A-123.45", 0.5)], 0.8) == []


def test_a_hash_is_of_its_day(settings: Settings) -> None:
    one = hash_of(settings, "66A12345", DAY * 20_000)
    assert one == hash_of(settings, "66A12345", DAY * 20_000 + 5) and "66A" not in one
    assert one != hash_of(settings, "66A12345", DAY * 20_001) and one != hash_of(settings, "66A12346", DAY * 20_000)


async def test_readings_are_hashes_and_the_watch_list_raises_an_alarm(settings: Settings, records: Records) -> None:
    settings.plates.enabled = True
    store, book = open_store(records), AlarmBook(records)
    async with records.write() as connection:
        camera = await add_camera(connection, {"name": "cam", "address": "/x"}, "test")
        row = {"plate": "66A-123.45", "reason": "x", "legal_basis": "QĐ 1", "until": now_us() + DAY}
        await add_watch(connection, settings, row, Who.local())

    def reads_nothing(_picture: object) -> Sequence[tuple[str, float]]:
        return ()

    reader = PlateReader(settings, records, store, reads_nothing, book)
    await reader.note(camera, [("66A12345", 0.9), ("51F99999", 0.95)], now_us())
    async with records.read() as connection:
        rows = (await connection.execute(sa.select(plate_reads))).all()
        text = (await connection.execute(sa.text("SELECT detail, object FROM audit"))).all()
    assert len(rows) == 2 and [row.watch_id is not None for row in rows] == [True, False]
    assert not [row for row in rows if "51F" in str(row)] and "66A12345" not in str(text)
    events = await book.events_after(0)
    assert [(one.source, one.condition, one.action) for one in events] == [
        ("cam", "traffic.plate", "raise"),
        ("cam", "traffic.plate", "clear"),
    ]
    async with records.write() as connection:
        found = await lookup(connection, settings, "51F-999.99", "QĐ 2", Who.local())
        assert len(found) == 1
        await connection.execute(sa.update(plate_reads).values(time=now_us() - 30 * DAY))
        assert await forget_old(connection, settings) == 2
    await store.close()
    await book.close()


async def test_reading_keeps_nobody_waiting_and_what_is_missed_or_fails_is_counted(
    settings: Settings, records: Records
) -> None:
    store, free = open_store(records), threading.Event()
    async with records.write() as connection:
        camera = await add_camera(connection, {"name": "cam", "address": "/x"}, "test")

    def reads_late(_picture: object) -> Sequence[tuple[str, float]]:
        assert free.wait(10)
        if reader.failures:
            return [("66A-123.45", 0.99)]
        raise ValueError("no picture")

    reader = PlateReader(settings, records, store, reads_late)
    frame = Picture(now_us(), np.zeros((40, 60, 3), np.uint8))
    crossings = [Crossing(now_us(), "line", "right", "car", one, None, (0.1, 0.1, 0.9, 0.9)) for one in range(40)]
    reader(camera, frame, crossings)  # returns though nothing can be read before `free`
    assert reader.missed == 40 - 32
    free.set()
    async with asyncio.timeout(10):
        while reader.read < 31:
            await asyncio.sleep(0.02)
    assert reader.totals() == {"plates.read": 31, "plates.missed": 8, "plates.failures": 1}
    reader.close()
    await store.close()


async def test_off_by_default_and_told_where_it_cannot_be(settings: Settings, records: Records) -> None:
    store = open_store(records)

    def missing() -> None:
        raise UnavailableError("rapidocr is not installed")

    assert await plate_reader(settings, records, store, missing) is None  # type: ignore[arg-type]
    settings.plates.enabled = True
    assert await plate_reader(settings, records, store, missing) is None  # type: ignore[arg-type]
    await store.close()


def test_the_recogniser_reads_a_plate() -> None:
    pytest.importorskip("rapidocr", reason='rapidocr is not installed: pip install "thap[plates]"')
    picture = Image.new("RGB", (360, 140), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((6, 6, 353, 133), outline="black", width=4)
    draw.text((40, 40), "66A-123.45", fill="black", font=ImageFont.load_default(56))
    found = plates_in(make_recogniser()(np.asarray(picture)), 0.6)
    assert [plate for plate, _ in found] == ["66A12345"]
