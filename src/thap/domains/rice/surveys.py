"""Field surveys in the records: kept once, corrected by a row beside the first, summed by week."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.rice.importing import Fault, Reading, digest_of
from thap.domains.rice.pests import PESTS, monday
from thap.domains.rice.records import surveys, zones
from thap.domains.rice.registers import Kept, zone_named
from thap.kernel.audit import Entry, append
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy import Who
from thap.kernel.store import Transaction

__all__ = ["correct_survey", "keep_surveys", "surveys_of", "week_of", "write_survey"]

Row = dict[str, Any]
_S, _Z = surveys.c, zones.c
_EVERYTHING = sa.true()
_SAID = (
    "surveyed",
    "commune",
    "pest",
    "stage",
    "common",
    "high",
    "exceptional",
    "light_ha",
    "medium_ha",
    "heavy_ha",
    "note",
)
_INSERT = sa.insert(surveys)
_TWIN = sa.select(_S.id).where(_S.digest == sa.bindparam("digest"), _S.replaced_by.is_(None))
_ONE = sa.select(_S.id, _S.commune, _S.replaced_by).where(_S.id == sa.bindparam("id")).with_for_update()
_REPLACED = sa.update(surveys).where(_S.id == sa.bindparam("row_id")).values(replaced_by=sa.bindparam("by_id"))
_ZONES = sa.select(_Z.id, _Z.code, _Z.name, _Z.commune)


def write_survey(tx: Transaction, said: Mapping[str, Any], *, by: Who | str, origin: str, source: str, now: int) -> int:
    """Keep a survey; gives its number. What was kept just so before is not kept twice: it gives that one's number.

    Args:
        tx: the caller's transaction.
        said: columns of `rice_surveys` as `importing` reads them, with `zone` as code or name.
        by: who says so.
        origin: form or import.
        source: file and line; of the form, the device's words.
        now: µs.

    Raises:
        InputError: it says nothing, its zone is unknown, or its numbers make no sense.
    """
    row = _row(tx, said, by, origin, source, now)
    known = tx.rows(_TWIN, {"digest": row["digest"]})
    if known:
        return int(known[0][0])
    number = tx.insert(_INSERT, _S.id, [row])[0]
    append(tx, [Entry(by, "rice.survey", f"rice_survey:{number}", _told(row))], now)
    return number


def correct_survey(
    tx: Transaction, number: int, said: Mapping[str, Any], reason: str, *, by: Who | str, now: int
) -> int:
    """Put a corrected survey beside the first one, which is kept; gives the new number.

    Raises:
        NotFoundError: there is no such survey.
        ConflictError: it was corrected already.
        InputError: as `write_survey`, or there is no reason.
    """
    if not reason.strip():
        raise InputError("say why it is corrected", where="reason")
    found = tx.rows(_ONE, {"id": number})
    if not found:
        raise NotFoundError(f"there is no survey {number}")
    if found[0][2] is not None:
        raise ConflictError(
            f"survey {number} was corrected by survey {found[0][2]}", hint="correct that one, if it is wrong"
        )
    row = _row(tx, said, by, "form", f"correction of {number}", now)
    made = tx.insert(_INSERT, _S.id, [{**row, "replaces": number, "reason": reason.strip()[:500]}])[0]
    tx.run(_REPLACED, [{"row_id": number, "by_id": made}])
    told = {**_told(row), "replaces": number, "reason": reason[:500]}
    append(tx, [Entry(by, "rice.survey.correct", f"rice_survey:{made}", told)], now)
    return made


def keep_surveys(
    tx: Transaction, reading: Reading, *, by: Who | str, now: int, may: Callable[[str], bool] = lambda _commune: True
) -> Kept:
    """Keep the rows of a weekly report; a row that is there already is left as it is.

    Args:
        tx: the caller's transaction.
        reading: of the file.
        by: who imports it.
        now: µs.
        may: whether they may report from a commune.
    """
    kept = Kept()
    for said in reading.rows:
        line = said["line"]
        if not may(said["commune"]):
            kept.faults.append(Fault(line, "commune", "you may not report from this commune"))
            continue
        try:
            row = _row(tx, said, by, "import", f"{reading.name}:{line}", now)
        except InputError as error:
            kept.faults.append(Fault(line, error.where or "", error.message, error.hint or ""))
            continue
        if tx.rows(_TWIN, {"digest": row["digest"]}):
            kept.same += 1
            continue
        tx.insert(_INSERT, _S.id, [row])
        kept.new += 1
    if kept.new:
        told = {"file": reading.name, "sha256": reading.digest, "new": kept.new}
        append(tx, [Entry(by, "rice.import", "rice:surveys", told)], now)
    return kept


def _row(tx: Transaction, said: Mapping[str, Any], by: Who | str, origin: str, source: str, now: int) -> Row:
    if said["pest"] not in PESTS:
        raise InputError(f"{said['pest']!r} is no pest known here", where="pest", hint=f"one of {', '.join(PESTS)}")
    densities = [said[name] for name in ("common", "high", "exceptional") if said.get(name) is not None]
    if not densities and not any(said.get(name) for name in ("light_ha", "medium_ha", "heavy_ha", "note")):
        raise InputError("the survey says nothing", where="common", hint="give a density, an infested area or a note")
    day = date.fromisoformat(said["surveyed"])
    zone_id = None
    if said.get("zone"):
        known = {code: {"id": number, "code": code, "name": name} for number, code, name, _ in tx.rows(_ZONES, {})}
        zone = zone_named(known, said["zone"])
        if zone is None:
            raise InputError(f"there is no zone {said['zone']!r}", where="zone", hint="leave it empty, or import zones")
        zone_id = zone["id"]
    name = by if isinstance(by, str) else by.name
    return {
        **{key: said.get(key) for key in (*_SAID, "lon", "lat", "accuracy_m")},
        "week": monday(day).isoformat(),
        "zone_id": zone_id,
        "origin": origin,
        "source": source[:300],
        "digest": digest_of(*(said.get(key) for key in _SAID), zone_id, name if origin == "form" else ""),
        "created": now,
        "created_by": name[:64],
        "replaced_by": None,
        "replaces": None,
        "reason": "",
    }


def _told(row: Row) -> Row:
    return {key: row[key] for key in ("surveyed", "commune", "pest", "common", "high", "exceptional")}


async def surveys_of(
    connection: AsyncConnection,
    where: sa.ColumnElement[bool] = _EVERYTHING,
    *,
    week: date | None = None,
    pest: str = "",
    commune: str = "",
    replaced: bool = False,
    before: int | None = None,
    limit: int = 200,
) -> list[Row]:
    """Surveys, the newest first, with the code of their zone.

    Args:
        where: which the reader may see.
        week: only of this week (its Monday).
        pest, commune: only of these.
        replaced: those that were corrected, too.
        before: numbers below this one.
        limit: how many at most.
    """
    statement = (
        sa.select(surveys, _Z.code.label("zone"))
        .join_from(surveys, zones, isouter=True)
        .where(where)
        .order_by(_S.id.desc())
        .limit(limit)
    )
    if week is not None:
        statement = statement.where(_S.week == week.isoformat())
    if pest:
        statement = statement.where(_S.pest == pest)
    if commune:
        statement = statement.where(_S.commune == commune)
    if not replaced:
        statement = statement.where(_S.replaced_by.is_(None))
    if before is not None:
        statement = statement.where(_S.id < before)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def week_of(
    connection: AsyncConnection, week: date, where: sa.ColumnElement[bool] = _EVERYTHING
) -> dict[str, Row]:
    """What a week's surveys sum to, by pest: hectares by severity, densities, on last week.

    Returns:
        By pest: light_ha, medium_ha, heavy_ha, total_ha; common as (lowest, highest) of the common densities, high and
        exceptional as the highest; communes; stages; total_before and change_ha on the week before.
    """
    found = await surveys_of(connection, where, week=week, limit=20_000)
    earlier = await surveys_of(connection, where, week=week - timedelta(days=7), limit=20_000)
    before: dict[str, float] = {}
    for row in _latest(earlier):
        before[row["pest"]] = before.get(row["pest"], 0.0) + row["light_ha"] + row["medium_ha"] + row["heavy_ha"]
    summed: dict[str, Row] = {}
    for row in _latest(found):
        one = summed.setdefault(row["pest"], _empty())
        for name in ("light_ha", "medium_ha", "heavy_ha"):
            one[name] += row[name]
        if row["common"] is not None:
            low, high = one["common"] or (row["common"], row["common"])
            one["common"] = (min(low, row["common"]), max(high, row["common"]))
        for name in ("high", "exceptional"):
            if row[name] is not None:
                one[name] = max(one[name] or 0.0, row[name])
        one["communes"] = sorted({*one["communes"], row["commune"]})
        one["stages"] = sorted({*one["stages"], *([row["stage"]] if row["stage"] else [])})
    for pest in [*summed, *(pest for pest in before if pest not in summed)]:
        one = summed.setdefault(pest, _empty())
        one["total_ha"] = one["light_ha"] + one["medium_ha"] + one["heavy_ha"]
        one["total_before"] = before.get(pest) if earlier else None
        one["change_ha"] = one["total_ha"] - before.get(pest, 0.0) if earlier else None
    order = list(PESTS)
    return dict(sorted(summed.items(), key=lambda item: (-item[1]["total_ha"], order.index(item[0]))))


def _empty() -> Row:
    return {"light_ha": 0.0, "medium_ha": 0.0, "heavy_ha": 0.0, "total_ha": 0.0, "common": None, "high": None,
            "exceptional": None, "communes": [], "stages": [], "total_before": None, "change_ha": None}  # fmt: skip


def _latest(rows: Sequence[Row]) -> list[Row]:
    """Infested hectares of a commune are a state: of several surveys of the same pest, stage and zone in a week the
    newest counts; densities of all count through `common`, `high` and `exceptional` of that one."""
    seen: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["surveyed"], row["id"]), reverse=True):
        key = (row["commune"], row["zone_id"], row["pest"], row["stage"])
        first = seen.get(key)
        if first is None:
            seen[key] = dict(row)
        else:
            for name in ("high", "exceptional"):
                if row[name] is not None:
                    first[name] = max(first[name] or 0.0, row[name])
            if first["common"] is None:
                first["common"] = row["common"]
    return list(seen.values())
