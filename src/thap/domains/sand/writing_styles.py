"""Numbers, dates, hours and names as people of the province write them: 1.200,5 and 31/12/2026, or the English way."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

__all__ = ["Style", "fold", "parse_date", "parse_degrees", "parse_hours", "parse_number", "style_of"]

Style = Literal["vi", "en", ""]
"""Which mark begins the decimals: `vi` the comma, `en` the point; '' where nothing tells."""
_SPACES = re.compile(r"[\s\u00a0\u202f']+")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*")
_UNITS = re.compile(r"(m3|m³|m|ha|%|kn|km|tấn|ngày)(/\w+)?$", re.IGNORECASE)
_DMY = re.compile(r"(\d{1,2})\s*[-/.]\s*(\d{1,2})\s*[-/.]\s*(\d{4})")
_YMD = re.compile(r"(\d{4})\s*[-/.]\s*(\d{1,2})\s*[-/.]\s*(\d{1,2})")
_WORDS = re.compile(r"ngay\s+(\d{1,2})\s+thang\s+(\d{1,2})\s+nam\s+(\d{4})")
_CLOCK = r"(\d{1,2})\s*(?:(?:[:hg]|giờ|gio)\s*(\d{2})?)?(?:\s*(?:phút|phut|')?)"
_HOURS = re.compile(rf"^\D*?{_CLOCK}\s*(?:-|–|—|->|→|đến|den|to|tới|toi|~)\s*{_CLOCK}\D*$")
_DEGREES = re.compile(r"(\d{1,3})\s*(?:°|º|o|độ|do|-|:|\s)\s*(\d{1,2})\s*(?:['′’]|phút|phut)?")


def fold(text: str) -> str:
    """Lower case without marks, đ as d, a space for all but letters and digits: `Số giấy phép` → `so giay phep`."""
    plain = unicodedata.normalize("NFKD", text.replace("đ", "d").replace("Đ", "D"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).lower()
    return re.sub(r"[^a-z0-9]+", " ", plain).strip()


def style_of(texts: Iterable[str]) -> Style:
    """How a file writes numbers, by those of its numbers that can be read one way only."""
    votes = {"vi": 0, "en": 0}
    for text in texts:
        compact = _SPACES.sub("", text)
        if not _NUMBER.fullmatch(compact):
            continue
        dots, commas = compact.count("."), compact.count(",")
        if dots and commas:
            votes["vi" if compact.rfind(",") > compact.rfind(".") else "en"] += 1
        elif dots + commas == 1:
            whole, _, decimals = compact.replace(",", ".").partition(".")
            if len(decimals) != 3 or len(whole.lstrip("+-")) > 3 or whole.lstrip("+-") == "0":
                votes["en" if dots else "vi"] += 1
        elif dots > 1 or commas > 1:
            votes["vi" if dots else "en"] += 1
    if votes["vi"] == votes["en"]:
        return ""
    return "vi" if votes["vi"] > votes["en"] else "en"


def parse_number(value: Any, style: Style = "") -> float:
    """A number, however its thousands and decimals are marked.

    A single mark before exactly three digits (`1.200`) marks thousands, unless the file's style says otherwise:
    `1.200` in an English file and `1,200` in a Vietnamese one have decimals.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("not a finite number")
        return float(value)
    compact = _UNITS.sub("", _SPACES.sub("", str(value)))
    if not _NUMBER.fullmatch(compact):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    dots, commas = compact.count("."), compact.count(",")
    if dots and commas:
        decimal = "," if compact.rfind(",") > compact.rfind(".") else "."
        if compact.count(decimal) > 1:
            raise ValueError(f"{str(value)[:40]!r} has decimals twice")
    elif dots + commas == 0:
        decimal = ""
    else:
        mark = "." if dots else ","
        whole, *groups = compact.lstrip("+-").split(mark)
        thousands = 0 < len(whole) <= 3 and whole != "0" and all(len(group) == 3 for group in groups)
        marked = {"vi": ",", "en": ".", "": ""}[style]
        if len(groups) > 1 and not thousands:
            raise ValueError(f"{str(value)[:40]!r} is not a number")
        decimal = "" if thousands and (mark != marked or len(groups) > 1) else mark
    plain = compact
    for mark in ".,":
        plain = plain.replace(mark, "." if mark == decimal else "")
    return float(plain)


def parse_date(value: Any) -> date:
    """A day: 31/12/2026, 31-12-2026, 2026-12-31, `ngày 31 tháng 12 năm 2026`; day before month.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    for pattern, order in ((_YMD, (0, 1, 2)), (_DMY, (2, 1, 0)), (_WORDS, (2, 1, 0))):
        found = pattern.search(fold(text) if pattern is _WORDS else text)
        if found:
            year, month, day = (int(found.groups()[index]) for index in order)
            try:
                return date(year, month, day)
            except ValueError:
                raise ValueError(f"{text[:40]!r}: there is no such day") from None
    raise ValueError(f"{text[:40]!r} is not a day")


def parse_hours(value: Any) -> tuple[float, float]:
    """Hours of a day, as `05:00-19:00`, `7h - 17h`, `5 giờ đến 19 giờ`, as decimals from 0 to 24.

    Raises:
        ValueError: they are none.
    """
    text = str(value).strip().lower()
    found = _HOURS.match(text)
    if not found:
        raise ValueError(f"{str(value)[:40]!r} are no hours")
    begin, end = (int(found[at]) + int(found[at + 1] or 0) / 60 for at in (1, 3))
    if not (0 <= begin <= 24 and 0 <= end <= 24) or begin == end:
        raise ValueError(f"{str(value)[:40]!r} are no hours of a day")
    return begin, end


def parse_degrees(value: Any) -> float:
    """A meridian: 105°45′, 105 45, 105-45, 105.75, 105,75; degrees.

    Raises:
        ValueError: it is none.
    """
    text = str(value).strip()
    found = _DEGREES.search(text)
    if found and int(found[2]) < 60 and 100 <= int(found[1]) <= 110:
        return int(found[1]) + int(found[2]) / 60
    plain = re.search(r"\d{3}(?:[.,]\d+)?", text)
    if plain:
        degrees = float(plain[0].replace(",", "."))
        if 100 <= degrees <= 110:
            return degrees
    raise ValueError(f"{text[:40]!r} is not a central meridian")
