"""Durable timers: something is to happen at a time, whatever happens to the process until then.

A timer is a row, written in the transaction of what it watches and deleted in the transaction of what its
firing does: each fires exactly once, those of a kind in order of `due`, however often the centre stops in between
and for however long. One part of the role `respond` fires them; several may run, each timer is taken by one.

Why rows and not a workflow engine is in docs/decisions/0006-timers.md, with figures.
"""

from __future__ import annotations

import asyncio
import importlib
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.bus import Bus
from thap.kernel.clock import MINUTE_US, SECOND_US, now_us
from thap.kernel.errors import BusyError, InputError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction
from thap.respond import timers_records
from thap.respond.parts import Context
from thap.respond.timers_records import TimerRows

__all__ = ["KINDS", "Announcement", "Handler", "Timer", "Timers", "cancel", "move", "part", "set"]

_log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timer:
    """That something of a kind is to happen to something at a time. There is one of each (kind, ref)."""

    kind: str
    """What is to happen: a name in `KINDS`, at most 32 characters."""
    ref: str
    """To what, as `task:12`, at most 96 characters."""
    due: int
    """When, µs."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    """What the handler needs beside; must be JSON."""


Announcement = tuple[str, Any]
"""(subject, body) to be told on the bus when the transaction has been committed."""

Handler = Callable[[Transaction, Sequence[Timer], int], "Sequence[Announcement] | None"]
"""`handler(tx, timers, now)`: does what is to happen, in the transaction in which the timers end.

