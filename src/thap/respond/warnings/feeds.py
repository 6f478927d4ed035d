"""Background work of warnings: others' feeds are visited and become alarms, pushes are sent.

Feeds are visited a few at a time, each by itself: one that hangs, lies or floods costs its own visit only. A feed that
fails again and again is an alarm too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from cryptography import x509

from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import BusyError, InputError, SettingsError, ThapError, UnavailableError
from thap.kernel.places_records import polygons, polygons_version
from thap.respond.book import AlarmBook
from thap.respond.parts import Context
from thap.respond.warnings import feed_rows as rows_of
from thap.respond.warnings.areas import read_shapes
from thap.respond.warnings.document import parse, to_bytes
from thap.respond.warnings.feed_rows import FeedRows, Row
from thap.respond.warnings.fetching import Fetched, client, fetch
from thap.respond.warnings.index import Entry, entries
from thap.respond.warnings.pushing import CLAIM_S, push
from thap.respond.warnings.reception import Message, Reach, changes, keep, receive
from thap.respond.warnings.signing import read_certificates

__all__ = ["SILENT", "Feeds", "part"]

SILENT = "cap.feed_unreachable"
_FAILURES_TOLD = 5
_AT_ONCE, _FEEDS_AT_ONCE, _PUSHES_AT_ONCE = 4, 8, 8
_VISIT_S = 120.0
_PAUSE_S = 1.0
_log = structlog.get_logger(__name__)


class Feeds:
    """Visits feeds that are due, tells the alarms, sends pushes."""

    name = "cap_feeds"

    def __init__(self, context: Context) -> None:
        self._settings = context.settings.warnings
        self._records, self._store, self._bus = context.records, context.store, context.bus
        self._open()
        self._under_way: set[int] = set()
        self._gate = asyncio.Semaphore(_FEEDS_AT_ONCE)
        self._reach: tuple[int, Reach] | None = None
        self._trusted: Sequence[x509.Certificate] | None = None
        self._total = self._waiting = self._pushed = 0

    def stats(self) -> dict[str, Any]:
        """`total`: messages read; `lag`: feeds and pushes that are due; `pushed`: pushes taken."""
        told = {"seq": self._total, "lag": self._waiting, "total": self._total, "pushed": self._pushed}
        return {**told, "holding": self._waiting > 0}  # a feed that hangs is no standstill

    def _open(self) -> None:
        self._alarms = AlarmBook(self._records)
        self._http, self._push_http = client(), client()

    async def run(self) -> None:
        """Work until cancelled; may be begun again."""
        if self._http.is_closed:
            self._open()
        try:
            async with asyncio.TaskGroup() as group:
                # Side by side: a feed that hangs must not keep a warning from going out.
                group.create_task(self._again(lambda now: self._begin_visits(now, group)))
                group.create_task(self._again(self.pushes))
                group.create_task(self._again(self.tell))
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what it opened."""
        await self._http.aclose()
        await self._push_http.aclose()
        await self._alarms.close()

    async def _again(self, work: Callable[[int], Coroutine[Any, Any, Any]]) -> None:
        while True:
            try:
                await work(now_us())
            except (BusyError, UnavailableError) as error:
                _log.warning("warnings wait", why=str(error))
            await asyncio.sleep(_PAUSE_S)

    async def _begin_visits(self, now: int, group: asyncio.TaskGroup) -> None:
        async with self._records.read() as connection:
            feeds = await rows_of.due_feeds(connection, now)
        self._waiting = len(feeds)
        for feed in feeds:
            if feed["id"] not in self._under_way:
                self._under_way.add(feed["id"])
                group.create_task(self._begun(feed))

    async def _begun(self, feed: Row) -> None:
        try:
            async with self._gate:
                await self.visit(feed, now_us())
        except (BusyError, UnavailableError) as error:
            _log.warning("a feed of warnings waits", feed=feed["name"], why=str(error))
        finally:
            self._under_way.discard(feed["id"])

    async def turn(self, now: int) -> int:
        """Do all that is due, once; returns how many feeds were visited and pushes tried."""
        done = await self.visits(now) + await self.pushes(now)
        await self.tell(now)
        return done

    async def visits(self, now: int) -> int:
        """Visit the feeds that are due; returns how many."""
        async with self._records.read() as connection:
            feeds = await rows_of.due_feeds(connection, now)
        self._waiting = len(feeds)
        await _few(_AT_ONCE, [self.visit(feed, now) for feed in feeds])
        return len(feeds)

    async def pushes(self, now: int) -> int:
        """Send the pushes that are due; returns how many were tried."""
        async with self._records.read() as connection:
            if not await rows_of.due_pushes(connection, now):
                return 0
        async with self._records.write() as connection:
            rows = await rows_of.claim_pushes(connection, now, now + CLAIM_S * SECOND_US, _PUSHES_AT_ONCE)
        await _few(_PUSHES_AT_ONCE, [self._push(row, now) for row in rows])
        return len(rows)

    async def tell(self, now: int) -> None:
        """End what is over, and make the alarms agree with what is kept."""
        await self._end(now)
        await self._tell(now)

    # Feeds.

    async def visit(self, feed: Row, now: int) -> int:
        """Read one feed; returns how many messages were new. What is wrong with it is kept with the feed."""
        found: list[Message] = []
        faults: list[str] = []
        got = Fetched(None)
        try:
            async with asyncio.timeout(_VISIT_S):
                got = await self._get(feed)
                if got.body is not None:
                    await self._read(feed, got.body, now, found, faults)
            error = "; ".join(faults[:3]) + (f" (and {len(faults) - 3} more)" if len(faults) > 3 else "")
            failures = 0
        except (InputError, UnavailableError, SettingsError) as problem:
            error, failures = str(problem), int(feed["failures"]) + 1
            _log.warning("a feed of warnings cannot be read", feed=feed["name"], why=error)
        except TimeoutError:
            # What was read by then is kept, and not read again at the next visit.
            error, failures = f"a visit took longer than {_VISIT_S:.0f} s", int(feed["failures"]) + 1
        except Exception as problem:
            # Whatever a document of others can do to a library must not stop the reading of the rest.
            error, failures = f"failed: {type(problem).__name__}: {problem}", int(feed["failures"]) + 1
            _log.error("reading a feed of warnings failed", feed=feed["name"], exc_info=problem)
        wait_s = min(int(feed["every_s"]) * 2 ** min(failures, 6), max(int(feed["every_s"]), 3600))
        visit = {
            # An entry that could not be read is tried again, so the feed must come again too.
            "etag": got.etag if not failures and not faults else "",
            "modified": got.modified if not failures and not faults else "",
            "due": now + wait_s * SECOND_US,
            "visited": now,
            "answered": feed["answered"] if failures else now,
            "failures": failures,
            "error": error[:500].replace("\x00", ""),
        }
        # Before the visit is kept: killed between the two, the next visit tells it again, which changes nothing.
        await self._tell_silence(feed, failures, error, now)
        new = await self._store.transact(lambda tx: keep(tx, feed, found, visit))
        self._total += new
        return new

    def _hosts(self, feed: Row) -> frozenset[str]:
        own = urlsplit(feed["url"]).hostname or ""
        return frozenset({own.lower(), *str(feed["hosts"]).lower().replace(",", " ").split()})

    async def _get(self, feed: Row) -> Fetched:
        limit = round(self._settings.feed_mib * 1024 * 1024)
        return await fetch(self._http, feed["url"], limit, self._hosts(feed), feed["etag"], feed["modified"])

    async def _read(self, feed: Row, body: bytes, now: int, found: list[Message], faults: list[str]) -> None:
        """Add the messages of a feed, and what could not be read of it."""
        reach, trusted = await self._surroundings(), self._certificates()
        limit = round(self._settings.feed_mib * 1024 * 1024)
        root = await asyncio.to_thread(parse, body, feed["url"], limit)
        offered = entries(root, feed["url"], self._settings.feed_alerts)
        async with self._records.read() as connection:
            known = await rows_of.known_entries(connection, feed["id"], [one.digest for one in offered if one.digest])

        async def take(entry: Entry) -> None:
            try:
                raw = body if entry.alert is root else await self._document(feed, entry)
                found.append(await asyncio.to_thread(_receive, raw, feed, entry, now, self._settings, reach, trusted))
            except ThapError as error:
                faults.append(str(error)[:200])

        await _few(_AT_ONCE, [take(entry) for entry in offered if not entry.digest or entry.digest not in known])

    async def _document(self, feed: Row, entry: Entry) -> bytes:
        limit = self._settings.alert_kib * 1024
        if entry.alert is not None:
            return to_bytes(entry.alert)
        return (await fetch(self._http, entry.url, limit, self._hosts(feed))).body or b""

    async def _surroundings(self) -> Reach:
        async with self._records.read() as connection:
            version = await polygons_version(connection)
            if self._reach is None or self._reach[0] != version:
                shapes = read_shapes(await polygons(connection))
                self._reach = (version, Reach(shapes, self._settings.reach_km))
        return self._reach[1]

    def _certificates(self) -> Sequence[x509.Certificate]:
        if self._trusted is None:
            self._trusted = read_certificates(self._settings.trust)
        return self._trusted

    # Alarms.

    async def _end(self, now: int) -> None:
        """Let those whose time is over end."""
        async with self._records.read() as connection:
            if not await rows_of.any_over(connection, now):
                return

        def work(tx: Any) -> None:
            rows = FeedRows(tx)
            rows.end(rows.over(now), "expired")

        await self._store.transact(work)

    async def _tell(self, now: int) -> None:
        """Make the alarms agree with what is kept."""
        while True:
            async with self._records.read() as connection:
                untold, rows = await rows_of.untold_sources(connection)
            if not untold:
                return
            said = [change for row in rows for change in _changes(row, now)]
            await self._apply(said)
            await self._store.transact(lambda tx, done=untold: FeedRows(tx).told(done))  # type: ignore[misc]

    async def _tell_silence(self, feed: Row, failures: int, error: str, now: int) -> None:
        key = f"cap-feed/{feed['name']}"
        if failures == _FAILURES_TOLD or (failures > _FAILURES_TOLD and failures % 100 == 0):
            evidence = {"url": feed["url"], "error": error[:500]}
            change = Change(
                key, SILENT, Action.RAISE, Severity.MEDIUM, now, 0, domain=feed["domain"], evidence=evidence
            )
            await self._apply([change])
        elif not failures and int(feed["failures"]) >= _FAILURES_TOLD:
            await self._apply([Change(key, SILENT, Action.CLEAR, Severity.LOW, now, 0, domain=feed["domain"])])

    async def _apply(self, said: Sequence[Change]) -> None:
        for event in await self._alarms.apply(said):
            await self._bus.announce("centre.live.alarm", event)

    # Pushes.

    async def _push(self, row: Row, now: int) -> None:
        kept = await push(self._push_http, row, now, self._settings.push_hours)
        if kept["state"] == "sent":
            self._pushed += 1
        else:
            _log.warning("a warning could not be pushed", url=row["url"], why=kept["answer"], state=kept["state"])
        await self._store.transact(lambda tx: FeedRows(tx).pushed(int(row["id"]), kept))


def _receive(
    raw: bytes, feed: Row, entry: Entry, now: int, settings: Any, reach: Reach, trusted: Sequence[x509.Certificate]
) -> Message:
    where = entry.url or feed["url"]
    root = parse(raw, where, settings.alert_kib * 1024)
    return receive(root, raw, where, feed, entry.digest, now, settings, reach, trusted)


def _changes(row: Row, now: int) -> list[Change]:
    try:
        return changes(row, now)
    except ThapError as error:  # it was read once; should it ever not be, the others must not wait for it
        _log.error("a kept alert cannot be read", source=row["source"], why=str(error))
        return []


async def _few(at_once: int, work: Sequence[Coroutine[Any, Any, Any]]) -> None:
    """All of it, some at once; then the first error, if there was one."""
    gate = asyncio.Semaphore(at_once)

    async def one(piece: Coroutine[Any, Any, Any]) -> None:
        async with gate:
            await piece

    for done in await asyncio.gather(*(one(piece) for piece in work), return_exceptions=True):
        if isinstance(done, BaseException):
            raise done


def part(context: Context) -> Feeds:
    """The part of the role `respond`."""
    return Feeds(context)
