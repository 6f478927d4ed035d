"""The part that sends what is in the outbox.

    notices ── taken: a delivery for each person and channel ──▶ due ── claimed ──▶ a message ──▶ sent
                                                                 ▲        │ too many to one address: held, one digest
                                                                 └────────┴─ failed: again, later and later

A claim is a lease: what a process had claimed when it was killed is sent by the next one. A message may so go out
twice, never not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import structlog

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, VIETNAM, from_us, now_us
from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.policy import Policy, Subject, Who
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction
from thap.kernel.units import PROVINCE_CODE
from thap.respond.duty.book import duty_now
from thap.respond.incidents.sources import subject_in
from thap.respond.notify.carrier import Carrier, Outcome
from thap.respond.notify.links import Links, Purpose
from thap.respond.notify.outbox import DEDUP_MINUTES
from thap.respond.notify.people import Channel, Preferences, channels_of, preferences_of, role_holders
from thap.respond.notify.records import OutboxRows, due_count, work_waits
from thap.respond.notify.wording import render
from thap.respond.parts import Context

__all__ = ["Sender", "after_quiet", "centre_address", "part"]

_log = structlog.get_logger(__name__)
_Row = dict[str, Any]
_TAKEN, _TAKES, _LONGEST_DUE, _OF_ONE = 200, 25, 200, 5000
_ESCALATION = "escalation."


class Sender:
    """Takes notices, sends deliveries, and sees to it that a chain which reaches nobody is an alarm."""

    name = "notices"
    poll_s = 0.5

    def __init__(
        self,
        settings: Settings,
        records: Records,
        store: Store,
        *,
        clock: Callable[[], int] = now_us,
        settle: Callable[[], Any] | None = None,
    ) -> None:
        """
        Args:
            settings: channels, limits, address of the centre.
            records: where the outbox is looked at.
            store: for its transactions.
            clock: the wall clock.
            settle: awaited every few seconds; raises and clears the alarms of chains.
        """
        self._settings, self._notify = settings, settings.notify
        self._records, self._store, self._clock, self._settle = records, store, clock, settle
        self._carrier = Carrier(settings.notify)
        self._links = Links(settings)
        self._sending: set[asyncio.Task[None]] = set()
        self._lease_us = round((self._notify.timeout_s * 10 + 60) * SECOND_US)
        self._sent = self._failed = self._due = 0
        self._away = False
        self._next_settle = self._next_prune = float("-inf")

    async def run(self) -> None:
        """Send, until cancelled; what is under way then is finished."""
        try:
            while True:
                try:
                    busy = await self.once()
                    self._away = False
                except (BusyError, UnavailableError) as error:
                    self._away = True
                    _log.warning("notices wait for the records", reason=str(error))
                    await asyncio.sleep(1)
                    continue
                if not busy:
                    await asyncio.sleep(self.poll_s)
                elif self._sending:
                    await asyncio.wait(self._sending, timeout=self.poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self.close()

    async def close(self) -> None:
        """Let what is under way end."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=3)
        self._carrier.close()

    def stats(self) -> dict[str, Any]:
        """As parts tell it; `lag`: what is due and not under way. What waits for quiet hours, a digest or a later try
        is no standstill, nor is what a slow service has in hand (each try has its time), or records that are away."""
        return {
            "seq": self._sent + self._failed,
            "lag": self._due,
            "total": self._sent,
            "failures": self._failed,
            "holding": bool(self._sending) or self._away,
        }

    async def once(self) -> bool:
        """Take what waits and begin to send what is due; whether there was any.

        Raises:
            BusyError, UnavailableError: the records cannot be written now.
        """
        await self._see_to_the_rest()
        if len(self._sending) >= self._notify.parallel * 4:
            return True
        now = self._clock()
        async with self._records.read() as connection:  # most often there is nothing: then take no lock
            self._due = await due_count(connection, now) if await work_waits(connection, now) else 0
        if not self._due:
            return False
        taken = 0
        for _ in range(_TAKES):  # all of a flood before any of it is sent, so that it is one digest
            more = await self._store.transact(lambda tx: self._take(tx, now))
            taken += more
            if more < _TAKEN:
                break
        batches = await self._store.transact(lambda tx: self._claim(tx, now))
        for rows, told in batches:
            task = asyncio.create_task(self._send(rows, told))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return bool(taken or batches)

    async def idle(self) -> None:
        """Until nothing is under way; for tests and commands."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _see_to_the_rest(self) -> None:
        tick = time.monotonic()
        if self._settle is not None and tick >= self._next_settle:
            self._next_settle = tick + 3
            await self._settle()
        if tick >= self._next_prune:
            before = self._clock() - self._notify.keep_days * DAY_US
            more = await self._store.transact(lambda tx: OutboxRows(tx).prune(before, 1000))
            self._next_prune = tick + (1 if more else 3600)

    # Notices become deliveries.

    def _take(self, tx: Transaction, now: int) -> int:
        rows = OutboxRows(tx)
        waiting = rows.waiting(_TAKEN)
        people = _People(tx, now)
        added: list[_Row] = []
        states: dict[int, str] = {}
        for notice in waiting:
            ways = self._ways(people, notice, now)
            added += _fresh(rows, notice, ways, added)
            states[notice["id"]] = "taken" if ways else "unreachable"
        rows.add(added)
        rows.set_states(states)
        for notice in waiting:
            if states[notice["id"]] == "unreachable":
                to = notice["to_name"] or f"{notice['to_unit']}/{notice['to_role']}"
                _log.warning("a notice reaches nobody", notice=notice["id"], to=to)
                self._hurry(tx, rows, notice, now)
        return len(waiting)

    def _ways(self, people: _People, notice: _Row, now: int) -> list[_Row]:
        """The deliveries of a notice; none to those from whom a restriction hides what it tells of."""
        if notice["to_kind"] == "address":
            if people.hidden("", notice):
                return []
            channel, address = _parsed(notice["to_name"], self._notify.channels)
            return [self._delivery(notice, "", channel, address, notice["language"], now, now)]
        if notice["to_kind"] == "person":
            return self._to(people, [notice["to_name"]], notice, now)
        whom = people.on_duty(notice["to_unit"], notice["to_role"])
        return next((found for logins in whom if (found := self._to(people, logins, notice, now))), [])

    def _to(self, people: _People, logins: Sequence[str], notice: _Row, now: int) -> list[_Row]:
        urgent = bool(notice["urgent"])
        found = []
        for login in logins:
            if people.hidden(login, notice):
                continue
            chosen, channels = people.known(login, urgent)
            due = now if urgent else after_quiet(chosen, now)
            for way in channels:
                found.append(self._delivery(notice, login, way.channel, way.address, chosen.language, due, now))
        return found

    def _delivery(
        self, notice: _Row, login: str, channel: str, address: str, language: str, due: int, now: int
    ) -> _Row:
        return {
            "notice_id": notice["id"],
            "login": login,
            "channel": channel,
            "address": address,
            "language": language,
            "urgent": bool(notice["urgent"]),
            "state": "waiting",
            "due": due,
            "attempts": 0,
            "error": "",
            "created": now,
            "sent": None,
            "digest": None,
        }

    # Deliveries become messages.

    def _claim(self, tx: Transaction, now: int) -> list[tuple[list[_Row], list[_Row]]]:
        """(deliveries, their notices) of each message to send now."""
        rows = OutboxRows(tx)
        batches: list[list[_Row]] = []
        for channel, address in rows.groups(now, _LONGEST_DUE):
            due = rows.due(channel, address, now, _OF_ONE)
            if due:
                batches += self._messages(rows, channel, address, due, now)
        for batch in batches:
            rows.save({**row, "state": "sending", "due": now + self._lease_us} for row in batch)
        return [(batch, [rows.notice(row["notice_id"]) or {} for row in batch]) for batch in batches]

    def _messages(
        self, rows: OutboxRows, channel: str, address: str, due: Sequence[_Row], now: int
    ) -> list[list[_Row]]:
        """The messages that go to one address now; what is too much is held for a digest."""
        since = now - round(self._notify.rate_minutes * MINUTE_US)
        left = self._notify.rate - rows.sent_count(channel, address, since, now)
        if len(due) <= left and not any(row["state"] == "held" for row in due):
            return [[row] for row in due]
        held = rows.held(channel, address, now, _OF_ONE)
        if left > 0 or any(row["state"] == "held" for row in due):
            return [[*due, *held]]
        wait_s = self._notify.digest_urgent_s if any(row["urgent"] for row in due) else self._notify.digest_s
        when = min([now + round(wait_s * SECOND_US), *(row["due"] for row in held)])
        rows.save({**row, "state": "held", "due": when} for row in [*due, *held])
        return []

    async def _send(self, batch: Sequence[_Row], told: Sequence[_Row]) -> None:
        start = time.monotonic()
        try:
            title, body = self._words(batch, told)
            outcome = await self._carrier.send(batch[0]["channel"], batch[0]["address"], title, body)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.exception("a notice cannot be written", notice=batch[0]["notice_id"])
            outcome = Outcome(False, f"{type(error).__name__}: {error}"[:500])
        took_ms = round((time.monotonic() - start) * 1000)
        for _ in range(20):
            with contextlib.suppress(BusyError, UnavailableError):
                await self._store.transact(lambda tx: self._finish(tx, batch, told, outcome, took_ms))
                break
            await asyncio.sleep(1)
        if outcome.ok:
            self._sent += 1
        else:
            self._failed += 1
            _log.warning("a notice was not taken", channel=batch[0]["channel"], reason=outcome.error)

    def _finish(
        self, tx: Transaction, batch: Sequence[_Row], told: Sequence[_Row], outcome: Outcome, took_ms: int
    ) -> None:
        rows, now = OutboxRows(tx), self._clock()
        first = batch[0]["id"]
        done = [
            {
                **row,
                "attempts": row["attempts"] + 1,
                "error": outcome.error[:500],
                "state": "sent" if outcome.ok else self._after_failure(row, outcome, now),
                "due": now if outcome.ok else now + self._again_us(row["attempts"]),
                "sent": now if outcome.ok else None,
                "digest": first if row["id"] != first else None,
            }
            for row in batch
        ]
        rows.save(done)
        rows.log(
            [
                {
                    "delivery_id": row["id"],
                    "time": now,
                    "took_ms": took_ms,
                    "ok": outcome.ok,
                    "error": outcome.error[:500],
                }
                for row in batch
            ]
        )
        for row, notice in zip(done, told, strict=True):
            if row["state"] == "failed" and notice:
                self._hurry(tx, rows, notice, now)

    def _after_failure(self, row: _Row, outcome: Outcome, now: int) -> str:
        over = now - row["created"] >= self._notify.give_up_hours * HOUR_US
        return "failed" if outcome.final or over else "waiting"

    def _again_us(self, attempts: int) -> int:
        wait_s = min(self._notify.retry_s * (1 << min(attempts, 20)), self._notify.retry_max_s)
        return round(wait_s * random.uniform(0.8, 1.2) * SECOND_US)

    def _hurry(self, tx: Transaction, rows: OutboxRows, notice: _Row, now: int) -> None:
        """A step of a chain that nobody can have been told by is not waited for."""
        if notice["incident"] is None or not notice["template"].startswith(_ESCALATION):
            return
        if rows.all_failed(notice["incident"], notice["dedup"], notice["template"]):
            from thap.respond.escalation.follow import hurry

            hurry(tx, notice["incident"], now)

    # Words.

    def _words(self, batch: Sequence[_Row], told: Sequence[_Row]) -> tuple[str, str]:
        language = batch[0]["language"]
        if len(batch) == 1:
            return render(told[0]["template"], language, self._params(batch[0], told[0]))
        items: dict[tuple[str, str], _Row] = {}
        for row, notice in zip(batch, told, strict=True):
            params = self._params(row, notice)
            title, _ = render(notice["template"], language, params)
            item = items.setdefault(
                (title, params["url"]), {"title": title, "url": params["url"], "ack": params["ack"], "times": 0}
            )
            item["times"] += 1 + int(notice["repeats"])
        return render("digest", language, {"items": list(items.values()), "centre": centre_address(self._settings)})

    def _params(self, row: _Row, notice: _Row) -> _Row:
        centre = centre_address(self._settings)
        params = {**orjson.loads(notice["params"]), "centre": centre, "ack": ""}
        url = str(params.get("url") or "")
        params["url"] = centre + url if url.startswith("/") else url
        if row["login"] and notice["template"].startswith(_ESCALATION) and "escalation" in params:
            purpose = Purpose(int(notice["incident"]), int(params["escalation"]), row["login"])
            params["ack"] = centre + self._links.make(purpose)
        return params


class _People:
    """Whom one transaction's notices are for, each looked up once."""

    def __init__(self, tx: Transaction, now: int) -> None:
        self._tx, self._now = tx, now
        self._known: dict[tuple[str, bool], tuple[Preferences, list[Channel]]] = {}
        self._duty: dict[tuple[str, str], list[str]] = {}
        self._policy: Policy | None = None
        self._about: dict[int, Subject | None] = {}

    def hidden(self, login: str, notice: _Row) -> bool:
        """Whether a restriction hides the incident of a notice from a person, or from an address ('')."""
        number = notice["incident"]
        if number is None:
            return False
        if self._policy is None:
            self._policy = Policy.load_in(self._tx)
        if not self._policy.restrictions:
            return False
        if number not in self._about:
            self._about[number] = subject_in(self._tx, self._policy, number)
        who, subject = (self._policy.person(login) if login else None) or Who.anonymous(), self._about[number]
        return subject is not None and self._policy.hides(who, subject)

    def known(self, login: str, urgent: bool) -> tuple[Preferences, list[Channel]]:
        """What a person chose, and the ways to them."""
        found = self._known.get((login, urgent))
        if found is None:
            found = self._known[login, urgent] = (
                preferences_of(self._tx, login),
                channels_of(self._tx, login, urgent),
            )
        return found

    def on_duty(self, unit: str, role: str) -> Iterator[list[str]]:
        """Who is on duty, then whoever stands in for them, the nearest first: those who have the role there, others on
        duty there, and the same of the province. Most communes keep no roster."""
        for place in dict.fromkeys((unit or PROVINCE_CODE, PROVINCE_CODE)):
            yield self._on_duty(place, role)
            if role:
                yield role_holders(self._tx, place, role, self._now)
                yield self._on_duty(place, "")

    def _on_duty(self, unit: str, role: str) -> list[str]:
        found = self._duty.get((unit, role))
        if found is None:
            found = self._duty[unit, role] = duty_now(self._tx, unit, role, self._now)
        return found


