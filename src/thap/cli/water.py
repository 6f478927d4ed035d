"""`thap water`: levels and salinity ahead, the index of the air, sheets of salinity; of files, without a centre."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, console, emit, open_records, run_async, tell_centre
from thap.kernel.clock import HOUR_US, VIETNAM, from_us, iso, now_us, parse_duration_us
from thap.kernel.errors import InputError
from thap.kernel.settings import load_settings

__all__ = ["register"]

water = typer.Typer(no_args_is_help=True, help="Levels, salinity and air: forecasts, index, sheets.")
sheets = typer.Typer(no_args_is_help=True, help="The province's sheets of salinity by ten days.")
water.add_typer(sheets, name="salinity")
File = Annotated[Path, typer.Argument(help="CSV with a column `time` and values.")]
_LEVELS = {"level": ("water_level", "value", "result", "muc_nuoc", "h", "wl")}
_SALT = {"salinity": ("value", "result", "do_man", "g_l", "man")}
_AIR = {
    "pm25": ("pm2_5", "pm_25"),
    "pm10": ("pm_10",),
    "o3": ("ozone",),
    "no2": (),
    "so2": (),
    "co": (),
}
_SHOWN_FAULTS = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(water, name="water")


@water.command("forecast")
def forecast(
    file: File,
    hours: Annotated[int, typer.Option(min=1, max=240, help="How far ahead.")] = 48,
    step: Annotated[str, typer.Option(help="Time between two values, as 1h or 10m.")] = "1h",
    salinity: Annotated[bool, typer.Option("--salinity", help="The values are salinity in g/l, not levels.")] = False,
    days: Annotated[float, typer.Option(min=2, max=400, help="How much of the end of the file is used.")] = 60,
    as_json: Json = False,
) -> None:
    """Forecast a level (m) or a salinity (g/l) from a file of `time,level`, with bands for four values of five."""
    from thap.domains.water import forecast as ahead
    from thap.domains.water.salinity import forecast_salinity, windows_under
    from thap.domains.water.tables import read_table

    step_us = parse_duration_us(step)
    if not 60_000_000 <= step_us <= hours * HOUR_US:
        raise InputError(f"a step of {step} does not fit", where="--step", hint=f"1m to {hours}h")
    what = "salinity" if salinity else "level"
    table = read_table(file, _SALT if salinity else _LEVELS, only=what)
    try:
        record = ahead.gather(table.times, table.columns[what], days=days)
    except InputError as error:
        error.where = str(file)
        raise
    made = (forecast_salinity if salinity else ahead.forecast)(record, hours, step_us / HOUR_US)
    items = [
        {
            "time": iso(round(at * HOUR_US)),
            what: round(mean, 3),
            "low": round(low, 3),
            "high": round(high, 3),
            "tide": round(tide, 3),
        }
        for at, mean, low, high, tide in zip(
            *(part.tolist() for part in (made.hours, made.mean, made.low, made.high, made.tide)), strict=True
        )
    ]
    found: dict[str, Any] = {
        "file": str(file),
        "property": what,
        "unit": "g/l" if salinity else "m",
        "inputs_until": iso(int(table.times[-1])),
        "hours": hours,
        "band": 0.8,
        "rmse_by_lead_h": {str(lead): round(error, 4) for lead, error in made.errors.items()},
        "tide_amplitudes": {
            name: round(size, 4) for name, size in sorted(made.fit.amplitudes().items(), key=lambda one: -one[1])[:8]
        }
        if not salinity
        else {},
        "forecast": items,
        "rows": len(table.times),
        "repeated": table.repeated,
        "faults": [one.as_dict() for one in table.faults],
    }
    if salinity:
        found["sluice"] = [
            {
                "line_g_l": line,
                "open": [
                    {"from": iso(one.begin), "to": iso(one.end), "highest_g_l": round(one.highest_g_l, 2)}
                    for one in windows_under(made, line)
                ],
            }
            for line in (1.0, 4.0)
        ]
    emit(found, as_json, lambda: _tell_forecast(found, what))


def _tell_forecast(found: dict[str, Any], what: str) -> None:
    table = Table("time (+07)", what, "from", "to", "tide", box=SIMPLE)
    for one in found["forecast"]:
        table.add_row(_local(one["time"]), *(f"{one[name]:.2f}" for name in (what, "low", "high", "tide")))
    console.print(table)
    errors = ", ".join(f"{lead} h: {error:.3f}" for lead, error in found["rmse_by_lead_h"].items())
    if errors:
        console.print(f"error of forecasts of the record's last quarter ({found['unit']}): {errors}")
    for line in found.get("sluice", ()):
        spans = "; ".join(f"{_local(one['from'])} – {_local(one['to'])}" for one in line["open"]) or "not at all"
        console.print(f"under {line['line_g_l']:g} g/l a sluice may open: {spans}")
    _tell_faults(found["faults"])


def _local(time: str) -> str:
    from thap.kernel.clock import parse_time_us

    return from_us(parse_time_us(time)).astimezone(VIETNAM).strftime("%d/%m %H:%M")


def _tell_faults(faults: list[dict[str, Any]]) -> None:
    for one in faults[:_SHOWN_FAULTS]:
        console.print(f"[yellow]line {one['line']}, {escape(one['column'])}: {escape(one['reason'])}[/]")
    if len(faults) > _SHOWN_FAULTS:
        console.print(f"[yellow]… and {len(faults) - _SHOWN_FAULTS} more[/]")


@water.command("aqi")
def aqi(file: File, as_json: Json = False) -> None:
    """VN_AQI by hour and day of a file of `time,pm25,pm10,o3,no2,so2,co` in µg/m³ (mg/m³ where a heading says so)."""
    import numpy as np

    from thap.domains.water import aqi as air
    from thap.domains.water.tables import read_table

    table = read_table(file, _AIR)
    hour = table.times // HOUR_US
    first, count = int(hour[0]), int(hour[-1] - hour[0]) + 1
    if count > 20 * 366 * 24:
        raise InputError("the file spans more than 20 years", where=str(file), hint="give it in parts")
    series = {}
    for name, values in table.columns.items():
        good = np.isfinite(values) & (values >= 0)
        at = hour[good] - first
        total = np.bincount(at, values[good], count)
        many = np.bincount(at, minlength=count)
        series[name] = np.where(many > 0, total / np.maximum(many, 1), np.nan)
    hours = [
        {"time": iso(one.hour * HOUR_US), **_told(one.aqi, one.pollutant, one.parts, one.complete)}
        for one in air.hourly(first, series)
    ]
    days = [
        {
            "date": from_us(one.day * 24 * HOUR_US).strftime("%Y-%m-%d"),
            **_told(one.aqi, one.pollutant, one.parts, one.complete),
            "hours": one.hours,
        }
        for one in air.daily(first, series)
    ]
    found = {
        "file": str(file),
        "source": "QĐ 1459/QĐ-TCMT",
        "hourly": hours,
        "daily": days,
        "faults": [one.as_dict() for one in table.faults],
    }
    emit(found, as_json, lambda: _tell_aqi(found))


def _told(index: int | None, pollutant: str, parts: Any, complete: bool) -> dict[str, Any]:
    from thap.domains.water.aqi import class_of

    kind = None if index is None else class_of(index)
    return {
        "aqi": index,
        "pollutant": pollutant,
        "class": kind.title["vi"] if kind else None,
        "class_en": kind.title["en"] if kind else None,
        "level": kind.level if kind else 0,
        "colour": kind.colour if kind else None,
        "parts": dict(parts),
        "complete": complete,
    }


def _tell_aqi(found: dict[str, Any]) -> None:
    for key, title in (("daily", "day"), ("hourly", "hour (+07)")):
        table = Table(title, "VN_AQI", "class", "by", box=SIMPLE)
        for one in found[key][-72:]:
            when = one["date"] if key == "daily" else _local(one["time"])
            index = "–" if one["aqi"] is None else str(one["aqi"])
            table.add_row(when, index, one["class"] or "", one["pollutant"])
        console.print(table)
    _tell_faults(found["faults"])


@sheets.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV: station, year, and a column for each ten days, as p0101_0110.")],
    check: Annotated[bool, typer.Option("--check", help="Only say what the file holds; change nothing.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good cells where others are bad.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take in a sheet of salinity. Where a cell cannot be taken nothing is imported, unless --skip-bad is given."""
    from thap.domains.water.sheets import Sheet, read_sheet

    sheet = read_sheet(file)

    async def keep(sheet: Sheet) -> dict[str, int]:
        from thap.domains.water.records import keep_sheet
        from thap.kernel.audit import Entry, append_async
        from thap.kernel.policy import Who
        from thap.kernel.tables import create_tables

        settings = load_settings(data)
        records = open_records(settings)
        try:
            await create_tables(records)
            async with records.write() as connection:
                kept = await keep_sheet(connection, sheet, by="local", now=now_us())
                told = {"source": sheet.source, "sha256": sheet.sha256, "added": kept.added, "replaced": kept.replaced}
                await append_async(connection, [Entry(Who.local(), "salinity.import", "salinity", told)])
        finally:
            await records.close()
        await tell_centre(settings, "water", {"salinity": sheet.source})
        return {"added": kept.added, "replaced": kept.replaced, "same": kept.same}

    if sheet.faults and not check and not skip_bad:
        raise InputError(
            f"{len(sheet.faults)} cells cannot be taken, nothing was imported: "
            + "; ".join(f"line {one.line}, {one.column}: {one.reason}" for one in sheet.faults[:3]),
            where=str(file),
            hint="mend them, or take the others with --skip-bad; --check shows all",
        )
    done = None if check else run_async(lambda: keep(sheet))
    found = {
        "file": str(file),
        "rows": len(sheet.rows),
        "stations": sheet.stations,
        "empty": sheet.empty,
        "faults": [one.as_dict() for one in sheet.faults],
        "imported": done is not None,
        **(done or {}),
        "items": [
            {
                "station": one.station,
                "title": one.title,
                "km": one.km,
                "begin": iso(one.begin),
                "end": iso(one.end),
                "g_l": one.g_l,
                "line": one.line,
            }
            for one in sheet.rows
        ],
    }
    emit(found, as_json, lambda: _tell_sheet(found))


def _tell_sheet(found: dict[str, Any]) -> None:
    table = Table("station", "km", "values", "highest g/l", "lowest g/l", box=SIMPLE)
    for title in found["stations"]:
        mine = [one for one in found["items"] if one["title"] == title]
        values = [one["g_l"] for one in mine]
        km = f"{mine[0]['km']:g}" if mine and mine[0]["km"] is not None else "–"
        table.add_row(
            escape(title),
            km,
            str(len(mine)),
            f"{max(values):g}" if values else "–",
            f"{min(values):g}" if values else "–",
        )
    console.print(table)
    _tell_faults(found["faults"])
    said = f"{found['rows']} values, {found['empty']} cells empty, {len(found['faults'])} bad"
    if found["imported"]:
        said += f": {found['added']} added, {found['replaced']} replaced, {found['same']} known already"
    console.print(said, highlight=False)
