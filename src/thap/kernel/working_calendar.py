"""Working time: deadlines that count only while offices are open, or around the clock.

Hours are those of Việt Nam (UTC+7 without daylight saving since 1975, time zone Asia/Ho_Chi_Minh). Hours,
holidays and swap days are configuration with a source: `calendar.toml` beside this module, or the province's own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Protocol

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, from_us, parse_duration_us
from thap.kernel.errors import InputError

__all__ = ["ROUND_THE_CLOCK", "Calendar", "WorkingCalendar", "packaged", "packaged_text", "parse_calendar"]

_OFFSET_US = 7 * HOUR_US
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")
_YEARLY = re.compile(r"(\d\d)-(\d\d)")
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_LONGEST_US = 3660 * DAY_US
_MANY_DAYS = 100 * 366
_TOP_KEYS = frozenset({"source", "complete", "hours", "holiday", "worked"})

Spans = tuple[tuple[int, int], ...]


class Calendar(Protocol):
    """Counts time."""

    @property
    def name(self) -> str:
        """`working` or `round`."""
        ...

    def add(self, start: int, length: int) -> int:
        """The moment at which `length` µs of counted time have passed since `start` (µs).

        Raises:
            InputError: the length is negative, or more than ten years.
        """
        ...

    def between(self, begin: int, end: int) -> int:
        """How much counted time, µs, lies between two moments; negative where `end` is the earlier one."""
        ...

    def length(self, text: str) -> int:
        """A length of counted time as `30m`, `4h`, `3d` or `1w`, µs. In working time a day is an office's usual
        day and a week its usual week: `3d` is three working days.

        Raises:
            InputError: it is not one, or is not positive.
        """
        ...


class _RoundTheClock:
    """Every moment counts."""

    name = "round"

    def add(self, start: int, length: int) -> int:
        return start + _checked(length)

    def between(self, begin: int, end: int) -> int:
        return end - begin

    def length(self, text: str) -> int:
        return _positive(parse_duration_us(text), text)


ROUND_THE_CLOCK: Calendar = _RoundTheClock()


@dataclass(frozen=True, slots=True)
class WorkingCalendar:
    """Counts time while offices are open.

    Made by `parse_calendar`; spans are (begin, end) in µs since the day's midnight in Việt Nam.
    """

    hours: tuple[Spans, ...]
    """Usual hours, Monday first."""
    holidays: Mapping[date, str] = field(default_factory=dict)
    """Days of one year on which offices are closed, with their name."""
    yearly: Mapping[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    """(month, day) → (first year, name) of those that come back every year."""
    worked: Mapping[date, Spans] = field(default_factory=dict)
    """Swap days: worked with these hours, whatever the weekday or holiday."""
    complete: frozenset[int] = frozenset()
    """Years whose holidays and swap days are all listed."""
    source: str = ""
    _days: dict[int, Spans] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return "working"

    @property
    def day_us(self) -> int:
        """Length of a usual working day: that of the first weekday that is one."""
        return next(_total(spans) for spans in self.hours if spans)

    @property
    def week_us(self) -> int:
        """Length of a usual week."""
        return sum(_total(spans) for spans in self.hours)

    def add(self, start: int, length: int) -> int:
        left = _checked(length)
        if not left:
            return start
        day = (start + _OFFSET_US) // DAY_US
        while True:
            for begin, end in self._spans(day):
                from_here = max(begin, start)
                if end - from_here >= left:
                    return from_here + left
                left -= max(end - from_here, 0)
            day += 1

    def between(self, begin: int, end: int) -> int:
        if end < begin:
            return -self.between(end, begin)
        first, last = (begin + _OFFSET_US) // DAY_US, (end + _OFFSET_US) // DAY_US
        if last - first > _MANY_DAYS:
            raise InputError("working time is counted over a hundred years at most")
        return sum(
            max(min(until, end) - max(since, begin), 0)
            for day in range(first, last + 1)
            for since, until in self._spans(day)
        )

    def length(self, text: str) -> int:
        compact = text.strip().lower()
        parts = _LENGTH.findall(compact)
        if not parts or _LENGTH.sub("", compact).strip():
            raise InputError(f"{text!r} is not a length of working time", hint="write 30m, 4h, 3d or 1w")
        units = {"s": SECOND_US, "m": MINUTE_US, "min": MINUTE_US, "h": HOUR_US, "d": self.day_us, "w": self.week_us}
        return _positive(round(sum(float(number) * units[unit] for number, unit in parts)), text)

    def open_at(self, moment: int) -> bool:
        """Whether offices are open at a moment (µs)."""
        return any(begin <= moment < end for begin, end in self._spans((moment + _OFFSET_US) // DAY_US))

    def spans(self, since: int, until: int) -> list[tuple[int, int]]:
        """When offices are open between two moments (µs), as (begin, end) in order, cut at both.

        Raises:
            InputError: more than a hundred years are asked for.
        """
        first, last = (since + _OFFSET_US) // DAY_US, (until + _OFFSET_US) // DAY_US
        if last - first > _MANY_DAYS:
            raise InputError("working time is counted over a hundred years at most")
        cut = (
            (max(begin, since), min(end, until)) for day in range(first, last + 1) for begin, end in self._spans(day)
        )
        return [(begin, end) for begin, end in cut if begin < end]

    def knows(self, moment: int) -> bool:
        """Whether the holidays of that moment's year are all listed."""
        return from_us(moment + _OFFSET_US).year in self.complete

    def closed_days(self, year: int) -> list[tuple[date, str]]:
        """Holidays of a year, in order, with their names."""
        found = {day: name for day, name in self.holidays.items() if day.year == year}
        for (month, number), (since, name) in self.yearly.items():
            if since <= year:
                found.setdefault(date(year, month, number), name)
        return sorted(found.items())

    def _spans(self, day: int) -> Spans:
        """Open hours of a day (number since 1970 in Việt Nam) as moments."""
        known = self._days.get(day)
        if known is None:
            if len(self._days) > 50_000:  # spans of many years, asked for in passing
                self._days.clear()
            midnight = day * DAY_US - _OFFSET_US
            try:
                today = date.fromordinal(_EPOCH_ORDINAL + day)
            except (ValueError, OverflowError):
                raise InputError("working time ends with the year 9999") from None
            known = self._days[day] = tuple((midnight + a, midnight + b) for a, b in self._hours_of(today))
        return known

    def _hours_of(self, day: date) -> Spans:
        if day in self.worked:
            return self.worked[day]
        since, _ = self.yearly.get((day.month, day.day), (day.year + 1, ""))
        return () if day in self.holidays or since <= day.year else self.hours[day.weekday()]


