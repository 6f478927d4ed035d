"""Counting insects on the plain sheet of a light trap, from a photo: classical segmentation, no learned model.

The sheet's own brightness is estimated and divided out, so that shadows and a slope of light do not count; what is
clearly darker than the sheet is marked; marks that are several insects touching are parted at the necks of their
distance transform, or, where there is no neck, by their area. What is counted is an estimate that a person may correct
(`thap.domains.rice.counts`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from thap.kernel.errors import InputError

__all__ = ["SIZES", "InsectCount", "count_insects", "read_picture"]

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SIZES = ("small", "medium", "large")
_LONGEST = 2400
"""Pictures are made no larger than this, pixels: an insect of 3 mm on a sheet of 400 mm still has 18 of them."""
_MOST_PIXELS = 89_000_000
_TILE = 24
_NOISES = 5.0
"""How many standard deviations of the sheet's noise a mark must be darker."""
_FAINT = 0.07
"""No mark is fainter than this share of the sheet's brightness."""
_LEAST_PX = 9
_SPECK = 0.15
"""Marks below this share of the usual area are dust."""
_CONVEX = 0.90
"""A mark that fills this share of its convex hull is one insect unless it is much larger than usual."""
_NECK = 0.18
"""How much narrower a neck is than the smaller of what it joins, as a share, to part them."""
_SMALL_MM, _LARGE_MM = 3.5, 8.0
"""Body lengths that part the classes where the scale is known: planthoppers are 3 to 5 mm, rice bugs and moths more."""


@dataclass(frozen=True, slots=True)
class InsectCount:
    """What a picture shows."""

    count: int
    sizes: dict[str, int]
    """How many are small, medium, large: by body length where the scale is known, else by the usual area."""
    area_px: float
    """The usual area of one insect, pixels of the picture as it was looked at."""
    split: int
    """How many of them were parted from a neighbour they touch."""
    coverage: float
    """Share of the sheet that is covered; above 0.2 many lie on each other and the count is too low."""
    contrast: float
    """How much darker than the sheet a mark must be, as a share."""
    scale: float
    """Pixels looked at for each of the picture's own, at most 1."""
    boxes: tuple[tuple[int, int, int, int, int], ...]
    """Left, top, right, bottom and how many, pixels of the picture itself."""

    @property
    def sure(self) -> bool:
        """Whether the count can be believed without a look: the sheet is not crowded."""
        return self.coverage <= 0.2

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "count": self.count,
            "sizes": self.sizes,
            "area_px": round(self.area_px, 1),
            "split": self.split,
            "coverage": round(self.coverage, 4),
            "contrast": round(self.contrast, 3),
            "sure": self.sure,
            "boxes": [list(box) for box in self.boxes],
        }


def read_picture(content: bytes, where: str = "file") -> Image.Image:
    """A picture the right way up.

    Raises:
        InputError: it is none, is cut off, or has too many pixels.
    """
    try:
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > _MOST_PIXELS:
            raise InputError(
                f"a picture of {picture.width} x {picture.height} points is too large",
                where=where,
                hint="send one of at most 89 million points",
            )
        picture.load()
        return ImageOps.exif_transpose(picture) or picture
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError("the picture cannot be read", where=where, hint="send a JPEG, PNG or WebP, whole") from None


def count_insects(picture: Image.Image, *, mm_per_px: float | None = None) -> InsectCount:
    """Count dark insects on a light, plain sheet that fills the picture.

    Args:
        picture: as `read_picture` gives it.
        mm_per_px: size of one of its pixels on the sheet, for classes by body length.

    Raises:
        InputError: it is smaller than 64 pixels a side, or mostly dark, so that there is no light sheet.
    """
    width, height = picture.size
    if min(width, height) < 64:
        raise InputError(f"{width} x {height} pixels are too few", hint="send a picture of at least 64 x 64")
    scale = min(1.0, _LONGEST / max(width, height))
    grey = picture.convert("L")
    if scale < 1:
        grey = grey.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX)
    plane = np.asarray(grey, np.float32)
    darkness = ndimage.gaussian_filter(_darkness(plane), 0.8)
    limit = _limit(darkness)
    mask = ndimage.binary_opening(ndimage.binary_fill_holes(darkness > limit), np.ones((2, 2), np.bool_))
    marks = _marks(mask)
    usual = _usual(marks)
    marks = [mark for mark in marks if mark.area >= max(_LEAST_PX, _SPECK * usual)]
    parted = [(mark, _insects(mark, usual)) for mark in marks]
    sizes = dict.fromkeys(SIZES, 0)
    for mark, many in parted:
        sizes[_size(mark, many, usual, None if mm_per_px is None else mm_per_px / scale)] += many
    return InsectCount(
        count=sum(many for _, many in parted),
        sizes=sizes,
        area_px=usual,
        split=sum(many - 1 for _, many in parted),
        coverage=float(mask.mean()),
        contrast=limit,
        scale=scale,
        boxes=tuple((*(round(edge / scale) for edge in mark.box), many) for mark, many in parted),  # type: ignore[misc]
    )


