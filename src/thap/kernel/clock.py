"""Time: whole microseconds since 1970-01-01T00:00Z, in an `int`, everywhere below the screen."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone

from thap.kernel.errors import InputError

__all__ = [
    "DAY_US",
    "HOUR_US",
    "MINUTE_US",
    "SECOND_US",
    "VIETNAM",
    "from_us",
    "iso",
    "now_us",
    "parse_duration_us",
    "parse_time_us",
    "to_us",
]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
VIETNAM = timezone(timedelta(hours=7), "+07")
"""Việt Nam has kept UTC+7 without daylight saving since 1975."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_UNIT_US = {"ms": 1000, "s": SECOND_US, "m": MINUTE_US, "min": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}


def now_us() -> int:
    """The wall clock."""
    return time.time_ns() // 1000


def to_us(moment: datetime) -> int:
    """An aware datetime as microseconds; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Microseconds as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=us)


def iso(us: int) -> str:
    """Microseconds as ISO 8601 in UTC with a `Z`, milliseconds shown only where they are not zero."""
    moment = from_us(us)
    spec = "microseconds" if us % 1000 else ("milliseconds" if us % SECOND_US else "seconds")
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_time_us(value: str | float | datetime) -> int:
    """A moment as microseconds.

    Takes ISO 8601 (no offset means UTC), or Unix time as a number: seconds, or milliseconds,
    microseconds, nanoseconds told apart by size (seconds below 1e11, and so on by thousands).

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, datetime):
        return to_us(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            return to_us(datetime.fromisoformat(text))
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise InputError(f"{value!r} is not a time", hint="write ISO 8601, as 2026-11-22T08:00:00Z") from None
    number = float(value)
    if not abs(number) < 1e20:
        raise InputError(f"{value!r} is not a time")
    size = abs(number)
    scale = 1e6 if size < 1e11 else 1e3 if size < 1e14 else 1.0 if size < 1e17 else 1e-3
    return round(number * scale)


def parse_duration_us(text: str) -> int:
    """A length of time such as `90s`, `15 min`, `2h`, `1h30m`, `30d` or `1w`, as microseconds.

    Raises:
        InputError: it is not one.
    """
    compact = text.strip().lower()
    parts = _DURATION.findall(compact)
    if not parts or _DURATION.sub("", compact).strip():
        raise InputError(f"{text!r} is not a length of time", hint="write 30s, 15m, 2h or 7d")
    return round(sum(float(number) * _UNIT_US[unit] for number, unit in parts))
