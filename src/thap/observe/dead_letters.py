"""Dead letters: records that could not be taken or judged, each with its reason, kept until somebody looks.

A message of the stream `DEAD` is JSON with `id`, `door`, `kind`, `reason`, `received` (µs) and `record` as it
was sent (see `intake.dead_letter`). A letter is known by its sequence in the stream. Retrying hands its record
to the intake again; the letter goes when the record was taken or has waited in quarantine, or when it came
back as a new letter.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from nats.errors import Error as NatsError
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NoMessage

from thap.kernel.bus import DEAD, Bus
from thap.kernel.clock import parse_time_us
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.records import Records
from thap.observe.intake import Intake, Receipt
from thap.observe.registry import load_registry

__all__ = ["DeadLetter", "DeadLetters", "Page", "Retried"]

_AT_ONCE = 128
_SCAN_MAX = 50_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be taken."""

    seq: int
    id: str
    door: str
    """The door, or the stage (`engine`, `history`), that gave up."""
    kind: str
    reason: str
    received: int
    """µs."""
    record: Any
    """As it was sent."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "id": self.id,
            "door": self.door,
            "kind": self.kind,
            "reason": self.reason,
            "received": self.received,
            "record": self.record,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some dead letters, the newest first."""

    items: list[DeadLetter]
    before: int | None
    """Ask for letters before this sequence to go on; None at the end."""
    total: int
    """How many letters there are in all, filters aside."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a letter's record."""

    seq: int
    outcome: Literal["accepted", "quarantined", "rejected"]
    reason: str = ""
    """Why it was rejected again; it is a new dead letter then."""

    def as_dict(self) -> dict[str, Any]:
        return {"seq": self.seq, "outcome": self.outcome, **({"reason": self.reason} if self.reason else {})}


class DeadLetters:
    """The dead letters of one centre.

    Args:
        bus: the stream.
        records: to name what a stage knows by number.
        intake: where retried records go; None where only reading is wanted.
    """

    def __init__(self, bus: Bus, records: Records, intake: Intake | None = None) -> None:
        self._bus, self._records, self._intake = bus, records, intake

    async def count(self) -> int:
        """How many there are."""
        return int((await self._state()).messages)

    async def page(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        door: str | None = None,
        kind: str | None = None,
        reason: str | None = None,
    ) -> Page:
        """The newest letters that pass all filters.

        Args:
            limit: how many at most.
            before: only letters with a lower sequence.
            door, kind: exactly these.
            reason: a part of the reason, letter case aside.

        At most 50,000 letters are looked through at once; where fewer than `limit` came back but `before` is
        set, there is more to look through.
        """
        state = await self._state()
        seq = min(int(state.last_seq), before - 1 if before is not None else int(state.last_seq))
        first, scanned = max(1, int(state.first_seq)), 0
        found: list[DeadLetter] = []
        wanted = reason.lower() if reason else ""
        while seq >= first and len(found) < limit and scanned < _SCAN_MAX:
            low = max(first, seq - _AT_ONCE + 1)
            letters = await asyncio.gather(*(self._get(number) for number in range(seq, low - 1, -1)))
            for number, letter in zip(range(seq, low - 1, -1), letters, strict=True):
                if len(found) == limit:
                    break
                seq = number - 1
                if (
                    letter is not None
                    and (door is None or letter.door == door)
                    and (kind is None or letter.kind == kind)
                    and wanted in letter.reason.lower()
                ):
                    found.append(letter)
            scanned += _AT_ONCE
        return Page(found, seq + 1 if seq >= first else None, int(state.messages))

    async def show(self, seq: int) -> DeadLetter:
        """One letter.

        Raises:
            NotFoundError: there is none of this sequence, or it was retried.
        """
        letter = await self._get(seq)
        if letter is None:
            raise NotFoundError(
                f"there is no dead letter {seq}",
                hint="it may have been retried; `thap dead-letters list` shows those that wait",
            )
        return letter

    async def all(self) -> AsyncIterator[DeadLetter]:
        """Every letter, the oldest first."""
        async for entries in self._bus.read(DEAD, 0, stop_at_end=True):
            for entry in entries:
                yield _decode(entry.seq, entry.subject, entry.payload)

    async def retry(self, seq: int) -> Retried:
        """Hand a letter's record to the intake again and strike the letter out.

        Killed in between, the letter stays; retrying once more does no harm, since the same record collapses.

        Raises:
            NotFoundError: there is no such letter.
            InputError: the record is not one that can be handed in, whatever changes.
            UnavailableError, DiskFullError: it could not be taken now; the letter stays.
        """
        if self._intake is None:
            raise UnavailableError("this part of the centre keeps no doors", hint="retry through the gateway")
        letter = await self.show(seq)
        if letter.door == "engine":
            raise InputError(
                f"letter {seq} cannot be retried: history has its record, and rules judge a record once",
                hint="mend the rule; it judges what comes from now on, and `thap backtest` what came before",
            )
        record = await self._readable(letter)
        try:
            receipt = await _submit(self._intake, letter, record)
        except (ValueError, OverflowError, TypeError, InputError) as error:
            raise InputError(
                f"letter {seq} cannot be retried: {error}", hint="mend the record and send it through a door"
            ) from None
        try:
            await self._bus.js.delete_msg(DEAD, seq)
        except NoMessage:
            pass  # somebody else retried it at the same time
        except (APIError, NatsError, OSError) as error:
            raise UnavailableError(f"the record was handed in, but the letter stays: {error}") from None
        if receipt.rejected:
            return Retried(seq, "rejected", receipt.rejected[0].reason)
        return Retried(seq, "quarantined" if receipt.quarantined else "accepted")

    async def _state(self) -> Any:
        try:
            return (await self._bus.js.stream_info(DEAD)).state
        except (APIError, NatsError, OSError) as error:
            raise UnavailableError(f"the stream did not answer: {type(error).__name__}") from None

    async def _get(self, seq: int) -> DeadLetter | None:
        try:
            raw = await self._bus.js.get_msg(DEAD, seq, direct=True)
        except NoMessage:
            return None
        except (APIError, NatsError, OSError) as error:
            raise UnavailableError(f"the stream did not answer: {type(error).__name__}") from None
        return _decode(seq, raw.subject or "", raw.data or b"")

    async def _readable(self, letter: DeadLetter) -> dict[str, Any]:
        """The record as fields: text is parsed, and numbers of the registry become names."""
        record = letter.record
        if isinstance(record, dict) and "topic" in record:
            record = _from_topic(letter, record)
        if isinstance(record, str):
            try:
                record = msgspec.json.decode(record)
            except msgspec.DecodeError as error:
                raise InputError(
                    f"letter {letter.seq} cannot be retried: its record is not JSON ({error})",
                    hint="mend the record and send it through a door",
                ) from None
        if not isinstance(record, dict):
            raise InputError(f"letter {letter.seq} cannot be retried: its record has no fields")
        for name in ("datastream", "mover"):
            if isinstance(record.get(name), int):
                async with self._records.read() as connection:
                    registry = await load_registry(connection)
                known = registry.datastream_id if name == "datastream" else registry.mover_id
                key = next((key for key, number in known.items() if number == record[name]), None)
                record = {**record, name: key}
        return record


