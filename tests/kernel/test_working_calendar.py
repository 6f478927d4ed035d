"""Working time: what counts, what does not, and what a calendar file may say."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, VIETNAM, from_us, to_us
from thap.kernel.errors import InputError
from thap.kernel.working_calendar import ROUND_THE_CLOCK, packaged, packaged_text, parse_calendar

CALENDAR = packaged()
MOMENTS = st.integers(to_us(datetime(2020, 1, 1, tzinfo=VIETNAM)), to_us(datetime(2035, 1, 1, tzinfo=VIETNAM)))


def at(text: str) -> int:
    """A moment of Việt Nam's clocks."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=VIETNAM))


def said(us: int) -> str:
    return from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("start", "length", "due"),
    [
        ("2026-11-16 08:00", "2h", "2026-11-16 10:00"),  # Monday
        ("2026-11-16 11:00", "1h", "2026-11-16 14:00"),  # over lunch
        ("2026-11-16 16:00", "2h", "2026-11-17 08:00"),  # over the night
        ("2026-11-20 16:00", "2h", "2026-11-23 08:00"),  # over the weekend
        ("2026-11-23 16:00", "2h", "2026-11-25 08:00"),  # 24/11 is a holiday from 2026
        ("2025-11-21 16:00", "9h", "2025-11-24 17:00"),  # and was none in 2025
        ("2026-02-13 16:00", "2h", "2026-02-23 08:00"),  # Tết: a week and two weekends
        ("2026-04-24 16:00", "2h", "2026-04-28 08:00"),  # 26/4 is a Sunday, 27/4 in lieu
        ("2026-11-21 09:00", "1h", "2026-11-23 08:00"),  # begins on a Saturday
        ("2026-11-16 05:00", "3d", "2026-11-18 17:00"),  # three working days end when the third does
        ("2026-11-16 10:00", "3d", "2026-11-19 10:00"),
        ("2026-11-16 10:00", "1w", "2026-11-23 10:00"),
        ("2026-12-31 16:00", "2h", "2027-01-04 08:00"),  # New Year comes back every year
    ],
)
def test_a_deadline_counts_only_open_hours(start: str, length: str, due: str) -> None:
    assert said(CALENDAR.add(at(start), CALENDAR.length(length))) == due


def test_around_the_clock_every_hour_counts() -> None:
    start = at("2026-02-17 23:00")
    assert said(ROUND_THE_CLOCK.add(start, ROUND_THE_CLOCK.length("3h"))) == "2026-02-18 02:00"
    assert ROUND_THE_CLOCK.between(start, start + HOUR_US) == HOUR_US


@given(MOMENTS, st.integers(0, 400 * HOUR_US))
def test_between_undoes_add(start: int, length: int) -> None:
    due = CALENDAR.add(start, length)
    assert CALENDAR.between(start, due) == length
    assert CALENDAR.between(due, start) == -length


@given(MOMENTS, st.integers(1, 100 * HOUR_US), st.integers(1, 100 * HOUR_US))
def test_a_deadline_reached_in_two_stretches_is_the_same(start: int, first: int, second: int) -> None:
    assert CALENDAR.add(CALENDAR.add(start, first), second) == CALENDAR.add(start, first + second)


@given(MOMENTS, st.integers(0, 20 * DAY_US), st.integers(0, 20 * DAY_US))
def test_counted_time_adds_up(start: int, a: int, b: int) -> None:
    whole = CALENDAR.between(start, start + a + b)
    assert whole == CALENDAR.between(start, start + a) + CALENDAR.between(start + a, start + a + b)
    assert 0 <= whole <= a + b


def test_nothing_counted_ends_where_it_begins() -> None:
    sunday = at("2026-11-22 10:00")
    assert CALENDAR.add(sunday, 0) == sunday


