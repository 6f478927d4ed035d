"""Opens incidents from alarms: the part of the role `respond` that follows the alarms' stream.

Each transition takes effect exactly once: incidents, their events, what followers make of them and the number of the
last transition looked at are written in one transaction, and whoever opens holds that number's row. Two openers at
once take turns; one that is killed leaves nothing or all of a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from thap.detect.records import gather_rules
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import BusyError, ThapError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction
from thap.respond import records as alarm_rows
from thap.respond.conditions import condition_titles
from thap.respond.incidents.correlate import Sign, look_up, plan
from thap.respond.incidents.correlate_records import CandidateRows, next_conditions
from thap.respond.incidents.followers import default_followers
from thap.respond.incidents.model import LIVE_SUBJECT, Act, Draft, Follower, IncidentEvent, NewLink, Row, announcement
from thap.respond.incidents.records import rule_rows
from thap.respond.incidents.rules import OpeningRule, OpeningRules, packaged
from thap.respond.incidents.states import IncidentAction, IncidentLife, LifeCycle
from thap.respond.incidents.writing import Writing
from thap.respond.parts import Context

__all__ = ["OFFSET", "Opener", "part", "sign_of"]

OFFSET = "incidents"
"""Name of the offset in the stream of alarm transitions."""
_FIRST_US = DAY_US
"""Of a centre that had alarms before it had incidents: how old an alarm that has cleared may be to be looked at."""
_UNTITLED: Mapping[str, str] = {}

_log = structlog.get_logger(__name__)


class Opener:
    """Follows the alarms."""

    name = "incidents"
    batch = 100
    """Transitions taken in one transaction: few enough that other writers do not wait long for it."""
    poll_s = 1.0
    """Longest time between two looks; an announcement of an alarm wakes it at once."""
    refresh_s = 5.0
    """How often opening rules are read again; titles of the alarms' rules when they change, and twelve times less
    often."""

    def __init__(
        self,
        records: Records,
        store: Store,
        rules: OpeningRules | None = None,
        followers: Sequence[Follower] | None = None,
        life: LifeCycle | None = None,
    ) -> None:
        """
        Args:
            records: where alarms are.
            store: for the transactions.
            rules: by default those that come with the program.
            followers: by default `default_followers()`.
            life: which transitions of incidents are allowed.
        """
        self._records, self._store = records, store
        self.rules = OpeningRules(packaged()) if rules is None else rules
        self.titles: Mapping[str, Mapping[str, str]] = condition_titles()
        """Titles of alarms' conditions, by language."""
        self._followers = default_followers() if followers is None else tuple(followers)
        self._life: LifeCycle = IncidentLife() if life is None else life
        self.read = self.last = self.events = 0
        self._single = 0

    async def behind(self) -> int:
        """How many transitions have not been looked at."""
        async with self._records.read() as connection:
            self.read = max(await alarm_rows.read_offset(connection, OFFSET), 0)
            self.last = await alarm_rows.last_event(connection)
        return self.last - self.read

    async def untitled(self) -> set[str]:
        """Conditions of the next batch that have no title, as those of a rule put in since titles were read."""
        async with self._records.read() as connection:
            return await next_conditions(connection, self.read, self.batch) - self.titles.keys()

    async def step(self) -> list[IncidentEvent]:
        """Take the next batch; returns the events it led to.

        Raises:
            BusyError, UnavailableError: nothing was taken.
        """
        most = 1 if self._single else self.batch
        try:
            events = await self._store.transact(lambda tx: self._take(tx, most, self._followers))
        except (BusyError, UnavailableError):
            raise
        except Exception as error:  # of a follower: must not keep the incidents of others from being opened
            if _collided(error):
                raise BusyError("other writers kept getting in the way of opening incidents") from error
            if most > 1:
                _log.warning("alarms are taken one by one", reason=repr(error))
                self._single = self.batch
                return await self.step()
            _log.error("an incident is opened without tasks and escalation", after=self.read, reason=repr(error))
            failure = repr(error)
            events = await self._store.transact(lambda tx: self._take(tx, 1, (), failure))
        self._single = max(self._single - 1, 0)
        self.events += len(events)
        return events

    def _take(
        self, tx: Transaction, most: int, followers: Sequence[Follower], failure: str = ""
    ) -> list[IncidentEvent]:
        now = now_us()
        writing = Writing(tx, now, self._life, followers)
        candidates = CandidateRows(tx)
        done = writing.rows.offset(OFFSET)
        if done is None:
            done = candidates.last_before(now - _FIRST_US)
            seen = list(candidates.standing(done))
        else:
            seen = []
        seen += candidates.transitions(done, most)
        writing.rows.set_offset(OFFSET, max([done, *(int(one["id"]) for one in seen)]))
        self._correlate(writing, candidates, seen, failure)
        return writing.finish()

    def _correlate(self, writing: Writing, rows: CandidateRows, seen: Sequence[Row], failure: str) -> None:
        told = [(one, sign_of(self.rules, one)) for one in seen if one["annunciated"] or one["action"] == "clear"]
        signs = [sign for _, sign in told]
        found = look_up(rows, signs)
        while True:
            targets = plan(signs, found)
            wanted = {target.id for target in targets if target is not None and target.id is not None}
            held = writing.hold(sorted(wanted))
            gone = {number for number in wanted if number not in held or held[number]["latest"] is None}
            if not gone:
                break
            found.gone |= gone  # somebody resolved it since it was looked up: decide again without it
        made: dict[int, Row] = {}
        for (one, sign), target in zip(told, targets, strict=True):
            if target is None:
                continue
            row = held.get(target.id or 0) or made.get(id(target))
            if row is None:
                made[id(target)] = self._open(writing, one, sign, failure)
            else:
                before = found.linked.get(sign.alarm)
                self._join(writing, row, one, sign, known=before is not None and before.id == target.id)

    def _open(self, writing: Writing, one: Row, sign: Sign, failure: str) -> Row:
        assert sign.rule is not None
        what = self.titles.get(one["condition"], _UNTITLED)
        titles = sign.rule.titles(one["source"], one["condition"], one["commune"], what)
        detail = {"rule": sign.rule.name, "title": titles, **_told(one)}
        if failure:
            detail["without_tasks"] = failure[:500]
        draft = Draft(
            title=titles["vi"].strip() or one["condition"],
            domain=one["domain"],
            severity=min(max(int(one["severity"]), 1), 4),
            unit=sign.rule.unit_of(one["commune"]),
            commune=one["commune"],
            lon=sign.lon,
            lat=sign.lat,
            origin="alarm",
            cause=sign.cause,
            time=sign.time,
            links=(_link(one),),
            detail=detail,
        )
        return writing.open(draft, "", sign.place)

    def _join(self, writing: Writing, row: Row, one: Row, sign: Sign, *, known: bool) -> None:
        if not sign.calls:
            writing.event(row, IncidentAction.ALARM_CLEARED, "", detail=_told(one))
            return
        if not known:
            writing.link(row, _link(one), "")
        writing.put(row, began=min(int(row["began"]), sign.time), latest=max(int(row["latest"]), sign.time))
        writing.event(row, IncidentAction.JOIN, "", detail=_told(one))
        if int(one["severity"]) > row["severity"]:
            writing.raise_to(row, min(int(one["severity"]), 4), Act(0, IncidentAction.SEVERITY, detail=_told(one)))


