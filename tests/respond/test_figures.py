"""The alarm system's performance figures, on made-up hours whose figures are known by counting."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.detect.detector import Change
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, now_us
from thap.kernel.errors import InputError
from thap.respond.book import AlarmBook
from thap.respond.figures import Figures, Limits, Moment, assess, read_figures

PERIOD = 10 * MINUTE_US


def raises(*times_s: float, alarm: int = 1, severity: int = 1, first: int = 1) -> list[Moment]:
    return [
        Moment(first + i, alarm, "raise", True, severity, int(t * SECOND_US), int(t * SECOND_US))
        for i, t in enumerate(times_s)
    ]


def figures(moments: list[Moment], hours: float = 10, operators: int = 1) -> Figures:
    return assess(moments, [], 0, int(hours * HOUR_US), Limits(operators=operators), {})


def test_a_quiet_day_is_within_every_limit() -> None:
    quiet = figures([m for i in range(24) for m in raises(i * 3600 + 60, alarm=i, first=i)], hours=24)
    assert (quiet.alarms, quiet.periods, quiet.peak.value) == (24, 144, 1)
    assert quiet.average.value == pytest.approx(24 / 144)
    assert quiet.floods == [] and quiet.chattering.value == 0 and quiet.fleeting.value == 0
    for figure in (quiet.average, quiet.peak, quiet.busy_share, quiet.flood_share, quiet.chattering, quiet.stale):
        assert figure.ok


def test_nothing_at_all_has_figures_too() -> None:
    none = figures([])
    assert none.average.value == none.peak.value == none.top_share.value == 0
    assert none.top_share.ok is None and none.priorities["low"].ok is None


def test_a_flood_begins_above_ten_and_ends_below_five() -> None:
    def period(index: int, count: int) -> list[Moment]:
        return raises(*(index * 600 + k for k in range(count)), first=index * 100)

    counts = {3: 10, 5: 11, 6: 5, 7: 10, 8: 4, 9: 12}
    found = figures([m for i, n in counts.items() for m in period(i, n)])
    assert [(f.begin // PERIOD, f.end // PERIOD, f.alarms, f.peak) for f in found.floods] == [
        (5, 8, 26, 11),
        (9, 10, 12, 12),
    ]
    assert found.flood_share.value == 4 / 60 and not found.flood_share.ok
    assert found.busy_share.value == 2 / 60
    assert found.busy_share.rows == [*range(500, 511), *range(900, 912)]
    assert (found.peak.value, found.peak.rows, found.peak.ok) == (12, list(range(900, 912)), False)
    assert figures([m for i, n in counts.items() for m in period(i, n)], operators=2).floods == [], "shared by two"


def test_three_raises_in_a_minute_chatter_and_slower_ones_do_not() -> None:
    nervous = raises(0, 20, 59.9, alarm=1) + raises(0, 30, 60, alarm=2, first=10) + raises(5, 6, alarm=3, first=20)
    found = figures(nervous)
    assert (found.chattering.value, found.chattering.rows, found.chattering.ok) == (1, [1, 2, 3], False)


def test_a_raise_that_clears_within_seconds_is_fleeting() -> None:
    def life(alarm: int, lasted_s: float) -> list[Moment]:
        start = alarm * 100 * SECOND_US
        end = start + int(lasted_s * SECOND_US)
        return [
            Moment(alarm * 10, alarm, "raise", True, 1, start, start),
            Moment(alarm * 10 + 1, alarm, "clear", False, 1, end, end),
        ]

    found = figures(life(1, 9.9) + life(2, 10) + life(3, 0))
    assert found.fleeting.rows == [11, 31]
    assert figures([Moment(1, 1, "clear", False, 1, 5, 5)]).fleeting.value == 0, "raised before the time began"


def test_the_most_frequent_ten_are_named_with_their_share() -> None:
    many = [m for alarm in range(1, 13) for m in raises(*range(0, 3600 * alarm, 3600), alarm=alarm, first=alarm * 100)]
    found = assess(many, [], 0, 24 * HOUR_US, Limits(), {12: ("gate/level", "water.high")})
    assert [(t.alarm, t.count) for t in found.top[:2]] == [(12, 12), (11, 11)]
    assert (found.top[0].source, found.top[0].condition) == ("gate/level", "water.high")
    assert found.top_share.value == pytest.approx((78 - 3) / 78) and found.top_share.ok is False


def test_most_alarms_should_be_of_low_priority() -> None:
    mixed = (
        raises(*range(0, 800_0, 100), severity=1)
        + raises(*range(0, 15_00, 100), severity=2, first=200)
        + raises(*range(0, 500, 100), severity=4, first=300)
    )
    found = figures(mixed)
    assert [(name, f.value, f.ok, f.total) for name, f in found.priorities.items()] == [
        ("low", 0.8, True, 80),
        ("medium", 0.15, True, 15),
        ("high", 0.0, True, 0),
        ("critical", 0.05, False, 5),
    ]


@given(st.lists(st.tuples(st.integers(0, 10 * HOUR_US - 1), st.integers(1, 5), st.booleans()), max_size=200))
def test_shares_are_shares_and_every_figure_opens_to_its_rows(drawn: list[tuple[int, int, bool]]) -> None:
    moments = [Moment(i, alarm, "raise", called, 1 + alarm % 4, t, t) for i, (t, alarm, called) in enumerate(drawn)]
    found = figures(moments)
    called = {m.id for m in moments if m.annunciated}
    assert found.alarms == found.average.total == len(called)
    for figure in (found.busy_share, found.flood_share, found.top_share, *found.priorities.values()):
        assert 0 <= figure.value <= 1
        assert set(figure.rows) <= called and figure.total == len(figure.rows)
    assert sum(f.total for f in found.priorities.values()) == len(called)
    assert found.peak.value == len(found.peak.rows)
    assert found.busy_share.value <= found.flood_share.value


@pytest.mark.parametrize("hours", [0, -1, 10**9])
def test_an_empty_or_endless_time_is_refused(hours: int) -> None:
    with pytest.raises(InputError):
        figures([], hours=hours)


async def test_figures_of_the_book_count_what_called_the_operator(
    book: AlarmBook, change: Callable[..., Change]
) -> None:
    began = now_us()
    events = await book.apply(
        [change("raise", source=f"s{i}/x", severity=1 + i % 2, domain="water") for i in range(12)]
    )
    await book.acknowledge(events[0].alarm, "lan")
    await book.apply([change("escalate", source="s0/x", severity=4), change("downgrade", source="s0/x", severity=3)])
    await book.shelve(events[1].alarm, "lan", now_us() + HOUR_US)
    await book.apply([change("clear", source="s1/x"), change("raise", source="s1/x", time=2_000_000)])
    await book.apply([change("raise", source="other/x", domain="air")])
    found = await read_figures(book._records, began)
    assert found.alarms == 14, "12 raises, a re-alarm, and one of another domain; what was shelved called nobody"
    assert len(found.floods) == 1 and found.stale.value == 0
    assert (await read_figures(book._records, began, domain="air")).alarms == 1
    stale = await read_figures(book._records, began, limits=Limits(stale_us=-HOUR_US))
    assert stale.stale.value == 12 and stale.stale.of == "alarms" and stale.stale.ok is False
    assert found.top[0].source == "s0/x" and found.top[0].count == 2
    with pytest.raises(InputError):
        await read_figures(book._records, began, limits=Limits(operators=0))


def test_a_hundred_thousand_transitions_are_assessed_at_once() -> None:
    rng = random.Random(3)
    times = sorted(rng.uniform(0, 30 * 86_400) for _ in range(100_000))
    assert figures(raises(*times), hours=30 * 24).alarms == 100_000