It gets timers of its kind that are due, in order, and looks whether what they watch still wants them: one that was
cancelled while it fired may come too. It may set timers (also of its own kind and ref: the old
one is gone already) and cancel those of other kinds. It may run again after a deadlock, so it changes nothing but the
database, and returns what is to be announced after the commit. When it raises, nothing of it has happened;
each timer is then tried by itself, and one that raises alone is tried again later and later, at least every ten
minutes, shown by `thap timers` meanwhile.
"""

KINDS: dict[str, str] = {
    "task.due": "thap.respond.procedures.follow:due",
    "escalation.step": "thap.respond.escalation.follow:step",
}
"""Handlers by kind, as `package.module:function`: named, not imported."""


def set(tx: Transaction, timers: Sequence[Timer]) -> None:
    """Set timers in this transaction; one of the same kind and ref is replaced, with its failures forgotten.

    Raises:
        InputError: a kind or ref is empty or too long.
    """
    now = now_us()
    rows = []
    for timer in timers:
        if not (0 < len(timer.kind) <= 32 and 0 < len(timer.ref) <= 96):
            raise InputError("a timer's kind has 1 to 32 characters and its ref 1 to 96", where=timer.kind or timer.ref)
        rows.append(
            {
                "kind": timer.kind,
                "ref": timer.ref,
                "due": timer.due,
                "next": timer.due,
                "payload": msgspec.json.encode(timer.payload).decode() if timer.payload else "{}",
                "attempts": 0,
                "error": "",
                "created": now,
            }
        )
    TimerRows(tx).set(rows)


def cancel(tx: Transaction, kind: str, *refs: str) -> None:
    """End timers in this transaction without firing them; those that there are not are no error."""
    TimerRows(tx).cancel((kind, ref) for ref in refs)


def move(tx: Transaction, kind: str, ref: str, due: int) -> bool:
    """Give a timer another time in this transaction, its payload kept; whether there was one."""
    rows = TimerRows(tx)
    found = rows.find(kind, ref)
    if found is not None:
        rows.move(int(found["id"]), due)
    return found is not None


class Timers:
    """The part that fires them."""

    name = "timers"
    batch = 200
    """Timers fired in one transaction: few enough that it does not hold up other writers."""
    poll_s = 0.2
    """Seconds between two looks: a timer set by another process for sooner than this may be so much late."""
    breath_s = 0.01
    """Seconds between two batches of a backlog, in which other writers get their turn."""
    longest_wait_us = 10 * MINUTE_US
    """Longest time between two tries of a timer that cannot be handled."""

    def __init__(
        self,
        records: Records,
        store: Store,
        bus: Bus | None = None,
        kinds: Mapping[str, str | Handler] | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        """
        Args:
            records: where timers are looked for.
            store: for the transactions they fire in.
            bus: where what handlers return is announced; None announces nothing.
            kinds: handlers by kind; by default `KINDS`.
            clock: the wall clock.
        """
        self._records, self._store, self._bus, self._clock = records, store, bus, clock
        self._kinds: Mapping[str, str | Handler] = KINDS if kinds is None else kinds
        self._fired = self._failures = self._waiting = 0
        self._next: int | None = None

    async def run(self) -> None:
        """Fire what falls due, until cancelled."""
        while True:
            try:
                fired = await self.fire()
                if fired >= self.batch:
                    self._waiting = await self._read(
                        lambda connection: timers_records.fallen_count(connection, self._clock())
                    )
                    await asyncio.sleep(self.breath_s)
                    continue
                self._waiting = 0
            except (BusyError, UnavailableError) as error:
                _log.warning("timers wait for the records", reason=str(error))
                fired = 0
                await asyncio.sleep(1)
            ahead = self.poll_s if self._next is None else (self._next - self._clock()) / SECOND_US
            # What is due and was not fired is in the hands of another process, or cannot be read: no hurry then.
            await asyncio.sleep(min(max(ahead, 0.001 if fired else self.breath_s), self.poll_s))

    def stats(self) -> dict[str, Any]:
        """As parts tell it: timers fired, those that have fallen due and wait, and failures."""
        return {"seq": self._fired, "lag": self._waiting, "total": self._fired, "failures": self._failures}

    async def fire(self) -> int:
        """Fire the first of what has fallen due, a batch of one kind at most, and return how many timers that was,
        failed ones included.

        Raises:
            BusyError, UnavailableError: nothing was fired.
        """
        now = self._clock()
        self._next = await self._read(timers_records.next_time)  # most often nothing is due: then take no lock
        if self._next is None or self._next > now:
            return 0
        taken: list[dict[str, Any]] = []

        def work(tx: Transaction) -> list[Announcement]:
            rows = TimerRows(tx)
            taken[:] = _of_one_kind(rows.fallen(now, self.batch))
            return self._fire(tx, rows, taken, now)

        try:
            told = await self._store.transact(work)
        except (BusyError, UnavailableError):
            raise
        except Exception as error:  # whatever a handler raises must not hold up the timers of others
            _log.warning("timers are tried one by one", timers=len(taken), reason=repr(error))
            await self._one_by_one([dict(row) for row in taken])
        else:
            self._fired += len(taken)
            await self._announce(told)
        return len(taken)

    async def _read(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            async with self._records.read() as connection:
                return await question(connection)
        except (DBAPIError, OSError) as error:
            raise UnavailableError(f"the records cannot be read: {error}") from error

    def _fire(self, tx: Transaction, rows: TimerRows, fallen: Sequence[dict[str, Any]], now: int) -> list[Announcement]:
        if not fallen:
            return []
        standing = rows.take(fallen, now, sure=True)
        return list(self._handler(fallen[0]["kind"])(tx, [_timer(row) for row in standing], now) or ())

    async def _one_by_one(self, fallen: Sequence[dict[str, Any]]) -> None:
        for row in fallen:
            now = self._clock()

            def one(tx: Transaction, row: dict[str, Any] = row, now: int = now) -> list[Announcement]:
                rows = TimerRows(tx)
                standing = rows.take([row], now, sure=False)
                return list(self._handler(row["kind"])(tx, [_timer(standing[0])], now) or ()) if standing else []

            try:
                told = await self._store.transact(one)
            except (BusyError, UnavailableError):
                raise
            except Exception as error:
                self._failures += 1
                wait = min(SECOND_US << min(int(row["attempts"]), 20), self.longest_wait_us)
                _log.error(
                    "timer cannot be handled",
                    kind=row["kind"],
                    ref=row["ref"],
                    attempts=row["attempts"] + 1,
                    again_in_s=wait // SECOND_US,
                    reason=repr(error),
                    at=_where(error),
                )
                said = f"{type(error).__name__}: {error}"

                def note(tx: Transaction, row: dict[str, Any] = row, at: int = now + wait, said: str = said) -> None:
                    TimerRows(tx).failed(row, at, said)

                await self._store.transact(note)
            else:
                self._fired += 1
                await self._announce(told)

    def _handler(self, kind: str) -> Handler:
        target = self._kinds.get(kind)
        if target is None:
            raise LookupError(f"nothing handles timers of the kind {kind!r}")
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            found: Handler = getattr(importlib.import_module(module), attribute)
            return found
        return target

    async def _announce(self, told: Sequence[Announcement]) -> None:
        if self._bus is not None:
            for subject, body in told:
                await self._bus.announce(subject, body)


def _of_one_kind(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the first one's kind: a handler ends with the lock of the event stream, and one that came after it in
    the same transaction would hold that while it waits for incidents."""
    return [row for row in rows if row["kind"] == rows[0]["kind"]]


def _where(error: BaseException) -> str:
    """The line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _timer(row: Mapping[str, Any]) -> Timer:
    return Timer(row["kind"], row["ref"], int(row["due"]), msgspec.json.decode(row["payload"]))


def part(context: Context) -> Timers:
    """The part of the role `respond`."""
    return Timers(context.records, context.store, context.bus)
