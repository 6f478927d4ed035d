"""`thap traffic`: vehicles that cross a line in a clip, speeds some minutes ahead."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from thap.cli.common import Json, console, emit
from thap.kernel.errors import InputError

__all__ = ["CLIP_MODEL", "CLIP_RATE", "register", "traffic"]

_SHORTEST_PX = 8
"""A line of fewer pixels is a slip of the pen."""

traffic = typer.Typer(no_args_is_help=True, help="Traffic in clips and on corridors.")
_VEHICLES = ("motorcycle", "bicycle", "car", "bus", "truck")
_MINUTES = (15, 30, 45, 60)
CLIP_MODEL = "efficientdet-lite2"
CLIP_RATE = 12.0
"""With this detector and rate a clip takes as long as with the smaller one at twice the rate, and small vehicles are
seen."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(traffic, name="traffic")


@traffic.command("count")
def count(
    clip: Annotated[Path, typer.Argument(help="A video file.", show_default=False)],
    line: Annotated[
        str,
        typer.Option(
            "--line",
            metavar="X1,Y1,X2,Y2",
            help="Ends of the line, in pixels of the clip, or from 0 to 1 of its width and height.",
            show_default=False,
        ),
    ],
    classes: Annotated[
        str | None, typer.Option(help="Only these, as motorcycle,car.", show_default="every vehicle")
    ] = None,
    model: Annotated[str, typer.Option(help="A shipped detector, or the TOML file of your own.")] = CLIP_MODEL,
    rate: Annotated[
        float, typer.Option(min=1, max=120, help="Pictures a second that are analysed at least.")
    ] = CLIP_RATE,
    as_json: Json = False,
) -> None:
    """Count what crosses a line in a clip, by class and direction.

    A direction is where it goes in the picture: down or up across a flat line, right or left across a steep one.
    """
    from thap.detect.vision.clips import Clip
    from thap.detect.vision.counting import ClipCount, count_clip
    from thap.detect.vision.models import model_named
    from thap.detect.vision.runtime import DetectorRuntime

    wanted = _classes(classes)
    video = Clip(clip, rate)
    scene = _scene(line, video.width, video.height, wanted)
    chosen = model_named(model)
    for name in wanted if classes is not None else ():
        if name not in chosen.classes:
            raise InputError(
                f"{chosen.name} knows no {name}", where="classes", hint=f"it knows {_said(chosen.classes)}"
            )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} frames"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("counting", total=video.planned or None)
        found = count_clip(
            video, scene, DetectorRuntime(chosen), progress=lambda frames: bar.update(task, completed=frames)
        )

    def text(found: ClipCount = found) -> None:
        if not found.counts:
            console.print("Nothing crossed the line.")
        else:
            table = Table("class", "direction", "count")
            for (_, cls, direction), number in found.counts.items():
                table.add_row(cls, direction, str(number))
            console.print(table)
        if found.broken:
            console.print(f"{found.broken:,} packets could not be decoded and were left out.")
        console.print(
            f"{sum(found.counts.values())} in {found.seconds:.1f} s; {found.frames:,} frames, "
            f"{found.analysed:,} analysed, {found.looked:,} with something that moved."
        )

    emit(_document(found, clip, video.width, video.height, scene, chosen.name), as_json, text)


def _document(found: Any, clip: Path, width: int, height: int, scene: Any, model: str) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    directions: dict[str, int] = dict.fromkeys(scene.lines[0].directions(width, height), 0)
    for (_, cls, direction), number in found.counts.items():
        counts[cls][direction] = number
        directions[direction] += number
    (x1, y1), (x2, y2) = scene.lines[0].start, scene.lines[0].end
    return {
        "clip": str(clip),
        "width": width,
        "height": height,
        "line": [round(x1 * width, 1), round(y1 * height, 1), round(x2 * width, 1), round(y2 * height, 1)],
        "model": model,
        "frames": found.frames,
        "seconds": round(found.seconds, 3),
        "analysed": found.analysed,
        "looked": found.looked,
        "broken_packets": found.broken,
        "counts": counts,
        "by_direction": directions,
        "total": sum(found.counts.values()),
    }


