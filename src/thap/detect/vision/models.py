"""The model registry: which detectors there are, what they take and give, under which licence, with which hash.

Shipped ones are in `models.toml`, their weights beside it (`make models`). A detector of one's own is a TOML file of
one table beside its ONNX or TFLite file:

    name = "bike-finder"
    file = "bike-finder.onnx"
    sha256 = "…"
    licence = "MIT"
    input = [640, 640]
    layout = "yolo"
    classes = { motorcycle = 0, car = 1 }
    scale = 255.0
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from thap.detect.vision.found import CLASSES
from thap.kernel.errors import InputError, NotFoundError, UnavailableError

__all__ = ["DEFAULT_MODEL", "LAYOUTS", "Model", "default_model", "model_named", "read_model", "shipped_models"]

DEFAULT_MODEL = "efficientdet-lite0"
LAYOUTS = {
    "anchors": "box codes and a score a class at the anchors of EfficientDet, levels 3 to 7",
    "yolo": "one output of (4 + classes) × boxes: centre, width and height in input pixels, a score a class",
    "yolo-objectness": "one output of boxes × (5 + classes): the same with an objectness that scores are multiplied by",
    "ready": "boxes (y1, x1, y2, x2, relative), scores, classes: outputs after suppression, in this order",
}
_HERE = Path(__file__).resolve().parent
_KEYS = {"name", "file", "sha256", "licence", "input", "layout", "classes", "scale", "mean", "order", "package_path"}


@dataclass(frozen=True, slots=True)
class Model:
    """A detector that can be run."""

    name: str
    path: Path
    sha256: str
    licence: str
    height: int
    width: int
    layout: str
    """One of `LAYOUTS`."""
    classes: Mapping[str, int]
    """Our name of a class → its number in the model's output."""
    scale: float = 1.0
    """Values are divided by it, after `mean` was taken off; a model that takes bytes gets them as they are."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    order: str = "rgb"

    def read(self) -> bytes:
        """The file, checked.

        Raises:
            UnavailableError: it is not there.
            InputError: it is another file than the registry names.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise UnavailableError(
                f"the weights of {self.name} cannot be read: {error.strerror}",
                where=str(self.path),
                hint="in a checkout, run: make models" if self.path.parent == _HERE / "weights" else "check the path",
            ) from None
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise InputError(
                f"the weights of {self.name} are another file: SHA-256 {found[:16]}…",
                where=str(self.path),
                hint=f"the registry names {self.sha256[:16]}…; bring the right file, or the right hash",
            )
        return data


@cache
def shipped_models() -> Mapping[str, Model]:
    """The detectors that come with Tháp, by name."""
    path = _HERE / "models.toml"
    tables = tomllib.loads(path.read_text("utf-8"))
    return {
        name: _model({**table, "name": name}, _HERE / "weights", f"{path.name}: {name}")
        for name, table in tables.items()
    }


def default_model() -> Model:
    """The detector that cameras are watched with: the one that one processor core runs most often a second."""
    return shipped_models()[DEFAULT_MODEL]


def read_model(path: Path) -> Model:
    """A detector of one's own.

    Args:
        path: its TOML file; the model's file is beside it.

    Raises:
        InputError: it cannot be read, or a value in it is missing or wrong.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"no TOML: {error}", where=str(path), hint="see docs/vision.md for one that works") from None
    return _model(table, path.parent, str(path))


def model_named(name: str) -> Model:
    """A shipped detector by name, or one's own by the path of its TOML file.

    Raises:
        NotFoundError: there is none of that name.
        InputError: the TOML file is wrong.
    """
    if name.endswith(".toml"):
        return read_model(Path(name))
    known = shipped_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        raise NotFoundError(
            f"there is no detector {name[:64]!r}",
            where="model",
            hint=f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}, or the path of a TOML file",
        )
    return known[name]


def _model(table: Mapping[str, Any], folder: Path, where: str) -> Model:
    for key in table:
        if key not in _KEYS:
            raise InputError(f"{key!r} means nothing here", where=where, hint=f"known: {', '.join(sorted(_KEYS))}")
    for key in ("name", "file", "sha256", "licence", "layout"):
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise InputError("needs a text", where=f"{where}: {key}")
    if table["layout"] not in LAYOUTS:
        raise InputError(
            f"{table['layout']!r} is no layout", where=f"{where}: layout", hint=f"one of {', '.join(LAYOUTS)}"
        )
    if table.get("order", "rgb") not in ("rgb", "bgr"):
        raise InputError("the order of colours is rgb or bgr", where=f"{where}: order")
    size = table.get("input")
    if (
        not isinstance(size, list)
        or not _numbers(size, 2)
        or not all(isinstance(one, int) and 32 <= one <= 4096 for one in size)
    ):
        raise InputError("needs [height, width] in pixels, 32 to 4096", where=f"{where}: input")
    mean, scale = table.get("mean", [0.0, 0.0, 0.0]), table.get("scale", 1.0)
    if not isinstance(mean, list) or not _numbers(mean, 3) or not _numbers([scale], 1) or scale <= 0:
        raise InputError("needs a mean of three numbers and a scale above 0", where=where)
    classes = table.get("classes")
    if not isinstance(classes, Mapping) or not classes:
        raise InputError("needs the numbers of classes, as { car = 2 }", where=f"{where}: classes")
    for name, number in classes.items():
        if name not in CLASSES or type(number) is not int or number < 0:
            raise InputError(
                f"{name} = {number!r} is no class", where=f"{where}: classes", hint=f"names: {', '.join(CLASSES)}"
            )
    return Model(
        table["name"],
        folder / table["file"],
        table["sha256"].lower(),
        table["licence"],
        size[0],
        size[1],
        table["layout"],
        dict(classes),
        float(scale),
        (float(mean[0]), float(mean[1]), float(mean[2])),
        table.get("order", "rgb"),
    )


def _numbers(given: Any, count: int) -> bool:
    return (
        isinstance(given, list)
        and len(given) == count
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    )
