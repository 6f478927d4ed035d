"""The HTTP door: `POST /api/v1/observations` and `/api/v1/positions`.

The body is a JSON array or NDJSON (gzip allowed). A record is

    {"datastream": "tram-01/level", "at": "2026-11-22T08:00:00Z", "result": 1.42}
    {"mover": "mmsi-574001234", "at": 1795334400.5, "lon": 105.63, "lat": 10.45, "speed_kn": 4.2, "course_deg": 120}

`thing` beside a bare `datastream` is taken too, and `time` or `phenomenonTime` for `at`. Times are ISO 8601
(no offset means UTC) or Unix time; a record without one happened now. The answer comes once everything is
durable: how many were accepted, which wait in quarantine, and for each rejected one its index and reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thap.kernel.clock import now_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError, ThapError
from thap.kernel.settings import Settings
from thap.kernel.tokens import Token, Tokens
from thap.observe.doors.asgi import Receive, Scope, Send, authorise, read_body, respond, respond_error
from thap.observe.intake import Intake, Receipt, Rejected
from thap.observe.kinds import Floats, Kind, Longs

__all__ = ["HttpDoor", "ObservationIn", "PositionIn", "decode_records"]

Moment = str | int | float | None


class ObservationIn(msgspec.Struct, gc=False):
    """An observation as it is sent."""

    result: float | bool
    datastream: str
    at: Moment = None
    thing: str | None = None
    time: Moment = None
    phenomenonTime: Moment = None  # noqa: N815  SensorThings' own spelling


class PositionIn(msgspec.Struct, gc=False):
    """A position as it is sent."""

    mover: str
    lon: float
    lat: float
    at: Moment = None
    speed_kn: float | None = None
    course_deg: float | None = None
    time: Moment = None
    phenomenonTime: Moment = None  # noqa: N815


Record = TypeVar("Record", ObservationIn, PositionIn)


class _Codec:
    """Decoders of one record type, made once."""

    def __init__(self, type_: Any) -> None:
        self.one = msgspec.json.Decoder(type_)
        self.many = msgspec.json.Decoder(list[type_])


_CODECS: dict[Any, _Codec] = {ObservationIn: _Codec(ObservationIn), PositionIn: _Codec(PositionIn)}
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


class Decoded:
    """Records that could be read, where each stood in the body, and those that could not."""

    def __init__(self, records: list[Any], places: list[int] | None, bad: list[tuple[int, str, Any]]) -> None:
        self.records = records
        self.places = places
        """Index in the body of each record; None when nothing was left out."""
        self.bad = bad
        """(index in the body, reason, as sent)."""

    def place(self, row: int) -> int:
        """Index in the body of record `row`."""
        return row if self.places is None else self.places[row]


def decode_records(body: bytes, type_: type[Record]) -> Decoded:
    """Read a JSON array, NDJSON, or one object.

    Raises:
        InputError: it is none of these; the message says at which line and column.
    """
    codec = _CODECS[type_]
    start = body.lstrip(b" \t\r\n\xef\xbb\xbf")
    if not start.strip():
        raise InputError("the body is empty", hint="send a JSON array or one record a line")
    try:
        if start[:1] == b"[":
            return Decoded(codec.many.decode(start), None, [])
        return Decoded(codec.one.decode_lines(start), None, [])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # something is wrong somewhere: go record by record
    if start[:1] == b"[":
        try:
            raws: Sequence[bytes | msgspec.Raw] = _RAWS.decode(start)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _malformed(body, len(body) - len(start), error) from None
    else:
        raws = [line for line in start.splitlines() if line.strip()]
    records, places, bad = [], [], []
    malformed = 0
    for index, raw in enumerate(raws):
        try:
            records.append(codec.one.decode(raw))
            places.append(index)
        except msgspec.ValidationError as error:
            bad.append((index, _reason(error), _as_sent(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            malformed += 1
            bad.append((index, f"not valid JSON: {_reason(error)}", _as_sent(raw)))
    if malformed and not records:  # not NDJSON after all: one object over several lines, or no JSON
        try:
            return Decoded([codec.one.decode(start)], None, [])
        except msgspec.ValidationError as error:
            return Decoded([], [], [(0, _reason(error), _as_sent(start))])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _malformed(body, len(body) - len(start), error) from None
    return Decoded(records, places, bad)


def _as_sent(raw: bytes | msgspec.Raw) -> Any:
    """A refused record for its dead letter: as JSON if it is some, else as text."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(raw).decode("utf-8", "backslashreplace")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"invalid UTF-8 at byte {error.start}"
    return str(error).replace("Object missing required field", "missing field").replace(" - at `$.", " in field `")


def _malformed(body: bytes, offset: int, error: Exception) -> InputError:
    """A 400 with line and column, from the byte the decoder stopped at."""
    text = str(error)
    byte = offset
    if isinstance(error, UnicodeDecodeError):
        byte += error.start
    elif "byte " in text:
        byte += int("".join(c for c in text.rpartition("byte ")[2] if c.isdigit()) or 0)
    elif "truncated" in text:
        byte = len(body)
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        byte, text = broken.start, "invalid UTF-8"
    line = body.count(b"\n", 0, byte) + 1
    column = byte - (body.rfind(b"\n", 0, byte) + 1) + 1
    hint = None
    if body[byte : byte + 1] in (b"N", b"I") or body[byte : byte + 2] == b"-I":
        hint = "NaN and Infinity are not JSON; leave such records out"
    return InputError(f"the body is not valid JSON: {text}", where=f"line {line}, column {column}", hint=hint)


