"""The tracker door: what phones and GPS units send."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.bus import JOURNAL, Bus
from thap.kernel.clock import SECOND_US, now_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import Tokens, create_token
from thap.observe.dead_letters import DeadLetters
from thap.observe.doors.trackers import TrackerDoor, read_json, read_query
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, PositionBatch, decode_block
from thap.observe.quarantine import list_waiting
from thap.observe.registry import register_movers

PATH = "/api/v1/trackers/osmand"
FIX = {"id": "xe-12", "lat": "10.45", "lon": "105.63", "timestamp": "1717228800", "speed": "4.2", "bearing": "120"}


@dataclass
class Door:
    client: httpx.AsyncClient
    bus: Bus
    records: Records
    intake: Intake
    secret: str
    limited: str
    """A token that may write xe-12 alone."""

    async def get(self, query: dict[str, Any], **options: Any) -> httpx.Response:
        return await self.client.get(PATH, params={"token": self.secret, **query}, **options)

    async def journalled(self) -> PositionBatch:
        return PositionBatch.join(
            [
                PositionBatch.of(decode_block(Kind.POSITION, entry.payload), entry.time, entry.seq)
                async for entries in self.bus.read(JOURNAL, 0, stop_at_end=True)
                for entry in entries
            ]
        )


@pytest.fixture
async def door(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Door]:
    async with records.write() as connection:
        await register_movers(connection, [{"key": "xe-12"}, {"key": "xe-13"}])
        _, secret = await create_token(connection, "phones", ["write"])
        _, limited = await create_token(connection, "one-phone", ["write"], things=["xe-12"])
    async with Intake(bus, records, settings) as intake:
        app = TrackerDoor(intake, Tokens(records))
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://centre") as client:
            yield Door(client, bus, records, intake, secret, limited)


async def test_a_query_is_answered_with_nothing_once_it_is_in_the_journal(door: Door) -> None:
    answer = await door.get(FIX)
    assert (answer.status_code, answer.content) == (200, b"")
    taken = await door.journalled()
    assert len(taken) == 1 and taken.time[0] == 1_717_228_800 * SECOND_US
    assert (taken.lon[0], taken.lat[0]) == (105.63, 10.45)
    assert taken.speed_kn[0] == pytest.approx(4.2) and taken.course_deg[0] == 120


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "1717228800000"},
        {"timestamp": "2024-06-01T08:00:00Z"},
        {"timestamp": "2024-06-01 08:00:00"},
        {"heading": "120", "bearing": None},
        {"deviceid": "xe-12", "id": None},
        {"location": "10.45,105.63", "lat": None, "lon": None},
        {"batt": "80", "altitude": "3", "accuracy": "5", "hdop": ""},
    ],
)
async def test_what_apps_spell_differently_is_the_same_position(door: Door, change: dict[str, str | None]) -> None:
    query = {name: value for name, value in {**FIX, **change}.items() if value is not None}
    assert read_query(query) == read_query(FIX)
    assert (await door.get(query)).status_code == 200
    posted = await door.client.post(
        PATH,
        content=urlencode({**query, "token": "not here"}).encode(),
        headers={"Authorization": f"Bearer {door.secret}"},
    )
    assert posted.status_code == 200
    assert set((await door.journalled()).time) == {1_717_228_800 * SECOND_US}


async def test_json_of_newer_clients_is_taken_one_location_or_several(door: Door) -> None:
    place = {
        "timestamp": "2024-06-01T08:00:00.000Z",
        "coords": {"latitude": 10.45, "longitude": 105.63, "speed": 2.5, "heading": 90, "accuracy": 5, "altitude": 3},
        "battery": {"level": 0.9},
        "is_moving": True,
    }
    still = {
        "timestamp": 1_717_228_860_000,
        "coords": {"latitude": 10.46, "longitude": 105.64, "speed": -1, "heading": -1},
    }
    headers = {"Authorization": f"Bearer {door.secret}"}
    for body in ({"device_id": "xe-12", "location": place}, {"device_id": "xe-13", "location": [place, still]}):
        assert (await door.client.post(PATH, json=body, headers=headers)).status_code == 200
    taken = await door.journalled()
    assert len(taken) == 3 and taken.speed_kn[0] == pytest.approx(4.86, abs=0.01)
    assert math.isnan(taken.speed_kn[2]) and math.isnan(taken.course_deg[2])


async def test_a_position_without_a_time_happened_now(door: Door) -> None:
    before = now_us()
    await door.get({name: value for name, value in FIX.items() if name != "timestamp"})
    assert before <= (await door.journalled()).time[0] <= now_us()


@pytest.mark.parametrize(
    "query, reason",
    [
        ({}, "`lat` is missing"),
        ({**FIX, "id": ""}, "`id` is missing"),
        ({**FIX, "id": "a b"}, "not a name"),
        ({**FIX, "lat": "north"}, "'north' is not a number"),
        ({**FIX, "timestamp": "noon"}, "'noon' is not a time"),
        ({**FIX, "lat": "0", "lon": "0"}, "no fix"),
        ({**FIX, "lat": "91"}, "lat is not within"),
        ({**FIX, "lon": "nan"}, "lon is not within"),
        ({**FIX, "timestamp": "86400"}, "1970"),
        ({**FIX, "timestamp": "4102444800"}, "ahead of the clock"),
        ({**FIX, "location": "x,y", "lat": None}, "not a number"),
        ({**FIX, "speed": "fast"}, "not a number"),
    ],
)
async def test_a_wrong_query_is_answered_with_the_reason_and_kept_as_a_dead_letter(
    door: Door, query: dict[str, Any], reason: str
) -> None:
    answer = await door.get({name: value for name, value in query.items() if value is not None})
    assert answer.status_code == 400 and reason in answer.json()["error"]["message"]
    page = await DeadLetters(door.bus, door.records).page()
    assert page.total == 1 and page.items[0].door == "trackers" and door.secret not in json.dumps(page.items[0].record)


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"{", "not valid JSON"),
        (b"[]", "no `location`"),
        (b'{"location": []}', "`id` is missing"),
        (b'{"device_id": "a", "location": []}', "empty list"),
        (b'{"device_id": "a", "location": 5}', "no coordinates"),
        (b'{"device_id": "a", "location": {"coords": {"latitude": 1}}}', "not a number"),
        (b'{"device_id": "a", "location": {"coords": {"latitude": true, "longitude": 1}}}', "not a number"),
        (b'{"device_id": {"a": 1}, "location": {"coords": {}}}', "not a name"),
        (b'{"device_id": "a", "location": {"timestamp": [], "coords": {}}}', "not a time"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"a=%ff", "not valid UTF-8"),
        (b"x" * 5000, "too long"),
    ],
)
async def test_a_wrong_body_is_answered_with_the_reason(door: Door, body: bytes, reason: str) -> None:
    answer = await door.client.post(PATH, content=body, headers={"Authorization": f"Bearer {door.secret}"})
    assert answer.status_code == 400 and reason in answer.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_refused(door: Door) -> None:
    answer = await door.client.post(PATH, content=b"[" + b" " * 50_000_000, params={"token": door.secret})
    assert answer.status_code == 413


async def test_the_token_may_come_in_three_ways_and_must_be_right(door: Door) -> None:
    basic = base64.b64encode(f"xe-12:{door.secret}".encode()).decode()
    for headers in ({"Authorization": f"Bearer {door.secret}"}, {"Authorization": f"Basic {basic}"}):
        assert (await door.client.get(PATH, params=FIX, headers=headers)).status_code == 200
    assert (await door.get(FIX)).status_code == 200
    for params, headers in (
        (FIX, {}),
        ({**FIX, "token": "guess"}, {}),
        (FIX, {"Authorization": "Bearer guess"}),
        (FIX, {"Authorization": "Basic !"}),
    ):
        assert (await door.client.get(PATH, params=params, headers=headers)).status_code == 401
    assert len(set((await door.journalled()).time)) == 1


async def test_a_token_of_one_device_may_not_write_another(door: Door) -> None:
    assert (await door.get({**FIX, "token": door.limited})).status_code == 200
    assert (await door.get({**FIX, "id": "xe-13", "token": door.limited})).status_code == 403


async def test_an_unknown_device_waits_in_quarantine(door: Door) -> None:
    assert (await door.get({**FIX, "id": "new-phone"})).status_code == 200
    async with door.records.read() as connection:
        names, _ = await list_waiting(connection)
    assert [(name.key, name.kind, name.door) for name in names] == [("new-phone", "position", "trackers")]


async def test_when_there_is_no_room_the_app_is_told_to_come_again(door: Door) -> None:
    door.intake.disk_full = True
    answer = await door.get(FIX)
    assert answer.status_code == 503 and "disk is full" in answer.json()["error"]["message"]
    assert "retry-after" in answer.headers


async def test_other_methods_are_not_found(door: Door) -> None:
    assert (await door.client.delete(PATH)).status_code == 404


@given(
    st.dictionaries(
        st.sampled_from(["id", "deviceid", "lat", "lon", "timestamp", "speed", "bearing", "location"]),
        st.one_of(st.text(max_size=20), st.floats().map(str), st.integers().map(str)),
    )
)
def test_any_query_is_a_position_or_a_clear_error(query: dict[str, str]) -> None:
    try:
        fix = read_query(query)
    except InputError as error:
        assert error.where is not None and quote(error.message)
    else:
        assert fix.device and isinstance(fix.time, int) and not math.isinf(fix.speed_kn)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["device_id", "location", "coords", "latitude", "longitude", "timestamp", "speed"]),
                inner,
            )
        ),
    )
)
def test_any_json_is_positions_or_a_clear_error(body: Any) -> None:
    try:
        fixes = read_json(json.dumps(body).encode(), {"id": "xe"})
    except InputError:
        return
    assert fixes and parse_time_us(fixes[0].time) is not None
