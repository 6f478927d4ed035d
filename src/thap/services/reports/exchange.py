"""Exchanges reports with other Open311 endpoints: ours go there, theirs come here, and what becomes of both.

Nobody's name, telephone or address is sent on: what goes out is what the public may read. A report is sent once:
after an answer that was lost, the other side is asked for it before it is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
import structlog

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, iso, now_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError, ThapError, UnavailableError
from thap.kernel.places import load_locator, polygons_version
from thap.kernel.settings import Open311Settings
from thap.kernel.store import Transaction
from thap.respond.parts import Context
from thap.services.reports import georeport
from thap.services.reports import records as rows_of
from thap.services.reports.client import Open311Client, RefusedError, entries_by_id
from thap.services.reports.desk import ReportDesk
from thap.services.reports.life import State
from thap.services.reports.loop import Loop
from thap.services.reports.model import Draft, Report, ReportEvent
from thap.services.reports.records import ReportRows, Row
from thap.services.reports.writing import new_exchange

__all__ = ["Exchange", "part"]

_log = structlog.get_logger(__name__)
_MANY = 50
_OVERLAP_US = HOUR_US
_SPAN_US = 89 * DAY_US
_LONGEST_US = 6 * HOUR_US


class Exchange(Loop):
    """A round every second, in which each endpoint has its turn every `every_s`, or at once when reports wait."""

    name = "report_exchange"
    abroad = True
    pause_s = 1.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.desk = ReportDesk(context.settings, context.records, store=context.store, locate=self._locate)
        self._endpoints = context.settings.reports.endpoints
        self._connect()
        self._turn: dict[str, float] = {}
        self._locator: tuple[int, Any] | None = None

    def _connect(self) -> None:
        self._http = httpx.AsyncClient(timeout=20, trust_env=False, follow_redirects=False)
        self._clients = {one.name: Open311Client(one, self._http) for one in self._endpoints}

    async def run(self) -> None:
        if not self._clients:
            self.pause_s = 3600.0
        if self._http.is_closed:  # begun again
            self._connect()
        try:
            await super().run()
        finally:
            await self._http.aclose()

    async def round(self) -> int:
        done = 0
        for name, client in self._clients.items():
            turn = time.monotonic() >= self._turn.get(name, float("-inf"))
            try:
                done += await self._push(client)
                if turn:
                    self._turn[name] = time.monotonic() + client.endpoint.every_s
                    done += await self.one_turn(client)
                    await self._said(client.endpoint, "")
            except (UnavailableError, RefusedError, InputError) as error:
                self._turn[name] = time.monotonic() + client.endpoint.every_s
                _log.warning("an Open311 endpoint is left for now", endpoint=name, error=str(error))
                await self._said(client.endpoint, str(error))
        return done

    async def one_turn(self, client: Open311Client) -> int:
        """All that is asked of one endpoint."""
        done = await self._statuses(client)
        if client.endpoint.updates:
            done += await self._updates_in(client)
            done += await self._updates_out(client)
        if client.endpoint.pull:
            done += await self._pull(client)
        return done

    async def _said(self, endpoint: Open311Settings, error: str) -> None:
        async with self.context.records.read() as connection:
            known = (await rows_of.endpoint_rows(connection)).get(endpoint.name)
        if known is not None and known["error"] == error[:500] and now_us() - known["asked"] < MINUTE_US:
            return
        upto = known["upto"] if known else 0
        asked = now_us() if not error else (known["asked"] if known else 0)
        await self.context.store.transact(
            lambda tx: ReportRows(tx).set_endpoint(endpoint.name, asked, upto, error[:500])
        )

    # Ours go there.

    async def _push(self, client: Open311Client) -> int:
        async with self.context.records.read() as connection:
            waiting = await rows_of.waiting_exchanges(connection, client.endpoint.name, now_us(), _MANY)
        for row in waiting:
            await self._push_one(client, row)
        return len(waiting)

    async def _push_one(self, client: Open311Client, row: Row) -> None:
        report = await self.desk.get(int(row["report_id"]))
        try:
            if row["state"] == "token":
                remote, token = await client.number_of(row["token"]), row["token"]
            elif not report.published:
                row.update(state="failed", error="it is not published any more")
                await self._keep(row)
                return
            else:
                fields = self._fields(client.endpoint, report)
                remote, token = await self._twin(client, fields, report) if row["tries"] else "", ""
                if not remote:
                    row["tries"] += 1
                    await self._keep(row)  # before it is sent: a crash must not send it twice
                    remote, token = await client.send(fields)
        except RefusedError as error:
            row.update(state="failed", error=error.message[:500])
        except (UnavailableError, InputError) as error:
            row["tries"] += 0 if row["state"] == "waiting" else 1
            wait = min(30 * SECOND_US * 2 ** min(int(row["tries"]), 12), _LONGEST_US)
            row.update(error=error.message[:500], next_try=now_us() + wait)
            await self._keep(row)
            raise
        else:
            state = "known" if remote else "token" if token else "failed"
            row.update(state=state, remote_id=remote or None, token=token, error="", next_try=now_us() + MINUTE_US)
            if state == "failed":
                row["error"] = "the answer names neither a request nor a token"
        await self._keep(row)

    async def _keep(self, row: Row) -> None:
        kept = {name: value for name, value in row.items() if name != "latest"} | {"changed": now_us()}
        await self.context.store.transact(lambda tx: ReportRows(tx).set_exchange(kept))

    def _fields(self, endpoint: Open311Settings, report: Report) -> dict[str, str]:
        photo = report.shown_photos[0] if report.shown_photos else None
        base = self.context.settings.reports.url.rstrip("/")
        return {
            "service_code": endpoint.push.get(report.service, report.service),
            "lat": "" if report.lat is None else f"{report.lat:.6f}",
            "long": "" if report.lon is None else f"{report.lon:.6f}",
            "address_string": report.place,
            "address_id": report.address_id,
            "description": report.public_text,
            "account_id": f"{self.context.settings.reports.jurisdiction}:{report.id}",
            "media_url": f"{base}/reports/photos/{photo}" if photo and base else "",
        }

    async def _twin(self, client: Open311Client, fields: Mapping[str, str], report: Report) -> str:
        """The number of a request sent before whose answer was lost."""
        found = await client.requests(
            service_code=fields["service_code"], start_date=iso(max(report.received, now_us() - _SPAN_US) - HOUR_US)
        )
        for number, one in entries_by_id(found).items():
            if one.get("description") == fields["description"] and _same(one.get("lat"), fields["lat"]):
                return number
        return ""

    # What becomes of them.

    async def _statuses(self, client: Open311Client) -> int:
        async with self.context.records.read() as connection:
            rows = await rows_of.exchange_rows(connection, endpoint=client.endpoint.name)
        known = [row for row in rows if row["state"] == "known" and row["remote_status"] != "closed"]
        done = 0
        for start in range(0, len(known), _MANY):
            some = {str(row["remote_id"]): row for row in known[start : start + _MANY]}
            found = entries_by_id(await client.requests(service_request_id=",".join(some)))
            for remote, row in some.items():
                said = found.get(remote)
                if said is None or said.get("status") in ("", None, row["remote_status"]):
                    continue
                status = str(said["status"]).lower()[:16]
                if status in ("open", "closed") and (row["remote_status"] or status == "closed"):
                    words = str(said.get("status_notes", ""))
                    stamp = str(said.get("updated_datetime", ""))[:40]
                    await self._update(client, row, status, words, f"{status}:{stamp}")
                    done += 1
                row["remote_status"] = status
                await self._keep(row)
        return done

    async def _updates_in(self, client: Open311Client) -> int:
        async with self.context.records.read() as connection:
            known = (await rows_of.endpoint_rows(connection)).get(client.endpoint.name)
            rows = {
                str(row["remote_id"]): row
                for row in await rows_of.exchange_rows(connection, endpoint=client.endpoint.name)
                if row["remote_id"]
            }
        now = now_us()
        since = max((known["asked"] if known else 0) - _OVERLAP_US, now - _SPAN_US)
        done = 0
        for one in await client.updates(since, now):
            row, number = rows.get(str(one.get("service_request_id", ""))), str(one.get("update_id", ""))[:64]
            status = str(one.get("status", "")).lower()
            words = str(one.get("description", ""))
            if row is None or not number or not (words.strip() or status):
                continue
            status = status if status in ("open", "closed") else ""
            done += await self._update(client, row, status, words, f"u:{number}")
        return done

    async def _update(self, client: Open311Client, row: Row, status: str, words: str, number: str) -> int:
        name = client.endpoint.name
        event, _ = await self.desk.update(
            int(row["report_id"]),
            name,
            status,
            words[:2000],
            external=f"{name}:{number}"[:128],
            may_close=row["direction"] == "out",
        )
        await self._told([event] if event else [])
        return int(event is not None)

    async def _updates_out(self, client: Open311Client) -> int:
        """What happened here to what they sent us."""
        async with self.context.records.read() as connection:
            rows = await rows_of.untold_exchanges(connection, client.endpoint.name, _MANY)
        done = 0
        for row in rows:
            if row["direction"] == "in":
                for event in await self.desk.steps(int(row["report_id"]), public=True):
                    if event.id > row["told"] and event.by != client.endpoint.name and event.action != "receive":
                        await client.send_update(self._update_fields(row, event))
                        done += 1
                        row["told"] = event.id
                        await self._keep(row)
            row["told"] = row["latest"]
            await self._keep(row)
        return done

    @staticmethod
    def _update_fields(row: Row, event: ReportEvent) -> dict[str, str]:
        said = georeport.update(event)
        return {
            "service_request_id": str(row["remote_id"]),
            "update_id": str(event.id),
            "status": str(said["status"]),
            "updated_datetime": str(said["updated_datetime"]),
            "description": event.comment or State(event.to_state).value.replace("_", " "),
        }

    # Theirs come here.

    async def _pull(self, client: Open311Client) -> int:
        endpoint = client.endpoint
        async with self.context.records.read() as connection:
            known = (await rows_of.endpoint_rows(connection)).get(endpoint.name)
        now = now_us()
        since = max((known["upto"] if known else 0) - _OVERLAP_US, now - _SPAN_US)
        found = await client.requests(
            service_code=",".join(endpoint.pull), start_date=iso(since), end_date=iso(now + HOUR_US)
        )
        done = 0
        for remote, one in entries_by_id(found).items():
            done += await self._pull_one(client, remote, one)
        asked = known["asked"] if known else 0
        await self.context.store.transact(lambda tx: ReportRows(tx).set_endpoint(endpoint.name, asked, now, ""))
        return done

    async def _pull_one(self, client: Open311Client, remote: str, one: Mapping[str, Any]) -> int:
        name, code = client.endpoint.name, client.endpoint.pull.get(str(one.get("service_code", "")))
        if code is None or len(remote) > 100:
            return 0
        taken = 0

        def note(tx: Transaction, number: int) -> None:
            rows = ReportRows(tx)
            made = new_exchange(number, name, "in", "known", now_us())
            rows.add_exchange(made | {"remote_id": remote, "remote_status": str(one.get("status", ""))[:16]})

        async with self.context.records.read() as connection:
            if await rows_of.remote_known(connection, name, remote):
                return 0
        try:
            received = await self.desk.receive(
                Draft(
                    code,
                    str(one.get("description", ""))[:4000],
                    _degrees(one.get("long")),
                    _degrees(one.get("lat")),
                    str(one.get("address", ""))[:300],
                    str(one.get("address_id", ""))[:64],
                    media_url=_web(one.get("media_url")),
                ),
                source="endpoint",
                client=name,
                submission=f"endpoint:{name}:{remote}"[:128],
                received=_moment(one.get("requested_datetime")),
                after=note,
                asked=False,
            )
        except (InputError, NotFoundError) as error:
            _log.info("a request of another endpoint is left", endpoint=name, request=remote, why=str(error))
            return 0
        if received.event is not None:
            taken = 1
            await self._told([received.event])
        return taken

    async def _told(self, events: list[ReportEvent]) -> None:
        for event in events:
            self.seq = max(self.seq, event.id)
            await self.context.bus.announce("centre.live.report", event)

    async def _locate(self, lon: float, lat: float) -> str:
        async with self.context.records.read() as connection:
            version = await polygons_version(connection)
            if self._locator is None or self._locator[0] != version:
                self._locator = (version, await load_locator(connection, 1 << 16))
        return str(self._locator[1].codes_of(lon, lat)[0])


def _degrees(given: Any) -> float | None:
    try:
        return float(str(given)) if str(given or "").strip() else None
    except ValueError:
        return None


def _same(one: Any, other: str) -> bool:
    a, b = _degrees(one), _degrees(other)
    return a == b or (a is not None and b is not None and abs(a - b) < 1e-5)


def _web(given: Any) -> str:
    text = str(given or "").strip()
    return text if text.startswith(("http://", "https://")) and " " not in text and len(text) <= 1000 else ""


def _moment(given: Any) -> int | None:
    """When it was sent, never in the future."""
    try:
        return min(parse_time_us(str(given)), now_us())
    except (ThapError, OverflowError, ValueError):
        return None


def part(context: Context) -> Exchange:
    """The part."""
    return Exchange(context)
