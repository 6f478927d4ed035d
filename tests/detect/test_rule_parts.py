"""The parts rules are judged with: limits, schedules, expressions, areas, the order of rows."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from rule_world import observations

from thap.detect.areas import AT_EDGE, INSIDE, OUTSIDE, Area, Fence
from thap.detect.expression import Expression
from thap.detect.limits import Limits, LimitWay
from thap.detect.order import Order
from thap.detect.schedule import NEVER, Schedule
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, VIETNAM, to_us

GRID = [x / 4 for x in range(-8, 33)]
near = st.sampled_from(GRID)


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=VIETNAM))


# ---- limits


@st.composite
def any_limits(draw: st.DrawFn) -> Limits:
    way: LimitWay = draw(st.sampled_from(["above", "below", "outside", "inside"]))
    deadband = draw(st.sampled_from([0.0, 0.25, 0.5]))
    steps = sorted(draw(st.lists(st.sampled_from([4.0, 4.25, 5.0, 6.0]), min_size=1, max_size=3, unique=True)))
    if way == "above":
        return Limits(way, steps, deadband)
    if way == "below":
        return Limits(way, [-s for s in steps], deadband)
    if way == "outside":
        return Limits(way, [(1 - s, s) for s in steps], deadband)
    return Limits(way, [(s - 6, 7 - s) for s in steps], deadband)


@given(any_limits(), st.lists(near, min_size=1, max_size=12))
def test_within_the_quiet_range_of_a_value_the_levels_reached_stay_the_same(limits: Limits, path: list[float]) -> None:
    level = 0
    for value in path:
        level = limits.reached(value, level)
        low, high = limits.band(value, level)
        assert low <= value <= high
        for other in [*GRID, low, high]:
            if low <= other <= high and abs(other) < 1e9:
                assert limits.reached(other, level) == level


@given(any_limits())
def test_nothing_in_the_range_at_rest_reaches_a_level(limits: Limits) -> None:
    low, high = limits.rest()
    assert all(limits.reached(value, 0) == 0 for value in GRID if low <= value <= high)


def test_a_limit_itself_is_reached_and_left_only_beyond_the_deadband() -> None:
    above = Limits("above", [2.0], 0.5)
    assert [above.reached(*given) for given in ((1.99, 0), (2.0, 0), (1.5, 1), (1.49, 1))] == [0, 1, 1, 0]
    inside = Limits("inside", [(1.0, 2.0)], 0.5)
    assert [inside.reached(1.0, 0), inside.reached(2.5, 1), inside.reached(2.51, 1)] == [1, 1, 0]


# ---- schedules


@pytest.mark.parametrize(
    ("schedule", "moment", "open_", "end"),
    [
        (Schedule(("05:00-19:00",)), "2026-05-01T05:00", True, "2026-05-01T19:00"),
        (Schedule(("05:00-19:00",)), "2026-05-01T19:00", False, "2026-05-02T05:00"),
        (Schedule(("19:00-05:00",)), "2026-05-01T23:59", True, "2026-05-02T05:00"),
        (Schedule(("19:00-05:00",)), "2026-05-01T05:00", False, "2026-05-01T19:00"),
        (Schedule(("22:00-24:00",)), "2026-05-01T23:00", True, "2026-05-02T00:00"),
        (Schedule(("22:00-06:00",), ("fri",)), "2026-05-02T05:59", True, "2026-05-02T06:00"),  # a Saturday
        (Schedule(("22:00-06:00",), ("fri",)), "2026-05-01T05:59", False, "2026-05-01T22:00"),
        (Schedule((), ("sat", "sun")), "2026-05-02T00:00", True, "2026-05-04T00:00"),
        (Schedule((), (), ("12-01..06-30",)), "2026-12-31T12:00", True, "2027-07-01T00:00"),
        (Schedule((), (), ("12-01..06-30",)), "2026-07-01T00:00", False, "2026-12-01T00:00"),
        (Schedule((), (), ("02-29..02-29",)), "2026-05-01T00:00", False, "2028-02-29T00:00"),
    ],
)
def test_a_schedule_is_open_when_it_says_and_knows_when_that_ends(
    schedule: Schedule, moment: str, open_: bool, end: str
) -> None:
    assert schedule.open(at(moment)) is open_
    assert schedule.segment(at(moment)) == (open_, at(moment), at(end))


def test_a_schedule_without_bounds_is_always_open() -> None:
    assert Schedule().segment(at("2026-05-01T00:00")) == (True, at("2026-05-01T00:00"), NEVER)


_spans = st.lists(
    st.tuples(st.integers(0, 23), st.integers(0, 23))
    .filter(lambda s: s[0] != s[1])
    .map(lambda s: f"{s[0]:02}:00-{s[1]:02}:30"),
    max_size=2,
)
_days = st.lists(st.sampled_from(["mon", "wed", "sun"]), max_size=2, unique=True)


@settings(max_examples=50)
@given(_spans, _days, st.integers(0, 10_000))
def test_between_two_edges_a_schedule_never_changes(hours: list[str], days: list[str], offset: int) -> None:
    schedule = Schedule(tuple(hours), tuple(days))
    start = at("2026-05-01T00:00") + offset * MINUTE_US
    state, _, end = schedule.segment(start)
    for step in range(0, min(end, start + 8 * 24 * HOUR_US) - start, 7 * MINUTE_US):
        assert schedule.open(start + step) is state
    if end < NEVER:
        assert schedule.open(end) is not state


# ---- expressions


_names = st.sampled_from("abc")
_numbers = st.recursive(
    st.integers(0, 4).map(str) | _names,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-{t}"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
    ),
    max_leaves=4,
)
_comparisons = st.tuples(_numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _numbers).map(" ".join)
_conditions = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"(not {t})"),
    ),
    max_leaves=5,
).filter(lambda t: any(name in t for name in ("a", "b", "c")))
_some = st.fixed_dictionaries({name: st.integers(-1, 5).map(float) for name in "abc"})


def _expression(text: str) -> Expression | None:
    try:
        return Expression(text)
    except ValueError:
        return None  # no name in it but in a word


@given(_conditions, _some)
def test_with_all_values_known_a_condition_means_what_python_means(text: str, values: dict[str, float]) -> None:
    condition = _expression(text)
    if condition is None:
        return
    try:
        expected = eval(text, {"max": max}, dict(values))
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            condition(values)
        return
    assert condition(values) is expected


@given(_conditions, _some, _some, st.sets(_names))
def test_what_a_condition_needs_decides_it_whatever_the_rest_becomes(
    text: str, values: dict[str, float], others: dict[str, float], unknown: set[str]
) -> None:
    condition = _expression(text)
    if condition is None:
        return
    known = {name: None if name in unknown else value for name, value in values.items()}
    try:
        truth, needed = condition.why(known)
        if truth is None:
            return
        for name, value in others.items():
            if name in needed:
                low, high = condition.band(name, values[name])
                known[name] = value if low <= value <= high else values[name]
            else:
                known[name] = value
        assert condition(known) is truth
    except ZeroDivisionError:
        return


def test_what_is_not_known_makes_unknown_only_what_needs_it() -> None:
    condition = Expression("a > 1 or b > 2")
    assert condition({"a": 5.0, "b": None}) is True
    assert condition({"a": 0.0, "b": None}) is None
    assert Expression("not a > 1")({"a": None}) is None


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a >",
        "a > b.c",
        "a[0] > 1",
        "f(a) > 1",
        "a > 'x'",
        "a is b",
        "a in b",
        "(lambda: a) > 1",
        "a > 1 if b else c",
        "a ** 2 > 1",
        "abs(a, b) > 1",
        "max(a) > 1",
        "a > True",
        "1 > 0",
        "",
        "a > 1e999",
        "-" * 2000 + "a > 1",
        "(" * 300 + "a > 1",
        "a > 1 and",
        "a := 1",
        "min(*a) > 1",
        "a > 1; b",
    ],
)
def test_anything_but_a_condition_over_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Expression(text)


# ---- areas


def test_the_strip_of_the_hysteresis_is_as_wide_as_it_says() -> None:
    square = shapely.box(105.60, 10.40, 105.61, 10.41)
    fence = Fence([square], 100.0)
    lons, lats, expected = [], [], []
    geod = Geod(ellps="WGS84")
    for distance, zone in ((-50, INSIDE), (-1, INSIDE), (1, AT_EDGE), (99, AT_EDGE), (101, OUTSIDE), (5000, OUTSIDE)):
        lon, lat, _ = geod.fwd(105.61, 10.405, 90, distance)
        lons.append(lon)
        lats.append(lat)
        expected.append(zone)
    assert fence.classify(np.array(lons), np.array(lats)).tolist() == expected


def test_a_circle_is_round_on_the_ground() -> None:
    fence = Fence([Area.parse({"lon": 12.0, "lat": 56.0, "radius_m": 2000}).resolve(None)], 0.0)
    geod = Geod(ellps="WGS84")
    for azimuth in range(0, 360, 15):
        for distance, zone in ((1985, INSIDE), (2015, OUTSIDE)):
            lon, lat, _ = geod.fwd(12.0, 56.0, azimuth, distance)
            assert fence.classify(np.array([lon]), np.array([lat])).tolist() == [zone], azimuth


def test_nothing_outside_the_box_of_a_fence_is_in_it_or_at_its_edge() -> None:
    fence = Fence([shapely.box(105.60, 10.40, 105.61, 10.41), (105.65, 10.42, 300.0)], 120.0)
    random = np.random.default_rng(1)
    lon, lat = random.uniform(105.5, 105.7, 20_000), random.uniform(10.3, 10.5, 20_000)
    west, south, east, north = fence.box
    beyond = (lon < west) | (lon > east) | (lat < south) | (lat > north)
    found = fence.classify(lon, lat)
    assert (found[beyond] == OUTSIDE).all()
    assert {INSIDE, OUTSIDE, AT_EDGE} == set(found.tolist())


# ---- the order of rows


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), min_size=1, max_size=40),
    st.sampled_from([0, 3]),
    st.sets(st.integers(0, 40), max_size=5),
)
def test_rows_are_judged_once_and_in_order_of_time_and_the_rest_is_counted(
    rows: list[tuple[int, int]], lateness: int, cuts: set[int]
) -> None:
    order = Order(4, np.ones(4, bool), lateness * SECOND_US)
    judged: list[tuple[int, int, float]] = []
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for begin, end in pairwise(bounds):
        part = rows[begin:end]
        batch = observations(
            [(s, t, i) for i, (s, t) in enumerate(part, begin)], received=range(begin, end), seq=begin + 1
        )
        groups = order.push(batch, np.arange(len(part)))
        if groups is not None:
            judged += zip(
                groups.rows.datastream.tolist(),
                groups.rows.time.tolist(),  # type: ignore[union-attr]
                groups.rows.result.tolist(),
                strict=True,
            )  # type: ignore[union-attr]
    if (groups := order.tick(2**60)) is not None:
        judged += zip(
            groups.rows.datastream.tolist(),
            groups.rows.time.tolist(),  # type: ignore[union-attr]
            groups.rows.result.tolist(),
            strict=True,
        )  # type: ignore[union-attr]
    for series in (1, 2, 3):
        times = [time for s, time, _ in judged if s == series]
        assert times == sorted(set(times))
        # What may be judged: whatever is newer than the newest before it less the lateness; the first of equals.
        newest, expected = -1, {}
        for index, (s, time) in enumerate(rows):
            if s == series:
                if (newest < 0 or time > newest - lateness) and time not in expected:
                    expected[time] = index
                newest = max(newest, time)
        assert {int(result) for s, _, result in judged if s == series} == set(expected.values())
    assert len(judged) + order.late + order.duplicates == len(rows)
