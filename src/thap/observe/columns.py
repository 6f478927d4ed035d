"""What the columns of a table mean: which tell the time, the thing, the value; guessed by name, or told.

Three layouts of observations are understood:

    long     time, [thing,] datastream, result           one value a row
    wide     time, [thing,] rain_mm, wind_kmh, …         one datastream a column
    periods  [thing,] year, p0101_0110, p0111_0120, …    one stretch of time a column

and one of positions: time, mover, lon, lat, [speed, course]. A time is one column, or year with week, or year
with month and day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from thap.kernel.clock import iso, parse_time_us, to_us
from thap.kernel.errors import InputError
from thap.observe.kinds import Kind
from thap.observe.ships import ship_kind, vessel_key

__all__ = ["ROLES", "Plan", "Records", "plan_columns"]

ROLES: dict[str, tuple[str, ...]] = {
    "time": (
        "time",
        "timestamp",
        "datetime",
        "date_time",
        "at",
        "phenomenontime",
        "phenomenon_time",
        "ts",
        "date",
        "base_date_time",
        "basedatetime",
        "thoi_gian",
        "ngay",
        "ngay_gio",
        "recorded_at",
        "measured_at",
    ),
    "year": ("year", "observation_year", "nam"),
    "month": ("month", "thang"),
    "day": ("day", "day_of_month"),
    "week": ("week", "iso_week", "tuan"),
    "standard_week": ("standard_week", "std_week", "smw"),
    "thing": ("thing", "station", "location", "site", "trap", "device", "tram", "diem_do", "station_id", "device_id"),
    "datastream": (
        "datastream",
        "key",
        "series",
        "property",
        "parameter",
        "variable",
        "sensor",
        "pest_name",
        "collection_type",
    ),
    "result": ("result", "value", "reading", "measurement", "gia_tri", "pest_value"),
    "mover": ("mover", "mmsi", "vessel", "vehicle", "vessel_id", "vehicle_id", "id"),
    "lon": ("lon", "longitude", "lng", "long", "kinh_do"),
    "lat": ("lat", "latitude", "vi_do"),
    "speed_kn": ("speed_kn", "sog", "speed", "speed_over_ground"),
    "course_deg": ("course_deg", "cog", "course", "course_over_ground", "bearing"),
    "heading": ("heading", "true_heading"),
    "name": ("name", "vessel_name", "vesselname", "shipname"),
    "kind": ("kind", "shiptype", "ship_type", "vessel_type", "vesseltype"),
}
"""What a column can be, with the names it is recognised by (lower case, other characters as `_`)."""

_TOGETHER = ("time", "datastream")
"""Roles that several columns may be recognised for: day and time of day, parts of a name."""
_POSITION_ROLES = ("mover", "lon", "lat", "speed_kn", "course_deg", "heading", "name", "kind")
_STATIC = {
    "length": "length_m",
    "width": "width_m",
    "draught": "draught_m",
    "draft": "draught_m",
    "imo": "imo",
    "callsign": "call_sign",
    "call_sign": "call_sign",
    "destination": "destination",
}
_MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "--", "unknown"}
_PERIOD = re.compile(r"p?(\d{2})(\d{2})(?:[_-]\d{4})?")
_DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?:[ T]+(.+))?")
_UNIT = re.compile(r"(.*?)\s*[(\[]([^)\]]+)[)\]]")

Values = Sequence[Any]


@dataclass(slots=True)
class Records:
    """What one row says."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """As the HTTP door takes them; a value that cannot be read is left as it is, for the door to refuse."""
    time: int | None = None
    """Of the first record, µs; None where it cannot be read."""


@dataclass(frozen=True, slots=True)
class _Series:
    """A column that is a datastream."""

    column: int
    name: str
    unit: str


@dataclass(slots=True)
class Plan:
    """How rows become records."""

    kind: Kind
    columns: list[str]
    roles: dict[str, list[int]]
    """Role → the columns that have it."""
    series: list[_Series]
    periods: list[tuple[int, int, int]]
    """(column, month, day of its beginning), or an empty list."""
    thing: str | None
    ids: dict[str, tuple[str, str]] = field(default_factory=dict)

    def records(self, values: Values) -> Records:
        """The records of one row; none for a row without values."""
        if self.kind is Kind.POSITION:
            return self._position(values)
        if self.periods:
            return self._periods(values)
        return self._observations(values)

    def describe(self, key: str) -> tuple[str, dict[str, Any]]:
        """For admitting a datastream: its thing's name, and its own `name` and `unit`."""
        thing, _, name = key.partition("/")
        unit = next((series.unit for series in self.series if series.name == name), "")
        return thing, {"name": name, **({"unit": unit} if unit else {})}

    def describe_mover(self, key: str, values: Values) -> dict[str, Any]:
        """For admitting a mover: `key` and what the row says of it."""
        row: dict[str, Any] = {"key": key}
        if name := _text(self._first("name", values)):
            row["name"] = name
        if kind := ship_kind(_text(self._first("kind", values))):
            row["kind"] = kind
        properties = {}
        for index, column in enumerate(self.columns):
            known = _STATIC.get(_plain(column))
            if known and _text(values[index]):
                number = _value(values[index])
                if known == "imo" and isinstance(number, float):
                    number = int(number)
                properties[known] = number if known.endswith("_m") or known == "imo" else _text(values[index])
        told = {name: value for name, value in properties.items() if value is not None}
        return {**row, "properties": told} if told else row

    # ---- rows

    def _observations(self, values: Values) -> Records:
        out = Records()
        at: Any = None
        try:
            out.time = self._time(values)
            at = iso(out.time)
        except (InputError, ValueError, OverflowError):
            at = self._as_written(values)
        if "result" in self.roles:
            index = self.roles["result"][0]
            result = _value(values[index])
            if result is not None:
                out.records.append({"datastream": self._key(values), "at": at, "result": result})
        for series in self.series:
            result = _value(values[series.column])
            if result is not None:
                out.records.append({"datastream": f"{self._thing(values)}/{series.name}", "at": at, "result": result})
        return out

    def _periods(self, values: Values) -> Records:
        out = Records()
        year = _text(values[self.roles["year"][0]])
        name = self.series[0].name
        for column, month, day in self.periods:
            result = _value(values[column])
            if result is None:
                continue
            try:
                moment = to_us(datetime(int(float(year)), month, day, tzinfo=UTC))
                at = iso(moment)
                out.time = moment if out.time is None else out.time
            except (ValueError, OverflowError):
                at = f"{year}-{month:02d}-{day:02d}"
            out.records.append({"datastream": f"{self._thing(values)}/{name}", "at": at, "result": result})
        return out

    def _position(self, values: Values) -> Records:
        out = Records()
        try:
            out.time = self._time(values)
            at: Any = iso(out.time)
        except (InputError, ValueError, OverflowError):
            at = self._as_written(values)
        record: dict[str, Any] = {
            "mover": self._mover(values),
            "at": at,
            "lon": _value(values[self.roles["lon"][0]]),
            "lat": _value(values[self.roles["lat"][0]]),
        }
        speed = _value(self._first("speed_kn", values))
        course = _value(self._first("course_deg", values))
        if course is None:
            course = _value(self._first("heading", values))
        # AIS archives keep the values that mean "not available".
        if speed is not None and speed != 102.3:
            record["speed_kn"] = speed
        if course is not None and not (isinstance(course, float) and course >= 360):
            record["course_deg"] = course
        out.records.append(record)
        return out

    def _first(self, role: str, values: Values) -> Any:
        places = self.roles.get(role)
        return values[places[0]] if places else None

    def _thing(self, values: Values) -> str:
        if self.thing is not None:
            return self.thing
        return "-".join(_slug(_text(values[place])) for place in self.roles["thing"])

    def _mover(self, values: Values) -> str:
        if self.thing is not None:
            return self.thing
        place = self.roles["mover"][0]
        text = _text(values[place])
        return vessel_key(int(text)) if _plain(self.columns[place]) == "mmsi" and text.isdecimal() else _slug(text)

    def _key(self, values: Values) -> str:
        places = self.roles.get("datastream")
        if not places:
            return f"{self._thing(values)}/{_name_of(self.columns[self.roles['result'][0]])[0]}"
        texts = [_text(values[place]) for place in places]
        if len(texts) == 1 and "/" in texts[0] and self.thing is None and "thing" not in self.roles:
            return texts[0]
        return f"{self._thing(values)}/{'-'.join(_slug(text) for text in texts)}"

    def _time(self, values: Values) -> int:
        roles = self.roles
        if "time" in roles:
            parts = [values[place] for place in roles["time"]]
            return _moment(parts[0] if len(parts) == 1 else " ".join(_text(part) for part in parts))
        year = _whole(values[roles["year"][0]])
        if "week" in roles:
            day = date.fromisocalendar(year, _whole(values[roles["week"][0]]), 1)
        elif "standard_week" in roles:
            day = _standard_week(year, _whole(values[roles["standard_week"][0]]))
        else:
            month = _whole(values[roles["month"][0]]) if "month" in roles else 1
            day = date(year, month, _whole(values[roles["day"][0]]) if "day" in roles and "month" in roles else 1)
        return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))

    def _as_written(self, values: Values) -> str:
        """A time that cannot be read, for the door to refuse and the dead letter to keep."""
        places = [
            place
            for role in ("time", "year", "month", "day", "week", "standard_week")
            for place in self.roles.get(role, [])
        ]
        return " ".join(_text(values[place]) for place in places) or "missing"


