"""Times and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, from_us, iso, parse_duration_us, parse_time_us, to_us
from thap.kernel.errors import InputError


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_moment_survives_both_ways(moment: datetime) -> None:
    us = to_us(moment)
    assert from_us(us) == moment.replace(tzinfo=UTC)
    assert parse_time_us(iso(us)) == us


@pytest.mark.parametrize(
    ("given_", "us"),
    [
        ("2026-11-22T08:00:00Z", 1795334400_000000),
        ("2026-11-22T15:00:00+07:00", 1795334400_000000),
        ("2026-11-22T08:00:00", 1795334400_000000),
        (1795334400, 1795334400_000000),
        (1795334400.5, 1795334400_500000),
        (1795334400_000, 1795334400_000000),
        (1795334400_000000, 1795334400_000000),
        (1795334400_000000000, 1795334400_000000),
        ("1795334400", 1795334400_000000),
    ],
)
def test_times_are_read_as_people_and_devices_write_them(given_: str | float, us: int) -> None:
    assert parse_time_us(given_) == us


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "nan", "inf", "1e30"])
def test_what_is_no_time_is_a_clear_error(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        parse_time_us(text)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("90s", 90 * SECOND_US),
        ("15 min", 15 * MINUTE_US),
        ("1h30m", 90 * MINUTE_US),
        ("250ms", 250_000),
        ("2d", 48 * HOUR_US),
        ("1w", 168 * HOUR_US),
    ],
)
def test_lengths_of_time(text: str, us: int) -> None:
    assert parse_duration_us(text) == us


@pytest.mark.parametrize("text", ["", "10", "h", "5 parsecs", "1h oops"])
def test_what_is_no_length_is_a_clear_error(text: str) -> None:
    with pytest.raises(InputError, match="is not a length of time"):
        parse_duration_us(text)
