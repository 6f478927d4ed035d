"""Video files: what is read, at which rate, and what is no video."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.detect.vision.drawn import ColourDetector, picture, write_clip

from thap.detect.vision.clips import Clip
from thap.detect.vision.counting import count_clip
from thap.detect.vision.scene import Scene
from thap.kernel.errors import InputError

LINE = Scene.from_json({"lines": [{"name": "l", "start": [0, 0.5], "end": [1, 0.5]}]})


def _drive(seconds: float = 4, rate: int = 15) -> list[object]:
    return [picture([("car", 160, -20 + 60 * at / rate, 34, 26)], at) for at in range(int(seconds * rate))]


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.mp4"), ("mpeg4", "a.avi"), ("libx264", "a.mkv")])
def test_a_clip_is_counted_whatever_its_container(tmp_path: Path, codec: str, name: str) -> None:
    path = write_clip(tmp_path / name, _drive(), codec=codec)  # type: ignore[arg-type]
    found = count_clip(Clip(path, 15), LINE, ColourDetector())
    assert found.counts == {("l", "car", "down"): 1}
    assert found.frames == 60
    assert found.seconds == pytest.approx(4.0, abs=0.1)


def test_a_fast_clip_is_analysed_at_the_rate_wanted_and_all_its_pictures_are_known(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", _drive(2, 30), 30)  # type: ignore[arg-type]
    clip = Clip(path, 15)
    assert [frame.index for frame in clip.pictures()] == list(range(0, 60, 2))
    assert clip.frames == 60


def test_a_clip_cut_off_is_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", _drive()).read_bytes()  # type: ignore[arg-type]
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    found = count_clip(Clip(tmp_path / "half.mkv", 15), LINE, ColourDetector())
    assert 10 < found.frames < 60


def test_garbage_in_the_middle_of_a_clip_is_skipped(tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "a.avi", _drive(), codec="mpeg4").read_bytes())  # type: ignore[arg-type]
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    (tmp_path / "torn.avi").write_bytes(bytes(data))
    found = count_clip(Clip(tmp_path / "torn.avi", 15), LINE, ColourDetector())
    assert found.frames > 20


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"no video at all\n" * 100, "no video"), (None, "cannot be read")]
)
def test_what_is_no_video_is_said_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        Clip(path)


def test_a_folder_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder"):
        Clip(tmp_path)
