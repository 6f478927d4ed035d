"""Administrative units of the province: its communes since 1 July 2025, and what they were before.

Names, codes, areas and centre points come from the package `vietnamadminunits`. Its data alone is read, and of it the
province's: its converter asks a geocoder on the internet for an address with a street, and to load the package takes
as long as half of the centre's web libraries.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import cos, hypot, radians, sqrt
from pathlib import Path
from typing import Any, Literal

from thap.kernel.errors import NotFoundError

__all__ = ["PROVINCE_CODE", "Commune", "OldUnit", "commune", "communes", "convert", "fold", "old_units", "search"]

PROVINCE_CODE = "82"
"""Đồng Tháp in the list of 34 provinces."""

_KINDS = ("phuong", "xa", "thi tran", "thanh pho", "thi xa", "huyen", "quan", "tinh", "tp", "tx", "tt", "h", "p", "x")
_CENTRE_TOLERANCE_KM = 8.0


@dataclass(frozen=True, slots=True)
class Commune:
    """A commune-level unit (đơn vị hành chính cấp xã) of today."""

    code: str
    """Official five-digit code."""
    name: str
    """Without its kind, as `Cao Lãnh`."""
    kind: Literal["phường", "xã"]
    lon: float
    """Centre, degrees, WGS 84; good to some kilometres."""
    lat: float
    area_km2: float

    @property
    def title(self) -> str:
        """With its kind, as `Phường Cao Lãnh`."""
        return f"{self.kind.capitalize()} {self.name}"


@dataclass(frozen=True, slots=True)
class OldUnit:
    """A commune-level unit as it was until 30 June 2025."""

    code: str
    ward: str
    """With its kind, as `Xã Gáo Giồng`."""
    district: str
    province: str
    became: tuple[str, ...]
    """Codes of today's communes it went into; the one most of it went into first."""


def fold(text: str) -> str:
    """Lower-case letters without marks, đ as d, single spaces: how names are compared in a search."""
    plain = unicodedata.normalize("NFD", text.casefold()).replace("đ", "d")
    kept = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return " ".join(kept.split())


@cache
def communes() -> tuple[Commune, ...]:
    """The 102 communes of the province, ordered by code."""
    rows = _today()
    former: dict[str, list[tuple[float, float]]] = {}
    for unit, old in _conversions():
        former.setdefault(unit, []).append((old["wardLon"], old["wardLat"]))
    made = []
    for row in rows:
        lon, lat = _centre(row, former.get(row["wardKey"], []))
        made.append(
            Commune(
                row["wardCode"],
                row["wardShort"],
                "phường" if row["wardType"] == "Phường" else "xã",
                lon,
                lat,
                row["wardAreaKm2"],
            )
        )
    return tuple(sorted(made, key=lambda unit: unit.code))


@cache
def old_units() -> tuple[OldUnit, ...]:
    """The 305 commune-level units that became them, ordered by code."""
    codes = _code_by_key()
    rows: dict[str, dict[str, Any]] = {}
    became: dict[str, list[str]] = {}
    for key, old in _conversions():
        rows[old["wardCode"]] = old
        became.setdefault(old["wardCode"], []).append(codes[key])
    return tuple(
        OldUnit(
            code, rows[code]["ward"], rows[code]["district"], rows[code]["province"], tuple(dict.fromkeys(became[code]))
        )
        for code in sorted(rows)
    )


def commune(code: str) -> Commune:
    """The commune with a code.

    Raises:
        NotFoundError: no commune of the province has it.
    """
    found = _by_code().get(code)
    if found is None:
        raise NotFoundError(f"no commune has the code {code!r}", hint="`thap places list` shows all")
    return found


def search(text: str, limit: int = 20) -> list[Commune]:
    """Communes whose name, or the name of a unit they were made of, contains `text`.

    Diacritics and case may be left out; where they are written they decide the order. Names equal to
    the text come first, then names beginning with it, then names containing it, then old names.
    """
    wanted, exact = fold(text), _marked(text)
    if not wanted:
        return []
    ranked: dict[str, tuple[int, ...]] = {}

    def consider(unit: Commune, name: str, old: bool) -> None:
        for form in (name, name.partition(" ")[2]):
            plain = fold(form)
            if wanted not in plain:
                continue
            rank = (
                int(old),
                0 if plain == wanted else 1 if plain.startswith(wanted) else 2,
                0 if exact in _marked(form) else 1,
            )
            ranked[unit.code] = min(rank, ranked.get(unit.code, rank))

    for unit in communes():
        consider(unit, unit.title, old=False)
    for old in old_units():
        for code in old.became:
            consider(commune(code), old.ward, old=True)
    order = sorted(ranked, key=lambda code: (*ranked[code], code))
    return [commune(code) for code in order[:limit]]


