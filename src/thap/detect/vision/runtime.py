"""Runs a detector over pictures of any cameras, on the processor, with OpenVINO.

One `DetectorRuntime` serves all cameras of a worker: pictures of one call run side by side, one to a core, which on a
processor gives more pictures a second than one large batch (docs/decisions/0018-vision.md). Each picture is fitted into
the model's input with its proportions kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thap.detect.vision.found import CLASSES, Detections, Floats, Picture
from thap.detect.vision.models import Model
from thap.detect.vision.tflite import ends_in_post_process, without_post_process
from thap.kernel.errors import InputError, UnavailableError

__all__ = ["DetectorRuntime", "fit", "suppress"]

_PERSON, _TWO_WHEELED = CLASSES.index("person"), frozenset({CLASSES.index("motorcycle"), CLASSES.index("bicycle")})
_OVERLAP = 0.5
_SAME_KIND = 0.7
_MOST = 300


class DetectorRuntime:
    """A compiled detector; `detect` may be called from any one thread at a time.

    Args:
        model: of the registry.
        threads: processor cores it may use; None: as many as there are.
        threshold: the least score of what is given back.

    Raises:
        UnavailableError: the weights or OpenVINO are not there.
        InputError: the file is not the one of the registry, or not what its layout says.
    """

    def __init__(self, model: Model, threads: int | None = None, threshold: float = 0.1) -> None:
        self.model = model
        self.threshold = threshold
        self.pictures = 0
        """Pictures looked at since the start."""
        self._numbers = np.array([CLASSES.index(name) for name in model.classes], np.int16)
        self._columns = np.array(list(model.classes.values()), np.int64)
        self._anchors = anchors(model.height, model.width) if model.layout == "anchors" else None
        cores = threads or os.cpu_count() or 1
        self._queue, self._bytes = _compile(model, cores, self._columns)

    def detect(self, pictures: Sequence[Picture]) -> list[Detections]:
        """Look at pictures.

        Args:
            pictures: each height × width × 3, RGB, of any sizes.

        Returns:
            One answer a picture, in order; boxes relative to the picture.
        """
        found: list[Detections] = [Detections.none()] * len(pictures)

        def keep(request: Any, asked: tuple[int, float, float]) -> None:
            at, wide, high = asked
            outputs = [
                np.array(request.get_output_tensor(number).data) for number in range(len(request.output_tensors))
            ]
            found[at] = self._read(outputs, wide, high)

        self._queue.set_callback(keep)
        for at, picture in enumerate(pictures):
            given, wide, high = fit(picture, self.model.height, self.model.width)
            self._queue.start_async([self._prepared(given)], (at, wide, high))
        self._queue.wait_all()
        self.pictures += len(pictures)
        return found

    def _prepared(self, picture: Picture) -> npt.NDArray[Any]:
        given = picture[None]
        if self.model.order == "bgr":
            given = given[..., ::-1]
        if self._bytes:
            return np.ascontiguousarray(given)
        values = (given.astype(np.float32) - np.array(self.model.mean, np.float32)) / np.float32(self.model.scale)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if self._queue_takes_channels_first() else values)

    def _queue_takes_channels_first(self) -> bool:
        shape = self._queue[0].input_tensors[0].shape
        return len(shape) == 4 and shape[1] == 3

    def _read(self, outputs: list[npt.NDArray[Any]], wide: float, high: float) -> Detections:
        boxes, scores, kinds = _LAYOUTS[self.model.layout](self, outputs)
        boxes = np.asarray(boxes / np.array([wide, high] * 2, np.float32), np.float32)  # of what the picture fills
        kept = suppress(boxes, scores, kinds)
        return Detections(np.clip(boxes[kept], 0, 1), scores[kept], self._numbers[kinds[kept]])

    def _best(self, scores: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows above the threshold, the best first, and the class of each."""
        rows = np.flatnonzero((scores > self.threshold).any(axis=1))
        kinds = scores[rows].argmax(axis=1)
        order = np.argsort(-scores[rows, kinds], kind="stable")[:_MOST]
        return rows[order], kinds[order]

    def _from_anchors(self, outputs: list[npt.NDArray[Any]]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        assert self._anchors is not None
        codes, scores = outputs[0][0], outputs[1][0]
        rows, kinds = self._best(scores)
        anchor, code = self._anchors[rows], codes[rows]
        y, x = code[:, 0] * anchor[:, 2] + anchor[:, 0], code[:, 1] * anchor[:, 3] + anchor[:, 1]
        h, w = np.exp(code[:, 2]) * anchor[:, 2] / 2, np.exp(code[:, 3]) * anchor[:, 3] / 2
        return np.stack([x - w, y - h, x + w, y + h], axis=1), scores[rows, kinds], kinds

    def _from_yolo(self, outputs: list[npt.NDArray[Any]]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        table = outputs[0][0]
        width = 4 + 1 + int(self._columns.max())
        if table.shape[0] >= width and table.shape[0] < table.shape[1]:
            table = table.T
        return self._centred(table[:, :4], table[:, 4:][:, self._columns])

    def _from_yolo_objectness(self, outputs: list[npt.NDArray[Any]]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        table = outputs[0][0]
        return self._centred(table[:, :4], table[:, 4:5] * table[:, 5:][:, self._columns])

    def _centred(self, places: Floats, scores: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        rows, kinds = self._best(scores)
        x, y, w, h = places[rows].T
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        size = np.array([self.model.width, self.model.height] * 2, np.float32)
        return np.asarray(boxes / size, np.float32), scores[rows, kinds], kinds

    def _from_ready(self, outputs: list[npt.NDArray[Any]]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        boxes, scores, kinds = outputs[0].reshape(-1, 4), outputs[1].reshape(-1), outputs[2].reshape(-1)
        known = {number: at for at, number in enumerate(self._columns.tolist())}
        ours = np.array([known.get(round(float(kind)), -1) for kind in kinds], np.int64)
        rows = np.flatnonzero((scores > self.threshold) & (ours >= 0))
        rows = rows[np.argsort(-scores[rows], kind="stable")][:_MOST]
        return boxes[rows][:, [1, 0, 3, 2]].astype(np.float32), scores[rows].astype(np.float32), ours[rows]


_Reader = Callable[[DetectorRuntime, list[npt.NDArray[Any]]], tuple[Floats, Floats, npt.NDArray[np.int64]]]
_LAYOUTS: dict[str, _Reader] = {
    "anchors": DetectorRuntime._from_anchors,
    "yolo": DetectorRuntime._from_yolo,
    "yolo-objectness": DetectorRuntime._from_yolo_objectness,
    "ready": DetectorRuntime._from_ready,
}


def fit(picture: Picture, height: int, width: int) -> tuple[Picture, float, float]:
    """A picture fitted into the upper left of the model's input, black beside it.

    Returns:
        The input, and the shares of its width and height that the picture fills.
    """
    from PIL import Image

    high, wide = picture.shape[:2]
    scale = min(height / high, width / wide)
    to = (max(1, round(wide * scale)), max(1, round(high * scale)))
    made = np.zeros((height, width, 3), np.uint8)
    if to == (wide, high):
        made[:high, :wide] = picture
    else:
        small = Image.fromarray(picture).resize(to, Image.Resampling.BILINEAR, reducing_gap=2.0)
        made[: to[1], : to[0]] = np.asarray(small)
    return made, to[0] / width, to[1] / height


def anchors(height: int, width: int) -> Floats:
    """The anchors of EfficientDet (arXiv:1911.09070): levels 3 to 7, three sizes, three proportions, of the size 3.

    Returns:
        (n, 4): centre y, centre x, height, width, relative to the input.
    """
    made = []
    for level in range(3, 8):
        rows, columns = -(-height // 2**level), -(-width // 2**level)
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        shapes = [
            (3 / rows * 2 ** (size / 3) * tall, 3 / columns * 2 ** (size / 3) / tall)
            for size in range(3)
            for tall in (1.0, 0.5**0.5, 2**0.5)
        ]
        grid = np.stack([y, x], axis=-1)[:, :, None, :].repeat(len(shapes), axis=2)
        sizes = np.broadcast_to(np.array(shapes), grid.shape)
        made.append(np.concatenate([grid, sizes], axis=-1).reshape(-1, 4))
    return np.concatenate(made).astype(np.float32)


def suppress(boxes: Floats, scores: Floats, kinds: npt.NDArray[np.int64], overlap: float = _OVERLAP) -> list[int]:
    """Which boxes stay when of two that show the same thing the worse goes; boxes come best first.

    Things of different classes are the same thing from `_SAME_KIND` on: a car seen as a lorry too.
    """
    kept: list[int] = []
    area = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    alive = (area > 0) & np.isfinite(area)
    for at in range(len(scores)):
        if not alive[at]:
            continue
        kept.append(at)
        x1, y1 = np.maximum(boxes[at, 0], boxes[:, 0]), np.maximum(boxes[at, 1], boxes[:, 1])
        x2, y2 = np.minimum(boxes[at, 2], boxes[:, 2]), np.minimum(boxes[at, 3], boxes[:, 3])
        shared = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
        alive &= shared <= np.where(kinds == kinds[at], overlap, _SAME_KIND) * (area + area[at] - shared)
    return kept


def _compile(model: Model, cores: int, columns: npt.NDArray[np.int64]) -> tuple[Any, bool]:
    """An asynchronous queue of requests, and whether the model takes bytes."""
    data = model.read()
    try:
        import openvino as ov
    except ImportError as error:  # pragma: no cover  it is in the lock
        raise UnavailableError(f"OpenVINO is not installed: {error}", where=model.name) from None
    core = ov.Core()
    try:
        graph = _graph(ov, core, model, data, columns)
        streams = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(cores), "INFERENCE_NUM_THREADS": cores}
        compiled = core.compile_model(graph, "CPU", streams)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{model.name} cannot be run: {reason}", where=str(model.path)) from None
    wanted = {"anchors": 2, "ready": 3}.get(model.layout, 1)
    if len(compiled.outputs) < wanted:
        raise InputError(
            f"{model.name} has {len(compiled.outputs)} outputs, the layout {model.layout!r} needs {wanted}",
            where=str(model.path),
        )
    return ov.AsyncInferQueue(compiled, cores), compiled.input(0).element_type == ov.Type.u8


def _graph(ov: Any, core: Any, model: Model, data: bytes, columns: npt.NDArray[np.int64]) -> Any:
    if not (model.path.suffix == ".tflite" and ends_in_post_process(data)):
        return core.read_model(str(model.path))
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:  # OpenVINO reads TFLite from a file alone
        path = Path(folder) / "detector.tflite"
        path.write_bytes(without_post_process(data))
        graph = core.read_model(str(path))
    codes, scores = (output.get_node().input_value(0) for output in graph.outputs)
    ops = ov.opset13
    wanted = ops.gather(scores, ops.constant(columns), ops.constant(np.array(2, np.int64)))
    return ov.Model([ops.result(codes), ops.result(wanted)], graph.get_parameters(), model.name)
