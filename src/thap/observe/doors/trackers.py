"""The tracker door: what phone apps and many GPS units send by HTTP.

OsmAnd and Traccar Client put a position into the query (or the form) of a GET or POST:

    /api/v1/trackers/osmand?id=xe-12&lat=10.45&lon=105.63&timestamp=1795334400&speed=4.2&bearing=120&token=…

`deviceid` is taken for `id`, `heading` for `bearing`, `location=lat,lon` for the two; `timestamp` is Unix
seconds or milliseconds or ISO 8601, now if missing; `speed` is in knots, as the protocol says. Newer
clients post JSON, one location or several, with speeds in metres a second. `altitude`, `accuracy`, `hdop`,
`batt` and others are read over: a position has no place for them.

The mover is called as the device calls itself. The answer is 200 with an empty body once everything is
durable; an unknown device's positions wait in quarantine and are answered the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from thap.kernel.clock import now_us, parse_time_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError, ThapError
from thap.kernel.tokens import Token, Tokens
from thap.observe.doors.asgi import Receive, Scope, Send, authorise, read_body, respond, respond_error
from thap.observe.intake import Intake
from thap.observe.kinds import Kind
from thap.observe.registry import valid_name

__all__ = ["TrackerDoor", "TrackerFix", "read_json", "read_query"]

_BODY_MAX = 256 * 1024
_QUERY_MAX = 4096
_KNOTS = 3600 / 1852
"""Knots in a metre a second."""


@dataclass(frozen=True, slots=True)
class TrackerFix:
    """One position of a tracker."""

    device: str
    time: int
    """µs."""
    lon: float
    lat: float
    speed_kn: float
    """NaN where not sent."""
    course_deg: float
    """NaN where not sent."""


class TrackerDoor:
    """An ASGI application for one path."""

    name = "trackers"

    def __init__(self, intake: Intake, tokens: Tokens) -> None:
        self._intake, self._tokens = intake, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] not in ("GET", "POST"):
                raise NotFoundError("this path takes GET and POST")
            query = _pairs(scope.get("query_string", b""))
            token = await authorise(scope, self._tokens, query.get("token"))
            body = await read_body(scope, receive, _BODY_MAX)
            await self._take(token, query, body)
            await respond(send, 200)
        except Exception as error:
            what = error.code if isinstance(error, ThapError) else "failed"
            self._intake.count(self.name, f"requests_{what}")
            await respond_error(send, error)

    async def _take(self, token: Token, query: dict[str, str], body: bytes) -> None:
        text = body.strip()
        is_json = text[:1] in (b"{", b"[")
        if not is_json:
            query = {**query, **_pairs(text)}
        sent = _sent(query, text if is_json else b"")
        try:
            fixes = read_json(text, query) if is_json else [read_query(query)]
        except InputError as error:
            await self._intake.reject(self.name, Kind.POSITION, [(str(error), sent)])
            raise
        for fix in fixes:
            if not token.may_write(fix.device):
                raise DeniedError(f"the token {token.name!r} may not write {fix.device}")

        def raw(row: int) -> Any:
            fix = fixes[row]
            return {
                "key": fix.device,
                "at": fix.time,
                "lon": fix.lon,
                "lat": fix.lat,
                "speed": _known(fix.speed_kn),
                "course": _known(fix.course_deg),
                "sent": sent,
            }

        receipt = await self._intake.positions(
            self.name,
            [fix.device for fix in fixes],
            np.array([fix.time for fix in fixes], np.int64),
            np.array([fix.lon for fix in fixes], np.float64),
            np.array([fix.lat for fix in fixes], np.float64),
            np.array([fix.speed_kn for fix in fixes], np.float64),
            np.array([fix.course_deg for fix in fixes], np.float64),
            raw,
        )
        self._tokens.count(token, accepted=receipt.accepted, refused=len(receipt.rejected))
        if receipt.rejected:
            row, reason = receipt.rejected[0]
            more = f" (and {len(receipt.rejected) - 1} more)" if len(receipt.rejected) > 1 else ""
            raise InputError(
                f"{reason}{more}",
                where=f"location {row}" if len(fixes) > 1 else None,
                hint="the record is kept as a dead letter; it need not be sent again",
            )


def read_query(query: dict[str, str]) -> TrackerFix:
    """A position out of the parameters of a query or form.

    Raises:
        InputError: one is missing or is no number; `where` names it.
    """
    if "location" in query and "lat" not in query:
        lat, _, lon = query["location"].partition(",")
    else:
        lat, lon = _required(query, "lat"), _required(query, "lon")
    return TrackerFix(
        _device(query.get("id") or query.get("deviceid")),
        _time(query.get("timestamp")),
        _number(lon, "lon"),
        _number(lat, "lat"),
        _optional(query.get("speed"), "speed"),
        _optional(query.get("bearing", query.get("heading")), "bearing"),
    )


def read_json(body: bytes, query: dict[str, str]) -> list[TrackerFix]:
    """Positions out of the JSON of newer clients: `{"device_id": …, "location": {"timestamp": …, "coords":
    {"latitude", "longitude", "speed", "heading"}}}`, where `location` may be a list; negative speeds and
    headings mean unknown.

    Raises:
        InputError: it is not that; `where` names the field.
    """
    try:
        root = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the body is not valid JSON: {error}") from None
    if not isinstance(root, dict) or "location" not in root:
        raise InputError("the body has no `location`", where="location")
    device = _device(root.get("device_id") or root.get("deviceId") or query.get("id") or query.get("deviceid"))
    places = root["location"] if isinstance(root["location"], list) else [root["location"]]
    if not places:
        raise InputError("`location` is an empty list", where="location")
    fixes = []
    for index, place in enumerate(places):
        where = f"location[{index}]." if isinstance(root["location"], list) else "location."
        coords = place.get("coords") if isinstance(place, dict) else None
        if not isinstance(coords, dict):
            raise InputError("there are no coordinates", where=f"{where}coords")
        speed = _optional(coords.get("speed"), f"{where}coords.speed") * _KNOTS
        course = _optional(coords.get("heading"), f"{where}coords.heading")
        fixes.append(
            TrackerFix(
                device,
                _time(place.get("timestamp"), f"{where}timestamp"),
                _number(coords.get("longitude"), f"{where}coords.longitude"),
                _number(coords.get("latitude"), f"{where}coords.latitude"),
                math.nan if speed < 0 else speed,
                math.nan if course < 0 else course,
            )
        )
    return fixes


def _pairs(text: bytes) -> dict[str, str]:
    """The parameters of a query or form; the first of each name counts.

    Raises:
        InputError: it is not UTF-8, or too long.
    """
    if len(text) > _QUERY_MAX:
        raise InputError("the query is too long", hint=f"at most {_QUERY_MAX} bytes")
    pairs: dict[str, str] = {}
    try:
        for name, value in parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64):
            pairs.setdefault(name, value)
    except (ValueError, UnicodeDecodeError):
        raise InputError("the parameters are not valid UTF-8, or too many") from None
    return pairs


def _sent(query: dict[str, str], body: bytes) -> dict[str, Any]:
    """The request as a dead letter keeps it: without the credential."""
    sent: dict[str, Any] = {name: value for name, value in query.items() if name != "token"}
    if body:
        sent["body"] = body[:8192].decode("utf-8", "backslashreplace")
    return sent


def _required(query: dict[str, str], name: str) -> str:
    value = query.get(name)
    if not value:
        raise InputError(
            f"the parameter `{name}` is missing",
            where=name,
            hint="send id, lat, lon and best also timestamp, speed, bearing",
        )
    return value


def _device(value: Any) -> str:
    if value is None or value == "":
        raise InputError("the parameter `id` is missing", where="id", hint="set a device identifier in the app")
    name = str(value)
    if not valid_name(name):
        raise InputError(
            f"{name[:80]!r} is not a name for a device",
            where="id",
            hint="use letters, digits and . : @ - _, at most 128",
        )
    return name


def _number(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{str(value)[:40]!r} is not a number", where=where) from None


def _optional(value: Any, where: str) -> float:
    number = math.nan if value is None or value == "" else _number(value, where)
    return number if math.isfinite(number) else math.nan


def _time(value: Any, where: str = "timestamp") -> int:
    if value is None or value == "":
        return now_us()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{str(value)[:40]!r} is not a time", where=where)
    try:
        return parse_time_us(value)
    except (InputError, OverflowError):
        raise InputError(
            f"{str(value)[:40]!r} is not a time", where=where, hint="send Unix seconds or milliseconds, or ISO 8601"
        ) from None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