def test_a_swap_day_is_worked_though_it_is_a_saturday() -> None:
    text = packaged_text() + '\n[[worked]]\nday = "2026-11-21"\nlike = "fri"\n'
    swapped = parse_calendar(text)
    assert said(swapped.add(at("2026-11-20 16:00"), 2 * HOUR_US)) == "2026-11-21 08:00"
    assert swapped.open_at(at("2026-11-21 07:00")) and not CALENDAR.open_at(at("2026-11-21 07:00"))
    own = parse_calendar(text.replace('like = "fri"', 'hours = ["08:00-12:00"]'))
    assert said(own.add(at("2026-11-20 17:00"), 4 * HOUR_US)) == "2026-11-21 12:00"


def test_the_holidays_of_2026_are_those_of_the_notice() -> None:
    days = [day.strftime("%d/%m") for day, _ in CALENDAR.closed_days(2026)]
    assert days == [
        "01/01",
        "16/02",
        "17/02",
        "18/02",
        "19/02",
        "20/02",
        "26/04",
        "27/04",
        "30/04",
        "01/05",
        "01/09",
        "02/09",
        "24/11",
    ]
    assert CALENDAR.knows(at("2026-12-31 23:59")) and not CALENDAR.knows(at("2027-01-01 00:00"))
    assert (date(2025, 11, 24), "Ngày Văn hóa Việt Nam") not in CALENDAR.closed_days(2025)


def test_a_working_day_is_eight_hours_and_a_length_must_be_one() -> None:
    assert (CALENDAR.day_us, CALENDAR.week_us) == (8 * HOUR_US, 40 * HOUR_US)
    assert CALENDAR.length("1d 30m") == 8 * HOUR_US + 30 * MINUTE_US
    for wrong in ("", "soon", "3 days", "0h", "-1h", "9999w"):
        with pytest.raises(InputError):
            CALENDAR.length(wrong)
    with pytest.raises(InputError):
        ROUND_THE_CLOCK.length("0s")


@pytest.mark.parametrize("length", [-1, 4000 * DAY_US])
def test_a_deadline_beyond_reason_is_refused(length: int) -> None:
    for calendar in (CALENDAR, ROUND_THE_CLOCK):
        with pytest.raises(InputError, match="ten years"):
            calendar.add(at("2026-11-16 08:00"), length)
    with pytest.raises(InputError, match="hundred years"):
        CALENDAR.between(0, to_us(datetime(9999, 1, 1, tzinfo=VIETNAM)))


HOURS = '[hours]\nmon = ["08:00-12:00"]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hours = [", "not valid TOML"),
        ("", "no weekday is worked"),
        ("[hours]\nmonday = []", "'monday' is not a weekday"),
        ('[hours]\nmon = ["8-12"]', "'8-12' is not a stretch"),
        ('[hours]\nmon = ["12:00-08:00"]', "ends before it begins"),
        ('[hours]\nmon = ["08:00-12:00", "11:00-17:00"]', "begins before"),
        ('[hours]\nmon = "08:00-12:00"', "hours are a list"),
        (HOURS + '[[holiday]]\nday = "31/12"', "'31/12' is not a day"),
        (HOURS + '[[holiday]]\nday = "13-40"', "is not a day"),
        (HOURS + '[[holiday]]\nday = "2026-02-20"\nuntil = "2026-02-16"', "`until` is the last day"),
        (HOURS + '[[worked]]\nday = "2026-02-20"\nlike = "today"', "'today' is not a weekday"),
        ("complete = [0]\n" + HOURS, "0 is not a year"),
        ("complete = 2026\n" + HOURS, "list of years"),
        ("holidays = []\n" + HOURS, "'holidays' is not part"),
        ("holiday = 3\n" + HOURS, "double brackets"),
        ("hours = 3", "is a table"),
    ],
)
def test_a_calendar_that_does_not_hold_together_says_where(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        parse_calendar(text, "own.toml")
    assert raised.value.where is not None and raised.value.where.startswith("own.toml")
