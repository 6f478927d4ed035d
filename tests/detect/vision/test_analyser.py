"""From pictures to what is said of them: the gate, measures, trips and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.detect.vision.drawn import HIGH, WIDE, ColourDetector, Place, film, picture

from thap.detect.vision.analyser import Analyser, AnalyserSettings
from thap.detect.vision.events import EventSettings
from thap.detect.vision.found import Crossing, Event, Measure, Said, Trip
from thap.detect.vision.scene import Scene

ROAD = {"name": "road", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def watch(
    scene: dict[str, Any],
    places: Callable[[float], Iterable[Place]],
    seconds: float,
    events: EventSettings | None = None,
    rate: float = 5,
) -> list[Said]:
    analyser = Analyser(Scene.from_json(scene), ColourDetector(), AnalyserSettings(events=events or EventSettings()))
    said = [one for time_us, shown in film(places, seconds, rate) for one in analyser.frame(time_us, shown)]
    return said + analyser.close()


def states(said: list[Said], kind: str) -> list[str]:
    return [one.state for one in said if isinstance(one, Event) and one.kind == kind]


def _down(begin: float, speed: float = 40, x: float = 160, cls: str = "car") -> Callable[[float], list[Place]]:
    """A vehicle that enters at a time and drives down the picture, pixels a second."""
    return lambda t: [(cls, x, speed * (t - begin) - 15, 34, 26)] if 0 <= t - begin < (HIGH + 40) / speed else []


def test_an_empty_road_costs_the_detector_nothing() -> None:
    detector = ColourDetector()
    analyser = Analyser(Scene(), detector)
    for time_us, shown in film(lambda t: [], 60, 5):
        analyser.frame(time_us, shown)
    assert analyser.frames == 300
    assert detector.asked <= 7  # the first picture, and now and then to be sure


def test_parked_vehicles_cost_it_next_to_nothing() -> None:
    detector = ColourDetector()
    analyser = Analyser(Scene(), detector)
    for time_us, shown in film(lambda t: [("car", 100, 100, 34, 26)], 60, 5):
        analyser.frame(time_us, shown)
    assert detector.asked <= 10
    assert len(analyser.tracks) <= 1


def test_what_moves_is_looked_at_in_every_picture() -> None:
    detector = ColourDetector()
    analyser = Analyser(Scene(), detector)
    for time_us, shown in film(_down(0, 30), 6, 5):
        analyser.frame(time_us, shown)
    assert detector.asked >= 27


def test_motion_in_a_blind_zone_or_far_from_the_line_opens_no_gate() -> None:
    detector = ColourDetector()
    scene = {"zones": [{"name": "tree", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "uses": ["ignore"]}]}
    analyser = Analyser(Scene.from_json(scene), detector)
    for time_us, shown in film(_down(2, 30, x=60), 10, 5):
        analyser.frame(time_us, shown)
    assert detector.asked <= 6


def test_counts_by_class_and_direction_come_each_minute_with_their_flow() -> None:
    scene = {"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5], "capacity_pcu_h": 120}]}
    cars, bikes = [_down(5.0 * n) for n in range(4)], [_down(5.0 * n + 2, x=60, cls="motorcycle") for n in range(5)]
    said = watch(scene, lambda t: [one for way in (*cars, *bikes) for one in way(t)], 61)
    counts = {
        (one.cls, one.direction): one.value
        for one in said
        if isinstance(one, Measure) and one.name == "count" and one.time_us == 60_000_000
    }
    assert counts == {("car", "down"): 4, ("motorcycle", "down"): 5, ("", ""): 9}
    flow = next(one for one in said if isinstance(one, Measure) and one.name == "flow_pcu")
    assert flow.value == pytest.approx(60 * (4 * 1.0 + 5 * 0.3))
    level = next(one for one in said if isinstance(one, Measure) and one.name == "level_of_service")
    assert level.detail["letter"] == "F"


def test_a_minute_in_which_nothing_crossed_says_zero() -> None:
    said = watch({"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5]}]}, lambda t: [], 61)
    assert [one.value for one in said if isinstance(one, Measure) and one.name == "count"][:1] == [0]


def test_classes_of_a_line_are_the_only_ones_it_counts() -> None:
    scene = {"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5], "classes": ["motorcycle"]}]}
    said = watch(scene, lambda t: [*_down(1)(t), *_down(1, x=60, cls="motorcycle")(t)], 10)
    assert [one.cls for one in said if isinstance(one, Crossing)] == ["motorcycle"]


def test_trips_go_from_the_zone_begun_in_to_the_one_reached() -> None:
    zones = [
        {"name": "in", "points": [[0, 0], [1, 0], [1, 0.3], [0, 0.3]], "uses": ["trip"]},
        {"name": "out", "points": [[0, 0.7], [1, 0.7], [1, 1], [0, 1]], "uses": ["trip"]},
    ]
    trips = [one for one in watch({"zones": zones}, _down(1), 10) if isinstance(one, Trip)]
    assert [(one.origin, one.destination, one.cls) for one in trips] == [("in", "out", "car")]


def test_speeds_on_a_calibrated_road_are_its_speeds() -> None:
    scene = {
        "lines": [{"name": "l", "start": [0, 0.6], "end": [1, 0.6]}],
        "ground": {
            "points": ROAD["points"],
            "distances": [
                {"between": [0, 1], "metres": 32.0},
                {"between": [1, 2], "metres": 18.0},
                {"between": [2, 3], "metres": 32.0},
                {"between": [3, 0], "metres": 18.0},
            ],
        },
    }  # a tenth of a metre a pixel
    said = watch(scene, lambda t: [*_down(1, 40)(t), *_down(8, 80)(t)], 70)
    speeds = [one.speed_kmh for one in said if isinstance(one, Crossing)]
    assert speeds == [pytest.approx(14.4, rel=0.15), pytest.approx(28.8, rel=0.15)]
    assert any(isinstance(one, Measure) and one.name == "speed_p85" for one in said)


def test_a_vehicle_that_stops_is_told_of_and_its_end_too() -> None:
    def stops(t: float) -> list[Place]:
        y = 40 * min(t, 2.5) + 40 * max(0.0, t - 30)
        return [("car", 160, y, 34, 26)] if y < HIGH + 20 else []

    settings = EventSettings(stopped_s=15)
    assert states(watch({"zones": [ROAD]}, stops, 40, settings), "stopped_vehicle") == ["onset", "end"]
    queue = {**ROAD, "uses": ["carriageway", "queue"]}
    assert states(watch({"zones": [queue]}, stops, 40, settings), "stopped_vehicle") == []


def test_only_who_drives_against_the_heading_goes_the_wrong_way() -> None:
    zone = {**ROAD, "heading": [0, -1]}
    assert states(watch({"zones": [zone]}, _down(1), 8), "wrong_way") == ["onset", "end"]
    assert states(watch({"zones": [{**ROAD, "heading": [0, 1]}]}, _down(1), 8), "wrong_way") == []


def test_a_person_on_the_carriageway_is_told_of_a_rider_is_not() -> None:
    walker = _down(1, 12, cls="person")
    assert states(watch({"zones": [ROAD]}, walker, 25), "person_on_carriageway") == ["onset", "end"]

    def rider(t: float) -> list[Place]:
        return [
            (cls, x, y + dy, w, h)
            for _, x, y, _, _ in _down(1, 30)(t)
            for cls, dy, w, h in (("motorcycle", 8.0, 20.0, 16.0), ("person", -10.0, 14.0, 20.0))
        ]

    assert states(watch({"zones": [ROAD]}, rider, 12), "person_on_carriageway") == []


@pytest.mark.parametrize(("hours", "told"), [("06:30-07:30", True), ("08:00-09:00", False), ("23:00-07:10", True)])
def test_a_forbidden_zone_is_so_in_its_hours_of_the_local_day(hours: str, told: bool) -> None:
    zone = {**ROAD, "uses": ["forbidden"], "classes": ["bus"], "hours": [hours]}  # pictures begin at 07:00 in Việt Nam
    said = watch({"zones": [zone]}, lambda t: [*_down(1, cls="bus")(t), *_down(1, x=60)(t)], 10)
    assert bool(states(said, "forbidden")) is told
    assert {one.cls for one in said if isinstance(one, Event) and one.state == "onset"} <= {"bus"}


def test_a_jam_has_an_onset_grows_and_ends() -> None:
    def jam(t: float) -> list[Place]:
        standing = 5 if t < 30 else 9
        if t > 50:
            return [("car", 40 + 60 * (at % 4), 30 + 45 * (at // 4) + 60 * (t - 50), 34, 26) for at in range(9)]
        return [("car", 40 + 60 * (at % 4), 30 + 45 * (at // 4) + min(t, 2) * 4, 34, 26) for at in range(standing)]

    said = watch({"zones": [ROAD]}, jam, 75, EventSettings(jam_s=10, stopped_s=500))
    assert states(said, "congestion") == ["onset", "spread", "end"]


def test_a_sudden_crowd_is_told_of() -> None:
    def square(t: float) -> list[Place]:
        return [("person", 20 + 28 * at, 90 + 4 * (t % 2), 8, 20) for at in range(10 if 20 < t < 45 else 2)]

    said = watch({"zones": [{**ROAD, "uses": ["crowd"]}]}, square, 60)
    assert states(said, "crowd") == ["onset", "end"]


def test_a_picture_that_has_stopped_is_told_from_an_empty_road() -> None:
    settings = AnalyserSettings(events=EventSettings(still_s=20))
    frozen, empty = Analyser(Scene(), ColourDetector(), settings), Analyser(Scene(), ColourDetector(), settings)
    same = picture([], noise=1)
    told = [one for at in range(150) for one in frozen.frame(at * 200_000, same)]
    assert states(told, "still_picture") == ["onset"]
    told = [one for time_us, shown in film(lambda t: [], 30, 5) for one in empty.frame(time_us, shown)]
    assert states(told, "still_picture") == []


def test_pictures_left_out_are_a_measure() -> None:
    analyser = Analyser(Scene(), ColourDetector())
    for time_us, shown in film(lambda t: [], 6, 5):
        analyser.frame(time_us, shown)
    analyser.dropped(10)
    rate = [one for one in analyser.close() if isinstance(one, Measure) and one.name == "dropped"]
    assert rate[0].value == pytest.approx(10 / 40)
    assert rate[0].detail["frames"] == 30


def test_a_camera_that_changes_resolution_or_jumps_in_time_goes_on() -> None:
    analyser = Analyser(
        Scene.from_json({"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5]}]}), ColourDetector()
    )
    said: list[Said] = []
    for begin, wide, high in ((10.0, WIDE, HIGH), (20.0, 2 * WIDE, 2 * HIGH), (3.0, WIDE, WIDE)):
        for at in range(30):
            shown = picture(_down(0)(at / 5), at, wide, high)
            said += analyser.frame(int((begin + at / 5) * 1e6), shown)
    assert len([one for one in said if isinstance(one, Crossing)]) == 3


def test_what_stood_when_a_stream_began_anew_has_an_end() -> None:
    scene = Scene.from_json({"zones": [ROAD]})
    analyser = Analyser(scene, ColourDetector(), AnalyserSettings(events=EventSettings(stopped_s=5)))
    said: list[Said] = []
    for at in range(50):
        said += analyser.frame(int((10 + at / 5) * 1e6), picture([("car", 160, 90 + min(at, 4), 34, 26)], at))
    assert states(said, "stopped_vehicle") == ["onset"]
    said += analyser.frame(1_000_000, picture([], 1))
    assert states(said, "stopped_vehicle") == ["onset", "end"]


def test_several_pictures_may_be_on_their_way() -> None:
    scene = Scene.from_json({"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5]}]})
    detector = ColourDetector()
    analyser = Analyser(scene, detector)
    shown = list(film(_down(0.5), 8, 10))
    said: list[Said] = []
    for begin in range(0, len(shown), 8):
        parts = [analyser.prepare(*one) for one in shown[begin : begin + 8]]
        found = iter(detector.detect([part for some in parts for part in some]))
        for some in parts:
            said += analyser.finish([next(found) for _ in some])
    assert len([one for one in said if isinstance(one, Crossing)]) == 1
