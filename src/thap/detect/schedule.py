"""When a rule is in force: hours of the day, days of the week, seasons, on Vietnamese clocks."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from thap.kernel.clock import DAY_US, MINUTE_US, from_us

__all__ = ["NEVER", "Schedule", "Segment"]

NEVER = 2**63 - 1
"""A time that does not come."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*[-–]\s*([01]\d|2[0-4]):([0-5]\d)")
_SEASON = re.compile(r"(\d\d)-(\d\d)\s*\.\.\s*(\d\d)-(\d\d)")
_OFFSET_US = 7 * 60 * MINUTE_US


class Segment(NamedTuple):
    """A stretch of time in which the schedule does not change."""

    open: bool
    begin: int
    end: int


class Schedule:
    """Hours, weekdays and seasons, all of which must hold. Immutable but for a cache.

    A span of hours that passes midnight belongs to the day on which it begins: `fri` with `22:00-06:00` is
    in force until Saturday 06:00.

    Args:
        hours: spans as `05:00-19:00`; none means the whole day. `24:00` may end one.
        weekdays: `mon` … `sun`; none means all.
        seasons: spans of dates as `08-15..11-30`, both ends counted, which may pass New Year; none means all.

    Raises:
        ValueError: a span is not written like that.
    """

    def __init__(
        self, hours: tuple[str, ...] = (), weekdays: tuple[str, ...] = (), seasons: tuple[str, ...] = ()
    ) -> None:
        self._hours = tuple(parse_hours(text) for text in hours) or ((0, 1440),)
        self._weekdays = frozenset(WEEKDAYS.index(day) for day in weekdays) or frozenset(range(7))
        self._seasons = tuple(parse_season(text) for text in seasons)
        self._marks = sorted({0, *(minute % 1440 for span in self._hours for minute in span)})
        self._latest = Segment(False, 0, 0)

    def open(self, time: int) -> bool:
        """Whether the rule is in force at a time, µs."""
        day, minute = divmod((time + _OFFSET_US) // MINUTE_US, 1440)
        for begin, end in self._hours:
            if begin < end:
                if begin <= minute < end and self._on(day):
                    return True
            elif (minute >= begin and self._on(day)) or (minute < end and self._on(day - 1)):
                return True
        return False

    def segment(self, time: int) -> Segment:
        """The stretch around a time; `end` is NEVER where nothing changes for the next five years."""
        if self._latest.begin <= time < self._latest.end:
            return self._latest
        self._latest = Segment(self.open(time), time, self._edge(time))
        return self._latest

    def _edge(self, time: int) -> int:
        """The next moment after a time at which it opens or closes."""
        state = self.open(time)
        day = (time + _OFFSET_US) // DAY_US
        for number in range(day, day + 5 * 366):
            for minute in self._marks:
                edge = number * DAY_US + minute * MINUTE_US - _OFFSET_US
                if edge > time and self.open(edge) is not state:
                    return edge
        return NEVER

    def _on(self, day: int) -> bool:
        """Whether days of the week and seasons allow a day, counted from 1970-01-01."""
        if (day + 3) % 7 not in self._weekdays:
            return False
        if not self._seasons:
            return True
        local = from_us(day * DAY_US)
        here = (local.month, local.day)
        return any(
            first <= here <= last if first <= last else (here >= first or here <= last) for first, last in self._seasons
        )


def parse_hours(text: str) -> tuple[int, int]:
    """`05:00-19:00` as minutes of the day.

    Raises:
        ValueError: it is not written like that, or is empty.
    """
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a span of hours; write 05:00-19:00")
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin == end or max(begin, end) > 1440 or begin == 1440:
        raise ValueError(f"{text!r} is not a span of hours; write 05:00-19:00")
    return begin, end


def parse_season(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """`08-15..11-30` as ((8, 15), (11, 30)).

    Raises:
        ValueError: it is not written like that, or a date does not exist.
    """
    match = _SEASON.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a season; write month-day..month-day, as 08-15..11-30")
    first, last = (int(match[1]), int(match[2])), (int(match[3]), int(match[4]))
    for month, day in (first, last):
        try:
            date(2024, month, day)
        except ValueError:
            raise ValueError(f"{text!r} is not a season: there is no {month:02}-{day:02}") from None
    return first, last
