"""Gathering what an evidence pack is made of, and keeping the pack: under its hash, with who made it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.domain import domain
from thap.domains.parameter_records import load_parameters
from thap.domains.sand.evidence import Matter, Pack, evidence_path, make_pack
from thap.domains.sand.ledger_records import violation_by_id
from thap.domains.sand.model import Fix
from thap.domains.sand.records import entries, entry_by_id, load_book, sand_evidence
from thap.domains.sand.signing import signer_of
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import CorruptError, NotFoundError, UnavailableError
from thap.kernel.history import Lake
from thap.kernel.policy import Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.registry import load_registry

__all__ = ["evidence_of", "gather_matter", "keep_pack", "known_pack", "pack_violation", "read_pack"]

_E = sand_evidence.c
_BEFORE_US, _AFTER_US = HOUR_US, 30 * MINUTE_US
_POINTS = 5000


async def gather_matter(
    records: Records, lake: Lake | None, number: int, by: str, within: sa.ColumnElement[bool] | None = None
) -> Matter:
    """Everything about a violation.

    Args:
        records: where it is.
        lake: history, for the track; None where there is none yet: then the positions that decided it are the track.
        number: of the violation.
        by: for whom the pack is made.
        within: violations that the caller may see; None for all.

    Raises:
        NotFoundError: there is no such violation, or it is not theirs to see.
    """
    async with records.read() as connection:
        kept = await violation_by_id(connection, number, within)
        if kept is None:
            raise NotFoundError(f"there is no violation {number}", hint="`thap sand violations` lists those there are")
        book = await load_book(connection)
        licence = None if kept.violation.licence is None else await entry_by_id(connection, kept.violation.licence)
        vessels = {one.key: one for one in await entries(connection, "vessel", retired=None)}
        parameters = (await load_parameters(connection, domain("sand"))).known
        mover = (await load_registry(connection)).mover_id.get(kept.violation.vessel)
    one = kept.violation
    end = min(one.end or one.noticed, one.begin + 24 * HOUR_US)
    track: list[Fix] = []
    if lake is not None and mover is not None:
        found = await asyncio.to_thread(
            lake.track, mover, one.begin - _BEFORE_US, max(end, one.noticed) + _AFTER_US, max_points=_POINTS
        )
        track = [Fix(*row) for row in found]
    if licence is not None and licence.id not in book.licence_by_id:
        retired = licence.entry
        book = replace(book, licences=(*book.licences, retired.to_licence(licence.id, {})))  # type: ignore[attr-defined]
    vessel = vessels.get(one.vessel)
    return Matter(
        kept,
        track or list(one.positions),
        book,
        None if licence is None else {**licence.body, "version": licence.version},
        None if vessel is None else {**vessel.body, "version": vessel.version},
        {
            name: {"title": dict(spec.title), "value": spec.value, "unit": spec.unit, "source": spec.source,
                   "version": spec.version}
            for name, spec in parameters.items()
        },
        by,
        now_us(),
    )  # fmt: skip


async def keep_pack(
    connection: AsyncConnection, settings: Settings, pack: Pack, number: int, who: Who | str, address: str = ""
) -> None:
    """Write a pack to its place and into the records.

    Args:
        connection: in a write transaction.
        settings: name the data directory.
        pack: made of the violation.
        number: of the violation.
        who: made it.
        address: network address of who did.
    """
    path = evidence_path(settings.data, pack.sha256)
    await asyncio.to_thread(_write, path, pack.content)
    name = who if isinstance(who, str) else who.name
    values = {
        "violation_id": number,
        "sha256": pack.sha256,
        "size": len(pack.content),
        "signed": pack.signed,
        "made": now_us(),
        "made_by": name[:128],
    }
    await connection.execute(sa.insert(sand_evidence).values(**values))
    told = {"sha256": pack.sha256, "signed": pack.signed}
    await append_async(connection, [Entry(who, "sand.evidence", f"violation:{number}", told, address)])


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


async def pack_violation(
    settings: Settings,
    records: Records,
    number: int,
    who: Who | str,
    *,
    lake: Lake | None = None,
    within: sa.ColumnElement[bool] | None = None,
    address: str = "",
) -> Pack:
    """Make the pack of a violation and keep it. Raises as `gather_matter`, `signer_of` and `make_pack`."""
    name = who if isinstance(who, str) else who.name
    signer = await asyncio.to_thread(signer_of, settings)
    matter = await gather_matter(records, lake, number, name, within)
    pack = await asyncio.to_thread(make_pack, matter, signer)
    async with records.write() as connection:
        await keep_pack(connection, settings, pack, number, who, address)
    return pack


async def evidence_of(connection: AsyncConnection, number: int) -> list[dict[str, Any]]:
    """The packs made of a violation, the newest first."""
    rows = await connection.execute(sa.select(sand_evidence).where(_E.violation_id == number).order_by(_E.id.desc()))
    return [dict(row) for row in rows.mappings()]


async def known_pack(connection: AsyncConnection, sha256: str) -> dict[str, Any] | None:
    """What the records know of a pack with this hash; None where it was not made here."""
    row = (await connection.execute(sa.select(sand_evidence).where(_E.sha256 == sha256).limit(1))).mappings().first()
    return None if row is None else dict(row)


async def read_pack(settings: Settings, sha256: str) -> bytes:
    """A kept pack, checked against its hash.

    Raises:
        UnavailableError: its file is gone.
        CorruptError: its file was changed.
    """
    import hashlib

    path = evidence_path(settings.data, sha256)
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except OSError:
        raise UnavailableError("the file of this pack is gone", where=str(path), hint="make the pack again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CorruptError("the file of this pack was changed", where=str(path), hint="make the pack again")
    return content