def plan_columns(
    columns: Sequence[str],
    sample: Iterable[Values],
    *,
    kind: Kind | None = None,
    maps: dict[str, str] | None = None,
    thing: str | None = None,
    where: str = "",
) -> Plan:
    """Decide what columns mean.

    Args:
        columns: names of the columns.
        sample: some rows, to tell columns of numbers from others.
        kind: observations or positions; guessed if None.
        maps: column (or glob of columns) → role of `ROLES`, or the name of the datastream that it is.
        thing: name of the thing or mover that all rows belong to.
        where: the file, for messages.

    Raises:
        InputError: a mapped column does not exist, or the time, the value or the thing cannot be found.
    """
    listed = ", ".join(columns)
    given = _given(columns, maps or {}, where, listed)
    roles: dict[str, list[int]] = {}
    named: dict[int, str] = {}
    for index, target in given.items():
        if target in ROLES:
            roles.setdefault(target, []).append(index)
        else:
            named[index] = target
    told = set(roles)
    for index, column in enumerate(columns):
        role = next((role for role, names in ROLES.items() if _plain(column) in names), None)
        if index not in given and role is not None and role not in told and (role in _TOGETHER or role not in roles):
            roles.setdefault(role, []).append(index)
    for role in set(_TOGETHER) - told:  # a pest before how it was counted, whatever their order in the file
        roles.get(role, []).sort(key=lambda place: ROLES[role].index(_plain(columns[place])))
    if kind is None:
        positions = (
            "lon" in roles
            and "lat" in roles
            and "result" not in roles
            and not named
            and (bool(roles.get("mover")) or thing is not None)
        )
        kind = Kind.POSITION if positions else Kind.OBSERVATION
    plan = Plan(kind, list(columns), roles, [], [], thing)
    if kind is Kind.POSITION:
        _plan_positions(plan, named, where, listed)
    else:
        _plan_observations(plan, named, list(sample), where, listed)
    return plan


