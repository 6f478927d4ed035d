"""Sheets of a light trap as tests draw them: insects of known number, noise, a slope of light, some that touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["Sheet", "draw_sheet"]

_FINE = 3


@dataclass(frozen=True)
class Sheet:
    """A picture and what is on it."""

    picture: Image.Image
    count: int
    touching: int


def draw_sheet(
    seed: int,
    count: int | None = None,
    *,
    size: tuple[int, int] = (1200, 900),
    slope: float = 0.45,
    noise: float = 6.0,
    touching: float = 0.25,
    length: tuple[float, float] = (22, 34),
) -> Sheet:
    """A sheet.

    Args:
        seed: of everything drawn.
        count: of insects; by default between 20 and 220, drawn.
        slope: how much darker the darkest corner is, as a share.
        noise: standard deviation of each pixel, of 255.
        touching: share of the insects that are laid against another.
        length: of a body, pixels, from shortest to longest.
    """
    random = np.random.default_rng(seed)
    wanted = int(random.integers(20, 221)) if count is None else count
    wide, high = size
    canvas = Image.new("L", (wide * _FINE, high * _FINE), 255)
    draw = ImageDraw.Draw(canvas)
    placed: list[tuple[float, float, float]] = []
    touched = 0
    while len(placed) < wanted:
        long = float(random.uniform(*length))
        if placed and random.random() < touching:
            x0, y0, long0 = placed[int(random.integers(len(placed)))]
            turn = random.uniform(0, 2 * np.pi)
            reach = 0.40 * (long + long0)
            x, y = x0 + reach * np.cos(turn), y0 + reach * np.sin(turn)
            others = [one for one in placed if one[:2] != (x0, y0)]
            aim, near = turn + random.uniform(-0.5, 0.5), True
        else:
            x, y = random.uniform(30, wide - 30), random.uniform(30, high - 30)
            others, aim, near = placed, random.uniform(0, 2 * np.pi), False
        inside = 25 < x < wide - 25 and 25 < y < high - 25
        if not inside or any(np.hypot(x - a, y - b) < 0.62 * (long + other) for a, b, other in others):
            continue
        touched += near
        placed.append((x, y, long))
        _insect(draw, x, y, long, aim, int(random.uniform(60, 110)), random)
    plane = np.asarray(canvas.resize(size, Image.Resampling.BOX), np.float64)
    along = random.uniform(0, 2 * np.pi)
    ramp = np.cos(along) * np.linspace(-1, 1, wide)[None, :] + np.sin(along) * np.linspace(-1, 1, high)[:, None]
    light = 0.92 * (1 - slope * (ramp - ramp.min()) / np.ptp(ramp))
    plane = plane * light + random.normal(0, noise, plane.shape)
    return Sheet(Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8)), wanted, touched)


def _insect(
    draw: ImageDraw.ImageDraw, x: float, y: float, long: float, aim: float, shade: int, random: np.random.Generator
) -> None:
    """A body twice as long as wide, with legs."""
    wide = long * float(random.uniform(0.42, 0.55))
    turn = np.linspace(0, 2 * np.pi, 40)
    along, across = long / 2 * np.cos(turn), wide / 2 * np.sin(turn)
    xs = (x + along * np.cos(aim) - across * np.sin(aim)) * _FINE
    ys = (y + along * np.sin(aim) + across * np.cos(aim)) * _FINE
    for leg in (-0.6, 0.6, 2.5, -2.5):
        end = (x + 0.62 * long * np.cos(aim + leg)) * _FINE, (y + 0.62 * long * np.sin(aim + leg)) * _FINE
        draw.line([(x * _FINE, y * _FINE), end], fill=shade + 40, width=_FINE)
    draw.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=shade)