def sign_of(rules: OpeningRules, one: Row) -> Sign:
    """What a transition means by these rules."""
    rule = rules.find(one["domain"], one["condition"], int(one["severity"])) if one["annunciated"] else None
    lon, lat = _place(one["lon"], one["lat"])
    return Sign(
        alarm=int(one["alarm"]),
        domain=one["domain"],
        time=min(int(one["time"]), int(one["recorded_at"])),
        calls=bool(one["annunciated"]),
        rule=rule,
        cause=rule.cause_of(one["condition"]) if rule else "",
        place=_place_key(rule, one) if rule else "",
        lon=lon,
        lat=lat,
    )


def _collided(error: Exception) -> bool:
    """Whether it is a deadlock or the like, which says nothing about the alarm or a follower."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, DBAPIError) and state in ("40001", "40P01")


def _told(one: Row) -> dict[str, Any]:
    kept = ("alarm", "source", "condition", "severity", "time", "value")
    return {**{name: one[name] for name in kept}, "transition": one["id"]}


def _link(one: Row) -> NewLink:
    return NewLink("alarm", str(one["alarm"]), f"{one['source']} {one['condition']}"[:200], _told(one))


def _place(lon: float | None, lat: float | None) -> tuple[float | None, float | None]:
    """A place on earth, or none."""
    if lon is None or lat is None or not (math.isfinite(lon) and math.isfinite(lat)):
        return None, None
    return (lon, lat) if abs(lon) <= 180 and abs(lat) <= 90 else (None, None)


def _place_key(rule: OpeningRule, one: Row) -> str:
    if rule.place == "source":
        return f"s:{one['source']}"
    return f"c:{one['commune']}" if rule.place != "province" and one["commune"] else "p:"


class OpeningPart:
    """The opener as a part of the role `respond`."""

    name = Opener.name

    def __init__(self, settings: Settings, records: Records, bus: Bus, store: Store) -> None:
        self._settings, self._records, self._bus = settings, records, bus
        self._opener = Opener(records, store)
        self._woken = asyncio.Event()
        self._rules_changed = True
        self._untitled: set[str] = set()  # since titles were last read because it was time
        self._lag = self._refreshed = 0

    async def run(self) -> None:
        """Open and join until cancelled."""

        async def wake(_subject: str, _payload: bytes) -> None:
            self._woken.set()

        async def changed(_subject: str, _payload: bytes) -> None:
            self._rules_changed = True
            self._woken.set()

        await self._bus.listen("centre.live.alarm", wake)
        await self._bus.listen("centre.live.rules", changed)
        refreshed = -math.inf
        while True:
            self._woken.clear()
            try:
                if self._rules_changed or asyncio.get_running_loop().time() - refreshed > self._opener.refresh_s:
                    await self._refresh()
                    refreshed = asyncio.get_running_loop().time()
                self._lag = await self._opener.behind()
                if self._lag:
                    if new := await self._opener.untitled() - self._untitled:
                        self._untitled |= new
                        self._rules_changed = True
                        await self._refresh()
                    for event in await self._opener.step():
                        await self._bus.announce(LIVE_SUBJECT, announcement(event))
                    continue
            except (BusyError, UnavailableError) as error:
                _log.warning("incidents wait for the records", reason=str(error))
                await asyncio.sleep(1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._opener.poll_s):
                    await self._woken.wait()

    def stats(self) -> dict[str, Any]:
        """As parts tell it; total counts events of incidents."""
        return {"seq": self._opener.read, "lag": self._lag, "total": self._opener.events}

    async def _refresh(self) -> None:
        changed, self._rules_changed = self._rules_changed, False
        async with self._records.read() as connection:
            rows = await rule_rows(connection)
            timely = self._refreshed % 12 == 0
            if timely:
                self._untitled.clear()
            if changed or timely:
                try:
                    gathered = await gather_rules(self._settings, connection)
                except ThapError as error:
                    _log.warning("titles of alarm rules cannot be read", reason=str(error))
                else:
                    self._opener.titles = {
                        **condition_titles(),
                        **{
                            listed.rule.name: {"vi": listed.rule.title.vi, "en": listed.rule.title.en}
                            for listed in gathered.rules
                        },
                    }
        self._refreshed += 1
        file = self._settings.data / "opening.toml"
        self._opener.rules = await asyncio.to_thread(OpeningRules.gather, file, rows)


def part(context: Context) -> OpeningPart:
    """For `thap.respond.parts`."""
    return OpeningPart(context.settings, context.records, context.bus, context.store)