def _given(columns: Sequence[str], maps: dict[str, str], where: str, listed: str) -> dict[int, str]:
    given: dict[int, str] = {}
    for wanted, target in maps.items():
        found = (
            [index for index, column in enumerate(columns) if column == wanted]
            or [index for index, column in enumerate(columns) if column.lower() == wanted.lower()]
            or [index for index, column in enumerate(columns) if fnmatchcase(column, wanted)]
        )
        if not found:
            raise InputError(f"there is no column {wanted!r}", where=where or None, hint=f"columns are: {listed}")
        given.update(dict.fromkeys(found, target))
    return given


def _plan_positions(plan: Plan, named: dict[int, str], where: str, listed: str) -> None:
    roles = plan.roles
    if named:
        column, target = next(iter(named.items()))
        raise InputError(
            f"a position has no field {target!r} (column {plan.columns[column]!r})",
            where=where or None,
            hint=f"map columns to time, {', '.join(_POSITION_ROLES)}",
        )
    for role in ("lon", "lat", *(() if plan.thing is not None else ("mover",))):
        if role not in roles:
            raise InputError(
                f"no column tells the {role}", where=where or None, hint=f"--map COLUMN={role}; columns are: {listed}"
            )
    if "time" not in roles:
        raise InputError(
            "no column tells the time", where=where or None, hint=f"--map COLUMN=time; columns are: {listed}"
        )
    roles["time"] = _time_columns(plan)


