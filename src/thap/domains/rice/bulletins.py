"""Weekly bulletins in the records: drafted, edited, approved, published; what was approved is archived with its data.

Approving makes a snapshot, canonical JSON of words and values with who approved it and when, under its SHA-256; PDF and
DOCX are made of it once and kept. None of the three is ever written again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.bulletin import SECTIONS, draft, gather
from thap.domains.rice.bulletin_docs import draw_risk_map, write_docx, write_pdf
from thap.domains.rice.pests import monday
from thap.domains.rice.records import bulletins
from thap.domains.rice.steps import Act, State, check_step, note_step
from thap.kernel.errors import ConflictError, CorruptError, InputError, NotFoundError
from thap.kernel.history.lake import Lake
from thap.kernel.places_records import polygons
from thap.kernel.policy import Who
from thap.kernel.records import Records

__all__ = [
    "act_on_bulletin",
    "approve_bulletin",
    "archive_of",
    "begin_bulletin",
    "bulletin_by_id",
    "bulletins_of",
    "document_of",
    "edit_bulletin",
    "refresh_bulletin",
    "week_named",
]

Row = dict[str, Any]
_B = bulletins.c
_EVERYTHING = sa.true()
_LARGE = ("archive", "pdf", "docx")
_SHOWN = tuple(column for column in bulletins.columns if column.name not in _LARGE)
_LONGEST = 6000


def _told(row: Mapping[Any, Any]) -> Row:
    return {**row, "content": json.loads(row["content"]), "data": json.loads(row["data"])}


def week_named(text: str, now: int | None = None) -> date:
    """The Monday of the week a text means: a day of it as 2026-11-22; '' the last whole week.

    Raises:
        InputError: it is no day.
    """
    from thap.domains.rice.spreadsheets import read_day
    from thap.domains.rice.traps import today

    if not text.strip():
        return monday(today(now)) - timedelta(days=7)
    day = read_day(text)
    if day is None or not 2000 <= day.year <= 2100:
        raise InputError(f"{text[:20]!r} is no day of this time", where="week", hint="write it as 2026-11-22")
    return monday(day)


async def bulletins_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] = _EVERYTHING,
    *,
    limit: int = 100,
    before: int | None = None,
) -> list[Row]:
    """Bulletins, the newest first, with their words and values."""
    statement = sa.select(*_SHOWN).where(where).order_by(_B.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(_B.id < before)
    return [_told(row) for row in (await connection.execute(statement)).mappings()]


async def bulletin_by_id(connection: AsyncConnection, number: int, where: sa.ColumnElement[bool] = _EVERYTHING) -> Row:
    """One bulletin.

    Raises:
        NotFoundError: there is none among those meant.
    """
    found = await bulletins_of(connection, sa.and_(_B.id == number, where), limit=1)
    if not found:
        raise NotFoundError(f"there is no bulletin {number}", hint="`thap rice bulletin list` shows those there are")
    return found[0]


async def begin_bulletin(records: Records, lake: Lake | None, week: date, *, by: Who | str, now: int) -> Row:
    """Draft the bulletin of a week from the records.

    Raises:
        ConflictError: there is one already, not withdrawn.
    """
    data = await gather(records, lake, week)
    year = (week + timedelta(days=3)).year
    name = (by if isinstance(by, str) else by.name)[:64]
    async with records.write() as connection:
        open_ = sa.and_(_B.week == week.isoformat(), _B.state != State.WITHDRAWN)
        known = await bulletins_of(connection, open_, limit=1)
        if known:
            raise ConflictError(
                f"bulletin {known[0]['id']} is of this week", where="week", hint="edit that one, or withdraw it first"
            )
        last = await connection.scalar(sa.select(sa.func.max(_B.number)).where(_B.year == year))
        row = {
            "number": int(last or 0) + 1,
            "year": year,
            "week": week.isoformat(),
            "state": str(State.DRAFT),
            "content": json.dumps(draft(data), ensure_ascii=False),
            "data": json.dumps(data, ensure_ascii=False),
            "digest": "",
            "created": now,
            "created_by": name,
            "changed": now,
            "approved": None,
            "approved_by": "",
            "version": 1,
        }
        try:
            number = (await connection.execute(sa.insert(bulletins).values(**row).returning(_B.id))).scalar_one()
        except IntegrityError:
            raise ConflictError("another bulletin was begun at once", hint="look at the list") from None
        made = _told({**row, "id": int(number)})
        await note_step(connection, "bulletin", made, Act.DRAFT, "", by=by, detail=made["content"], now=now)
    return made


async def edit_bulletin(
    records: Records, number: int, content: Mapping[str, str], *, by: Who | str, now: int, version: int | None
) -> Row:
    """Change its words.

    Raises:
        NotFoundError, ConflictError: as `steps.check_step`.
        InputError: a section is unknown or too long.
    """
    _check_content(content)
    async with records.write() as connection:
        row = await bulletin_by_id(connection, number)
        check_step("bulletin", row, Act.EDIT, version)
        made = {**row, "content": {**row["content"], **content}}
        return await _changed(connection, made, Act.EDIT, row, by, now, detail=dict(content))


async def refresh_bulletin(
    records: Records, lake: Lake | None, number: int, *, by: Who | str, now: int, version: int | None
) -> Row:
    """Draw its values from the records again; sentences that nobody edited are drafted again, others stay.

    Raises:
        NotFoundError, ConflictError: as `edit_bulletin`.
    """
    async with records.read() as connection:
        row = await bulletin_by_id(connection, number)
    check_step("bulletin", row, Act.EDIT, version)
    data = await gather(records, lake, date.fromisoformat(row["week"]))
    before, after = draft(row["data"]), draft(data)
    content = {
        name: after[name] if row["content"].get(name) == before[name] else row["content"][name] for name in after
    }
    async with records.write() as connection:
        now_row = await bulletin_by_id(connection, number)
        check_step("bulletin", now_row, Act.EDIT, row["version"])
        made = {**now_row, "content": content, "data": data}
        return await _changed(connection, made, Act.EDIT, now_row, by, now, detail={"refreshed": True, **content})


async def approve_bulletin(
    records: Records, number: int, *, by: Who | str, now: int, version: int | None, comment: str = ""
) -> Row:
    """Approve it: its snapshot, PDF and DOCX are made and kept.

    Raises:
        NotFoundError, ConflictError: as `edit_bulletin`; or it changed while they were made.
    """
    async with records.read() as connection:
        row = await bulletin_by_id(connection, number)
        outlines = await polygons(connection)
    after = check_step("bulletin", row, Act.APPROVE, version)
    name = (by if isinstance(by, str) else by.name)[:64]
    snapshot = {key: row[key] for key in ("number", "year", "week", "content", "data")}
    snapshot |= {"approved": now, "approved_by": name}
    archive = json.dumps(snapshot, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    made = {
        **row,
        "state": str(after),
        "approved": now,
        "approved_by": name,
        "digest": hashlib.sha256(archive).hexdigest(),
        "archive": archive,
    }
    made["pdf"], made["docx"] = await asyncio.to_thread(_documents, made, outlines)
    async with records.write() as connection:
        now_row = await bulletin_by_id(connection, number)
        check_step("bulletin", now_row, Act.APPROVE, row["version"])
        detail = {"sha256": made["digest"]}
        detail |= {f"{kind}_sha256": hashlib.sha256(made[kind]).hexdigest() for kind in ("pdf", "docx")}
        return await _changed(connection, made, Act.APPROVE, now_row, by, now, comment=comment, detail=detail)


async def act_on_bulletin(
    records: Records, number: int, act: Act, *, by: Who | str, now: int, version: int | None, comment: str = ""
) -> Row:
    """Publish or withdraw it.

    Raises:
        NotFoundError, ConflictError: as `edit_bulletin`.
        InputError: it is withdrawn without a reason.
    """
    if act not in (Act.PUBLISH, Act.WITHDRAW):
        raise InputError(f"a bulletin cannot be {act}ed so", where="action")
    if act is Act.WITHDRAW and not comment.strip():
        raise InputError("say why", where="comment")
    async with records.write() as connection:
        row = await bulletin_by_id(connection, number)
        after = check_step("bulletin", row, act, version)
        return await _changed(connection, {**row, "state": str(after)}, act, row, by, now, comment=comment)


async def document_of(records: Records, number: int, kind: str, where: sa.ColumnElement[bool] = _EVERYTHING) -> bytes:
    """PDF or DOCX: of what was approved as it was made then, of a draft as it would be now.

    Raises:
        NotFoundError: there is no such bulletin among those meant.
    """
    async with records.read() as connection:
        row = await bulletin_by_id(connection, number, where)
        kept = await connection.scalar(sa.select(_B[kind]).where(_B.id == number))
        if kept is not None:
            return bytes(kept)
        outlines = await polygons(connection)
    pdf, docx = await asyncio.to_thread(_documents, row, outlines, kind)
    return pdf if kind == "pdf" else docx


async def archive_of(records: Records, number: int, where: sa.ColumnElement[bool] = _EVERYTHING) -> tuple[bytes, str]:
    """The snapshot of what was approved, and its SHA-256.

    Raises:
        NotFoundError: there is none.
        CorruptError: it no longer is what was approved.
    """
    async with records.read() as connection:
        row = await bulletin_by_id(connection, number, where)
        kept = await connection.scalar(sa.select(_B.archive).where(_B.id == number))
    if kept is None:
        raise NotFoundError(f"bulletin {number} was not approved", hint="a draft has no archive")
    body = bytes(kept)
    if hashlib.sha256(body).hexdigest() != row["digest"]:
        raise CorruptError(f"the archive of bulletin {number} was changed", where="digest", hint="restore a backup")
    return body, str(row["digest"])


def _documents(row: Row, outlines: Mapping[str, bytes], only: str = "") -> tuple[bytes, bytes]:
    picture = draw_risk_map(row["data"], outlines)
    pdf = write_pdf(row, picture) if only in ("", "pdf") else b""
    return pdf, write_docx(row, picture) if only in ("", "docx") else b""


def _check_content(content: Mapping[str, str]) -> None:
    for name, text in content.items():
        if name not in SECTIONS:
            raise InputError(f"{name[:40]!r} is no section", where="content", hint=f"one of {', '.join(SECTIONS)}")
        if len(text) > _LONGEST:
            raise InputError(f"a section has at most {_LONGEST} letters", where=f"content.{name}")


async def _changed(
    connection: AsyncConnection,
    made: Row,
    act: Act,
    before: Row,
    by: Who | str,
    now: int,
    *,
    comment: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Row:
    made = {**made, "changed": now, "version": before["version"] + 1}
    values = {key: made[key] for key in ("state", "digest", "approved", "approved_by", "changed", "version")}
    values |= {key: json.dumps(made[key], ensure_ascii=False) for key in ("content", "data")}
    values |= {key: made[key] for key in _LARGE if key in made}
    done = await connection.execute(
        sa.update(bulletins).where(_B.id == made["id"], _B.version == before["version"]).values(**values)
    )
    if done.rowcount != 1:
        raise ConflictError("it was changed meanwhile", where=f"bulletin {made['id']}", hint="look at it again")
    await note_step(
        connection, "bulletin", made, act, before["state"], by=by, comment=comment.strip(), detail=detail, now=now
    )
    return {key: value for key, value in made.items() if key not in _LARGE}