def parse_calendar(text: str, where: str = "calendar") -> WorkingCalendar:
    """Read a calendar, TOML as `calendar.toml` beside this module.

    Raises:
        InputError: it does not hold together; says where.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", where=where) from None
    for key in body.keys() - _TOP_KEYS:
        raise InputError(
            f"{key!r} is not part of a calendar", where=where, hint=f"one of {', '.join(sorted(_TOP_KEYS))}"
        )
    hours = _hours(_table(body.get("hours", {}), f"{where}: hours"), f"{where}: hours")
    if not any(hours):
        raise InputError("no weekday is worked", where=f"{where}: hours", hint='write mon = ["07:00-11:30"]')
    holidays: dict[date, str] = {}
    yearly: dict[tuple[int, int], tuple[int, str]] = {}
    for number, entry in enumerate(_tables(body.get("holiday", []), f"{where}: holiday"), 1):
        here = f"{where}: holiday {number}"
        if found := _YEARLY.fullmatch(str(entry.get("day", ""))):
            month, day = int(found[1]), int(found[2])
            _date(f"2024-{month:02}-{day:02}", here)
            yearly[month, day] = (_year(entry.get("since", 1), here), _name(entry))
        else:
            holidays |= dict.fromkeys(_days_of(entry, here), _name(entry))
    worked: dict[date, Spans] = {}
    for number, entry in enumerate(_tables(body.get("worked", []), f"{where}: worked"), 1):
        here = f"{where}: worked {number}"
        spans = _like(entry, hours, here)
        worked |= dict.fromkeys(_days_of(entry, here), spans)
    years = body.get("complete", [])
    if not isinstance(years, list):
        raise InputError("`complete` is a list of years", where=where)
    return WorkingCalendar(
        hours, holidays, yearly, worked, frozenset(_year(year, where) for year in years), str(body.get("source", ""))
    )


def packaged_text() -> str:
    """The calendar that comes with Tháp, TOML."""
    return resources.files("thap.kernel").joinpath("calendar.toml").read_text("utf-8")


@cache
def packaged() -> WorkingCalendar:
    """The calendar that comes with Tháp."""
    return parse_calendar(packaged_text(), "thap/kernel/calendar.toml")


def _checked(length: int) -> int:
    if not 0 <= length <= _LONGEST_US:
        raise InputError("a deadline lies between now and ten years of counted time ahead")
    return length


def _positive(length: int, text: str) -> int:
    if not 0 < length <= _LONGEST_US:
        raise InputError(f"{text!r} is not more than nothing and less than ten years")
    return length


def _total(spans: Spans) -> int:
    return sum(end - begin for begin, end in spans)


def _hours(table: Mapping[str, Any], where: str) -> tuple[Spans, ...]:
    for key in table.keys() - set(_WEEKDAYS):
        raise InputError(f"{key!r} is not a weekday", where=where, hint=f"one of {', '.join(_WEEKDAYS)}")
    return tuple(_parse_spans(table.get(day, []), f"{where}.{day}") for day in _WEEKDAYS)


def _parse_spans(value: Any, where: str) -> Spans:
    if not isinstance(value, list):
        raise InputError("hours are a list", where=where, hint='write ["07:00-11:30", "13:30-17:00"]')
    spans: list[tuple[int, int]] = []
    for text in value:
        found = _SPAN.fullmatch(str(text).strip())
        if found is None:
            raise InputError(f"{text!r} is not a stretch of hours", where=where, hint="write 07:00-11:30")
        begin, end = (int(found[i]) * HOUR_US + int(found[i + 1]) * MINUTE_US for i in (1, 3))
        if not begin < end <= DAY_US:
            raise InputError(f"{text!r} ends before it begins, or after midnight", where=where)
        if spans and begin < spans[-1][1]:
            raise InputError(f"{text!r} begins before the stretch before it ends", where=where)
        spans.append((begin, end))
    return tuple(spans)


def _like(entry: Mapping[str, Any], hours: Sequence[Spans], where: str) -> Spans:
    """Hours of a swap day: its own, those of a weekday, or those of the first weekday worked."""
    if "hours" in entry:
        return _parse_spans(entry["hours"], where)
    if "like" not in entry:
        return next(spans for spans in hours if spans)
    if entry["like"] not in _WEEKDAYS:
        raise InputError(f"{entry['like']!r} is not a weekday", where=where, hint=f"one of {', '.join(_WEEKDAYS)}")
    return hours[_WEEKDAYS.index(entry["like"])]


def _days_of(entry: Mapping[str, Any], where: str) -> Iterator[date]:
    first = _date(entry.get("day"), where)
    last = _date(entry["until"], where) if "until" in entry else first
    if not 0 <= (last - first).days <= 31:
        raise InputError("`until` is the last day, at most a month after `day`", where=where)
    for number in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(number)


def _date(value: Any, where: str) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InputError(
            f"{value!r} is not a day", where=where, hint="write 2026-11-24, or 11-24 for each year"
        ) from None


def _year(value: Any, where: str) -> int:
    if not isinstance(value, int) or not 1 <= value <= 9999:
        raise InputError(f"{value!r} is not a year", where=where)
    return value


def _name(entry: Mapping[str, Any]) -> str:
    name = entry.get("name", "")
    return str(name.get("vi") or name.get("en") or "") if isinstance(name, dict) else str(name)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError("this is a table", where=where)
    return value


def _tables(value: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise InputError("this is written in double brackets", where=where)
    return [_table(one, where) for one in value]