def _plan_observations(plan: Plan, named: dict[int, str], sample: list[Values], where: str, listed: str) -> None:
    roles = plan.roles
    for role in ("speed_kn", "course_deg", "heading"):
        roles.pop(role, None)  # of a station they are measured values
    periods = [
        (index, int(found[1]), int(found[2]))
        for index, column in enumerate(plan.columns)
        if (found := _PERIOD.fullmatch(column)) and _is_day(int(found[1]), int(found[2]))
    ]
    if "year" in roles and len(periods) > 1:
        names = {named[column] for column, _, _ in periods if column in named}
        if len(names) > 1:
            raise InputError(
                "periods of one row belong to one datastream",
                where=where or None,
                hint=f"map them to one name, as --map 'p*={min(names)}'",
            )
        plan.periods = periods
        plan.series = [_Series(periods[0][0], _slug(names.pop()) if names else "value", "")]
    else:
        if "time" in roles:
            roles["time"] = _time_columns(plan)
        elif "year" not in roles:
            raise InputError(
                "no column tells the time",
                where=where or None,
                hint=f"--map COLUMN=time (or year with week, month, day); columns are: {listed}",
            )
        if named:
            plan.series = [
                _Series(index, _slug(name), _name_of(plan.columns[index])[1]) for index, name in named.items()
            ]
        elif "result" not in roles:
            taken = {place for places in roles.values() for place in places}
            plan.series = [
                _Series(index, *_name_of(column))
                for index, column in enumerate(plan.columns)
                if index not in taken and _is_numeric(index, sample)
            ]
        if "result" not in roles and not plan.series:
            raise InputError(
                "no column holds values",
                where=where or None,
                hint=f"--map COLUMN=result, or --map COLUMN=name-of-datastream; columns are: {listed}",
            )
    whole_keys = (
        "result" in roles
        and len(roles.get("datastream", [])) == 1
        and not plan.series
        and any("/" in _text(values[roles["datastream"][0]]) for values in sample)
    )
    if plan.thing is None and "thing" not in roles and not whole_keys:
        raise InputError(
            "no column tells the thing",
            where=where or None,
            hint=f"--thing NAME, or --map COLUMN=thing; columns are: {listed}",
        )


def _time_columns(plan: Plan) -> list[int]:
    """The column of times; or two, where the day and the time of day stand apart."""
    places = plan.roles["time"]
    by_name = {_plain(plan.columns[place]): place for place in places}
    if len(places) > 1 and "date" in by_name and "time" in by_name:
        return [by_name["date"], by_name["time"]]
    return places[:1]


def _is_day(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _is_numeric(index: int, sample: list[Values]) -> bool:
    found = [_value(values[index]) for values in sample]
    told = [value for value in found if value is not None]
    return not sample or (bool(told) and all(isinstance(value, float) for value in told))


def _plain(name: str) -> str:
    """A column's name as `ROLES` spells it."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def _name_of(column: str) -> tuple[str, str]:
    """Name and unit out of a heading such as `RF(mm)`."""
    found = _UNIT.fullmatch(column.strip())
    return (_slug(found[1]), found[2].strip()) if found and found[1] else (_slug(column), "")


def _slug(text: str) -> str:
    """A name the registry allows."""
    return re.sub(r"[^\w.:@-]+", "-", text.strip()).strip("-.:@")[:128] or "unnamed"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _whole(value: Any) -> int:
    return int(float(_text(value)))


def _value(value: Any) -> float | str | None:
    """A number; None where nothing is told; text that is neither stays as it is."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _MISSING:
            return None
        try:
            value = float(text)
        except ValueError:
            try:
                value = float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else text
            except ValueError:
                return text
    if isinstance(value, bool | int | float):
        number = float(value)
        return None if math.isnan(number) else number if math.isfinite(number) else str(number)
    return str(value)


def _moment(value: Any) -> int:
    """A time as µs; besides what `parse_time_us` takes, days written 22/11/2026."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str) and (found := _DAY_FIRST.fullmatch(value.strip())):
        value = f"{found[3]}-{int(found[2]):02d}-{int(found[1]):02d}" + (f"T{found[4]}" if found[4] else "")
    if value is None or value == "":
        raise InputError("the time is missing")
    return parse_time_us(value)


def _standard_week(year: int, week: int) -> date:
    """Beginning of a standard meteorological week: weeks of seven days from 1 January, 52 in a year; in leap
    years the ninth has eight, as the last always has."""
    if not 1 <= week <= 52:
        raise InputError(f"{week} is not a standard week")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return date(year, 1, 1) + timedelta(days=7 * (week - 1) + (leap and week > 9))
