"""What is attached is kept as evidence: judged by its content, unchanged, and served without the place it tells."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import struct
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from thap.kernel.errors import CorruptError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.respond.incidents import attachments
from thap.respond.incidents.attachments import Kept, disposition, forget, keep, path_of, record, sweep, verify

LAT = 10.3561


def picture(form: str = "JPEG", *, place: bool = True, turned: int = 1, **more: Any) -> bytes:
    """A picture that says where it was taken."""
    image = Image.effect_noise((64, 48), 40).convert("RGB")
    exif = Image.Exif()
    exif[0x0110] = "camera of the tests"
    if turned != 1:
        exif[0x0112] = turned
    if place:
        gps = exif.get_ifd(0x8825)
        gps[1], gps[2], gps[3], gps[4] = "N", (10.0, 21.0, 22.0), "E", (105.0, 38.0, 1.0)
    out = io.BytesIO()
    image.save(out, form, exif=exif, **more)
    return out.getvalue()


def places(data: bytes) -> dict[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return dict(image.getexif().get_ifd(0x8825))


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


def atom(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name) + body


def film() -> bytes:
    return b"".join(
        (
            atom(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"),
            atom(
                b"moov",
                atom(b"mvhd", bytes(100)),
                atom(b"udta", atom(b"\xa9xyz", b"\x00\x12\x15\xc7+10.3561+105.6336/"), bytes(4)),
            ),
            atom(b"mdat", os.urandom(2000)),
        )
    )


def document(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return out.getvalue()


async def test_a_picture_is_kept_unchanged_under_its_hash(settings: Settings) -> None:
    data = picture()
    kept = await keep(settings, data, "cầu Mỹ Thuận.jpg")
    assert kept.sha256 == hashlib.sha256(data).hexdigest()
    assert (kept.type, kept.size, kept.width, kept.height) == ("image/jpeg", len(data), 64, 48)
    assert kept.name == "cầu Mỹ Thuận.jpg"
    original = path_of(settings, kept, original=True)
    assert original.read_bytes() == data
    assert original.parts[-4:-1] == ("attachments", kept.sha256[:2], kept.sha256[2:4])
    assert await verify(settings, kept)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
async def test_the_served_copy_of_a_picture_tells_no_place_and_looks_the_same(settings: Settings, form: str) -> None:
    data = picture(form)
    assert places(data)
    kept = await keep(settings, data, "x")
    assert kept.served
    copy = path_of(settings, kept).read_bytes()
    assert not places(copy)
    assert b"camera of the tests" not in copy
    assert pixels(copy) == pixels(data)
    assert places(path_of(settings, kept, original=True).read_bytes())


async def test_a_progressive_picture_that_was_turned_stays_turned(settings: Settings) -> None:
    data = picture(turned=6, progressive=True)
    copy = path_of(settings, await keep(settings, data, "x.jpg")).read_bytes()
    with Image.open(io.BytesIO(copy)) as image:
        assert dict(image.getexif()) == {0x0112: 6}
    assert pixels(copy) == pixels(data)


async def test_what_is_hidden_behind_a_picture_is_not_served(settings: Settings) -> None:
    kept = await keep(settings, picture(place=False) + b"<script>alert(1)</script>", "x.jpg")
    assert b"script" not in path_of(settings, kept).read_bytes()


async def test_the_served_copy_of_a_film_tells_no_place_and_is_as_long(settings: Settings) -> None:
    data = film()
    kept = await keep(settings, data, "x.mp4")
    copy = path_of(settings, kept).read_bytes()
    assert kept.type == "video/mp4"
    assert b"10.3561" in data
    assert b"10.3561" not in copy
    assert len(copy) == len(data)
    assert copy[-2008:] == data[-2008:]


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n", "biên bản.pdf", "application/pdf"),
        ("mực nước 1,52 m\n".encode(), "ghi chú.txt", "text/plain"),
        (
            document("[Content_Types].xml", "word/document.xml"),
            "tờ trình.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), "x.wav", "audio/wav"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + atom(b"mdat", bytes(60)), "x.m4a", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01\x42\x82\x84webm" + bytes(50), "x.webm", "video/webm"),
    ],
)
async def test_documents_films_and_sounds_are_known_by_their_content(
    settings: Settings, content: bytes, name: str, kind: str
) -> None:
    kept = await keep(settings, content, name)
    assert (kept.type, kept.name) == (kind, name)


@pytest.mark.parametrize(
    "content",
    [
        b"MZ\x90\0" + bytes(200),
        b"\x7fELF" + bytes(200),
        b"<html><script>alert(1)</script></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
        document("x.exe"),
        document("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
        b"PK\x03\x04" + bytes(100),
        random.Random(7).randbytes(500),
        b"",
        picture()[:-100],
        picture("PNG")[:-100],
        picture("WEBP")[:-100],
        film()[:-100],
        b"\xff\xd8\xff\xe0",
    ],
    ids=lambda content: repr(content[:8]),
)
async def test_what_is_of_no_allowed_type_or_only_half_of_one_is_refused_and_not_kept(
    settings: Settings, content: bytes
) -> None:
    with pytest.raises(InputError):
        await keep(settings, content, "innocent.jpg")
    assert [path for path in (settings.data / "attachments").rglob("*") if path.is_file()] == []


async def test_a_file_too_large_is_refused_before_all_of_it_has_come(settings: Settings) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield bytes(1 << 16)

    settings.attachments.max_mib = 1
    with pytest.raises(InputError, match="larger than 1 MiB"):
        await keep(settings, endless(), "x")
    assert sent < 2 << 20
    assert not list((settings.data / "attachments" / "incoming").iterdir())


async def test_a_caller_may_take_fewer_types_than_the_settings(settings: Settings) -> None:
    with pytest.raises(InputError, match="not taken"):
        await keep(settings, b"text\n", "x.txt", types=("image/jpeg", "image/png"))


async def test_the_same_file_sent_by_many_at_once_is_kept_once(settings: Settings) -> None:
    data = picture()
    kept = await asyncio.gather(*(keep(settings, data, f"{n}.jpg") for n in range(20)))
    assert len({one.sha256 for one in kept}) == 1
    files = [path for path in (settings.data / "attachments").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == [kept[0].sha256, kept[0].sha256 + ".served"]


@pytest.mark.parametrize(
    ("given_name", "kept_name"),
    [
        ("../../etc/passwd", "passwd.txt"),
        ("C:\\Users\\x\\ảnh.txt", "ảnh.txt"),
        ("hóa\u202egpj.exe", "hóagpj.exe.txt"),
        ("\x00\r\nX: y", "X: y.txt"),
        ("", "file.txt"),
        ("...", "file.txt"),
        ("x.html", "x.html.txt"),
        ("đ" * 500 + ".txt", "đ" * 160 + ".txt"),
    ],
)
async def test_a_name_never_leads_out_of_the_folder_nor_deceives(
    settings: Settings, given_name: str, kept_name: str
) -> None:
    assert (await keep(settings, b"x\n", given_name)).name == kept_name


def test_a_download_is_saved_under_its_name_in_any_script() -> None:
    assert disposition('cầu "1".jpg') == (
        "attachment; filename=\"c_u _1_.jpg\"; filename*=UTF-8''c%E1%BA%A7u%20%221%22.jpg"
    )


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's word on damaged metadata, which is not served
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 3000), flipped=st.binary(max_size=8), form=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_no_damage_to_a_picture_is_more_than_an_error_or_serves_its_place(
    settings: Settings, cut: int, flipped: bytes, form: str
) -> None:
    data = bytearray(picture(form))
    data[cut : cut + len(flipped)] = flipped
    try:
        kept = asyncio.run(keep(settings, bytes(data), "x"))
    except InputError:
        return
    assert b"camera of the tests" not in path_of(settings, kept).read_bytes()


async def test_rows_say_what_a_file_belongs_to(either: Records, settings: Settings) -> None:
    store = open_store(either)
    kept = await keep(settings, picture(), "x.jpg")
    number = await store.transact(lambda tx: record(tx, kept, "truc-ban", "report", "R-1"))
    found = await attachments.one(either, number)
    assert (found.kind, found.ref, found.added_by, found.sha256) == ("report", "R-1", "truc-ban", kept.sha256)
    assert number in [one.id for one in await attachments.list_of(either, "report", "R-1")]
    assert await attachments.list_of(either, "incident", "R-1") == []
    await store.transact(lambda tx: forget(tx, [number]))
    with pytest.raises(NotFoundError):
        await attachments.one(either, number)
    await store.close()


async def test_a_file_nobody_names_any_more_is_swept_away_and_others_stay(either: Records, settings: Settings) -> None:
    store = open_store(either)
    gone, shared, fresh = [await keep(settings, picture(quality=70 + n), "x.jpg") for n in range(3)]
    numbers = await store.transact(
        lambda tx: [record(tx, one, "x", "report", "R-2") for one in (gone, shared, shared, fresh)]
    )
    await store.transact(lambda tx: forget(tx, [numbers[0], numbers[1], numbers[3]]))
    left = settings.data / "attachments" / "incoming" / "broken-upload"
    left.write_bytes(b"half")
    for path in (path_of(settings, gone, original=True), path_of(settings, gone), left):
        os.utime(path, (1, 1))
    assert await sweep(settings, either) == 3
    with pytest.raises(CorruptError):
        path_of(settings, gone)
    assert path_of(settings, shared).is_file()
    assert path_of(settings, fresh).is_file(), "a young file may be about to get its row"
    await store.close()


async def test_a_changed_file_is_noticed(settings: Settings) -> None:
    kept: Kept = await keep(settings, b"what was said\n", "x.txt")
    Path(path_of(settings, kept)).write_bytes(b"what was sAid\n")
    assert not await verify(settings, kept)
