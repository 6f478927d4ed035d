"""Copies of pictures and films that do not say where they were taken.

Metadata is left out as a whole, not edited: what may hold a place (EXIF, XMP, IPTC, text of PNG, location
atoms of MP4, whatever was appended behind the picture) is not copied; the picture itself is copied byte by byte.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
from pathlib import Path
from typing import BinaryIO

from thap.kernel.errors import InputError

__all__ = ["STRIPPED", "write_without_place"]

STRIPPED = frozenset({"image/jpeg", "image/png", "image/webp", "video/mp4", "video/quicktime", "audio/mp4"})
"""Types of which a copy without place is served."""

_ORIENTATION = 0x0112
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_KEPT = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"tRNS", b"pHYs")
) | frozenset((b"acTL", b"fcTL", b"fdAT", b"cICP"))
_MP4_HOLDS = frozenset((b"moov", b"udta", b"trak", b"mdia", b"minf", b"moof", b"traf"))
_MP4_TELLS = frozenset((b"\xa9xyz", b"loci", b"meta", b"uuid", b"XMP_", b"gps "))
_CUT_OFF = "the file ends too early or is damaged"


def write_without_place(source: Path, target: Path, kind: str) -> bool:
    """Write a copy that tells no place; whether it differs from the original (else nothing is written).

    Args:
        source: the original.
        target: where the copy goes.
        kind: its media type, of `STRIPPED`.

    Raises:
        InputError: the file is cut off or not well formed.
    """
    if kind in ("video/mp4", "video/quicktime", "audio/mp4"):
        return _film(source, target)
    try:
        original = source.read_bytes()
        copy = {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[kind](original)
    except (struct.error, IndexError):
        raise InputError(_CUT_OFF, hint="send it again") from None
    if copy == original:
        return False
    target.write_bytes(copy)
    return True


def _jpeg(data: bytes) -> bytes:
    out, at = bytearray(data[:2]), 2
    kept = _orientation(data)
    if kept:
        out += b"\xff\xe1" + struct.pack(">H", len(kept) + 2) + kept
    while True:
        if data[at] != 0xFF:
            raise InputError(_CUT_OFF, hint="send it again")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:
            return bytes(out) + b"\xff\xd9"
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if _jpeg_needs(marker, segment):
            out += segment
        at += 2 + length
        if marker == 0xDA:
            found = _MARKER.search(data, at)
            if found is None:
                raise InputError(_CUT_OFF, hint="send it again")
            out += data[at : found.start()]
            at = found.start()


def _jpeg_needs(marker: int, segment: bytes) -> bool:
    """Whether a segment belongs to the picture itself, or to its colours."""
    if marker == 0xE2:
        return segment[4:16] == b"ICC_PROFILE\0"
    return marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _orientation(data: bytes) -> bytes:
    """EXIF that says nothing but which side is up; empty where that is usual."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            turned = picture.getexif().get(_ORIENTATION)
    except (OSError, ValueError, SyntaxError, struct.error):
        return b""
    if turned not in range(2, 9):
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = turned
    return exif.tobytes()


def _png(data: bytes) -> bytes:
    out, at = bytearray(data[:8]), 8
    while True:
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise InputError(_CUT_OFF, hint="send it again")
        if name in _PNG_KEPT:
            out += data[at:end]
        if name == b"IEND":
            return bytes(out)
        at = end


def _webp(data: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", data, 4)
    stop, out, at = 8 + size, bytearray(), 12
    if stop > len(data):
        raise InputError(_CUT_OFF, hint="send it again")
    while at + 8 <= stop:
        name, (length,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        end = at + 8 + length + (length & 1)
        if end > stop + 1:
            raise InputError(_CUT_OFF, hint="send it again")
        if name == b"VP8X":
            out += data[at : at + 8] + bytes((data[at + 8] & ~0x0C,)) + data[at + 9 : end]
        elif name not in (b"EXIF", b"XMP "):
            out += data[at:end]
        at = end
    return b"RIFF" + struct.pack("<I", len(out) + 4) + b"WEBP" + bytes(out)


def _film(source: Path, target: Path) -> bool:
    """Atoms that tell a place become free space: nothing moves, so no offset changes."""
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        changed = _blank(file, 0, os.fstat(file.fileno()).st_size, 0)
    if not changed:
        target.unlink()
    return changed


def _blank(file: BinaryIO, at: int, stop: int, depth: int) -> bool:
    changed = False
    while at + 8 <= stop:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            wide = file.read(8)
            if len(wide) < 8:
                break
            (length,), head = struct.unpack(">Q", wide), 16
        elif length == 0:
            length = stop - at
        if length < head or at + length > stop:
            if depth:
                break  # a list in old QuickTime user data ends in four zero bytes
            raise InputError(_CUT_OFF, hint="send it again")
        if name in _MP4_TELLS:
            _erase(file, at, head, length)
            changed = True
        elif name in _MP4_HOLDS and depth < 8:
            changed |= _blank(file, at + head, at + length, depth + 1)
        at += length
    return changed


def _erase(file: BinaryIO, at: int, head: int, length: int) -> None:
    file.seek(at + 4)
    file.write(b"free")
    file.seek(at + head)
    left = length - head
    while left > 0:
        left -= file.write(bytes(min(left, 1 << 20)))