def convert(text: str) -> list[OldUnit]:
    """The old units a name means, each with what it became.

    Args:
        text: a ward or commune (`Phường 5`), with its old district after a comma where several have that
            name (`Phường 5, Mỹ Tho`), or an old district alone (`huyện Tam Nông`), which gives all it
            had. Diacritics, case and the words for the kind may be left out.

    Raises:
        NotFoundError: no old unit of the province has that name.
    """
    parts = [part for part in (fold(part) for part in text.split(",")) if part]
    ward, rest = (parts[0], parts[1:]) if parts else ("", [])

    def within(old: OldUnit) -> bool:
        above = (fold(old.district), fold(old.province))
        return all(any(part in (name, _bare(name)) for name in above) for part in rest)

    marked = _marked(text.partition(",")[0])
    candidates = [old for old in old_units() if ward and within(old)]
    for name_of in (_ward_name, _district_name):
        if found := [
            old
            for old in candidates
            if f" {marked} " in f" {_marked(name_of(old))} " and ward in (fold(name_of(old)), _bare(fold(name_of(old))))
        ]:
            return found
    if found := [old for old in candidates if ward == fold(old.ward)]:
        return found
    if found := [
        old for old in candidates if ward in (_bare(fold(old.ward)), fold(old.district), _bare(fold(old.district)))
    ]:
        return found
    raise NotFoundError(
        f"no unit of the province was called {text!r} before July 2025",
        hint="write the old ward and its district, as `Phường 5, Mỹ Tho`",
    )


def _ward_name(old: OldUnit) -> str:
    return old.ward


def _district_name(old: OldUnit) -> str:
    return old.district


@cache
def _by_code() -> dict[str, Commune]:
    return {unit.code: unit for unit in communes()}


def _data() -> Path:
    """Where the package keeps its data; finding it does not load the package."""
    spec = find_spec("vietnamadminunits")
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError("the package vietnamadminunits is not installed", hint="run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _rows(sql: str, *values: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{(_data() / 'dataset.db').as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, values)]


@cache
def _today() -> list[dict[str, Any]]:
    return _rows(
        "SELECT DISTINCT wardKey, wardCode, wardShort, wardType, wardLon, wardLat, wardAreaKm2 FROM admin_units"
        " WHERE provinceCode = ?",
        PROVINCE_CODE,
    )


@cache
def _code_by_key() -> dict[str, str]:
    return {row["wardKey"]: row["wardCode"] for row in _today()}


@cache
def _conversions() -> tuple[tuple[str, dict[str, Any]], ...]:
    """(key of the new unit, row of the old unit), the default first where an old unit was divided."""
    tables = json.loads((_data() / "converter_2025.json").read_bytes())
    province = "tinhdongthap"
    merged = tables["DICT_PROVINCE"][province]
    old = {
        f"{row['provinceKey']}_{row['districtKey']}_{row['wardKey']}": row
        for row in _rows(
            "SELECT DISTINCT provinceKey, districtKey, wardKey, wardCode, ward, district, province, wardLon, wardLat"
            f" FROM admin_units_legacy WHERE ward <> '' AND provinceKey IN ({', '.join('?' * len(merged))})",
            *merged,
        )
    }
    whole = [
        (key, old[name]) for key, names in tables["DICT_PROVINCE_WARD_NO_DIVIDED"][province].items() for name in names
    ]
    divided = [
        (part["newWardKey"], old[name])
        for name, parts in tables["DICT_PROVINCE_WARD_DIVIDED"].get(province, {}).items()
        for part in sorted(parts, key=lambda part: not part["isDefaultNewWard"])
    ]
    return tuple(whole + divided)


def _centre(row: dict[str, Any], former: list[tuple[float, float]]) -> tuple[float, float]:
    """The package's centre, unless it lies far from every unit the commune was made of.

    Version 1.0.4 has the centres of some communes of equal or similar names exchanged, up to 90 km off.
    """
    lon, lat = float(row["wardLon"]), float(row["wardLat"])
    reach = _CENTRE_TOLERANCE_KM + sqrt(row["wardAreaKm2"])
    if not former or any(_km(lon, lat, *point) < reach for point in former):
        return lon, lat
    return (round(sum(p[0] for p in former) / len(former), 5), round(sum(p[1] for p in former) / len(former), 5))


def _km(lon: float, lat: float, lon2: float, lat2: float) -> float:
    return hypot((lon2 - lon) * cos(radians(lat)), lat2 - lat) * 111.2


def _marked(text: str) -> str:
    """Case-folded with its marks, each letter's in one order, the tone mark moved to the word's end.

    Both `Hòa` and `Hoà` are written; they are one word.
    """
    words = []
    for word in unicodedata.normalize("NFD", text.casefold()).split():
        tones = [c for c in word if c in "\u0300\u0301\u0303\u0309\u0323"]
        words.append("".join(c for c in word if c not in tones) + "".join(tones))
    return " ".join(words)


def _bare(folded: str) -> str:
    """A folded name without the word for its kind."""
    for kind in _KINDS:
        if folded.startswith(kind + " "):
            return folded[len(kind) + 1 :]
    return folded