def _darkness(plane: Plane) -> Plane:
    """How much darker than the sheet each pixel is, as a share of the sheet's brightness there."""
    high, wide = plane.shape
    rows, columns = max(2, high // _TILE), max(2, wide // _TILE)
    tiles = np.empty((rows, columns), np.float32)
    for row, band in enumerate(np.array_split(plane, rows, axis=0)):
        for column, tile in enumerate(np.array_split(band, columns, axis=1)):
            tiles[row, column] = np.percentile(tile, 75)
    # A tile that insects cover is darker than its neighbours: it takes their brightness.
    tiles = ndimage.percentile_filter(tiles, 70, size=5, mode="nearest")
    tiles = ndimage.gaussian_filter(tiles, 1.0, mode="nearest")
    at = np.meshgrid(
        (np.arange(high) + 0.5) * rows / high - 0.5, (np.arange(wide) + 0.5) * columns / wide - 0.5, indexing="ij"
    )
    sheet = ndimage.map_coordinates(tiles, at, order=1, mode="nearest")
    if float(np.median(sheet)) < 60:
        raise InputError(
            "the picture has no light sheet", hint="take it from above, with the sheet filling it, in light"
        )
    return np.asarray(1 - plane / np.maximum(sheet, 1), np.float32)


def _limit(darkness: Plane) -> float:
    """Above this darkness a pixel is part of an insect: well above the noise, and half as dark as what is darkest."""
    middle = float(np.median(darkness))
    noise = 1.4826 * float(np.median(np.abs(darkness - middle)))
    least = max(_FAINT, middle + _NOISES * noise)
    dark = darkness[darkness > least]
    if dark.size < _LEAST_PX:
        return least
    return max(least, 0.4 * float(np.percentile(dark, 75)))


@dataclass(frozen=True, slots=True)
class _Mark:
    """Dark pixels that hang together."""

    mask: Mask
    """Within its box, with a rim of one pixel."""
    box: tuple[int, int, int, int]
    area: int
    convexity: float
    """Area by the area of the convex hull."""


def _marks(mask: Mask) -> list[_Mark]:
    labels, count = ndimage.label(mask, np.ones((3, 3), np.bool_))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels, count), 1):
        if place is None:
            continue
        own = labels[place] == number
        area = int(own.sum())
        if area < _LEAST_PX or area > 0.1 * mask.size:  # the edge of a table, a hand
            continue
        rows, columns = place
        found.append(
            _Mark(np.pad(own, 1), (columns.start, rows.start, columns.stop, rows.stop), area, _convexity(own, area))
        )
    return found


def _convexity(own: Mask, area: int) -> float:
    rim = own & ~ndimage.binary_erosion(own)
    rows, columns = np.nonzero(rim)
    corners = np.concatenate([np.stack((columns + x, rows + y), 1) for x in (0, 1) for y in (0, 1)])
    try:
        return float(area / ConvexHull(corners).volume)
    except (QhullError, ValueError):  # a line
        return 1.0


def _usual(marks: list[_Mark]) -> float:
    """The area of one insect: the middle one of those that look alone; 0 where there are none."""
    alone = [mark.area for mark in marks if mark.convexity >= _CONVEX and mark.area >= 2 * _LEAST_PX]
    if not alone:
        alone = [mark.area for mark in marks]
    if not alone:
        return 0.0
    areas = np.array(alone, np.float64)
    # Dust is small and many: it must not become what is usual.
    large = areas[areas >= 0.25 * np.percentile(areas, 90)]
    return float(np.median(large))


def _insects(mark: _Mark, usual: float) -> int:
    """How many insects a mark is."""
    if mark.convexity >= _CONVEX and mark.area <= 2.2 * usual:
        return 1
    depth = ndimage.distance_transform_edt(mark.mask)
    depth = ndimage.gaussian_filter(depth, 0.7) * mark.mask
    necks = sum(1 for _ in _parts(depth, mark.mask, 0.0))
    by_area = mark.area / usual
    if mark.convexity >= _CONVEX:  # one large insect, or two side by side
        return max(1, necks)
    if by_area < 1.35:
        return 1
    return max(1, min(necks, round(by_area * 1.6)), round(by_area * 0.9))


def _parts(depth: Plane, mask: Mask, level: float) -> Iterator[float]:
    """The hills of a distance transform that necks part: the height of each."""
    top = float(depth[mask].max())
    step = max(0.25, top / 24)
    at = level + step
    while at < top:
        labels, count = ndimage.label(mask & (depth > at), np.ones((3, 3), np.bool_))
        if count > 1:
            hills = [(number, float(depth[labels == number].max())) for number in range(1, count + 1)]
            hills = [(number, hill) for number, hill in hills if hill - at >= _NECK * hill]
            if len(hills) > 1:
                for number, _ in hills:
                    yield from _parts(depth, labels == number, at)
                return
        at += step
    yield top


def _size(mark: _Mark, many: int, usual: float, mm_per_px: float | None) -> str:
    if mm_per_px is None:
        each = mark.area / many / usual if usual else 1.0
        return SIZES[0] if each < 0.5 else SIZES[2] if each > 2 else SIZES[1]
    if many > 1:  # an ellipse twice as long as wide
        length = 2 * float(np.sqrt(2 * mark.area / many / np.pi))
    else:
        rows, columns = np.nonzero(mark.mask)
        spread = np.cov(np.stack((rows, columns)).astype(np.float64)) if mark.area > 2 else np.eye(2)
        length = 4 * float(np.sqrt(max(0.0, np.linalg.eigvalsh(spread)[-1])))
    long_mm = length * mm_per_px
    return SIZES[0] if long_mm < _SMALL_MM else SIZES[2] if long_mm > _LARGE_MM else SIZES[1]
