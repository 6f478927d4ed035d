"""`thap rice`: forecasts of pest counts, flights in light traps, and when a flight's offspring hatch and fly."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Json, console, emit
from thap.cli.rice_office import add
from thap.kernel.errors import InputError

__all__ = ["register", "rice"]

rice = typer.Typer(no_args_is_help=True, help="Rice pests: forecast, flights, generations.")
File = Annotated[Path, typer.Argument(help="CSV file of counts.", show_default=False)]
Pest = Annotated[str | None, typer.Option(help="Pest, as in the file; may be left out where it has one.")]
Place = Annotated[str | None, typer.Option(help="Location or trap, as in the file.")]
Way = Annotated[str | None, typer.Option(help="How it was counted, as `light trap`.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    add(rice)
    app.add_typer(rice, name="rice")


@rice.command("forecast")
def forecast_(
    file: File,
    pest: Pest = None,
    location: Place = None,
    collection: Way = None,
    horizon: Annotated[int, typer.Option(help="Weeks ahead, 1 to 8.")] = 4,
    origin: Annotated[
        str | None,
        typer.Option(help="A day of the last week to use, as 2002-12-31; the last counted week if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Forecast weekly counts of a pest, with bands that hold four times in five.

    Everything after the origin is left unread, so that a forecast of the past can be held against what came.
    """
    from thap.domains.rice.forecast import MODEL, prepare
    from thap.domains.rice.sheets import choose, pool_of, read_catches, series_of
    from thap.domains.rice.weeks import week_begin

    read = read_catches(file)
    series = series_of(choose(read, pest, location, collection))
    cut, last, model = prepare(series, horizon, day(origin, "--origin") if origin else None, pool_of(read, series))
    made = [model.predict(cut, ahead) for ahead in range(1, horizon + 1)]
    body = {
        "pest": series.pest,
        "location": series.location,
        "collection": series.collection,
        "unit": "count of a week, as in the file (mean of the nights where it has nights)",
        "origin": {
            "date": week_begin(last).isoformat(),
            "year": last // 52,
            "week": last % 52 + 1,
            "count": round(float(cut.counts[-1]), 3),
        },
        "model": MODEL,
        "band": 0.8,
        "training": {
            "from": week_begin(cut.first).isoformat(),
            "to": week_begin(last).isoformat(),
            "weeks": model.weeks,
            "missing_weeks": len(cut.counts) - model.weeks,
            "other_series": model.pooled,
        },
        "forecasts": [one.as_dict() for one in made],
        "problems": read.problems[:50],
    }
    emit(body, as_json, lambda: _show_forecast(body))


@rice.command("flights")
def flights_(
    file: File,
    pest: Pest = None,
    location: Place = None,
    collection: Way = None,
    as_json: Json = False,
) -> None:
    """Find flights of planthoppers in nightly or weekly catches, by trap and across all traps of the file."""
    from thap.domains.parameters import shipped_parameters
    from thap.domains.rice import DOMAIN
    from thap.domains.rice.flights import find_flights, zone_flights
    from thap.domains.rice.sheets import Row, catches_of, choose, read_catches

    read = read_catches(file)
    parameters = shipped_parameters(DOMAIN)
    places = [location] if location is not None else read.names(lambda row: row.location)
    chosen: dict[str, list[Row]] = {}
    for place in places:
        rows = choose(read, pest, place or None, collection)
        chosen.setdefault(rows[0].location, rows)
    nights = {name: catches_of(rows) for name, rows in chosen.items()}
    found = {name: find_flights(catches, parameters, wind) for name, (catches, wind) in nights.items()}
    traps = {name: catches for name, (catches, _) in nights.items()}
    zone = zone_flights(traps, parameters, found) if len(traps) > 1 else []
    body = {
        "flights": [{"trap": name, **one.as_dict()} for name, many in found.items() for one in many],
        "zone": [one.as_dict() for one in zone],
        "traps": [
            {
                "trap": name,
                "from": catches.first.isoformat(),
                "to": catches.day(len(catches.counts) - 1).isoformat(),
                "step_days": catches.step_days,
                "counted": int((catches.counts >= 0).sum()),
                "missing": int((~(catches.counts >= 0)).sum()),
            }
            for name, catches in traps.items()
        ],
        "parameters": {
            name: parameters[name] for name in parameters if name.startswith(("flight_", "moon_", "harvest_"))
        },
        "problems": read.problems[:50],
    }
    emit(body, as_json, lambda: _show_flights(body))