def moments(values: list[Moment], now: int) -> tuple[Longs, dict[int, str]]:
    """Times of many records as µs, and the reason for each that is no time (its µs are 0 then)."""
    try:
        if all(type(value) is str for value in values):
            parsed = pc.cast(pa.array(values, pa.string()), pa.timestamp("us", "UTC"))
            return parsed.cast(pa.int64()).to_numpy(), {}
    except pa.ArrowInvalid:
        pass  # some without an offset, or no time at all
    out = np.empty(len(values), np.int64)
    wrong: dict[int, str] = {}
    for row, value in enumerate(values):
        try:
            out[row] = now if value is None else parse_time_us(value)
        except (InputError, OverflowError) as error:
            out[row], wrong[row] = 0, str(error)
    return out, wrong


class HttpDoor:
    """An ASGI application of the two paths."""

    name = "http"

    def __init__(self, intake: Intake, tokens: Tokens, settings: Settings) -> None:
        self._intake, self._tokens = intake, tokens
        self._limit = int(settings.doors.max_body_mib * 2**20)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise NotFoundError("this path takes POST only")
            token = await authorise(scope, self._tokens)
            body = await read_body(scope, receive, self._limit)
            path: str = scope["path"].rstrip("/")
            if path.endswith("/observations"):
                receipt = await self._observations(token, decode_records(body, ObservationIn))
            elif path.endswith("/positions"):
                receipt = await self._positions(token, decode_records(body, PositionIn))
            else:
                raise NotFoundError(f"there is no door at {path}")
            self._tokens.count(token, accepted=receipt.accepted, refused=len(receipt.rejected))
            await respond(send, 200, receipt.as_dict())
        except Exception as error:
            what = error.code if isinstance(error, ThapError) else "failed"
            self._intake.count(self.name, f"requests_{what}")
            await respond_error(send, error)

    async def _observations(self, token: Token, decoded: Decoded) -> Receipt:
        records: list[ObservationIn] = decoded.records
        keys = [record.datastream for record in records]
        for row, record in enumerate(records):
            if record.thing is not None:
                keys[row] = f"{record.thing}/{record.datastream}"
        results = np.array([record.result for record in records], np.float64)

        async def hand_in(rows: _Rows) -> Receipt:
            return await self._intake.observations(
                self.name, rows.pick(keys), rows.times, rows.array(results), rows.raw
            )

        return await self._take(Kind.OBSERVATION, token, decoded, keys, hand_in)

    async def _positions(self, token: Token, decoded: Decoded) -> Receipt:
        records: list[PositionIn] = decoded.records
        keys = [record.mover for record in records]
        nan = float("nan")
        lons = np.array([r.lon for r in records], np.float64)
        lats = np.array([r.lat for r in records], np.float64)
        speeds = np.array([nan if r.speed_kn is None else r.speed_kn for r in records], np.float64)
        courses = np.array([nan if r.course_deg is None else r.course_deg for r in records], np.float64)

        async def hand_in(rows: _Rows) -> Receipt:
            return await self._intake.positions(
                self.name,
                rows.pick(keys),
                rows.times,
                rows.array(lons),
                rows.array(lats),
                rows.array(speeds),
                rows.array(courses),
                rows.raw,
            )

        return await self._take(Kind.POSITION, token, decoded, keys, hand_in)

    async def _take(
        self, kind: Kind, token: Token, decoded: Decoded, keys: list[str], hand_in: Callable[[_Rows], Any]
    ) -> Receipt:
        """Hand in what can be handed in; give every refusal its index in the body."""
        records = decoded.records
        values = [record.at for record in records]
        if None in values:
            values = [r.at if r.at is not None else r.time if r.time is not None else r.phenomenonTime for r in records]
        times, wrong = moments(values, now_us())
        if token.things:
            for row, key in enumerate(keys):
                if not token.may_write(key):
                    wrong[row] = f"the token {token.name!r} may not write {key}"
        bad = [
            *decoded.bad,
            *((decoded.place(row), reason, msgspec.to_builtins(records[row])) for row, reason in wrong.items()),
        ]
        kept = None if not wrong else [row for row in range(len(records)) if row not in wrong]
        receipt: Receipt = await hand_in(_Rows(records, times if kept is None else times[kept], kept))
        if bad:
            await self._intake.reject(self.name, kind, [(reason, raw) for _, reason, raw in bad])
        if kept is not None or decoded.places is not None:

            def place(row: int) -> int:
                return decoded.place(row if kept is None else kept[row])

            receipt.quarantined = [place(row) for row in receipt.quarantined]
            receipt.rejected = [Rejected(place(row), reason) for row, reason in receipt.rejected]
        receipt.rejected = sorted([*receipt.rejected, *(Rejected(index, reason) for index, reason, _ in bad)])
        return receipt


class _Rows:
    """The records that are handed in: all, or those whose indices are kept."""

    def __init__(self, records: list[Any], times: Longs, kept: list[int] | None) -> None:
        self._records, self.times, self._kept = records, times, kept

    def pick(self, values: list[str]) -> list[str]:
        return values if self._kept is None else [values[row] for row in self._kept]

    def array(self, values: Floats) -> Floats:
        return values if self._kept is None else values[self._kept]

    def raw(self, row: int) -> Any:
        """The record as sent, to be kept in a dead letter."""
        record = self._records[row if self._kept is None else self._kept[row]]
        return {key: value for key, value in msgspec.to_builtins(record).items() if value is not None}
