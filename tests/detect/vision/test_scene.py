"""Scenes: what is drawn comes back as drawn, and what cannot be is said with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thap.detect.vision.ground import GroundPlane, speed_kmh, to_metres
from thap.detect.vision.scene import Scene
from thap.kernel.errors import InputError

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]
FULL = {
    "width": 640,
    "height": 360,
    "lines": [
        {"name": "north", "start": [0, 180], "end": [640, 180], "classes": ["car"], "names": {"down": "into town"}},
        {"name": "side", "start": [320, 0], "end": [320, 360], "capacity_pcu_h": 1800},
    ],
    "zones": [
        {"name": "road", "points": [[0, 0], [640, 0], [640, 360]], "uses": ["carriageway", "queue"], "heading": [0, 1]},
        {"name": "yard", "points": [[0, 0], [64, 0], [64, 36]], "uses": ["forbidden"], "hours": ["22:00-05:30"]},
    ],
    "ground": {
        "points": [[200, 100], [440, 100], [600, 340], [40, 340]],
        "distances": [
            {"between": [0, 1], "metres": 7},
            {"between": [1, 2], "metres": 30},
            {"between": [2, 3], "metres": 7},
            {"between": [3, 0], "metres": 30},
        ],
    },
}


def test_a_scene_in_pixels_comes_back_relative_and_the_same() -> None:
    scene = Scene.from_json(FULL)
    assert scene.lines[0].start == (0.0, 0.5)
    assert scene.zones[1].hours == ((1320, 330),)
    assert Scene.from_json(scene.to_json()) == scene


def test_directions_are_where_a_track_goes_in_the_picture() -> None:
    scene = Scene.from_json(FULL)
    assert scene.lines[0].directions(640, 360) == ("into town", "up")
    assert scene.lines[1].directions(640, 360) == ("left", "right")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"lines": [{"name": "a", "start": [0, 0.5], "end": [1.2, 0.5]}]}, "lines[0].end"),
        ({"lines": [{"name": "a", "start": [0.5, 0.5], "end": [0.5, 0.5]}]}, "lines[0]"),
        ({"lines": [{"name": "", "start": [0, 0], "end": [1, 1]}]}, "lines[0].name"),
        ({"lines": [{"name": "a", "start": [0, 0], "end": [1, 1], "colour": 1}]}, "lines[0]"),
        ({"lines": [{"name": "a", "start": [0, "x"], "end": [1, 1]}]}, "lines[0].start"),
        ({"lines": [{"name": "a", "start": [0, 0], "end": [1, 1]}] * 2}, "lines[1].name"),
        ({"zones": [{"name": "a", "points": [[0, 0], [1, 1]]}]}, "zones[0].points"),
        ({"zones": [{"name": "a", "points": [[0, 0], [1, 1], [1, 0], [0, 1]]}]}, "zones[0].points"),
        ({"zones": [{"name": "a", "points": SQUARE, "uses": ["parking"]}]}, "zones[0].uses"),
        ({"zones": [{"name": "a", "points": SQUARE, "hours": ["25:00-26:00"]}]}, "zones[0].hours[0]"),
        ({"ground": {"points": SQUARE, "distances": []}}, "ground.distances"),
        ({"ground": {"points": [[0, 0], [1, 1], [1, 0], [0, 1]], "distances": FULL["ground"]["distances"]}}, "ground"),  # type: ignore[index]
        ([], "scene"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(change: Any, where: str) -> None:
    with pytest.raises(InputError) as caught:
        Scene.from_json(change)
    assert (caught.value.where or "").startswith(where)


def _seen(places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Places of a road as an inclined camera sees them."""
    camera = np.array([[0.02, 0.004, 0.4], [0.001, -0.006, 0.9], [0.0, 0.03, 1.0]])
    made = np.column_stack([places, np.ones(len(places))]) @ camera.T
    return np.asarray(made[:, :2] / made[:, 2:])


def _plane(noise: float = 0.0) -> GroundPlane:
    corners = np.array([[0.0, 0.0], [7.0, 0.0], [7.0, 30.0], [0.0, 30.0]])
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2), (1, 3)]
    distances = {(i, j): float(np.hypot(*(corners[i] - corners[j]))) for i, j in pairs}
    distances[0, 2] *= 1 + noise
    return GroundPlane.solve([(float(x), float(y)) for x, y in _seen(corners)], distances)


def test_a_ground_plane_measures_what_was_not_given() -> None:
    plane = _plane()
    others = np.array([[3.5, 10.0], [3.5, 20.0], [1.0, 25.0]])
    found = to_metres(plane.matrix(), _seen(others))
    for i, j in ((0, 1), (1, 2), (0, 2)):
        true = np.hypot(*(others[i] - others[j]))
        assert np.hypot(*(found[i] - found[j])) == pytest.approx(true, rel=1e-6)
    assert plane.error_m < 1e-6


def test_distances_that_disagree_a_little_show_as_an_error_and_much_are_refused() -> None:
    assert 0.1 < _plane(0.03).error_m < 1.0
    with pytest.raises(InputError, match="do not fit"):
        _plane(0.5)


def test_a_speed_is_that_of_the_foot_on_the_road() -> None:
    plane = _plane()
    seconds = np.arange(0, 1.01, 0.1)
    feet = _seen(np.column_stack([np.full(len(seconds), 3.0), 5 + 10 * seconds]))  # 10 m/s
    path = [(int(1e6 * t), float(x), float(y) - 0.1, float(y)) for t, (x, y) in zip(seconds, feet, strict=True)]
    assert speed_kmh(plane.matrix(), path) == pytest.approx(36.0, rel=1e-6)
    assert speed_kmh(plane.matrix(), path[:2]) is None
