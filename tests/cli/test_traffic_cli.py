"""`thap traffic count`: what it prints, and what it says of input that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.detect.vision.drawn import ColourDetector, picture, write_clip
from typer.testing import CliRunner

from thap.cli.app import build
from thap.kernel.errors import InputError, ThapError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cars down, one motorbike up, of 160 × 90 pixels."""

    def places(t: float) -> list[Any]:
        return [
            ("car", 60, -20 + 60 * t, 34, 26),
            ("car", 240, -50 + 60 * t, 34, 26),
            ("motorcycle", 150, 200 - 60 * t, 12, 20),
        ]

    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", [picture(places(at / 15), at) for at in range(60)])


def count(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(build("traffic"), ["traffic", "count", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector of drawn clips instead of the shipped one, which knows no coloured boxes."""
    monkeypatch.setattr("thap.detect.vision.runtime.DetectorRuntime", lambda *_, **__: ColourDetector())


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize("line", ["0,45,160,45", "0, 0.5, 1, 0.5"])
def test_counts_come_by_class_and_direction_for_a_line_in_pixels_or_shares(clip: Path, line: str) -> None:
    found = count(str(clip), "--line", line)
    assert found["counts"] == {"car": {"down": 2}, "motorcycle": {"up": 1}}
    assert found["by_direction"] == {"down": 2, "up": 1}
    assert (found["total"], found["frames"]) == (3, 60)
    assert found["seconds"] == pytest.approx(4, abs=0.1)


@pytest.mark.usefixtures("colours")
def test_only_the_classes_asked_for_are_counted(clip: Path) -> None:
    assert count(str(clip), "--line", "0,45,160,45", "--classes", "motorcycle")["counts"] == {"motorcycle": {"up": 1}}


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["--line", "0,45,400,45"], "line.end", "outside"),
        (["--line", "0,45,160"], "line", "no line"),
        (["--line", "a,b,c,d"], "line", "no line"),
        (["--line", "80,45,80,45"], "line", "no length"),
        (["--line", "0.5,0,0.5,7"], "line", "mixes"),
        (["--line", "5,5,6,9"], "line", "fewer than 8 pixels"),
        (["--line", "0.5,0.5,0.51,0.51"], "line", "fewer than 8 pixels"),
        (["--line", "0,45,160,45", "--classes", "tram"], "classes", "no class"),
        (["--line", "0,45,160,45", "--model", "yolo"], "model", "no detector"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(clip: Path, words: list[str], where: str, said: str) -> None:
    with pytest.raises(ThapError, match=said) as caught:
        CliRunner().invoke(build("traffic"), ["traffic", "count", str(clip), *words], catch_exceptions=False)
    assert caught.value.where == where


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("text")
    with pytest.raises(InputError, match=r"a\.mp4: is no video"):
        CliRunner().invoke(
            build("traffic"), ["traffic", "count", str(tmp_path / "a.mp4"), "--line", "0,0,1,1"], catch_exceptions=False
        )
