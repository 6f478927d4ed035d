"""What may be the same event is suggested, and what is not is left; a comment calls who it names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thap.kernel.clock import DAY_US, HOUR_US
from thap.respond.incidents.duplicates import Closeness, Sketch, likeness, most_like
from thap.respond.incidents.mentions import MOST, mentioned

FIRE = Sketch("Cháy ở chợ Cao Lãnh, khói nhiều", 100 * HOUR_US, "fire", "29869", 105.6336, 10.4560)

sketches = st.builds(
    Sketch,
    text=st.text(max_size=60),
    time=st.integers(0, 10**15),
    domain=st.sampled_from(["", "fire", "sand"]),
    commune=st.sampled_from(["", "29869", "29872"]),
    lon=st.none() | st.floats(105, 107),
    lat=st.none() | st.floats(9.5, 11),
)


def moved(**more: object) -> Sketch:
    return Sketch(
        **{
            "text": "hoả hoạn: cháy chợ Cao Lãnh",
            "time": FIRE.time + HOUR_US,
            "domain": "fire",
            "commune": "29869",
            "lon": 105.6340,
            "lat": 10.4562,
            **more,
        }  # type: ignore[arg-type]
    )


def test_the_same_fire_told_by_another_an_hour_later_is_suggested() -> None:
    found = most_like(FIRE, [("b", moved())])
    assert [one.key for one in found] == ["b"]
    assert found[0].words[:3] == ["chay", "lanh", "cao"] or {"chay", "cho", "cao", "lanh"} <= set(found[0].words)
    assert found[0].distance_m is not None
    assert found[0].distance_m < 60


def test_marks_and_capitals_do_not_matter() -> None:
    assert likeness(FIRE, moved(text="CHAY O CHO CAO LANH KHOI NHIEU")).score > 0.9


@pytest.mark.parametrize(
    "other",
    [
        moved(lat=10.5560),
        moved(time=FIRE.time + 8 * DAY_US),
        moved(lon=None, lat=None, commune="29872"),
        moved(text="Sạt lở bờ sông", domain="river", time=FIRE.time + 3 * DAY_US),
        moved(text="", lat=10.47, time=FIRE.time + DAY_US),
    ],
    ids=["ten kilometres away", "a week later", "another commune", "another matter", "no words, far, late"],
)
def test_what_is_far_late_or_about_something_else_is_not(other: Sketch) -> None:
    assert most_like(FIRE, [("b", other)]) == []


def test_without_a_point_the_commune_speaks() -> None:
    assert most_like(FIRE, [("b", moved(lon=None, lat=None))])


def test_the_likest_comes_first_and_no_more_than_asked() -> None:
    others = [(n, moved(lat=10.4562 + n / 1000)) for n in range(10)]
    found = most_like(FIRE, reversed(others), limit=3)
    assert [one.key for one in found] == [0, 1, 2]


def test_how_near_is_near_can_be_chosen() -> None:
    far = moved(lat=10.4900)
    assert not most_like(FIRE, [("b", far)])
    assert most_like(FIRE, [("b", far)], near=Closeness(metres=5000, farthest_m=20_000))


@settings(deadline=None)
@given(one=sketches, other=sketches)
def test_likeness_is_between_0_and_1_and_the_same_both_ways(one: Sketch, other: Sketch) -> None:
    like = likeness(one, other)
    assert 0 <= like.score <= 1
    assert like == likeness(other, one)


@settings(deadline=None)
@given(one=sketches)
def test_nothing_is_more_like_a_thing_than_itself(one: Sketch) -> None:
    if one.text.strip() and one.lon is not None and one.lat is not None and likeness(one, one).words:
        assert likeness(one, one).score == 1.0


@pytest.mark.parametrize(
    ("text", "logins"),
    [
        ("@truc-ban nhờ @Lanh-Dao xem, @truc-ban!", ["truc-ban", "lanh-dao"]),
        ("(@to.truong).", ["to.truong"]),
        ("viết tới a@b.vn, đường dẫn https://x.vn/@ai, x@y@z", []),
        ("@", []),
        ("@-a @_", []),
        ("@" + "a" * 65, []),
        ("@a@b", []),
    ],
)
def test_a_comment_calls_who_it_names_and_an_address_calls_nobody(text: str, logins: list[str]) -> None:
    assert mentioned(text) == logins


def test_a_comment_calls_only_so_many() -> None:
    assert len(mentioned(" ".join(f"@p{n}" for n in range(100)))) == MOST


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_the_search_for_mentions(text: str) -> None:
    assert all(login == login.lower() and len(login) <= 64 for login in mentioned(text))
