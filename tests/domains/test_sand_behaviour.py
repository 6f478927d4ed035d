"""What vessels do, and what of it is told: by tracks whose meaning is plain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sand_tracks import BARGE, DREDGER, LAT, LON, MIDNIGHT, STRANGER, Track, book, box, raised, run

from thap.domains.sand.model import Licence, StayKind
from thap.domains.sand.room import grown, kept, restored
from thap.domains.sand.tracks import Tracks
from thap.kernel.clock import DAY_US, MINUTE_US


def kinds(found: Any, key: str) -> list[StayKind]:
    return [stay.kind for stay in found.stays if stay.vessel == key]


def at_work(hour: float, minutes: float, x: float = 0, y: float = 0, key: str = DREDGER, **more: Any) -> Track:
    """Comes from the east, works, and leaves again."""
    return Track(key, hour, **more).still(5, 2000, y).go(x + 100, y).work(minutes, x, y).go(2000, y).still(3, 2000, y)


# What is dredging


def test_work_in_the_mine_in_its_hours_is_dredging_and_no_violation() -> None:
    found = run([at_work(8, 50)])
    assert StayKind.DREDGING in kinds(found, DREDGER) and raised(found) == []
    stay = next(one for one in found.stays if one.kind is StayKind.DREDGING)
    assert stay.licence == 1 and stay.distance_m == 0
    assert abs((stay.end - stay.begin) / MINUTE_US - 50) < 5


@pytest.mark.parametrize("kind", ["", "cargo", "dredger"])
def test_a_vessel_made_fast_or_at_anchor_in_the_mine_does_not_dredge(kind: str) -> None:
    for track in (Track(STRANGER, 8, kind).still(150, 0, 0), Track(STRANGER, 8, kind).swing(150, 50, 50)):
        found = run([track])
        assert StayKind.DREDGING not in kinds(found, STRANGER) and raised(found) == []


def test_a_vessel_that_tells_no_speed_is_judged_by_its_track() -> None:
    assert StayKind.DREDGING in kinds(run([at_work(8, 50, sog=False)]), DREDGER)
    assert StayKind.DREDGING not in kinds(run([Track(DREDGER, 8, sog=False).still(120, 0, 0)]), DREDGER)


@pytest.mark.parametrize("kind", ["passenger", "pilot", "rescue"])
def test_a_ferry_or_a_pilot_that_works_in_front_of_a_quay_does_not_dredge(kind: str) -> None:
    assert raised(run([at_work(8, 60, key=STRANGER, kind=kind)])) == []


def test_a_slow_passage_through_the_mine_is_no_dredging() -> None:
    track = Track(STRANGER, 8).still(5, -2000, 0)
    found = run([track.go(2000, 30, 2.6)])
    assert StayKind.DREDGING not in kinds(found, STRANGER) and raised(found) == []


def test_work_for_ten_minutes_is_too_short_to_be_told() -> None:
    assert raised(run([at_work(8, 10, key=STRANGER)])) == []


# What is not allowed


def test_work_beyond_the_tolerance_is_outside_and_work_within_it_is_not() -> None:
    assert raised(run([at_work(8, 45, x=285)])) == [("sand.dredging_outside", DREDGER)]
    near = Track(DREDGER, 8).still(5, 2000, 0).go(300, 0).work(45, 203, 0, 15).go(2000, 0).still(3, 2000, 0)
    assert raised(run([near])) == []


def test_an_hour_later_it_has_ended_when_the_vessel_left() -> None:
    found = run([at_work(8, 45, x=400)])
    told = [one.violation for one in found.changes]
    assert [one.end is None for one in told] == [True, False]
    assert told[0].begin == told[1].begin and told[1].end is not None
    assert 40 < (told[1].end - told[1].begin) / MINUTE_US < 50
    assert told[0].numbers["distance_m"] > 150 and len(told[0].positions) > 10


def test_work_four_minutes_over_the_hour_is_told_and_one_minute_over_is_not() -> None:
    def until(minute: float) -> list[tuple[str, str]]:
        track = Track(DREDGER, 17.9).still(5, 2000, 0).go(100, 0)
        left = 19 * 60 + minute - track.at / 60
        return raised(run([track.work(left, 0, 0).go(2000, 0).still(3, 2000, 0)]))

    assert until(5) == [("sand.dredging_at_night", DREDGER)]
    assert until(1) == [] == until(-5)


def test_work_that_begins_before_the_hour_counts_although_it_is_known_only_after() -> None:
    track = Track(DREDGER, 4.6).still(5, 2000, 0).go(100, 0)
    found = run([track.work(5 * 60 + 25 - track.at / 60, 0, 0).go(2000, 0).still(3, 2000, 0)])
    assert raised(found) == [("sand.dredging_at_night", DREDGER)]


def test_a_vessel_not_on_the_licence_is_told() -> None:
    assert raised(run([at_work(8, 40, key=STRANGER)])) == [("sand.dredging_unlisted", STRANGER)]


def test_a_licence_names_vessels_as_people_write_them() -> None:
    licence = replace(book().licences[0], vessels=frozenset({"ĐT-12 345"}))
    what = book(licences=(licence,), vessels={})
    assert raised(run([at_work(8, 40, key=STRANGER)], what)) == [("sand.dredging_unlisted", STRANGER)]


@pytest.mark.parametrize(("begin", "end"), [(-20, -1), (1, 20)])
def test_a_licence_that_ended_or_has_not_begun_is_told(begin: int, end: int) -> None:
    licence = replace(
        book().licences[0], valid_from=MIDNIGHT + begin * DAY_US, valid_to=MIDNIGHT + end * DAY_US + DAY_US // 24
    )
    if end == -1:
        licence = replace(licence, valid_to=MIDNIGHT - DAY_US)
    assert raised(run([at_work(8, 40)], book(licences=(licence,)))) == [("sand.dredging_expired", DREDGER)]


def test_of_an_old_licence_and_its_renewal_the_one_in_force_counts() -> None:
    new = book().licences[0]
    old = replace(new, id=9, number="old", valid_to=MIDNIGHT - DAY_US)
    for pair in ((old, new), (new, old)):
        assert raised(run([at_work(8, 40)], book(licences=pair))) == []


def test_work_in_a_forbidden_zone_and_too_near_the_bank_are_told() -> None:
    in_zone = run([at_work(8, 40, y=2050)])
    assert {condition for condition, _ in raised(in_zone)} == {"sand.dredging_forbidden", "sand.dredging_outside"}
    big = Licence(1, "big", "", box(-2000, -2000, 2000, 2000))
    near = run([at_work(8, 40, y=-850)], book(licences=(big,)))
    assert raised(near) == [("sand.dredging_near_bank", DREDGER)]
    assert raised(run([at_work(8, 40, y=-760)], book(licences=(big,)))) == []


def others(hours: tuple[float, float]) -> list[Track]:
    """Vessels that keep the clock of the stream going."""
    return [
        Track(f"mmsi-57499900{n}", hours[0], "cargo").still((hours[1] - hours[0]) * 60, 9000 + 500 * n, 9000)
        for n in range(6)
    ]


def test_silence_in_the_mine_is_told_after_a_quarter_of_an_hour_and_a_short_gap_is_not() -> None:
    track = Track(DREDGER, 8).work(40, 0, 0).quiet(30).work(20, 0, 0)
    found = run([track, *others((8, 9.5))])
    assert raised(found) == [("sand.mine_silent", DREDGER)]
    assert [one.violation.end is None for one in found.changes] == [True, False]
    short = Track(DREDGER, 8).work(40, 0, 0).quiet(11).work(20, 0, 0)
    assert raised(run([short, *others((8, 9.2))])) == []
    assert raised(run([track])) == [("sand.mine_silent", DREDGER)]


def test_when_the_whole_stream_stands_still_nobody_is_silent() -> None:
    tracks = [Track(DREDGER, 8).work(40, 0, 0).quiet(60).work(20, 0, 0)]
    tracks += [
        Track(f"mmsi-57499900{n}", 8, "cargo").still(40, 9000 + 500 * n, 0).quiet(60).still(20, 9000 + 500 * n, 0)
        for n in range(6)
    ]
    assert ("sand.mine_silent", DREDGER) not in raised(run(tracks))


# Loads


def barge(where: tuple[float, float], minutes: float = 60) -> list[Track]:
    dredger = Track(DREDGER, 7).work(185, 0, 0)
    lain = [row for row in dredger.rows if 7.6 * 3600 <= row[0] < 8.2 * 3600]
    track = Track(BARGE, 7.2).still(10, 2500, 300).go(40, 0)
    track.at = lain[0][0]
    for _, x, y, _ in lain:
        track._put(x + 30, y + 10, 0.4)
    track.go(*where)
    track.still(minutes, *where).go(where[0] + 800, where[1])
    return [dredger, track, *others((7, 10))]


def test_a_barge_that_loads_beside_a_dredger_and_lies_at_a_wharf_made_a_trip() -> None:
    found = run(barge((2950, 0)))
    [trip] = found.trips
    assert (trip.vessel, trip.dredger, trip.licence, trip.wharf, trip.hold_m3) == (BARGE, DREDGER, 1, 2, 400.0)
    assert trip.load_begin < trip.load_end < trip.unload_begin
    assert raised(found) == []
    assert StayKind.LOADING in kinds(found, BARGE)


def test_unloading_where_no_wharf_is_registered_is_told_but_a_wait_at_anchor_is_not() -> None:
    found = run(barge((2950, -850)))
    assert raised(found) == [("sand.unloading_unregistered", BARGE)]
    assert [trip.wharf for trip in found.trips] == [None]
    far = run(barge((2950, -300)))
    assert raised(far) == [] and far.trips == []


# Noise and identities


def test_a_vessel_that_jumps_two_kilometres_once_raises_nothing() -> None:
    track = at_work(8, 50)
    at, x, y, sog = track.rows[60]
    track.rows[60] = (at, x + 20_000, y, sog)
    assert raised(run([track])) == []


def test_a_jump_that_persists_becomes_the_track() -> None:
    track = Track(DREDGER, 8).work(30, -40_000, 0)
    track.work(45, 400, 0)
    assert ("sand.dredging_outside", DREDGER) in raised(run([track]))


def test_rows_twice_and_out_of_order_change_nothing() -> None:
    track = at_work(8, 45, x=400)
    plain = run([track])
    messy = replace(track, rows=sorted(track.rows + track.rows[::3]))
    assert raised(run([messy])) == raised(plain)


def test_one_identity_in_two_places_is_told() -> None:
    track = Track(STRANGER, 8).still(60, 3000, 500)
    ghost = Track(STRANGER, 8.3).still(20, 12_000, 500)
    track.rows = sorted(track.rows + [(at + 7, x, y, sog) for at, x, y, sog in ghost.rows])
    found = run([track])
    assert raised(found) == [("sand.identity_two_places", STRANGER)]
    assert 8_000 < found.changes[0].violation.numbers["distance_m"] < 10_000


def test_a_new_identity_where_another_fell_silent_is_told() -> None:
    new = "mmsi-574000777"
    tracks = [Track(DREDGER, 8).work(50, 0, 0), Track(new, 8.95).work(60, 10, 10), *others((8, 10.2))]
    said = raised(run(tracks))
    assert ("sand.identity_changed", new) in said and ("sand.mine_silent", DREDGER) in said


# However it is cut


@st.composite
def stories(draw: st.DrawFn) -> list[Track]:
    tracks = []
    for key, kind in ((DREDGER, "dredger"), (STRANGER, ""), (BARGE, "cargo")):
        track = Track(key, 18.3, kind, sog=draw(st.booleans())).still(2, 300, 0)
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.sampled_from([(0, 0), (40, 10), (350, 0), (700, 0)]))
            what = draw(st.sampled_from(["still", "work", "swing", "work"]))
            if draw(st.booleans()):
                track.go(*place)
            getattr(track, what)(draw(st.integers(3, 18)), *place)
            if draw(st.integers(0, 3)) == 0:
                track.quiet(draw(st.sampled_from([3, 22])))
        tracks.append(track)
    return tracks


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(stories(), st.sets(st.integers(1, 400), max_size=6), st.sets(st.integers(1, 400), max_size=2))
def test_batches_and_checkpoints_change_nothing(tracks: list[Track], cuts: set[int], reloads: set[int]) -> None:
    whole = run(tracks)
    cut = run(tracks, cuts=sorted(cuts), reload_at=sorted(reloads))
    assert cut.changes == whole.changes
    assert cut.trips == whole.trips
    assert cut.stays == whole.stays


def test_a_vessel_that_still_lies_when_the_input_ends_stays_to_its_last_minute() -> None:
    [stay] = [one for one in run([Track(STRANGER, 8).still(200, 0, 0)]).stays if one.open]
    assert stay.kind is StayKind.MOORED
    assert abs(stay.begin - MIDNIGHT - 480 * MINUTE_US) < 3 * MINUTE_US
    assert abs(stay.end - stay.begin - 200 * MINUTE_US) < 4 * MINUTE_US


@pytest.mark.parametrize(("dtype", "first"), [(np.int32, -1), (np.float16, np.nan), (np.uint16, 0)])
def test_an_array_by_slot_grows_and_is_kept_whole_or_by_its_few_rows(dtype: Any, first: float) -> None:
    made = grown(grown(np.zeros((0, 3), dtype), 70, first), 5000, first)
    assert len(made) == 5000 and np.array_equal(made, np.full((5000, 3), first, dtype), equal_nan=dtype is np.float16)
    sizes = []
    for rows in ([4, 69, 4990], range(4000)):
        made[list(rows), 1] = 7
        state = msgspec.msgpack.encode(kept(made, 4995, first))
        again = restored(msgspec.msgpack.decode(state), made[:0], 5100, first)
        assert len(again) == 5100
        assert np.array_equal(again[:5000], made, equal_nan=dtype is np.float16)
        assert np.array_equal(again[5000:], np.full((100, 3), first, dtype), equal_nan=dtype is np.float16)
        sizes.append(len(state))
    assert sizes[0] < 200 < sizes[1]
    with pytest.raises(ValueError, match="was expected"):
        restored(kept(made, 4995, first), np.zeros((0, 3), np.int64), 5100, first)


def test_the_state_of_a_vessel_has_one_size() -> None:
    from sand_tracks import PARAMETERS, rows_of

    from thap.domains.sand.behaviour import Behaviour

    behaviour = Behaviour(book(), PARAMETERS)
    behaviour.update(rows_of(behaviour, [Track(DREDGER, 5).work(30, 0, 0)]))
    early = len(str(behaviour.dump()["arrays"].keys())), sum(x.nbytes for x in behaviour.tracks.a.values())
    behaviour.update(rows_of(behaviour, [Track(DREDGER, 6).work(200, 0, 0)]))
    assert (len(str(behaviour.dump()["arrays"].keys())), sum(x.nbytes for x in behaviour.tracks.a.values())) == early
    assert LON > 0 < LAT


def test_more_positions_in_a_minute_than_are_counted_do_not_move_a_vessel() -> None:
    tracks = Tracks(60.0, 200.0, 3)
    tracks.grow(1)
    slot, lon, lat, sog = np.zeros(1, np.intp), np.array([105.6]), np.array([10.4]), np.array([0.5])
    tracks.push(slot, np.array([MIDNIGHT]), lon, lat, sog)
    for name in ("sum_n", "sum_t", "sum_lon", "sum_lat", "sum_sog", "sog_n"):
        tracks.a[name][0] *= 64_999  # as if so many had come
    for number in range(1, 100):
        tracks.push(slot, np.array([MIDNIGHT + number * 1000]), lon, lat, sog)
    tracks.push(slot, np.array([MIDNIGHT + MINUTE_US]), lon, lat, sog)
    window = tracks.window(slot)
    assert (window.lon[0, 0], window.lat[0, 0]) == pytest.approx((105.6, 10.4), abs=1e-6)
    assert window.sog[0, 0] == pytest.approx(0.5, abs=1e-2) and window.rows[0, 0] > 64_000
