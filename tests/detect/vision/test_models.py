"""The model registry and what runs it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thap.detect.vision.found import CLASSES
from thap.detect.vision.models import Model, default_model, model_named, read_model, shipped_models
from thap.detect.vision.runtime import DetectorRuntime, anchors, fit, suppress
from thap.detect.vision.tflite import ends_in_post_process, without_post_process
from thap.kernel.errors import CorruptError, InputError, NotFoundError, UnavailableError

HERE = 'name = "own"\nfile = "own.onnx"\nlicence = "MIT"\ninput = [32, 32]\n'


def test_every_shipped_detector_has_a_licence_a_hash_and_the_classes_of_a_road() -> None:
    for model in shipped_models().values():
        assert model.licence == "Apache-2.0"
        assert len(model.sha256) == 64
        assert {"motorcycle", "car", "bus", "truck", "person", "bicycle"} == set(model.classes)
    assert default_model().name == "efficientdet-lite0"


def test_a_detector_unknown_is_said_with_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="did you mean efficientdet-lite0"):
        model_named("efficientdetlite0")


def test_weights_that_are_another_file_or_not_there_are_refused(tmp_path: Path) -> None:
    model = Model("m", tmp_path / "m.onnx", "0" * 64, "MIT", 32, 32, "yolo", {"car": 0})
    with pytest.raises(UnavailableError, match="cannot be read"):
        model.read()
    (tmp_path / "m.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match="another file"):
        model.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HERE, "sha256"),
        (HERE + 'sha256 = "0"\nlayout = "boxes"\nclasses = { car = 0 }\n', "no layout"),
        (HERE + 'sha256 = "0"\nlayout = "yolo"\nclasses = { tram = 0 }\n', "no class"),
        (HERE + 'sha256 = "0"\nlayout = "yolo"\nclasses = { car = 0 }\nscale = 0\n', "scale"),
        (HERE + 'sha256 = "0"\nlayout = "yolo"\nclasses = { car = 0 }\nsize = 3\n', "means nothing"),
        ("name = ", "no TOML"),
    ],
)
def test_a_description_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_model(path)


def test_a_file_that_is_no_detector_of_that_kind_is_not_cut() -> None:
    assert not ends_in_post_process(b"TFL3" * 100)
    with pytest.raises(CorruptError):
        without_post_process(b"")


def test_anchors_are_those_of_the_paper() -> None:
    made = anchors(320, 320)
    assert made.shape == (19206, 4)
    assert made[0] == pytest.approx([0.0125, 0.0125, 0.075, 0.075])
    assert made[1] == pytest.approx([0.0125, 0.0125, 0.05303301, 0.10606602])
    assert made[-1] == pytest.approx([0.8333333, 0.8333333, 2.244924, 1.1224619])


def test_a_picture_is_fitted_with_its_proportions() -> None:
    made, wide, high = fit(np.full((90, 160, 3), 200, np.uint8), 320, 320)
    assert made.shape == (320, 320, 3)
    assert (wide, high) == (1.0, 180 / 320)
    assert made[:180].min() == 200
    assert made[180:].max() == 0


def test_of_two_boxes_on_one_thing_the_better_stays() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.05, 0, 1, 1], [0, 0, 0.4, 1], [0, 0, 0, 0]], np.float32)
    assert suppress(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 1, 0, 0])) == [0, 2]


def _field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol-buffer message: bytes, or a small number."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def _value_info(name: str, shape: list[int]) -> bytes:
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def onnx_that_always_finds(table: Any) -> bytes:
    """An ONNX model that answers with a table, plus nothing of its picture's mean."""
    shape = list(table.shape)
    tensor = b"".join(_field(1, size) for size in shape) + _field(2, 1) + _field(8, b"table")
    tensor += _field(9, struct.pack(f"<{table.size}f", *table.ravel()))
    zero = _field(1, 1) + _field(2, 1) + _field(8, b"zero") + _field(9, struct.pack("<f", 0.0))
    nodes = [
        _field(1, b"images") + _field(2, b"mean") + _field(4, b"GlobalAveragePool"),
        _field(1, b"mean") + _field(2, b"one") + _field(4, b"ReduceMean")
        + _field(5, _field(1, b"keepdims") + _field(3, 0) + _field(20, 2)),
        _field(1, b"one") + _field(1, b"zero") + _field(2, b"nothing") + _field(4, b"Mul"),
        _field(1, b"table") + _field(1, b"nothing") + _field(2, b"out") + _field(4, b"Add"),
    ]  # fmt: skip
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"g") + _field(5, tensor) + _field(5, zero)
    graph += _field(11, _value_info("images", [1, 3, 32, 32])) + _field(12, _value_info("out", shape))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


def test_an_onnx_detector_of_ones_own_runs_by_its_description(tmp_path: Path) -> None:
    table = np.zeros((1, 6, 100), np.float32)  # centre, size, and scores of two classes for a hundred boxes
    table[0, :, 7] = [16, 8, 8, 4, 0.1, 0.8]
    data = onnx_that_always_finds(table)
    (tmp_path / "own.onnx").write_bytes(data)
    (tmp_path / "own.toml").write_text(
        HERE
        + f'sha256 = "{hashlib.sha256(data).hexdigest()}"\nlayout = "yolo"\nscale = 255.0\n'
        + "classes = { car = 0, motorcycle = 1 }\n"
    )
    found = DetectorRuntime(read_model(tmp_path / "own.toml"), threads=1).detect([np.zeros((16, 32, 3), np.uint8)])
    assert [CLASSES[kind] for kind in found[0].classes] == ["motorcycle"]
    assert found[0].scores[0] == pytest.approx(0.8, abs=0.01)
    # The picture fills the upper half of the input, so a box at a quarter of it is at half of the picture.
    assert found[0].boxes[0] == pytest.approx([0.375, 0.375, 0.625, 0.625], abs=0.01)


def test_a_model_with_fewer_outputs_than_its_layout_needs_is_refused(tmp_path: Path) -> None:
    data = onnx_that_always_finds(np.zeros((1, 6, 4), np.float32))
    (tmp_path / "own.onnx").write_bytes(data)
    model = Model("own", tmp_path / "own.onnx", hashlib.sha256(data).hexdigest(), "MIT", 32, 32, "ready", {"car": 0})
    with pytest.raises(InputError, match="needs 3"):
        DetectorRuntime(model, threads=1)


def test_the_default_detector_finds_the_vehicles_of_a_real_road_and_tells_nobody(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino_telemetry

    from thap.detect.vision.clips import Clip

    def tells(*_: object, **__: object) -> None:
        raise AssertionError("telemetry was begun")

    monkeypatch.setattr(openvino_telemetry.Telemetry, "__init__", tells)
    frames = Clip(shared_data / "traffic" / "haar_video1.avi").pictures()
    picture = next(frame.picture for frame in frames if frame.index == 12)
    runtime = DetectorRuntime(default_model(), threads=1)
    found = runtime.detect([picture, np.zeros((50, 80, 3), np.uint8)])
    vehicles = [CLASSES[kind] for kind, score in zip(found[0].classes, found[0].scores, strict=True) if score > 0.3]
    assert len(vehicles) >= 7
    assert set(vehicles) <= {"car", "truck", "bus"}
    assert not (found[1].scores > 0.3).any()