def _scene(text: str, width: int, height: int, classes: tuple[str, ...]) -> Any:
    from thap.detect.vision.scene import Scene

    try:
        numbers = [float(part) for part in text.replace(" ", "").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise InputError(f"{text!r} is no line", where="line", hint="four numbers, as 0,240,639,240")
    whole = max(map(abs, numbers)) > 1
    if whole and any(number % 1 and 0 < number < 1 for number in numbers):
        raise InputError(
            f"{text!r} mixes shares of the picture with pixels",
            where="line",
            hint=f"all four from 0 to 1, or all in pixels; the clip is {width} × {height}",
        )
    high, wide = (1.0, 1.0) if whole else (float(height), float(width))
    if 0 < math.hypot((numbers[2] - numbers[0]) * wide, (numbers[3] - numbers[1]) * high) < _SHORTEST_PX:
        raise InputError(
            f"{text!r} is a line of fewer than {_SHORTEST_PX} pixels, which nothing crosses",
            where="line",
            hint=f"from one side of the road to the other; the clip is {width} × {height}",
        )
    document: dict[str, Any] = {
        "lines": [{"name": "line", "start": numbers[:2], "end": numbers[2:], "classes": list(classes)}]
    }
    if whole:
        document |= {"width": width, "height": height}
    try:
        return Scene.from_json(document)
    except InputError as error:
        where = (error.where or "").replace("lines[0]", "line")
        raise InputError(error.message, where=where, hint=f"{error.hint}; the clip is {width} × {height}") from None


def _classes(text: str | None) -> tuple[str, ...]:
    from thap.detect.vision.found import CLASSES

    if text is None:
        return (*_VEHICLES, "vehicle")
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in CLASSES:
            raise InputError(f"{name[:64]!r} is no class", where="classes", hint=f"known: {_said(CLASSES)}")
    if not names:
        raise InputError("names no class", where="classes", hint=f"known: {_said(CLASSES)}")
    return names


def _said(names: Any) -> str:
    return ", ".join(names)


@traffic.command("forecast")
def forecast_(
    speeds: Annotated[
        Path, typer.Argument(help="CSV: a column for each sensor, a row for each step.", show_default=False)
    ],
    adjacency: Annotated[Path | None, typer.Option(help="CSV: weights between sensors, a square matrix.")] = None,
    corridor: Annotated[
        list[str] | None, typer.Option(help="NAME=SENSOR,SENSOR…: also for these together; may be repeated.")
    ] = None,
    step_minutes: Annotated[
        float | None, typer.Option(help="Minutes between rows; of the file's times, else 5.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Use the first so many rows only, to hold a forecast of the past.")
    ] = None,
    congested: Annotated[float, typer.Option(help="Share of the free speed under which a road is congested.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Forecast speeds 15, 30, 45 and 60 minutes ahead, with bands that hold four times in five.

    Missing values may be empty or 0. Congestion expected in half an hour where there is none yet is told.
    """
    from thap.domains.traffic.forecast import MODEL, congestion_ahead, filled, fit
    from thap.domains.traffic.forecast import corridor as along
    from thap.domains.traffic.speeds import read_adjacency, read_speeds

    read = read_speeds(speeds, step_minutes)
    near = read_adjacency(adjacency, len(read.names)) if adjacency is not None else None
    values = read.values[:rows] if rows else read.values
    steps = {minutes: max(1, round(minutes / read.step_minutes)) for minutes in _MINUTES}
    members = _corridors(corridor or [], read.names)
    model = fit(values, sorted(set(steps.values())), near, read.step_minutes)
    full = filled(values)
    made = {minutes: model.expect(full, ahead) for minutes, ahead in steps.items()}
    last = read.last - timedelta(minutes=read.step_minutes * (len(read.values) - len(values))) if read.last else None
    body: dict[str, Any] = {
        "origin": {"row": len(values), "time": last.isoformat() if last else None},
        "step_minutes": read.step_minutes,
        "sensors": len(read.names),
        "missing_share": round(float((~(values > 0)).mean()), 4),
        "model": MODEL,
        "band": 0.8,
        "forecasts": [
            {
                "minutes": minutes,
                "time": (last + timedelta(minutes=minutes)).isoformat() if last else None,
                "values": [
                    {
                        "sensor": name,
                        "value": round(float(one.value[index]), 3),
                        "low": round(float(one.low[index]), 3),
                        "high": round(float(one.high[index]), 3),
                        "persistence": round(float(one.persistence[index]), 3),
                        "historical_average": round(float(one.usual[index]), 3),
                    }
                    for index, name in enumerate(read.names)
                ],
                "corridors": [
                    dict(zip(("corridor", "value", "low", "high"), (name, *map(_short, along(one, at))), strict=True))
                    for name, at in members.items()
                ],
            }
            for minutes, one in made.items()
        ],
        "advisories": [
            {
                "condition": one.condition,
                "where": one.where,
                "minutes": one.minutes,
                "value": _short(one.value),
                "low": _short(one.low),
                "limit": _short(one.limit),
                "sure": one.sure,
            }
            for one in congestion_ahead(
                read.names, full[-1], model.free, made[30], share=congested, members=members or None
            )
        ],
    }
    emit(body, as_json, lambda: _show(body))


def _corridors(given: list[str], names: tuple[str, ...]) -> dict[str, list[int]]:
    made = {}
    for text in given:
        name, mark, members = text.partition("=")
        wanted = [one.strip() for one in members.split(",") if one.strip()]
        unknown = [one for one in wanted if one not in names]
        if not mark or not name.strip() or not wanted:
            raise InputError(f"{text!r} is no corridor", where="--corridor", hint="write it as NAME=SENSOR,SENSOR")
        if unknown:
            raise InputError(
                f"no sensor is called {unknown[0]!r}", where="--corridor", hint=f"there are {', '.join(names[:20])}"
            )
        made[name.strip()] = [names.index(one) for one in wanted]
    return made


def _short(value: float) -> float:
    return round(value, 3)


def _show(body: dict[str, Any]) -> None:
    table = Table("sensor", "now", *(f"{one['minutes']} min" for one in body["forecasts"]))
    shown = body["forecasts"][0]["values"][:20]
    for index, sensor in enumerate(shown):
        cells = [one["values"][index] for one in body["forecasts"]]
        bands = (f"{cell['value']:.1f} ({cell['low']:.0f}–{cell['high']:.0f})" for cell in cells)
        table.add_row(escape(sensor["sensor"]), f"{sensor['persistence']:.1f}", *bands)
    console.print(table)
    if body["sensors"] > len(shown):
        console.print(f"and {body['sensors'] - len(shown)} more; --json has all")
    for one in body["advisories"]:
        if one["sure"]:
            console.print(f"congestion expected in {one['minutes']:.0f} min: {escape(one['where'])}")
