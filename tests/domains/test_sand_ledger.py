"""Quantities: estimates with their band, limits, forecasts, and the declared book beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.detect.detector import Action, Severity
from thap.domains.sand.declared import parse_period, read_declared
from thap.domains.sand.ledger import Declared, Factors, Load, compare, estimate, forecast, used_by_period
from thap.domains.sand.ledger_records import account_of
from thap.domains.sand.model import Kind
from thap.domains.sand.over import over_changes
from thap.domains.sand.records import Kept
from thap.kernel.errors import InputError

FACTORS = Factors(fill=0.9)
POLYGON = {"type": "Polygon", "coordinates": [[[105.6, 10.45], [105.61, 10.45], [105.61, 10.46], [105.6, 10.45]]]}


def kept(**more: object) -> Kept:
    body = {"number": "1/GP", "name": "Mỏ Một", "geometry": POLYGON, **more}
    return Kept(7, "licence", "1-gp", "", 1, False, body, 0, "")


def loads(days: int, trips: int, hold: float = 400, start: int = 1) -> list[Load]:
    return [Load(f"v{at % 3}", f"2026-11-{day:02d}", hold) for day in range(start, start + days) for at in range(trips)]


def test_the_band_holds_the_truth_nine_times_in_ten() -> None:
    """2,000 months drawn from the model itself: 60 trips of three vessels, with all its errors."""
    rng = np.random.default_rng(5)
    month = loads(20, 3)
    told = estimate(month, FACTORS)
    inside = 0
    for _ in range(2000):
        mean = FACTORS.fill + rng.normal(0, FACTORS.fill_error)
        holds = {f"v{at}": 400 * (1 + rng.normal(0, FACTORS.hold_error)) for at in range(3)}
        truth = sum(holds[one.vessel] * (mean + rng.normal(0, FACTORS.fill_spread)) for one in month)
        inside += told.low_m3 <= truth <= told.high_m3
    assert 0.87 < inside / 2000 < 0.93
    assert told.m3 == pytest.approx(60 * 400 * 0.9)


@given(st.lists(st.tuples(st.floats(50, 900), st.floats(0, 1)), max_size=40))
def test_the_estimate_lies_in_its_band_and_more_trips_never_lessen_it(trips: list[tuple[float, float]]) -> None:
    some = [Load("a", "2026-11-01", hold, sure) for hold, sure in trips]
    told = estimate(some, FACTORS)
    assert 0 <= told.low_m3 <= told.m3 <= told.high_m3
    more = estimate([*some, Load("b", "2026-11-01", 100)], FACTORS)
    assert more.m3 > told.m3 and more.high_m3 >= told.high_m3


def test_an_unmeasured_hold_counts_with_a_wide_band() -> None:
    known, unknown = estimate([Load("a", "2026-11-01", 300)], FACTORS), estimate([Load("a", "2026-11-01")], FACTORS)
    assert known.m3 == unknown.m3 and unknown.unmeasured == 1
    assert unknown.high_m3 - unknown.low_m3 > 3 * (known.high_m3 - known.low_m3)


def test_periods_are_those_of_the_calendar_and_what_was_taken_before_counts_in_all() -> None:
    some = [Load("a", day, 100) for day in ("2025-12-31", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03")]
    used = used_by_period(some, Factors(fill=1), "2026-11-02", before_m3=1000)
    assert {name: amount.m3 for name, amount in used.items()} == {"day": 100, "month": 200, "year": 300, "total": 1400}


def test_the_forecast_goes_by_the_pace_of_the_latest_days() -> None:
    told = forecast(loads(20, 2, 500), Factors(fill=1), "2026-11-21", 30_000)
    assert told is not None and told.rate_m3 == 1000 and told.left_m3 == 10_000
    assert told.day == "2026-12-01" and told.early is not None and told.late is not None
    assert told.early < told.day < told.late
    assert forecast(loads(20, 2, 500), Factors(fill=1), "2026-11-21", None) is None
    used_up = forecast(loads(20, 2, 500), Factors(fill=1), "2026-11-21", 15_000)
    assert used_up is not None and used_up.day == "2026-11-21"


def test_declared_months_are_compared_by_month_and_days_by_day() -> None:
    some = loads(2, 2, 100)
    said = [Declared("2026-11-01", 150.0), Declared("2026-11-05", 80.0), Declared("2026-10", 5000.0)]
    days = {one.period: one for one in compare(some, Factors(fill=1), said)}
    assert days["2026-11-01"].difference_m3 == 50 and days["2026-11-05"].estimated.m3 == 0
    months = {one.period: one for one in compare(some, Factors(fill=1), said, by="month")}
    assert months["2026-10"].declared_m3 == 5000 and months["2026-11"].declared_m3 == 230
    assert months["2026-10"].beyond_doubt and days["2026-11-02"].difference_m3 is None


@pytest.mark.parametrize(
    ("text", "period"),
    [("30/11/2026", "2026-11-30"), ("11/2026", "2026-11"), ("tháng 11 năm 2026", "2026-11"), ("2026-11", "2026-11")],
)
def test_a_period_is_a_day_or_a_month(text: str, period: str) -> None:
    assert parse_period(text) == period
    with pytest.raises(ValueError, match="no day"):
        parse_period("quý 3")


def test_a_declared_book_names_its_licence_by_number_or_mine_and_its_sum_is_no_line() -> None:
    text = (
        "Mỏ;Ngày;Khối lượng (m3);Số chuyến\n1/GP;01/11/2026;1.200,5;3\nMỏ Một;02/11/2026;900;2\nTổng cộng;;2.100,5;\n"
    )
    found = read_declared(text.encode(), "sổ", [kept()])
    assert [(one.declared.period, one.declared.m3, one.declared.trips) for one in found.lines] == [
        ("2026-11-01", 1200.5, 3), ("2026-11-02", 900.0, 2),
    ]  # fmt: skip
    wrong = read_declared(b"licence;date;m3\n9/GP;01/11/2026;5\n1/GP;x;y\n", "s", [kept()])
    assert [(one.row, one.code) for one in wrong.faults] == [(2, "unknown_licence"), (3, "bad_day"), (3, "bad_number")]
    with pytest.raises(InputError, match="no column for licence"):
        read_declared(b"date;m3\n01/11/2026;5\n", "s", [kept()])
    assert len(read_declared(b"date;m3\n01/11/2026;5\n", "s", [kept()], "1-gp").lines) == 1


def test_over_the_quantity_is_raised_once_escalated_and_cleared() -> None:
    licence = kept(day_m3=700)
    source = ("licence:1-gp", str(Kind.OVER_DAY))

    def changes(
        trips: int, active: dict[tuple[str, str], int], today: str = "2026-11-01"
    ) -> list[tuple[Action, Severity]]:
        account = account_of(licence, loads(1, trips), [], Factors(fill=1), today)
        made = over_changes([account], active, Factors(fill=1), 5, 3)
        assert all((one.source, one.condition) == source and one.domain == "sand" for one in made)
        return [(one.action, one.severity) for one in made]

    assert changes(1, {}) == []
    assert changes(2, {}) == [(Action.RAISE, Severity.MEDIUM)]  # 800: over, but the band reaches below
    assert changes(2, {source: 2}) == []
    assert changes(4, {source: 2}) == [(Action.ESCALATE, Severity.HIGH)]
    assert changes(4, {source: 3}, "2026-11-02") == [(Action.CLEAR, Severity.HIGH)]
    assert [one.action for one in over_changes([], {source: 3}, FACTORS, 5, 3)] == [Action.CLEAR]
