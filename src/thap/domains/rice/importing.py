"""What files say of zones, crops, surveys and weather: rows ready to be kept, and what is wrong with the others.

Nothing is kept here: `read_zones` and its like are the preview, and what `thap.domains.rice.office` keeps.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from thap.domains.rice.pests import monday, pest_named, stage_named
from thap.domains.rice.spreadsheets import Cells, Sheet, read_day, read_number, read_sheet
from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.units import Commune, commune, communes, convert, fold, search

__all__ = ["KINDS", "Fault", "Kind", "Reading", "commune_named", "digest_of", "read_file"]

Kind = Literal["zones", "crops", "surveys", "weather"]
KINDS: tuple[Kind, ...] = ("zones", "crops", "surveys", "weather")
Row = dict[str, Any]
_AREA_HA = 200_000.0
"""No zone, crop or infested area is larger: the province sows some 500,000 ha in three seasons."""
_MONTH_DAY = re.compile(r"(\d{1,2})\s*[/-]\s*(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row, or odd about it."""

    line: int
    """Of the file, counted from one."""
    field: str
    message: str
    hint: str = ""
    fatal: bool = True
    """False: the row is taken all the same."""

    def __str__(self) -> str:
        return f"line {self.line}, {self.field}: {self.message}" + (f". {self.hint}" if self.hint else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "line": self.line,
            "field": self.field,
            "message": self.message,
            "hint": self.hint,
            "fatal": self.fatal,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says."""

    kind: Kind
    name: str
    digest: str
    """SHA-256 of the file."""
    rows: list[Row]
    """Ready to be kept; each with its `line`."""
    faults: list[Fault]
    unknown: tuple[str, ...]
    """Headings of columns that were not read."""
    read: int
    """Rows of the table, without totals."""

    @property
    def bad(self) -> int:
        """Rows that cannot be taken."""
        return len({fault.line for fault in self.faults if fault.fatal})


@dataclass(slots=True)
class _Taker:
    """Reads the cells of one row and notes what is wrong with them."""

    cells: Cells
    year: int | None = None
    faults: list[Fault] = field(default_factory=list)

    def wrong(self, name: str, message: str, hint: str = "", *, fatal: bool = True) -> None:
        self.faults.append(Fault(self.cells.line, name, message, hint, fatal))

    def _take(self, name: str, read: Callable[[Any], Any]) -> Any:
        try:
            return read(self.cells.values.get(name))
        except InputError as error:
            self.wrong(name, error.message, error.hint or "")
            return None

    def text(self, name: str, most: int, *, needed: bool = False) -> str:
        said = "".join(mark for mark in self.cells.text(name) if mark.isprintable())
        if len(said) > most:
            self.wrong(name, f"longer than {most} letters", fatal=False)
        if needed and not said:
            self.wrong(name, "is empty")
        return said[:most]

    def number(self, name: str, low: float, high: float, *, needed: bool = False) -> float | None:
        before = len(self.faults)
        found: float | None = self._take(name, read_number)
        if found is None:
            if needed and len(self.faults) == before:
                self.wrong(name, "is empty", "write a number")
            return None
        if not low <= found <= high:
            self.wrong(name, f"{found:g} is not between {low:g} and {high:g}")
            return None
        return found

    def day(self, name: str, *, needed: bool = False) -> date | None:
        before = len(self.faults)
        found: date | None = self._take(name, lambda value: read_day(value, self.year))
        if found is None and needed and len(self.faults) == before:
            self.wrong(name, "is empty", "write it as 22/11/2026")
        if found is not None and not 1990 <= found.year <= 2100:
            self.wrong(name, f"{found:%d/%m/%Y} is not in this time", "check the year")
            return None
        return found

    def commune(self, name: str, *, needed: bool = True) -> str:
        said = self.cells.text(name)
        if not said:
            if needed:
                self.wrong(name, "is empty", "write the commune's name or code")
            return ""
        try:
            found, sure = commune_named(said)
        except InputError as error:
            self.wrong(name, error.message, error.hint or "")
            return ""
        if not sure:
            self.wrong(name, f"{said!r} is taken for {found.title}", fatal=False)
        return found.code

    def month_day(self, name: str) -> str:
        said = self.cells.text(name)
        if not said:
            return ""
        try:
            day = read_day(self.cells.values.get(name), 2000)
        except InputError:
            found = _MONTH_DAY.fullmatch(said)
            day = None
            if found and 1 <= int(found[2]) <= 12 and 1 <= int(found[1]) <= 31:
                day = date(2000, int(found[2]), min(int(found[1]), 28))
        if day is None:
            self.wrong(name, f"{said[:20]!r} is not a day of the year", "write it as 15/2")
            return ""
        return f"{day:%m-%d}"


def commune_named(text: str) -> tuple[Commune, bool]:
    """The commune of a code or a name, new or old; False where it was only likely.

    Raises:
        InputError: there is none, or several.
    """
    said = text.strip()
    if said.isdecimal():
        try:
            return commune(said.zfill(5)), True
        except NotFoundError:
            raise InputError(f"no commune has the code {said}", hint="`thap places list` shows all") from None
    plain = fold(said)
    exact = [one for one in communes() if plain in (fold(one.title), fold(one.name))]
    if len(exact) > 1:  # marks decide: Tân Thành is not Tân Thạnh
        marked = unicodedata.normalize("NFC", " ".join(said.casefold().split()))
        exact = [one for one in exact if marked in (one.title.casefold(), one.name.casefold())] or exact
    if len(exact) == 1:
        return exact[0], True
    if len(exact) > 1:
        names = ", ".join(f"{one.title} ({one.code})" for one in exact)
        raise InputError(f"{said!r} is the name of several: {names}", hint="write its code, or xã / phường before it")
    try:
        became = dict.fromkeys(code for old in convert(said) for code in old.became[:1])
    except NotFoundError:
        became = {}
    if len(became) == 1:
        return commune(next(iter(became))), False
    near = difflib.get_close_matches(plain, [fold(one.name) for one in communes()], 1, 0.75) or [
        fold(one.name) for one in search(said, 1)
    ]
    likely = next((one.title for one in communes() if near and fold(one.name) == near[0]), "")
    raise InputError(
        f"there is no commune {said[:60]!r}" + (" (it was divided among several)" if became else ""),
        hint=f"did you mean {likely}?" if likely else "write its name of since July 2025, or its code",
    )


def digest_of(*parts: Any) -> str:
    """SHA-256 of what a row says."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


_ZONES = {
    "code": ("ma vung", "ma tieu vung", "ma", "code", "zone"),
    "name": ("ten vung", "tieu vung thuy loi", "tieu vung", "vung thuy loi", "ten", "vung", "name"),
    "communes": ("xa phuong", "cac xa phuong", "xa", "phuong", "dia ban", "commune", "communes"),
    "area_ha": ("dien tich ha", "dien tich", "area ha", "area"),
    "lon": ("kinh do", "lon", "longitude", "x"),
    "lat": ("vi do", "lat", "latitude", "y"),
    "stations": ("tram nuoc", "tram do man", "tram", "cong", "stations", "station"),
    "saline_from": ("man tu", "xam nhap man tu", "saline from"),
    "saline_to": ("man den", "xam nhap man den", "saline to"),
    "flood_from": ("lu tu", "ngap tu", "flood from"),
    "flood_to": ("lu den", "ngap den", "flood to"),
}
_CROPS = {
    "zone": ("ma vung", "ma tieu vung", "vung", "tieu vung", "zone"),
    "season": ("vu", "vu lua", "mua vu", "season"),
    "variety": ("giong", "giong lua", "ten giong", "variety"),
    "sown": (
        "ngay gieo sa",
        "ngay sa",
        "ngay gieo",
        "ngay xuong giong",
        "gieo sa",
        "xuong giong",
        "sown",
        "sowing date",
    ),
    "area_ha": ("dien tich ha", "dien tich gieo sa", "dien tich", "area ha", "area"),
    "days": ("thoi gian sinh truong ngay", "thoi gian sinh truong", "tgst", "days", "duration"),
    "note": ("ghi chu", "note"),
}
_SURVEYS = {
    "surveyed": ("ngay dieu tra", "ngay", "thoi gian", "date", "surveyed"),
    "commune": ("xa phuong", "xa", "phuong", "don vi", "dia phuong", "dia ban", "noi dieu tra", "commune"),
    "zone": ("ma vung", "tieu vung", "vung", "zone"),
    "pest": ("doi tuong", "ten dich hai", "dich hai", "sinh vat gay hai", "svgh", "sau benh", "ten svgh", "pest"),
    "stage": ("giai doan sinh truong", "giai doan", "gdst", "giai doan lua", "tra lua", "stage"),
    "common": ("mat do ty le pho bien", "mat do pho bien", "mat do tb", "pho bien", "mat do trung binh", "common"),
    "high": ("mat do ty le cao", "mat do cao", "cao", "high"),
    "exceptional": ("mat do ty le ca biet", "mat do ca biet", "ca biet", "mat do cao nhat", "cao nhat", "exceptional"),
    "light_ha": ("dien tich nhiem ha nhe", "dien tich nhiem nhe", "nhiem nhe", "nhe", "light ha", "light"),
    "medium_ha": ("dien tich nhiem ha trung binh", "dien tich nhiem trung binh", "nhiem trung binh", "trung binh",
                  "dien tich nhiem ha tb", "tb", "medium ha", "medium"),
    "heavy_ha": ("dien tich nhiem ha nang", "dien tich nhiem nang", "nhiem nang", "nang", "heavy ha", "heavy"),
    "total_ha": ("dien tich nhiem ha tong so", "dien tich nhiem ha tong", "tong dien tich nhiem", "tong so",
                 "tong cong", "tong", "total ha", "total"),
    "note": ("ghi chu", "phan bo", "note"),
    "lon": ("kinh do", "lon", "longitude"),
    "lat": ("vi do", "lat", "latitude"),
}  # fmt: skip
_WEATHER = {
    "day": ("ngay", "thoi gian", "date", "day", "time"),
    "place": ("ma vung", "tieu vung", "vung", "noi", "tram", "zone", "place"),
    "low_c": ("nhiet do thap nhat", "t min", "tmin", "nhiet do toi thieu", "thap nhat", "mintemp", "temp min", "low c"),
    "high_c": ("nhiet do cao nhat", "t max", "tmax", "nhiet do toi cao", "cao nhat", "maxtemp", "temp max", "high c"),
    "mean_c": ("nhiet do trung binh", "nhiet do tb", "t tb", "nhiet do", "tmean", "mean temp", "temperature"),
    "rain_mm": ("luong mua mm", "luong mua", "mua mm", "mua", "rain mm", "rain", "rainfall"),
    "humidity": ("do am trung binh", "do am", "am do", "humidity", "rh"),
    "wind_kmh": ("toc do gio km h", "toc do gio", "gio km h", "gio", "wind kmh", "wind speed"),
    "wind_from_deg": ("huong gio", "wind from deg", "wind direction", "wind from"),
    "kind": ("loai", "du bao", "kind"),
}
_NEEDED: Mapping[Kind, tuple[Mapping[str, Sequence[str]], tuple[str, ...]]] = {
    "zones": (_ZONES, ("code", "communes", "area_ha")),
    "crops": (_CROPS, ("zone", "sown", "area_ha")),
    "surveys": (_SURVEYS, ("commune", "pest")),
    "weather": (_WEATHER, ("day",)),
}
_TOTALS = ("tong", "cong", "toan tinh", "total")


def read_file(kind: Kind, content: bytes, name: str, *, day: date | None = None) -> Reading:
    """What a file says.

    Args:
        kind: what its rows are.
        content: CSV or XLSX.
        name: of the file.
        day: of a weekly report whose rows and title name none.

    Raises:
        InputError: it holds no such table.
    """
    names, needed = _NEEDED[kind]
    sheet = read_sheet(content, name, names, needed)
    if kind == "surveys" and not {"common", "high", "exceptional", "light_ha", "medium_ha", "heavy_ha"} & set(
        sheet.fields
    ):
        raise InputError(
            "there is neither a density nor an infested area",
            where=name,
            hint="name columns Phổ biến, Cao, Cá biệt or Nhẹ, Trung bình, Nặng",
        )
    rows: list[Row] = []
    faults: list[Fault] = []
    count = 0
    carried: dict[str, Any] = {}
    for cells in sheet.rows:
        if _is_total(cells, sheet):
            continue
        count += 1
        taker = _Taker(
            _filled(cells, carried, kind), sheet.period[1].year if sheet.period else day.year if day else None
        )
        row = _READERS[kind](taker, sheet, day)
        faults += taker.faults
        if not any(fault.fatal for fault in taker.faults):
            rows.append({**row, "line": cells.line})
    if not count:
        raise InputError("there are headings but no rows", where=name, hint="write the rows below them")
    return Reading(kind, name, hashlib.sha256(content).hexdigest(), rows, faults, sheet.unknown, count)


def _filled(cells: Cells, carried: dict[str, Any], kind: Kind) -> Cells:
    """Cells of a weekly report merged down the rows hold for those below."""
    if kind != "surveys":
        return cells
    values = dict(cells.values)
    for name in ("commune", "surveyed", "zone"):
        if name in values:
            if values[name] is None or not str(values[name]).strip():
                values[name] = carried.get(name)
            else:
                carried[name] = values[name]
    return Cells(cells.line, values)


def _is_total(cells: Cells, sheet: Sheet) -> bool:
    first = next((fold(cells.text(name)) for name in sheet.fields if cells.text(name)), "")
    words = (fold(cells.text(name)) for name in ("code", "commune", "zone", "pest"))
    return any(word == one or word.startswith(one + " ") for word in (first, *words) for one in _TOTALS if word)


def _zone(taker: _Taker, _sheet: Sheet, _day: date | None) -> Row:
    code = taker.text("code", 32, needed=True)
    if code and not re.fullmatch(r"[\w.-]{1,32}", code):
        taker.wrong("code", f"{code!r} is not a code", "use letters, digits, - . and _")
    said = taker.cells.text("communes")
    found: list[str] = []
    for part in re.split(r"[;,\n]|\s-\s", said):
        if not part.strip():
            continue
        try:
            one, sure = commune_named(part)
        except InputError as error:
            taker.wrong("communes", error.message, error.hint or "")
            continue
        if not sure:
            taker.wrong("communes", f"{part.strip()!r} is taken for {one.title}", fatal=False)
        found.append(one.code)
    if not said:
        taker.wrong("communes", "is empty", "write the communes it lies in, with a comma between")
    lon = taker.number("lon", 105.0, 107.2)
    lat = taker.number("lat", 9.8, 11.2)
    middle = [commune(code) for code in found]
    if (lon is None or lat is None) and middle:
        lon = sum(one.lon for one in middle) / len(middle)
        lat = sum(one.lat for one in middle) / len(middle)
    stations = [part.strip() for part in re.split(r"[;,]", taker.cells.text("stations")) if part.strip()]
    return {
        "code": code,
        "name": taker.text("name", 200) or code,
        "commune": found[0] if found else "",
        "communes": list(dict.fromkeys(found)),
        "lon": lon,
        "lat": lat,
        "area_ha": taker.number("area_ha", 0.01, _AREA_HA, needed=True),
        "stations": stations[:20],
        **{name: taker.month_day(name) for name in ("saline_from", "saline_to", "flood_from", "flood_to")},
    }


def _crop(taker: _Taker, _sheet: Sheet, _day: date | None) -> Row:
    sown = taker.day("sown", needed=True)
    days = taker.number("days", 60, 200)
    return {
        "zone": taker.text("zone", 200, needed=True),
        "season": taker.text("season", 64) or (_season(sown) if sown else ""),
        "variety": taker.text("variety", 64),
        "sown": sown.isoformat() if sown else "",
        "area_ha": taker.number("area_ha", 0.01, _AREA_HA, needed=True),
        "days": round(days) if days else 95,
        "note": taker.text("note", 500),
    }


def _season(sown: date) -> str:
    """The season a sowing day falls in, as the delta counts them."""
    if sown.month >= 10 or sown.month <= 1:
        year = sown.year if sown.month >= 10 else sown.year - 1
        return f"Đông Xuân {year}–{year + 1}"
    return f"Hè Thu {sown.year}" if sown.month <= 6 else f"Thu Đông {sown.year}"


def _survey(taker: _Taker, sheet: Sheet, day: date | None) -> Row:
    given = taker.day("surveyed") if "surveyed" in sheet.fields else None
    surveyed = given or (sheet.period[1] if sheet.period else day)
    if surveyed is None and not any(fault.field == "surveyed" for fault in taker.faults):
        taker.wrong(
            "surveyed", "no day is given", "name a column Ngày, write `Từ ngày … đến ngày …` above, or give --day"
        )
    said = taker.text("pest", 100, needed=True)
    pest = pest_named(said) if said else None
    if said and pest is None:
        taker.wrong(
            "pest", f"{said!r} is no pest known here", "write as Rầy nâu, Sâu cuốn lá nhỏ, Đạo ôn lá, Bọ xít dài"
        )
    stage_said = taker.text("stage", 100)
    stage = stage_named(stage_said) if stage_said else ""
    if stage is None:
        taker.wrong(
            "stage", f"{stage_said!r} is no crop stage known here", "write as Mạ, Đẻ nhánh, Làm đòng, Trổ, Chín"
        )
    most = 1_000_000 if pest is None or pest.unit != "%" else 100
    density = {name: taker.number(name, 0, most) for name in ("common", "high", "exceptional")}
    given_densities = [value for value in density.values() if value is not None]
    if given_densities != sorted(given_densities):
        taker.wrong("common", "common, high and exceptional density do not rise", "check the row", fatal=False)
    areas = {name: taker.number(name, 0, _AREA_HA) or 0.0 for name in ("light_ha", "medium_ha", "heavy_ha")}
    total = taker.number("total_ha", 0, _AREA_HA)
    if total is not None and abs(total - sum(areas.values())) > max(0.6, 0.01 * total):
        taker.wrong("total_ha", f"{total:g} is not light + medium + heavy = {sum(areas.values()):g}", fatal=False)
    code = taker.commune("commune")
    return {
        "surveyed": surveyed.isoformat() if surveyed else "",
        "week": monday(surveyed).isoformat() if surveyed else "",
        "commune": code,
        "zone": taker.text("zone", 200),
        "pest": pest.key if pest else "",
        "stage": stage or "",
        **density,
        **areas,
        "note": taker.text("note", 1000),
        "lon": taker.number("lon", -180, 180),
        "lat": taker.number("lat", -90, 90),
        "accuracy_m": None,
    }


def _weather(taker: _Taker, _sheet: Sheet, _day: date | None) -> Row:
    day = taker.day("day", needed=True)
    low, high, mean = (taker.number(name, -10, 55) for name in ("low_c", "high_c", "mean_c"))
    if low is not None and high is not None and low > high:
        taker.wrong("low_c", f"the lowest, {low:g}, is above the highest, {high:g}", fatal=False)
        low, high = high, low
    if mean is not None and low is None and high is None:
        low = high = mean
    rest = {
        "rain_mm": taker.number("rain_mm", 0, 2000),
        "humidity": taker.number("humidity", 0, 100),
        "wind_kmh": taker.number("wind_kmh", 0, 300),
        "wind_from_deg": taker.number("wind_from_deg", 0, 360),
    }
    if low is None and high is None and all(value is None for value in rest.values()):
        taker.wrong("low_c", "the day says nothing", "give temperatures, rain, humidity or wind")
    said = fold(taker.cells.text("kind"))
    return {
        "place": taker.text("place", 200),
        "day": day.isoformat() if day else "",
        "kind": "forecast" if said.startswith(("du bao", "forecast", "co", "x")) else "observed",
        "low_c": low,
        "high_c": high,
        **rest,
    }


_READERS: Mapping[Kind, Callable[[_Taker, Sheet, date | None], Row]] = {
    "zones": _zone,
    "crops": _crop,
    "surveys": _survey,
    "weather": _weather,
}