def _fresh(rows: OutboxRows, notice: _Row, ways: Sequence[_Row], added: Sequence[_Row]) -> list[_Row]:
    """Each address once, and none that a notice of the same key goes to already."""
    key = notice["dedup"]
    each = {(one["channel"], one["address"]): {**one, "key": key} for one in reversed(ways)}
    since = notice["created"] - DEDUP_MINUTES * MINUTE_US
    here = {(one["key"], one["channel"], one["address"]) for one in added} if key else set()
    return [
        one
        for (channel, address), one in reversed(each.items())
        if not key or ((key, channel, address) not in here and not rows.has_twin(key, since, channel, address))
    ]


def after_quiet(chosen: Preferences, now: int) -> int:
    """When somebody may be told: now, or the end of their quiet hours."""
    low, high = chosen.quiet_from, chosen.quiet_until
    if low is None or high is None or low == high:
        return now
    local = from_us(now).astimezone(VIETNAM)
    minute = local.hour * 60 + local.minute
    quiet = low <= minute < high if low < high else minute >= low or minute < high
    if not quiet:
        return now
    rest = (high - minute) % (24 * 60) * MINUTE_US
    return now + rest - (local.second * SECOND_US + local.microsecond)


def centre_address(settings: Settings) -> str:
    """The address links in notices begin with."""
    if settings.notify.address:
        return settings.notify.address.rstrip("/")
    if settings.port:
        return f"http://{settings.host}:{settings.port}"
    try:
        return str(orjson.loads((settings.run_dir / "centre.json").read_bytes())["http"]).rstrip("/")
    except (OSError, ValueError, KeyError, TypeError):
        return f"http://{settings.host}"


def _parsed(url: str, channels: dict[str, Any]) -> tuple[str, str]:
    """(channel, address) of where an Address leads."""
    name, _, rest = url.partition(":")
    return (name, rest) if name in channels or not rest.startswith("//") else ("", url)


def part(context: Context) -> Sender:
    """The part of the role `respond`."""
    from thap.respond.escalation.alarms import Trouble

    trouble = Trouble(context.records, context.bus)
    return Sender(context.settings, context.records, context.store, settle=trouble.settle)
