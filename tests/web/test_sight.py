"""What a person may not see is in no list, no total, no stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from thap.detect.detector import Action, Change, Severity
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.policy import Grant, Policy, Restriction, Who
from thap.kernel.policy.limits import restrict
from thap.kernel.records import Records
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.web.deps import Centre, policy_of
from thap.web.directory import Directory
from thap.web.live import Live
from thap.web.sight import Sight
from thap.web.sse import Hub

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE, THERE = communes()[0], communes()[1]


async def alarms(records: Records) -> None:
    book = AlarmBook(records)
    await book.apply(
        [
            Change(source, condition, Action.RAISE, Severity(2), now_us(), 1, domain=domain, commune=commune, **place)
            for source, condition, domain, commune, place in (
                ("tram-1/level", "water.high", "water", HERE.code, {"lon": HERE.lon, "lat": HERE.lat}),
                ("tram-2/level", "water.high", "water", THERE.code, {"lon": THERE.lon, "lat": THERE.lat}),
                ("cam-1/count", "traffic.jam", "traffic", HERE.code, {"lon": HERE.lon, "lat": HERE.lat}),
                ("mmsi-1", "sand.fast", "sand", "", {}),
            )
        ]
    )
    await book.close()


async def things(client: httpx.AsyncClient) -> None:
    rows = [
        {"name": name, "domain": domain, "lon": at.lon, "lat": at.lat, "datastreams": [{"name": "level"}]}
        for name, domain, at in (("tram-1", "water", HERE), ("tram-2", "water", THERE), ("cam-1", "traffic", HERE))
    ]
    answer = await client.post("/api/v1/things", json={"things": rows, "movers": [{"key": "mmsi-1", "domain": "sand"}]})
    assert answer.status_code == 200, answer.text


async def closed(centre: Centre, kind: str, ref: str) -> None:
    async with centre.records.write() as connection:
        await restrict(connection, kind, ref)
    policy_of(centre).changed()


async def test_an_official_sees_the_communes_alarms_alone_in_list_total_and_figures(
    client: httpx.AsyncClient, desk: Desk, records: Records
) -> None:
    await alarms(records)
    official = await desk("xa", "commune_official", unit=HERE.code)
    body = (await official.get("/api/v1/alarms")).json()
    assert [one["source"] for one in body["items"]] == ["cam-1/count", "tram-1/level"]
    assert body["total"] == 2
    assert (await official.get("/api/v1/alarms/figures")).json()["alarms"] == 2
    assert (await client.get("/api/v1/alarms")).json()["total"] == 4
    for number, status in ((1, 200), (2, 404), (4, 404), (99, 404)):
        assert (await official.get(f"/api/v1/alarms/{number}")).status_code == status
        assert (await official.post(f"/api/v1/alarms/{number}/comment", json={"comment": "x"})).status_code == status
    done = (await official.post("/api/v1/alarms/acknowledge", json={"alarms": [1, 2, 3]})).json()
    assert [event["alarm"] for event in done["events"]] == [1, 3]
    assert done["refused"] == [{"alarm": 2, "reason": "there is no such alarm"}]


async def test_a_restricted_camera_is_nowhere_for_who_has_no_clearance(
    client: httpx.AsyncClient, desk: Desk, records: Records, centre: Centre
) -> None:
    await alarms(records)
    await things(client)
    lead = await desk("truong-ca", "shift_lead", "administrator")
    assert (await lead.post("/api/v1/query", json={"sql": "SELECT 1"})).status_code != 403
    await closed(centre, "thing", "cam-1")
    assert (await lead.get("/api/v1/alarms")).json()["total"] == 3
    assert (await lead.get("/api/v1/alarms/1")).status_code == 404
    names = [one["name"] for one in (await lead.get("/api/v1/things")).json()["items"]]
    assert names == ["tram-1", "tram-2"]
    assert (await lead.get("/api/v1/things/cam-1")).status_code == 404
    keys = [one["key"] for one in (await lead.get("/api/v1/datastreams")).json()["items"]]
    assert keys == ["tram-1/level", "tram-2/level"]
    assert (await lead.get("/api/v1/datastreams/cam-1/level/observations")).status_code == 404
    assert (await lead.post("/api/v1/query", json={"sql": "SELECT 1"})).status_code == 403
    assert len((await client.get("/api/v1/things")).json()["items"]) == 3


async def test_an_official_sees_the_communes_things_and_movers_alone(
    client: httpx.AsyncClient, desk: Desk, app: Any, centre: Centre
) -> None:
    await things(client)
    official = await desk("xa", "commune_official", unit=HERE.code)
    assert [one["name"] for one in (await official.get("/api/v1/things")).json()["items"]] == ["tram-1", "cam-1"]
    keys = [one["key"] for one in (await official.get("/api/v1/datastreams")).json()["items"]]
    assert keys == ["tram-1/level", "cam-1/level"]
    assert (await official.get("/api/v1/movers")).json()["items"] == []
    assert len((await client.get("/api/v1/movers")).json()["items"]) == 1
    assert (await official.get("/api/v1/things/tram-2")).status_code == 404
    assert (await official.get("/api/v1/datastreams/tram-2/level/observations")).status_code == 404
    assert (await official.post("/api/v1/query", json={"sql": "SELECT 1"})).status_code == 403


async def test_who_has_a_domain_sees_that_domain_alone(client: httpx.AsyncClient, desk: Desk, records: Records) -> None:
    await alarms(records)
    await things(client)
    expert = await desk("chuyen-gia", "domain_expert", domain="sand")
    assert [one["source"] for one in (await expert.get("/api/v1/alarms")).json()["items"]] == ["mmsi-1"]
    assert (await expert.get("/api/v1/things")).json()["items"] == []
    assert [one["key"] for one in (await expert.get("/api/v1/movers")).json()["items"]] == ["mmsi-1"]
    assert (await expert.post("/api/v1/query", json={"sql": "SELECT 1"})).status_code == 403


def _sight(*grants: Grant, restricted: tuple[Restriction, ...] = (), clear: frozenset[str] = frozenset()) -> Sight:
    policy = Policy({"82": "", HERE.code: "82", THERE.code: "82"}, restrictions=restricted)
    return Sight(policy, Who("x", "person", 1, grants=grants, clearances=clear))


def test_who_may_see_everything_pays_nothing_and_nobody_else_is_taken_for_them() -> None:
    camera = Restriction("thing", "cam-1")
    assert _sight(Grant("operator", "")).whole
    assert _sight(Grant("operator", "82")).whole
    assert not _sight(Grant("operator", "", "sand")).whole
    assert not _sight(Grant("operator", HERE.code)).whole
    assert not _sight(Grant("operator", ""), restricted=(camera,)).whole
    assert _sight(Grant("operator", ""), restricted=(camera,), clear=frozenset({"thing:cam-1"})).whole
    assert not _sight(Grant("integrator", "")).whole
    assert not _sight().whole
    assert not _sight(Grant("operator", "", "", 1)).whole


async def test_a_stream_carries_what_its_listener_may_see_and_no_more(
    client: httpx.AsyncClient, desk: Desk, records: Records, centre: Centre, bus: Bus
) -> None:
    await things(client)
    hub: Hub = centre.parts["stream"]
    live: Live = centre.parts["live"]
    everything = frozenset({"alarm", "incident", "rules", "quarantine"})
    some = await hub.join(everything, _no_filter(), (0, 0), _sight(Grant("commune_official", HERE.code)))
    whole = await hub.join(everything, _no_filter(), (0, 0), _sight(Grant("operator", "")))
    await alarms(records)
    for unit, commune in (("", HERE.code), (HERE.code, THERE.code), ("", THERE.code)):
        await bus.announce("centre.live.incident", {"id": 1, "unit": unit, "commune": commune, "domain": "x"})
    await bus.announce("centre.live.quarantine", {"by": "x"})
    await bus.announce("centre.live.rules", {"by": "x"})
    for _ in range(200):
        if len(whole.others) == 5 and hub.last == 4:
            break
        await asyncio.sleep(0.02)
    told = [frame.split(b"\n")[0].removeprefix(b"event: ").decode() for frame in some.others]
    assert told == ["incident", "incident", "rules"]
    assert len(whole.others) == 5
    seen = [event.id for event in await hub.book.events_after(0) if some.wants(event)]
    assert seen == [1, 3]
    assert [event.id for event in await hub.book.events_after(0) if whole.wants(event)] == [1, 2, 3, 4]
    assert isinstance(live.directory, Directory)
    rows = await live.visible("observation", _numbers(live.directory), some.sight or _sight())
    assert [live.directory.datastreams[number].key for number in rows.tolist()] == ["tram-1/level", "cam-1/level"]


async def test_reports_warnings_and_duty_are_told_to_whom_they_concern_without_what_was_said(
    app: Any, centre: Centre, bus: Bus
) -> None:
    hub: Hub = centre.parts["stream"]
    kinds = frozenset({"report", "warning", "duty"})
    some = await hub.join(kinds, _no_filter(), (0, 0), _sight(Grant("commune_official", HERE.code)))
    whole = await hub.join(kinds, _no_filter(), (0, 0), _sight(Grant("operator", "")))
    for commune in (HERE.code, THERE.code):
        said = {"id": 1, "report": 7, "action": "receive", "comment": "gọi 0912345678", "detail": {"x": 1}}
        await bus.announce("centre.live.report", {**said, "unit": commune, "commune": commune, "domain": "x"})
        step = {"id": 1, "warning": 3, "to_state": "draft", "comment": "sai", "unit": commune, "domain": "water"}
        await bus.announce("centre.live.warning", step)
    await bus.announce("centre.live.warning", {"warning": 4, "to_state": "published", "unit": THERE.code})
    await bus.announce("centre.live.duty", {"what": "rota", "name": "truc"})
    for _ in range(200):
        if len(whole.others) == 6:
            break
        await asyncio.sleep(0.02)
    everything = b"".join(whole.others)
    assert len(whole.others) == 6
    assert b"0912345678" not in everything and b"sai" not in everything and b"truc" not in everything
    told = [json.loads(frame.split(b"data: ")[1]) for frame in some.others]
    here = [one.get("report") or one.get("warning") or one["what"] for one in told]
    assert here == [7, 3, 4, "rota"]


async def test_a_stream_shows_all_anew_when_its_listener_may_see_other_things(centre: Centre, app: Any) -> None:
    hub: Hub = centre.parts["stream"]
    console = await hub.join(frozenset({"observation"}), _no_filter(), (0, 7), _sight(Grant("operator", HERE.code)))
    console.stale = False
    console.look(console.sight or _sight())
    assert (console.version, console.stale) == (7, False)
    console.look(_sight(Grant("operator", THERE.code)))
    assert (console.version, console.stale) == (0, True)


def _no_filter() -> Any:
    from thap.web.directory import Filter

    return Filter()


def _numbers(directory: Directory) -> Any:
    import numpy as np

    return np.array(sorted(directory.datastreams), np.int64)


@pytest.mark.parametrize("path", ["alarms", "alarms/figures", "things", "datastreams", "movers", "latest", "stream"])
async def test_nobody_passes_without_a_credential(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(f"/api/v1/{path}")).status_code == 401
    assert json.loads((await stranger.get(f"/api/v1/{path}")).text)["error"]["code"] == "unauthenticated"
