"""Files that people attach: taken only if their content is of an allowed type, kept under their SHA-256.

`data/attachments/aa/bb/<hash>` holds the original, unchanged, as evidence; `<hash>.served` beside it, where it
differs, a copy that does not say where the picture was taken. Both lie outside anything the web server shows:
a file leaves only through a route that asked the policy. A row of `attachments` says what each was called and
what it belongs to (`kind`, `ref`); several rows may share one file.

    kept = await keep(settings, content, "ảnh cầu.jpg")      the file is safe on disk
    number = record(tx, kept, by, "report", "R-2026-17")      in the caller's own transaction
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
import unicodedata
import uuid
import zipfile
from collections.abc import AsyncIterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
import puremagic
import sqlalchemy as sa

from thap.kernel.clock import now_us
from thap.kernel.errors import CorruptError, DiskFullError, InputError, NotFoundError
from thap.kernel.records import Records, metadata
from thap.kernel.settings import Settings
from thap.kernel.store import Transaction
from thap.respond.incidents.stripping import STRIPPED, write_without_place

__all__ = [
    "Attachment",
    "Kept",
    "attached",
    "attachments",
    "disposition",
    "forget",
    "keep",
    "list_of",
    "one",
    "path_of",
    "record",
    "sweep",
    "verify",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
attachments = sa.Table(
    "attachments",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),  # of what it belongs to
    sa.Column("ref", sa.String(64), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("type", sa.String(128), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("served", sa.Boolean, nullable=False),  # whether there is a copy without place
    sa.Column("added", sa.BigInteger, nullable=False),
    sa.Column("added_by", sa.String(64), nullable=False),
    sa.Index("ix_attachments_kind_ref", "kind", "ref"),
    sqlite_autoincrement=True,
)
_C = attachments.c
_INSERT = sa.insert(attachments)
_FORGET = sa.delete(attachments).where(_C.id == sa.bindparam("row_id"))

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
_MIB = 1 << 20
_CHUNK = 1 << 20
_OLD_S = 3600
_MAX_PIXELS = 89_000_000  # above it Pillow warns of a bomb
_SAME = {
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "application/x-matroska": "video/webm",
    "image/jpg": "image/jpeg",
}
_OFFICE = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_PAGES = frozenset(("application/pdf", "text/html", "image/svg+xml", "application/xml", "text/xml"))
"""Types that are made of text but are not taken for it."""
_ENDINGS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "text/plain": ".txt",
}


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is safe on disk."""

    sha256: str
    type: str
    size: int
    name: str
    """As it was called, made harmless."""
    served: bool
    """Whether a copy without place is served instead of it."""
    width: int | None = None
    height: int | None = None


class Attachment(Kept, frozen=True, kw_only=True):
    """A file and what it belongs to."""

    id: int
    kind: str
    ref: str
    added: int
    added_by: str


async def keep(
    settings: Settings,
    content: bytes | AsyncIterable[bytes],
    name: str,
    *,
    types: Sequence[str] | None = None,
    max_bytes: int | None = None,
) -> Kept:
    """Take a file: when this returns it is on disk, synced, under its hash. The same content is kept once.

    Args:
        settings: where, how large, which types (section `attachments`).
        content: all of it, or its pieces as they come.
        name: what the sender calls it; never used as a path.
        types: narrower than the settings, as ("image/jpeg", "image/png").
        max_bytes: narrower than the settings.

    Raises:
        InputError: it is empty, too large, cut off, or not of an allowed type; nothing is kept.
        DiskFullError: there is no room.
    """
    folder = settings.data / "attachments"
    limit = min(max_bytes or 1 << 62, int(settings.attachments.max_mib * _MIB))
    allowed = frozenset(settings.attachments.types) & frozenset(types or settings.attachments.types)
    temporary = folder / "incoming" / uuid.uuid4().hex
    try:
        await asyncio.to_thread(temporary.parent.mkdir, parents=True, exist_ok=True)
        digest, size = await _receive(content, temporary, limit)
        return await asyncio.to_thread(_settle, folder, temporary, digest, size, _harmless(name), allowed)
    except OSError as error:
        raise DiskFullError(
            f"the file cannot be kept: {error.strerror}", where=str(folder), hint="free disk space"
        ) from error
    finally:
        for left in (temporary, temporary.with_suffix(".served")):
            with contextlib.suppress(OSError):
                left.unlink()


