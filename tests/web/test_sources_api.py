"""About one source: rules that look at it, when its alarms stood, its incidents, how good its data is; and the past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest
import sqlalchemy as sa
from tests.kernel.lake_rows import MIDNIGHT, observations, positions

from thap.detect.detector import Action, Change, Severity
from thap.kernel.audit import audit
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US, iso, now_us
from thap.kernel.history import Lake
from thap.kernel.policy.limits import restrict
from thap.kernel.policy.people import clear
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.respond.incidents.book import open_many
from thap.respond.incidents.model import Draft, NewLink
from thap.web.deps import Centre, policy_of
from thap.web.sight import store_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
HERE, THERE = communes()[0], communes()[1]
RULE = """
[[rule]]
name = "water.high"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
select = { property = "water_level" }
above = 2.0
severity = "medium"
levels = [ { severity = "critical", above = 3.0 } ]
"""
SPAN = {"since": iso(MIDNIGHT), "until": iso(MIDNIGHT + 4 * HOUR_US)}
AT = MIDNIGHT + 2 * HOUR_US


@pytest.fixture
def filled(settings: Settings) -> Iterator[None]:
    """A value a minute for four hours: an hour is missing, one comes twice, one late. A mover each ten seconds."""
    minutes = [m for m in range(240) if not 60 <= m < 120]
    at = [MIDNIGHT + m * MINUTE_US for m in minutes] + [MIDNIGHT + 200 * MINUTE_US + 5 * SECOND_US]
    results = [float(m) for m in minutes] + [200.0]
    table = observations([1] * len(at), at, results)
    received = [time + 2 * SECOND_US for time in at]
    received[10] = received[20] + 1
    table = table.set_column(3, table.schema.field(3), observations([1] * len(at), received).column(1))
    lake = Lake.open(settings)
    lake.append(
        {
            "observation": table,
            "position": positions([1] * 360, [AT + n * 10 * SECOND_US for n in range(360)], HERE.lon, HERE.lat),
        },
        1,
    )
    lake.close()
    yield


async def world(client: httpx.AsyncClient, centre: Centre, records: Records) -> None:
    things = [
        {
            "name": name,
            "domain": "water",
            "kind": "hydrology",
            "lon": at.lon,
            "lat": at.lat,
            "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}],
        }
        for name, at in (("tram-1", HERE), ("tram-2", THERE))
    ]
    movers = [{"key": "mmsi-1", "domain": "water", "kind": "vessel"}]
    (await client.post("/api/v1/things", json={"things": things, "movers": movers})).raise_for_status()
    (await client.put("/api/v1/rules/water.high", json={"body": RULE})).raise_for_status()
    book = AlarmBook(records)
    place = {"domain": "water", "commune": HERE.code, "lon": HERE.lon, "lat": HERE.lat}
    first, second = Severity(2), Severity(4)
    events = await book.apply(
        [
            Change("tram-1/level", "water.high", Action.RAISE, first, AT, 1, value=2.1, **place),
            Change("tram-1/level", "water.high", Action.ESCALATE, second, AT + MINUTE_US, 2, **place),
            Change("tram-1/level", "water.high", Action.CLEAR, second, AT + HOUR_US, 3, **place),
        ]
    )
    await book.close()
    draft = Draft("Nước cao", domain="water", commune=HERE.code, links=(NewLink("alarm", str(events[0].alarm), "x"),))
    await store_of(centre).transact(lambda tx: open_many(tx, [draft], "truc-ban"))


PATHS = [
    "kinds",
    "movers/mmsi-1",
    "sources/rules?key=tram-1",
    "sources/episodes?key=tram-1",
    "sources/incidents?key=tram-1",
    "sources/quality?key=tram-1/level",
    f"replay/at?at={iso(AT)}",
    f"replay/piece?since={iso(AT)}&until={iso(AT + HOUR_US)}",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_stranger_sees_nothing(stranger: httpx.AsyncClient, path: str) -> None:
    assert (await stranger.get(f"/api/v1/{path}")).status_code == 401


@pytest.mark.usefixtures("filled")
async def test_an_official_of_another_commune_sees_nothing_of_it(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    other = await desk("xa", "commune_official", unit=THERE.code)
    kinds = (await other.get("/api/v1/kinds")).json()
    assert (sum(one["count"] for one in kinds["things"]), kinds["movers"]) == (1, [])
    for path in (PATHS[1], PATHS[2], PATHS[5]):
        assert (await other.get(f"/api/v1/{path}")).status_code == 404, path
    for path in (PATHS[3], PATHS[4]):
        span = SPAN if "episodes" in path else {}
        assert (await other.get(f"/api/v1/{path}", params={"key": "tram-1", **span})).json()["items"] == []
    for path in PATHS[6:]:
        body = (await other.get(f"/api/v1/{path}")).json()
        assert (body["positions"]["movers"], body["alarms"], body["incidents"]) == ([], [], []), path


@pytest.mark.usefixtures("filled")
async def test_rules_alarms_and_incidents_of_a_thing(
    client: httpx.AsyncClient, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    rules = (await client.get("/api/v1/sources/rules", params={"key": "tram-1"})).json()["items"]
    mine = next(one for one in rules if one["name"] == "water.high")
    assert mine["datastreams"] == ["tram-1/level"]
    assert [(limit["value"], limit["way"], limit["severity"]) for limit in mine["limits"]] == [
        (2.0, "above", 2),
        (3.0, "above", 4),
    ]
    [episode] = (await client.get("/api/v1/sources/episodes", params={"key": "tram-1", **SPAN})).json()["items"]
    assert (episode["raised"], episode["cleared"], episode["severity"]) == (AT, AT + HOUR_US, 4)
    later = {"since": iso(AT + 2 * HOUR_US), "until": iso(AT + 3 * HOUR_US)}
    assert (await client.get("/api/v1/sources/episodes", params={"key": "tram-1", **later})).json()["items"] == []
    [incident] = (await client.get("/api/v1/sources/incidents", params={"key": "tram-1"})).json()["items"]
    assert incident["title"] == "Nước cao"
    assert (await client.get("/api/v1/sources/incidents", params={"key": "tram-2"})).json()["items"] == []


@pytest.mark.usefixtures("filled")
async def test_the_quality_of_data_is_its_rhythm_gaps_delays_late_and_doubled_records(
    client: httpx.AsyncClient, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    answer = await client.get("/api/v1/sources/quality", params={"key": "tram-1/level", **SPAN})
    found = answer.json()["quality"]
    assert (found["count"], found["step"]) == (181, MINUTE_US)
    assert found["gap_count"] == 1
    assert found["gaps"] == [{"start": MIDNIGHT + 59 * MINUTE_US, "end": MIDNIGHT + 120 * MINUTE_US}]
    assert found["gap_total"] == HOUR_US
    assert found["coverage"] == pytest.approx(0.75)
    assert (found["delay_median"], found["late"], found["doubled"]) == (2 * SECOND_US, 1, 1)
    nothing = {"key": "tram-2/level", **SPAN}
    assert (await client.get("/api/v1/sources/quality", params=nothing)).json()["quality"]["coverage"] is None
    long = {"key": "tram-1/level", "since": "2025-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    assert (await client.get("/api/v1/sources/quality", params=long)).status_code == 400


@pytest.mark.usefixtures("filled")
async def test_the_past_is_told_at_a_moment_and_piece_by_piece(
    client: httpx.AsyncClient, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    before = (await client.get("/api/v1/replay/at", params={"at": iso(AT)})).json()
    assert (before["alarms"], before["positions"]["movers"]) == ([], [])
    middle = (await client.get("/api/v1/replay/at", params={"at": iso(AT + 30 * MINUTE_US)})).json()
    assert [(one["source"], one["severity"]) for one in middle["alarms"]] == [("tram-1/level", 4)]
    assert middle["positions"]["time"] == [AT + 30 * MINUTE_US - 10 * SECOND_US]
    span = {"since": iso(AT), "until": iso(AT + 2 * HOUR_US), "step": "1m"}
    piece = (await client.get("/api/v1/replay/piece", params=span)).json()
    assert [one["action"] for one in piece["alarms"]] == ["raise", "escalate", "clear"]
    assert len(piece["positions"]["time"]) == 60  # one in a minute of six
    assert piece["positions"]["movers"] == ["mmsi-1"]
    assert not piece["truncated"]
    late = {"since": iso(AT), "until": iso(AT + 20 * HOUR_US)}
    assert (await client.get("/api/v1/replay/piece", params=late)).status_code == 400


@pytest.mark.usefixtures("filled")
async def test_a_restricted_mover_is_in_no_replay(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    async with centre.records.write() as connection:
        await restrict(connection, "thing", "mmsi-1")
    policy_of(centre).changed()
    leader = await desk("lanh-dao", "leader")
    span = {"since": iso(AT), "until": iso(AT + HOUR_US)}
    piece = (await leader.get("/api/v1/replay/piece", params=span)).json()
    assert piece["positions"]["movers"] == []
    assert len(piece["alarms"]) == 2


async def test_silent_ones_are_found(client: httpx.AsyncClient, centre: Centre, records: Records) -> None:
    await world(client, centre, records)
    things = (await client.get("/api/v1/things", params={"silent": "1h"})).json()["items"]
    assert [(one["name"], one["heard"], one["datastreams"]) for one in things] == [("tram-1", 0, 1), ("tram-2", 0, 1)]
    for kind in ("datastreams", "movers"):
        assert (await client.get(f"/api/v1/{kind}", params={"silent": "1h"})).json()["items"]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("path", "noted"),
    [
        ("sources/rules?key=tram-1", {"thing.read thing:tram-1"}),
        ("sources/rules?key=tram-1/level&of=datastream", {"thing.read datastream:tram-1/level"}),
        ("sources/episodes?key=tram-1", {"alarm.read alarm:1"}),
        ("sources/incidents?key=tram-1", {"incident.read incident:1"}),
        ("alarms/figures/rows?numbers=1", {"alarm.read alarm:1"}),
        ("figures/response/incidents?figure=opened", {"incident.read incident:1"}),
        ("incidents/1/alarms", {"alarm.read alarm:1", "incident.read incident:1"}),
        (
            f"replay/piece?since={iso(AT)}&until={iso(AT + HOUR_US)}",
            {"alarm.read alarm:1", "history.read mover:mmsi-1"},
        ),
    ],
)
async def test_the_reading_of_what_is_restricted_is_noted(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, records: Records, path: str, noted: set[str]
) -> None:
    await world(client, centre, records)
    async with centre.records.write() as connection:
        await restrict(connection, "unit", HERE.code)
    cleared = await desk("lanh-dao", "leader")
    async with centre.records.write() as connection:
        await clear(connection, "lanh-dao", "unit", HERE.code)
    policy_of(centre).changed()
    if path.startswith("sources/episodes"):
        path += f"&since={iso(AT)}"
    answer = await cleared.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    async with centre.records.read() as connection:
        rows = await connection.execute(
            sa.select(audit.c.action, audit.c.object).where(audit.c.who == "lanh-dao", audit.c.action.like("%.read"))
        )
        assert {f"{action} {what}" for action, what in rows} == noted


@pytest.mark.usefixtures("filled")
async def test_incidents_that_are_replayed_are_noted(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, records: Records
) -> None:
    await world(client, centre, records)
    cleared = await desk("lanh-dao", "leader")
    async with centre.records.write() as connection:
        await restrict(connection, "domain", "water")
        await clear(connection, "lanh-dao", "domain", "water")
    policy_of(centre).changed()
    moment = {"at": iso(now_us() + MINUTE_US)}
    answer = await cleared.get("/api/v1/replay/at", params=moment)
    assert [one["incident"] for one in answer.json()["incidents"]] == [1]
    async with centre.records.read() as connection:
        rows = (await connection.execute(sa.select(audit.c.object).where(audit.c.action == "incident.read"))).all()
    assert [row[0] for row in rows] == ["incident:1"]
