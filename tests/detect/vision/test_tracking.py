"""Tracks and lines: who is who, and who went over."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from thap.detect.vision.found import CLASSES, Detections
from thap.detect.vision.lines import LineWatch
from thap.detect.vision.scene import Line
from thap.detect.vision.tracker import Tracker

ASPECT = 16 / 9
Seen = tuple[float, float, float, float, float, str]
"""x, y, width, height, score, class."""


def found(*seen: Seen) -> Detections:
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h, _, _ in seen]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([one[4] for one in seen], np.float32),
        np.array([CLASSES.index(one[5]) for one in seen], np.int16),
    )


def crossings(frames: Iterable[list[Seen]], line: Line, rate: float = 15) -> list[tuple[int, str]]:
    """(track, direction) of whatever goes over a line."""
    tracker, watch, said = Tracker(aspect=ASPECT), LineWatch(line, ASPECT), []
    for at, seen in enumerate(frames):
        time_us = int(at / rate * 1e6)
        tracker.update(time_us, found(*seen))
        for track in tracker.tracks:
            if track.seen_us == time_us and (met := watch.update(track, time_us)) is not None:
                said.append((track.number, met[0]))
    return said


LINE = Line("line", (0.0, 0.5), (1.0, 0.5))


def _car(y: float, x: float = 0.5, score: float = 0.8, cls: str = "car") -> Seen:
    return (x, y, 0.06, 0.08, score, cls)


@pytest.mark.parametrize("rate", [5, 15, 30])
def test_each_vehicle_counts_once_in_its_direction_at_any_rate(rate: float) -> None:
    frames = [
        [_car(0.1 + 0.3 * at / rate, 0.3), _car(0.9 - 0.3 * at / rate, 0.7)] for at in range(int(2.6 * rate))
    ]  # a car's height each quarter of a second
    assert sorted(to for _, to in crossings(frames, LINE, rate)) == ["down", "up"]


def test_a_vehicle_that_waits_on_the_line_counts_once_however_its_box_jitters() -> None:
    random = np.random.default_rng(7)
    there = [0.2 + 0.02 * at for at in range(15)] + [0.5] * 600 + [0.5 + 0.02 * at for at in range(20)]
    frames = [[_car(y + float(random.normal(0, 0.004)))] for y in there]
    assert [to for _, to in crossings(frames, LINE)] == ["down"]


def test_a_vehicle_that_backs_off_the_line_it_touched_does_not_count() -> None:
    there = [0.3 + 0.01 * at for at in range(20)] + [0.497] * 30 + [0.497 - 0.01 * at for at in range(20)]
    assert crossings([[_car(y)] for y in there], LINE) == []


def test_a_vehicle_that_turns_back_counts_each_way() -> None:
    there = [0.2 + 0.02 * at for at in range(30)] + [0.8 - 0.02 * at for at in range(30)]
    assert [to for _, to in crossings([[_car(y)] for y in there], LINE)] == ["down", "up"]


def test_a_vehicle_beside_the_end_of_the_line_does_not_count() -> None:
    line = Line("line", (0.0, 0.5), (0.4, 0.5))
    frames = [[_car(0.2 + 0.02 * at, 0.6), _car(0.2 + 0.02 * at, 0.2)] for at in range(30)]
    assert len(crossings(frames, line)) == 1


def test_a_vehicle_behind_a_pole_keeps_its_number() -> None:
    frames = [[] if 12 <= at < 22 else [_car(0.1 + 0.02 * at)] for at in range(40)]
    tracker = Tracker(aspect=ASPECT)
    numbers = set()
    for at, seen in enumerate(frames):
        numbers |= {track.number for track in tracker.update(int(at / 15 * 1e6), found(*seen))}
    assert len(numbers) == 1
    assert [to for _, to in crossings(frames, LINE)] == ["down"]


def test_a_waiting_vehicle_hidden_by_a_passing_bus_is_the_same_afterwards() -> None:
    tracker = Tracker(aspect=ASPECT)
    numbers: dict[int, set[int]] = {}
    for at in range(120):
        seen = [] if 40 <= at < 100 else [_car(0.5)]
        if 30 <= at < 110:
            seen.append((0.2 + 0.0075 * (at - 30), 0.5, 0.35, 0.3, 0.9, "bus"))
        for track in tracker.update(int(at / 15 * 1e6), found(*seen)):
            if track.cls == "car":
                numbers.setdefault(at, set()).add(track.number)
    assert numbers[20] == numbers[119]


def test_two_vehicles_that_pass_each_other_keep_their_numbers() -> None:
    tracker = Tracker(aspect=ASPECT)
    first: dict[str, int] = {}
    for at in range(40):
        tracker.update(int(at / 15 * 1e6), found(_car(0.1 + 0.02 * at, 0.46), _car(0.9 - 0.02 * at, 0.54)))
        by = {"left" if track.box[0] < 0.46 else "right": track.number for track in tracker.tracks if track.confirmed}
        first = first or by
    assert len(first) == 2
    assert by == first


def test_a_vehicle_that_leaves_the_picture_does_not_become_one_parked_there() -> None:
    parked = _car(0.9, 0.97)
    frames = [
        ([parked] if at > 35 else []) + ([_car(0.2 + 0.02 * at, 0.1 + 0.03 * at)] if at < 31 else [])
        for at in range(80)
    ]
    tracker = Tracker(aspect=ASPECT)
    numbers = set()
    for at, seen in enumerate(frames):
        numbers |= {track.number for track in tracker.update(int(at / 15 * 1e6), found(*seen))}
    assert len(numbers) == 2


def test_a_detection_nobody_is_sure_of_keeps_a_track_and_begins_none() -> None:
    tracker = Tracker(aspect=ASPECT)
    for at in range(20):
        seen = [_car(0.2 + 0.02 * at, 0.3, 0.8 if at < 5 else 0.15), _car(0.2 + 0.02 * at, 0.7, 0.15)]
        tracker.update(int(at / 15 * 1e6), found(*seen))
    assert len(tracker.tracks) == 1
    assert tracker.tracks[0].seen == 20


def test_a_rider_seen_mostly_as_a_person_is_a_motorbike() -> None:
    tracker = Tracker(aspect=ASPECT)
    for at in range(20):
        cls = "motorcycle" if at % 3 == 0 else "person"
        tracker.update(int(at / 15 * 1e6), found((0.5, 0.2 + 0.02 * at, 0.02, 0.06, 0.5, cls)))
    assert [track.cls for track in tracker.tracks] == ["motorcycle"]


def test_a_swarm_of_motorbikes_side_by_side_is_counted_one_by_one() -> None:
    random = np.random.default_rng(3)
    begin = [
        (0.1 + 0.05 * lane, -0.12 * row + float(random.uniform(-0.03, 0.03))) for lane in range(16) for row in range(4)
    ]
    frames = []
    for at in range(90):
        seen = []
        for x, y in begin:
            there = y + 0.015 * at + float(random.normal(0, 0.002))
            if 0.02 < there < 0.98 and random.random() > 0.1:  # a tenth is missed
                seen.append(
                    (
                        x + float(random.normal(0, 0.001)),
                        there,
                        0.02,
                        0.06,
                        float(random.uniform(0.3, 0.8)),
                        "motorcycle",
                    )
                )
        frames.append(seen)
    assert len(crossings(frames, LINE)) == len(begin)