async def _receive(content: bytes | AsyncIterable[bytes], path: Path, limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        async for piece in _pieces(content):
            size += len(piece)
            if size > limit:
                raise InputError(
                    f"the file is larger than {limit / _MIB:g} MiB", where="file", hint="send a smaller one"
                )
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(_sync, file)
    if not size:
        raise InputError("the file is empty", where="file", hint="choose another one")
    return digest.hexdigest(), size


async def _pieces(content: bytes | AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    if isinstance(content, bytes):
        for start in range(0, len(content), _CHUNK):
            yield content[start : start + _CHUNK]
        return
    async for piece in content:
        yield piece


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _settle(folder: Path, temporary: Path, digest: str, size: int, name: str, allowed: frozenset[str]) -> Kept:
    """Judge what came and move it to its place."""
    kind = _type_of(temporary)
    if kind not in allowed:
        raise InputError(
            f"{name!r} is {kind or 'of a type nobody knows'}, which is not taken",
            where="file",
            hint=f"send one of {', '.join(sorted(allowed))}",
        )
    width, height = _dimensions(temporary, kind)
    bare = temporary.with_suffix(".served")
    served = kind in STRIPPED and write_without_place(temporary, bare, kind)
    place = _place(folder, digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    if served:
        with bare.open("rb+") as file:
            _sync(file)
        bare.replace(place.with_suffix(".served"))
    temporary.replace(place)
    for path in (place.parent, place.parent.parent, folder):
        _sync_folder(path)
    return Kept(
        sha256=digest,
        type=kind,
        size=size,
        name=_with_ending(name, kind),
        served=served,
        width=width,
        height=height,
    )


def _sync_folder(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _place(folder: Path, digest: str) -> Path:
    return folder / digest[:2] / digest[2:4] / digest


def _type_of(path: Path) -> str:
    """The media type that the content has; empty when nobody knows. The name is not believed."""
    try:
        guesses = [guess.mime_type for guess in puremagic.magic_file(path) if guess.mime_type]
    except (puremagic.PureError, ValueError):
        guesses = []
    if _is_text(path) and _PAGES.isdisjoint(guesses):
        return "text/plain"
    if guesses and _is_zip(path):
        return _office(path)
    return _SAME.get(guesses[0], guesses[0]) if guesses else ""


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _office(path: Path) -> str:
    """Which office document a ZIP is; `application/zip` for any other, and for one with macros."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return "application/zip"
    if "[Content_Types].xml" in names and not any(name.lower().endswith("vbaproject.bin") for name in names):
        for start, kind in _OFFICE.items():
            if any(name.startswith(start) for name in names):
                return kind
    return "application/zip"


def _is_text(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while part := file.read(_CHUNK):
                if _CONTROL.search(part):
                    return False
    except UnicodeDecodeError:
        return False
    return True


def _dimensions(path: Path, kind: str) -> tuple[int | None, int | None]:
    """Width and height of a picture.

    Raises:
        InputError: it is no picture after all, or one so large that showing it would fill a reader's memory.
    """
    if not kind.startswith("image/"):
        return None, None
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
            found = Image.MIME.get(picture.format or "")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError("the picture cannot be read", where="file", hint="send it again, or another one") from None
    if found != kind or width * height > _MAX_PIXELS:
        raise InputError(
            f"a picture of {width} x {height} points is not taken", where="file", hint="send a smaller one"
        )
    return width, height


def _harmless(name: str) -> str:
    """A name without folders, control marks and marks that turn the reading direction."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    plain = "".join(mark for mark in last if unicodedata.category(mark)[0] != "C").strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if len(plain) > 180:
        plain = (stem[:160] + dot + ending[:16]) if dot else plain[:180]
    return plain or "file"


def _with_ending(name: str, kind: str) -> str:
    """The name with an ending that fits what it is, so that no reader's computer takes it for something else."""
    ending = _ENDINGS.get(kind)
    if kind == "text/plain" and name.lower().endswith((".csv", ".txt", ".log", ".json", ".geojson", ".gpx")):
        return name
    if ending is None or name.lower().endswith((ending, ".jpeg") if ending == ".jpg" else ending):
        return name
    return f"{name}{ending}"


def disposition(name: str) -> str:
    """The header `Content-Disposition` that makes a browser save a file under this name instead of showing it."""
    plain = "".join(mark if mark.isascii() and mark.isprintable() and mark not in '"\\;%' else "_" for mark in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


# Rows.


def record(tx: Transaction, kept: Kept, by: str, kind: str, ref: str) -> int:
    """Note what a kept file belongs to, in the caller's transaction; returns its number."""
    row = {**msgspec.structs.asdict(kept), "kind": kind, "ref": ref, "added": now_us(), "added_by": by}
    return tx.insert(_INSERT, _C.id, [row])[0]


def forget(tx: Transaction, numbers: Sequence[int]) -> None:
    """Remove rows, in the caller's transaction. `sweep` then removes files that no row names any more."""
    if numbers:
        tx.run(_FORGET, [{"row_id": number} for number in numbers])


async def one(records: Records, number: int) -> Attachment:
    """One attachment.

    Raises:
        NotFoundError: there is none of this number.
    """
    async with records.read() as connection:
        row = (await connection.execute(sa.select(attachments).where(_C.id == number))).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no attachment {number}")
    return Attachment(**row)


async def attached(records: Records, refs: Sequence[str]) -> list[Attachment]:
    """Attachments by their numbers as text, as links name them; those that there are, in the order of numbers."""
    numbers = sorted({int(ref) for ref in refs if ref.isdecimal() and len(ref) < 19})
    found: list[Attachment] = []
    async with records.read() as connection:
        for start in range(0, len(numbers), 500):
            chosen = sa.select(attachments).where(_C.id.in_(numbers[start : start + 500])).order_by(_C.id)
            found += [Attachment(**row) for row in (await connection.execute(chosen)).mappings()]
    return found


async def list_of(records: Records, kind: str, ref: str) -> list[Attachment]:
    """What is attached to one thing, the first first."""
    chosen = sa.select(attachments).where(_C.kind == kind, _C.ref == ref).order_by(_C.id)
    async with records.read() as connection:
        return [Attachment(**row) for row in (await connection.execute(chosen)).mappings()]


def path_of(settings: Settings, attachment: Kept, *, original: bool = False) -> Path:
    """Where the file lies: the copy that is served, or the original.

    Raises:
        CorruptError: it is gone.
    """
    path = _place(settings.data / "attachments", attachment.sha256)
    if attachment.served and not original:
        path = path.with_suffix(".served")
    if not path.is_file():
        raise CorruptError(f"the file of {attachment.name!r} is gone", where=str(path), hint="restore it from a backup")
    return path


async def verify(settings: Settings, attachment: Kept) -> bool:
    """Whether the original on disk still is what was taken."""

    def digest() -> str:
        with path_of(settings, attachment, original=True).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await asyncio.to_thread(digest) == attachment.sha256


async def sweep(settings: Settings, records: Records, *, older_than_s: float = _OLD_S) -> int:
    """Remove files that no row names, and what broken uploads left; how many.

    Files younger than `older_than_s` stay: their row may be on its way.
    """
    folder, removed = settings.data / "attachments", 0
    old = await asyncio.to_thread(_older, folder, time.time() - older_than_s)
    async with records.read() as connection:
        for start in range(0, len(old), 500):
            part = old[start : start + 500]
            hashes = {path.name.partition(".")[0] for path in part}
            named: set[Any] = set(
                await connection.scalars(sa.select(_C.sha256).distinct().where(_C.sha256.in_(sorted(hashes))))
            )
            for path in part:
                if path.name.partition(".")[0] not in named:
                    await asyncio.to_thread(path.unlink, missing_ok=True)
                    removed += 1
    return removed


def _older(folder: Path, moment: float) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < moment:
                found.append(path)
    return found