@rice.command("phenology")
def phenology(
    begin: Annotated[str, typer.Option("--from", help="Night of the flight, as 2026-04-20.")],
    temperature: Annotated[Path, typer.Option(help="CSV file of temperatures by day or hour, °C.")],
    location: Place = None,
    generations: Annotated[int, typer.Option(min=1, max=6, help="How many generations to follow.")] = 1,
    as_json: Json = False,
) -> None:
    """When the offspring of a flight hatch, when spraying works, and when they fly; with bands."""
    from thap.domains.parameters import shipped_parameters
    from thap.domains.rice import DOMAIN
    from thap.domains.rice.biology import Biology, cohorts
    from thap.domains.rice.sheets import read_temperatures

    parameters = shipped_parameters(DOMAIN)
    biology = Biology.of(parameters)
    problems: list[str] = []
    temperatures = read_temperatures(temperature, location, problems)
    arrived = day(begin, "--from")
    made = cohorts([arrived], temperatures, biology, generations=generations)
    body = {
        **made[0].as_dict(),
        "generations": [one.as_dict() for one in made],
        "degree_days_per_generation": biology.generation_dd,
        "temperatures": {"from": temperatures.first.isoformat(), "to": temperatures.last.isoformat()},
        "parameters": {
            name: {"value": one.value, "unit": one.unit, "source": one.source, "confidence": one.confidence}
            for name, one in parameters.known.items()
            if name.startswith(("bph_", "spray_", "weather_"))
        },
        "problems": problems[:50],
    }
    emit(body, as_json, lambda: _show_phenology(body))


def day(text: str, where: str) -> date:
    """A date of the command line.

    Raises:
        InputError: it is none.
    """
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        now = time.strftime("%Y-%m-%d")
        raise InputError(f"{text!r} is no date", where=where, hint=f"write it as {now}") from None


def _show_forecast(body: dict[str, Any]) -> None:
    table = Table("weeks", "week of", "expected", "band", "last count", "usual")
    for one in body["forecasts"]:
        usual = one["baselines"]["climatology"]
        table.add_row(
            str(one["horizon"]),
            one["target_date"],
            f"{one['value']:,.0f}",
            f"{one['low']:,.0f} – {one['high']:,.0f}",
            f"{one['baselines']['persistence']:,.0f}",
            "" if usual is None else f"{usual:,.0f}",
        )
    console.print(escape(f"{body['pest']} {body['location']}, from {body['origin']['date']}".strip()))
    console.print(table)
    _show_problems(body)


def _show_flights(body: dict[str, Any]) -> None:
    table = Table("trap", "peak", "from", "to", "catch", "× before", "origin", "near")
    for one in body["flights"]:
        peak = one["peak"] + ("" if one["confirmed"] else " ?")
        cells = (one["trap"], peak, one["first"], one["last"], f"{one['catch']:,.0f}", f"{one['ratio']:.1f}")
        table.add_row(*map(escape, cells), one["origin"], ", ".join(one["confounders"]))
    console.print(table if body["flights"] else "No flight.")
    for zone in body["zone"]:
        console.print(f"zone: {zone['peak']}, {len(zone['traps'])} of {zone['counted']} traps")
    _show_problems(body)


def _show_phenology(body: dict[str, Any]) -> None:
    table = Table("arrived", "event", "expected", "early", "late")
    for one in body["generations"]:
        for window in one["windows"]:
            table.add_row(one["arrived"], window["event"], window["expected"], window["early"], window["late"])
    console.print(table)
    console.print(f"a generation of {body['generation_days']:.1f} days")
    _show_problems(body)


def _show_problems(body: dict[str, Any]) -> None:
    for problem in body["problems"]:
        console.print(f"left out: {escape(problem)}")
