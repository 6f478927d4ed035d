"""The HTTP door and the intake, with a real journal and real records."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.bus import DEAD, JOURNAL, QUARANTINE, Bus
from thap.kernel.clock import DAY_US, SECOND_US, iso, now_us
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import Tokens, create_token
from thap.observe.doors.http import HttpDoor, ObservationIn, decode_records
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch, decode_block
from thap.observe.registry import register_datastreams, register_movers

OBSERVATIONS, POSITIONS = "/api/v1/observations", "/api/v1/positions"


@pytest.fixture
async def door(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[SimpleNamespace]:
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": "tram/level"}, {"key": "tram/rain"}])
        await register_movers(connection, [{"key": "ghe-1"}])
        _, secret = await create_token(connection, "gateway", ["write"])
        _, reader = await create_token(connection, "reader", ["read"])
        _, narrow = await create_token(connection, "narrow", ["write"], things=["tram/rain"])
    async with Intake(bus, records, settings) as intake:
        app = HttpDoor(intake, Tokens(records), settings)
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(
            transport=transport, base_url="http://centre", headers={"Authorization": f"Bearer {secret}"}
        ) as client:
            yield SimpleNamespace(client=client, intake=intake, bus=bus, reader=reader, narrow=narrow, records=records)


async def _journal(bus: Bus) -> list[tuple[int, int, float]]:
    """(datastream, time, result) of every observation in the journal."""
    rows: list[tuple[int, int, float]] = []
    async for entries in bus.read(JOURNAL, 0, stop_at_end=True):
        for entry in entries:
            if entry.subject == "journal.observation":
                batch = ObservationBatch.of(decode_block(Kind.OBSERVATION, entry.payload), 0, entry.seq)
                rows += zip(batch.datastream.tolist(), batch.time.tolist(), batch.result.tolist(), strict=True)
    return rows


async def _stream(bus: Bus, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async for entries in bus.read(stream, 0, stop_at_end=True):
        found += [json.loads(entry.payload) for entry in entries]
    return found


async def test_without_a_token_nothing_is_taken(door: SimpleNamespace) -> None:
    answer = await door.client.post(OBSERVATIONS, json=[], headers={"Authorization": ""})
    assert answer.status_code == 401
    assert "thap tokens create" in answer.json()["error"]["hint"]
    answer = await door.client.post(OBSERVATIONS, json=[], headers={"Authorization": f"Bearer {door.reader}"})
    assert answer.status_code == 403


async def test_what_is_acknowledged_is_in_the_journal(door: SimpleNamespace) -> None:
    answer = await door.client.post(
        OBSERVATIONS,
        json=[
            {"datastream": "tram/level", "at": "2026-11-22T08:00:00Z", "result": 1.42},
            {"datastream": "rain", "thing": "tram", "time": "2026-11-22T15:00:00+07:00", "result": 3},
            {"datastream": "tram/level", "phenomenonTime": 1795334460, "result": True},
        ],
    )
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 3, "rejected": []}
    assert sorted(await _journal(door.bus)) == [
        (1, 1795334400_000000, 1.42),
        (1, 1795334460_000000, 1.0),
        (2, 1795334400_000000, 3.0),
    ]


async def test_ndjson_and_gzip_are_taken(door: SimpleNamespace) -> None:
    lines = "\n".join(
        json.dumps({"datastream": "tram/level", "at": f"2026-11-22T08:00:{i:02}Z", "result": i}) for i in range(30)
    )
    answer = await door.client.post(
        OBSERVATIONS,
        content=gzip.compress(lines.encode()),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
    )
    assert answer.json()["accepted"] == 30
    assert len(await _journal(door.bus)) == 30


async def test_gzip_of_several_members_is_taken_whole(door: SimpleNamespace) -> None:
    parts = [
        json.dumps({"datastream": "tram/level", "at": f"2026-11-22T09:00:0{i}Z", "result": i}) + "\n" for i in range(3)
    ]
    packed = b"".join(gzip.compress(part.encode()) for part in parts)
    answer = await door.client.post(OBSERVATIONS, content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.json()["accepted"] == 3


async def test_a_huge_bad_record_becomes_a_dead_letter_that_can_be_kept(door: SimpleNamespace) -> None:
    huge = {"datastream": "tram/level", "result": "x" * 9_000_000}
    answer = await door.client.post(OBSERVATIONS, json=[huge, {"datastream": "tram/level", "result": 1}])
    assert (answer.json()["accepted"], len(answer.json()["rejected"])) == (1, 1)
    letter = (await _stream(door.bus, DEAD))[0]
    assert letter["record"]["cut"] is True
    assert letter["record"]["begins"].startswith('{"datastream"')


async def test_each_rejected_record_has_its_index_and_reason_and_a_dead_letter(door: SimpleNamespace) -> None:
    ahead = iso(now_us() + 7 * 3600 * SECOND_US)
    answer = await door.client.post(
        OBSERVATIONS,
        content=json.dumps(
            [
                {"datastream": "tram/level", "result": 1},
                {"datastream": "tram/level"},
                {"datastream": "tram/level", "result": "high"},
                {"datastream": "tram/level", "at": "yesterday", "result": 1},
                {"datastream": "tram/level", "at": "1970-01-01T00:00:05Z", "result": 1},
                {"datastream": "tram/level", "at": "2100-01-01T00:00:00Z", "result": 1},
                {"datastream": "tram/level", "at": ahead, "result": 1},
                {"datastream": "a b", "result": 1},
                {"datastream": "tram/level", "result": 2},
            ]
        )
        .replace('"result": 2', '"result": 1e999')
        .encode(),
    )
    body = answer.json()
    assert answer.status_code == 200
    assert body["accepted"] == 1
    reasons = {entry["index"]: entry["reason"] for entry in body["rejected"]}
    assert sorted(reasons) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "missing field `result`" in reasons[1]
    assert "result" in reasons[2]
    assert "is not a time" in reasons[3]
    assert "never set" in reasons[4]
    assert "ahead of the clock" in reasons[5]
    assert "local time sent as UTC?" in reasons[6]
    assert "thing/datastream" in reasons[7]
    letters = await _stream(door.bus, DEAD)
    assert len(letters) == 8
    assert {letter["door"] for letter in letters} == {"http"}
    assert all(letter["reason"] and letter["record"] for letter in letters)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'[{"datastream": "tram/level",\n "result": oops}]', "line 2, column 12"),
        (b'[{"datastream": "tram/level", "result": NaN}]', "line 1, column 41"),
        (b'[{"datastream": "tram/level", "result": 1}', "line 1"),
        (b'[{"datastream": "tr\xff", "result": 1}', "line 1, column 20"),
        (b"hello", "line 1, column 1"),
    ],
)
async def test_wrong_json_is_a_400_with_line_and_column(door: SimpleNamespace, body: bytes, where: str) -> None:
    answer = await door.client.post(OBSERVATIONS, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["where"].startswith(where)
    assert await _journal(door.bus) == []


async def test_an_empty_body_and_one_too_large_are_clear_errors(door: SimpleNamespace) -> None:
    answer = await door.client.post(OBSERVATIONS, content=b" \n")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "the body is empty")
    answer = await door.client.post(OBSERVATIONS, content=b"[" + b" " * 50_000_000 + b"]")
    assert answer.status_code == 413
    packed = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    answer = await door.client.post(OBSERVATIONS, content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    answer = await door.client.post(OBSERVATIONS, content=packed[:100], headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert (await door.client.post(OBSERVATIONS, json=[])).json() == {"accepted": 0, "rejected": []}


async def test_one_broken_line_of_ndjson_does_not_take_the_others_with_it(door: SimpleNamespace) -> None:
    good = '{"datastream": "tram/level", "at": "2026-11-22T08:00:00Z", "result": 1}'
    answer = await door.client.post(OBSERVATIONS, content=f"{good}\n{{oops\n{good.replace(':00Z', ':01Z')}\n".encode())
    assert answer.json()["accepted"] == 2
    assert answer.json()["rejected"][0]["index"] == 1


async def test_invalid_utf8_in_one_record_rejects_that_record(door: SimpleNamespace) -> None:
    answer = await door.client.post(
        OBSERVATIONS, content=b'[{"datastream": "tram/level", "result": 1}, {"datastream": "tr\xff", "result": 1}]'
    )
    assert answer.json()["accepted"] == 1
    assert answer.json()["rejected"][0]["index"] == 1
    assert "UTF-8" in answer.json()["rejected"][0]["reason"]


async def test_unknown_names_wait_in_quarantine_and_are_counted(door: SimpleNamespace) -> None:
    answer = await door.client.post(
        OBSERVATIONS,
        json=[
            {"datastream": "new/level", "at": "2026-11-22T08:00:00Z", "result": 1},
            {"datastream": "tram/level", "at": "2026-11-22T08:00:00Z", "result": 1},
            {"datastream": "new/level", "at": "2026-11-22T08:00:01Z", "result": 2},
        ],
    )
    assert answer.json() == {"accepted": 1, "quarantined": [0, 2], "rejected": []}
    assert len(await _journal(door.bus)) == 1
    kept = (await _stream(door.bus, QUARANTINE))[0]["records"]
    assert [(record["key"], record["result"]) for record in kept] == [("new/level", 1.0), ("new/level", 2.0)]


async def test_a_million_unknown_names_cannot_fill_the_quarantine(door: SimpleNamespace, settings: Settings) -> None:
    settings.doors.unknown_names = 50
    answer = await door.client.post(
        OBSERVATIONS, json=[{"datastream": f"new-{i}/level", "result": 1} for i in range(200)]
    )
    body = answer.json()
    assert len(body["quarantined"]) == 50
    assert len(body["rejected"]) == 150
    assert "already lists 50" in body["rejected"][0]["reason"]


async def test_names_of_the_admission_policy_are_registered_at_once(door: SimpleNamespace, settings: Settings) -> None:
    answer = await door.client.post(
        POSITIONS, json=[{"mover": "mmsi-574001234", "at": "2026-11-22T08:00:00Z", "lon": 105.6, "lat": 10.4}]
    )
    assert answer.json() == {"accepted": 1, "rejected": []}


async def test_positions_out_of_range_or_without_a_fix_are_rejected(door: SimpleNamespace) -> None:
    answer = await door.client.post(
        POSITIONS,
        json=[
            {"mover": "ghe-1", "at": "2026-11-22T08:00:00Z", "lon": 105.6, "lat": 10.4, "speed_kn": 4.2},
            {"mover": "ghe-1", "at": "2026-11-22T08:00:01Z", "lon": 0, "lat": 0},
            {"mover": "ghe-1", "at": "2026-11-22T08:00:02Z", "lon": 105.6, "lat": 90.5},
            {"mover": "ghe-1", "at": "2026-11-22T08:00:03Z", "lon": -181, "lat": 10.4},
        ],
    )
    body = answer.json()
    assert body["accepted"] == 1
    assert [entry["index"] for entry in body["rejected"]] == [1, 2, 3]
    async for entries in door.bus.read(JOURNAL, 0, stop_at_end=True):
        batch = PositionBatch.of(decode_block(Kind.POSITION, entries[0].payload), 0, 1)
        assert (batch.lon[0], batch.lat[0]) == (105.6, 10.4)
        assert batch.course_deg[0] != batch.course_deg[0]  # unknown is NaN


async def test_a_token_writes_only_what_it_may(door: SimpleNamespace) -> None:
    answer = await door.client.post(
        OBSERVATIONS,
        headers={"Authorization": f"Bearer {door.narrow}"},
        json=[
            {"datastream": "tram/level", "result": 1},
            {"datastream": "tram/rain", "result": 1},
            {"datastream": "nowhere", "result": 1},
        ],
    )
    body = answer.json()
    assert body["accepted"] == 1
    assert [entry["index"] for entry in body["rejected"]] == [0, 2]
    assert "may not write tram/level" in body["rejected"][0]["reason"]


async def test_a_full_disk_is_a_503_and_passes_by_itself(door: SimpleNamespace, settings: Settings) -> None:
    record = [{"datastream": "tram/level", "result": 1}]
    door.intake._reserve = 2**62
    door.intake._check_disk()
    answer = await door.client.post(OBSERVATIONS, json=record)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "disk_full"
    assert "retry-after" in answer.headers
    assert await _journal(door.bus) == []
    door.intake._reserve = 1
    async with asyncio.timeout(5):
        while (await door.client.post(OBSERVATIONS, json=record)).status_code != 200:
            await asyncio.sleep(0.05)


async def test_many_requests_share_few_blocks(door: SimpleNamespace) -> None:
    start = now_us() - DAY_US
    answers = await asyncio.gather(
        *(
            door.client.post(OBSERVATIONS, json=[{"datastream": "tram/level", "at": (start + i) / 1e6, "result": i}])
            for i in range(100)
        )
    )
    assert [answer.json() for answer in answers] == [{"accepted": 1, "rejected": []}] * 100
    assert len(await _journal(door.bus)) == 100
    assert await door.bus.last_seq(JOURNAL) < 50


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_a_clear_error(body: bytes) -> None:
    try:
        decoded = decode_records(body, ObservationIn)
    except InputError as error:
        assert error.message
    else:
        assert all(record.datastream is not None for record in decoded.records)
        assert all(reason for _, reason, _ in decoded.bad)
        assert decoded.records or decoded.bad or body.strip() == b"[]"


@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {"datastream": st.text(max_size=5), "result": st.floats(allow_nan=False, allow_infinity=False)}
            ),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
            st.integers(),
            st.none(),
        ),
        max_size=10,
    )
)
def test_every_element_of_an_array_is_a_record_or_a_refusal(elements: list[Any]) -> None:
    decoded = decode_records(json.dumps(elements).encode(), ObservationIn)
    places = [decoded.place(row) for row in range(len(decoded.records))] + [index for index, _, _ in decoded.bad]
    assert sorted(places) == list(range(len(elements)))