def _decode(seq: int, subject: str, payload: bytes) -> DeadLetter:
    """A message of the stream; what is not JSON is a letter all the same."""
    try:
        body = msgspec.json.decode(payload)
        if not isinstance(body, dict):
            raise TypeError
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        body = {"reason": "not JSON", "record": payload.decode("utf-8", "backslashreplace")}
    return DeadLetter(
        seq,
        str(body.get("id", "")),
        str(body.get("door") or subject.partition(".")[2]),
        str(body.get("kind", "")),
        str(body.get("reason", "")),
        int(body.get("received") or 0),
        body.get("record"),
    )


def _from_topic(letter: DeadLetter, record: dict[str, Any]) -> dict[str, Any]:
    """What an MQTT message would have been: its topic names the thing, its payload is a number or fields."""
    parts = str(record["topic"]).replace("//", "\0").split("/")
    if len(parts) != 4:
        raise InputError(f"letter {letter.seq} cannot be retried: its topic is not thap/v1/thing/datastream")
    thing, name = (part.replace("\0", ".") for part in parts[2:])
    try:
        body = msgspec.json.decode(str(record.get("payload", "")))
    except msgspec.DecodeError as error:
        raise InputError(f"letter {letter.seq} cannot be retried: its payload is not JSON ({error})") from None
    fields = body if isinstance(body, dict) else {"result": body}
    return {**fields, "mover": thing} if name == "position" else {**fields, "datastream": f"{thing}/{name}"}


async def _submit(intake: Intake, letter: DeadLetter, record: dict[str, Any]) -> Receipt:
    """Hand one record in, whichever door's spelling it has."""
    at = next(
        (record[name] for name in ("at", "time", "phenomenonTime", "timestamp") if record.get(name) is not None),
        letter.received,
    )
    # What the centre itself wrote is µs; what a client wrote is told apart by its size.
    ours = "key" in record or "seq" in record or (letter.door == "mqtt" and letter.record is record)
    times = np.array([at if ours and type(at) is int else parse_time_us(at)], np.int64)

    def raw(_row: int) -> Any:
        return letter.record

    if "lon" in record or "lat" in record:
        key = record.get("mover") or record.get("key") or record.get("id") or record.get("deviceid")
        if not key:
            raise InputError("it names no mover")
        return await intake.positions(
            letter.door,
            [str(key)],
            times,
            _number(record, "lon"),
            _number(record, "lat"),
            _number(record, "speed_kn", "speed"),
            _number(record, "course_deg", "course", "bearing", "heading"),
            raw,
        )
    key = record.get("datastream") or record.get("key")
    if not key or "result" not in record:
        raise InputError("it is neither an observation nor a position")
    if record.get("thing"):
        key = f"{record['thing']}/{key}"
    return await intake.observations(letter.door, [str(key)], times, _number(record, "result"), raw)


def _number(record: dict[str, Any], *names: str) -> Any:
    value = next((record[name] for name in names if record.get(name) is not None), math.nan)
    return np.array([float(value)], np.float64)
