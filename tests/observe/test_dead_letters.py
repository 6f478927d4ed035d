"""Records that could not be taken: listed, shown, tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from thap.kernel.bus import DEAD, JOURNAL, Bus
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import InputError, NotFoundError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import Tokens, create_token
from thap.observe.dead_letters import DeadLetters
from thap.observe.doors.http import HttpDoor
from thap.observe.intake import Intake, dead_letter
from thap.observe.kinds import Kind, decode_block
from thap.observe.registry import register_datastreams, register_movers
from thap.web.app import create_app
from thap.web.deps import Centre


@pytest.fixture
async def intake(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Intake]:
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": "tram-01/level"}])
        await register_movers(connection, [{"key": "xe-12"}])
    async with Intake(bus, records, settings) as made:
        yield made


@pytest.fixture
def letters(bus: Bus, records: Records, intake: Intake) -> DeadLetters:
    return DeadLetters(bus, records, intake)


async def journalled(bus: Bus, kind: Kind = Kind.OBSERVATION) -> int:
    return sum(
        [
            decode_block(kind, entry.payload).num_rows
            async for entries in bus.read(JOURNAL, 0, subject=f"journal.{kind}", stop_at_end=True)
            for entry in entries
        ]
    )


async def bury(bus: Bus, record: Any, *, door: str = "http", kind: str = "observation", reason: str = "bad") -> int:
    return await bus.append(f"dead.{door}", dead_letter(door, kind, reason, record))


async def test_letters_are_listed_the_newest_first_with_filters(letters: DeadLetters, bus: Bus) -> None:
    assert (await letters.page()).items == [] and await letters.count() == 0
    for number in range(300):
        await bury(bus, {"number": number}, door="mqtt" if number % 3 else "http", reason=f"Reason {number % 7}")
    page = await letters.page(limit=5)
    assert [letter.record["number"] for letter in page.items] == [299, 298, 297, 296, 295]
    assert page.total == 300 and page.before == 296
    again = await letters.page(limit=5, before=page.before)
    assert again.items[0].record["number"] == 294
    http = await letters.page(limit=1000, door="http", reason="reason 3")
    assert len(http.items) == len([n for n in range(300) if n % 3 == 0 and n % 7 == 3]) and http.before is None
    assert (await letters.page(kind="position")).items == []


async def test_a_letter_that_is_not_json_is_listed_too(letters: DeadLetters, bus: Bus) -> None:
    seq = await bus.append("dead.engine", b"\xff nonsense")
    letter = await letters.show(seq)
    assert letter.door == "engine" and "nonsense" in letter.record
    with pytest.raises(InputError, match="cannot be retried"):
        await letters.retry(seq)


@pytest.mark.parametrize(
    "record",
    [
        {"datastream": "tram-01/level", "at": "2024-06-01T08:00:00Z", "result": 1.5},
        {"thing": "tram-01", "datastream": "level", "phenomenonTime": 1717228800, "result": 2},
        {"key": "tram-01/level", "at": 1_717_228_800_000_000, "result": 1.5},
        {"datastream": "tram-01/level", "result": "1.5"},
        '{"datastream": "tram-01/level", "result": 3}',
        {"topic": "thap/v1/tram-01/level", "payload": '{"result": 4.5}'},
        {"topic": "thap/v1/tram-01/level", "payload": "4.5"},
        {"datastream": 1, "time": 1_717_228_800_000_000, "result": 1.5, "received": 5, "seq": 9},
    ],
)
async def test_an_observation_of_any_doors_spelling_can_be_retried(letters: DeadLetters, bus: Bus, record: Any) -> None:
    seq = await bury(bus, record)
    assert (await letters.retry(seq)).outcome == "accepted"
    assert await journalled(bus) == 1
    assert (await letters.page()).items == [], "a retried letter is not listed again"
    with pytest.raises(NotFoundError):
        await letters.retry(seq)


@pytest.mark.parametrize(
    "record",
    [
        {"mover": "xe-12", "at": 1717228800, "lon": 105.6, "lat": 10.4, "speed_kn": 3},
        {"key": "xe-12", "at": 1_717_228_800_000_000, "lon": 105.6, "lat": 10.4, "speed": None, "course": 90.0},
        {"id": "xe-12", "timestamp": "1717228800", "lon": "105.6", "lat": "10.4", "bearing": "12"},
        {"topic": "thap/v1/xe-12/position", "payload": '{"lon": 105.6, "lat": 10.4}'},
        {"mover": 1, "time": 1_717_228_800_000_000, "lon": 105.6, "lat": 10.4, "speed_kn": 3.0, "course_deg": None},
    ],
)
async def test_a_position_of_any_doors_spelling_can_be_retried(letters: DeadLetters, bus: Bus, record: Any) -> None:
    assert (await letters.retry(await bury(bus, record, kind="position"))).outcome == "accepted"
    assert await journalled(bus, Kind.POSITION) == 1


async def test_a_record_that_is_still_wrong_becomes_a_new_letter(letters: DeadLetters, bus: Bus) -> None:
    ahead = now_us() + 7 * 3600 * SECOND_US
    seq = await bury(bus, {"datastream": "tram-01/level", "at": ahead, "result": 1})
    tried = await letters.retry(seq)
    assert tried.outcome == "rejected" and "7.0 h ahead" in tried.reason
    page = await letters.page()
    assert len(page.items) == 1 and page.items[0].seq > seq


async def test_a_record_of_an_unknown_name_waits_in_quarantine(letters: DeadLetters, bus: Bus) -> None:
    seq = await bury(bus, {"datastream": "new/level", "at": 1717228800, "result": 1})
    assert (await letters.retry(seq)).outcome == "quarantined"


@pytest.mark.parametrize(
    "record",
    [
        None,
        5,
        [],
        {},
        {"datastream": "tram-01/level"},
        {"result": 5},
        {"lon": 5, "lat": 5},
        "{nonsense",
        {"datastream": "tram-01/level", "result": "much"},
        {"datastream": "tram-01/level", "result": 1, "at": "noon"},
        {"topic": "thap/v1/x", "payload": "1"},
        {"topic": "thap/v1/a/b", "payload": "{"},
        {"datastream": 77, "result": 1},
    ],
)
async def test_what_is_no_record_stays_and_says_why(letters: DeadLetters, bus: Bus, record: Any) -> None:
    seq = await bury(bus, record)
    with pytest.raises(InputError, match=f"letter {seq} cannot be retried"):
        await letters.retry(seq)
    assert (await letters.show(seq)).record == record


async def test_while_the_disk_is_full_a_retried_letter_stays(letters: DeadLetters, bus: Bus, intake: Intake) -> None:
    seq = await bury(bus, {"datastream": "tram-01/level", "at": 1717228800, "result": 1})
    intake.disk_full = True
    with pytest.raises(UnavailableError, match="disk is full"):
        await letters.retry(seq)
    assert (await letters.show(seq)).seq == seq


async def test_what_the_http_door_rejects_can_be_read_and_retried_over_the_api(
    bus: Bus, records: Records, settings: Settings, intake: Intake
) -> None:
    tokens = Tokens(records)
    async with records.write() as connection:
        _, secret = await create_token(connection, "writer", ["admin"])
        _, reader = await create_token(connection, "reader", ["read"])
    centre = Centre(settings, records, bus, intake, {"tokens": tokens})
    app = create_app(centre, doors=HttpDoor(intake, tokens, settings))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://centre", headers={"Authorization": f"Bearer {secret}"}
    ) as client:
        sent = [
            {"datastream": "tram-01/level", "at": 1717228800, "result": 1},
            {"datastream": "tram-01/level", "at": 1717228800, "result": "high"},
            {"datastream": "tram-02/level", "at": 1717228800, "result": 2},
        ]
        answer = (await client.post("/api/v1/observations", json=sent)).json()
        assert answer["accepted"] == 1 and answer["quarantined"] == [2] and answer["rejected"][0]["index"] == 1

        listed = (await client.get("/api/v1/dead-letters")).json()
        assert listed["total"] == 1 and listed["items"][0]["record"] == sent[1]
        seq = listed["items"][0]["seq"]
        assert (await client.get(f"/api/v1/dead-letters/{seq}")).json()["door"] == "http"
        refused = await client.post(f"/api/v1/dead-letters/{seq}/retry")
        assert refused.status_code == 400 and "cannot be retried" in refused.json()["error"]["message"]
        assert (await client.get("/api/v1/dead-letters/999")).status_code == 404
        assert (await client.get("/api/v1/dead-letters?limit=0")).status_code == 400

        waiting = (await client.get("/api/v1/quarantine")).json()
        assert waiting["total"] == 1 and waiting["items"][0]["key"] == "tram-02/level"
        done = (await client.post("/api/v1/quarantine/admit", json={"patterns": ["tram-02/*"]})).json()
        assert done == {"names": 1, "released": 1, "rejected": 0, "unmatched": []}
        assert await journalled(bus) == 2
        dropped = await client.post("/api/v1/quarantine/drop", json={"patterns": ["*"]})
        assert dropped.json()["unmatched"] == ["*"]
        assert (await client.post("/api/v1/quarantine/admit", json={"patterns": []})).status_code == 400

        for path in ("/api/v1/quarantine/admit", "/api/v1/quarantine/drop", f"/api/v1/dead-letters/{seq}/retry"):
            denied = await client.post(path, json={"patterns": ["*"]}, headers={"Authorization": f"Bearer {reader}"})
            assert denied.status_code == 403
            nobody = await client.post(path, json={"patterns": ["*"]}, headers={"Authorization": ""})
            assert nobody.status_code == 401
    assert await bus.last_seq(DEAD) == 1
