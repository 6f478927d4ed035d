"""The live stream: alarms without gaps or doubles, latest values conflated."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from thap.detect.detector import Action, Change, Severity
from thap.detect.latest import Latest
from thap.kernel.bus import Bus
from thap.kernel.clock import now_us
from thap.kernel.records import Records
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import register_datastreams, register_movers, register_things
from thap.respond.alarm import AlarmEvent
from thap.respond.book import AlarmBook
from thap.web.deps import Centre
from thap.web.sse import Hub

URL = "/api/v1/stream"


@dataclass
class Listener:
    """A client of the stream that keeps what it hears."""

    events: list[tuple[str, str, Any]] = field(default_factory=list)
    """(event, id, data)"""
    heard_at: list[float] = field(default_factory=list)
    last_id: str = ""
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, kind: str) -> list[Any]:
        return [data for event, _, data in self.events if event == kind]

    async def listen(self, client: httpx.AsyncClient, **params: str) -> None:
        async with client.stream("GET", URL, params=params, timeout=30) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            event = data = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                    self.opened.set()
                elif name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif not line and event:
                    self.heard_at.append(time.perf_counter())
                    self.events.append((event, self.last_id, json.loads(data)))
                    event = data = ""


async def until(happened: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    """The app behind a real socket."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_level="warning", loop="none", timeout_graceful_shutdown=2)
        )
        task = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        app.state.centre.parts["stream"].close()
        server.should_exit = True
        await task


@pytest.fixture
async def caller(url: str, admin: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {admin}"}, limits=httpx.Limits(max_connections=None)
    ) as client:
        yield client


@asynccontextmanager
async def listening(client: httpx.AsyncClient, **params: str) -> AsyncIterator[Listener]:
    listener = Listener()
    task = asyncio.create_task(listener.listen(client, **params))
    opened = asyncio.create_task(listener.opened.wait())
    await asyncio.wait({task, opened}, return_when=asyncio.FIRST_COMPLETED)
    opened.cancel()
    if task.done():
        task.result()
    yield listener
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def change(source: str, action: Action = Action.RAISE, **more: Any) -> Change:
    return Change(source, "water.high", action, Severity.HIGH, now_us(), 0, **more)


async def announce(bus: Bus, events: list[AlarmEvent]) -> None:
    for event in events:
        await bus.announce("centre.live.alarm", event)


@pytest.fixture
async def book(records: Records) -> AsyncIterator[AlarmBook]:
    made = AlarmBook(records)
    yield made
    await made.close()


async def test_a_stranger_gets_no_stream(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get(URL)).status_code == 401


@pytest.mark.parametrize(
    "params",
    [
        {"kinds": "alarms"},
        {"bbox": "1,2,3"},
        {"bbox": "0,9,1,8"},
        {"bbox": "a,b,c,d"},
        {"last_event_id": "x"},
        {"last_event_id": "-1"},
        {"last_event_id": "1.x"},
    ],
)
async def test_a_wrong_question_is_answered_with_what_is_wrong(
    client: httpx.AsyncClient, params: dict[str, str]
) -> None:
    answer = await client.get(URL, params=params)
    assert answer.status_code == 400 and answer.json()["error"]["where"] in ("kinds", "bbox", "last_event_id")


async def test_an_announced_alarm_reaches_every_console_at_once(
    caller: httpx.AsyncClient, book: AlarmBook, bus: Bus
) -> None:
    async with listening(caller) as first, listening(caller) as second:
        events = await book.apply([change("tram-01/level", value=2.5, domain="water")])
        await announce(bus, events)
        await until(lambda: len(first.events) == len(second.events) == 1)
    kind, number, data = first.events[0]
    assert kind == "alarm" and number.startswith(f"{events[0].id}.")
    assert (data["source"], data["action"], data["value"], data["severity"]) == ("tram-01/level", "raise", 2.5, 3)


async def test_events_announced_out_of_order_or_not_at_all_arrive_in_order_once(
    caller: httpx.AsyncClient, book: AlarmBook, bus: Bus, centre: Centre
) -> None:
    async with listening(caller) as listener:
        events = await book.apply([change(f"tram-{number}/level") for number in range(20)])
        await announce(bus, [*events[:3], events[7], events[5], *events[2:4], events[15], events[15]])
        await until(lambda: len(listener.events) >= 20)
        late = await book.apply([change("tram-0/level", Action.CLEAR)])  # never announced
        await until(lambda: len(listener.events) >= 21)
    heard = [data["id"] for data in listener.of("alarm")]
    assert heard == [event.id for event in [*events, *late]]
    hub: Hub = centre.parts["stream"]
    assert hub.filled > 0


async def test_a_console_that_comes_back_goes_on_where_it_was(
    caller: httpx.AsyncClient, book: AlarmBook, bus: Bus
) -> None:
    async with listening(caller) as listener:
        before = await book.apply([change("tram-1/level"), change("tram-2/level")])
        await announce(bus, before)
        await until(lambda: len(listener.events) == 2)
    away = await book.apply([change(f"tram-{number}/level") for number in range(3, 1300)])
    await announce(bus, away)
    async with listening(caller, last_event_id=listener.last_id) as again:
        live = await book.apply([change("tram-1/level", Action.CLEAR)])
        await announce(bus, live)
        await until(lambda: len(again.events) >= 1298)
        await announce(bus, live)
        more = await book.apply([change("tram-2/level", Action.CLEAR)])
        await announce(bus, more)
        await until(lambda: len(again.events) >= 1299)
    assert [data["id"] for data in again.of("alarm")] == [event.id for event in [*away, *live, *more]]


async def test_the_header_of_browsers_resumes_too(
    url: str, caller: httpx.AsyncClient, book: AlarmBook, bus: Bus, admin: str
) -> None:
    events = await book.apply([change("tram-1/level"), change("tram-2/level")])
    await announce(bus, events)
    async with (
        httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {admin}", "Last-Event-ID": f"{events[0].id}.0"}
        ) as browser,
        listening(browser) as listener,
    ):
        await until(lambda: len(listener.events) == 1)
    assert listener.of("alarm")[0]["source"] == "tram-2/level"


async def test_alarms_are_filtered_by_domain_place_box_and_source(
    caller: httpx.AsyncClient, book: AlarmBook, bus: Bus
) -> None:
    async with (
        listening(caller, domain="water,sand", commune="30001", bbox="105,10,106,11", source="tram-*") as some,
        listening(caller) as everything,
    ):
        events = await book.apply(
            [
                change("tram-1/level", domain="water", commune="30001", lon=105.5, lat=10.5),
                change("tram-2/level", domain="rice", commune="30001", lon=105.5, lat=10.5),
                change("tram-3/level", domain="water", commune="30002", lon=105.5, lat=10.5),
                change("tram-4/level", domain="water", commune="30001", lon=107.5, lat=10.5),
                change("tram-5/level", domain="water", commune="30001"),
                change("bom-1/level", domain="water", commune="30001", lon=105.5, lat=10.5),
                change("tram-6/level", domain="sand", commune="30001", lon=105.5, lat=10.5),
            ]
        )
        await announce(bus, events)
        await until(lambda: len(everything.events) == 7 and len(some.events) == 2)
    assert [data["source"] for data in some.of("alarm")] == ["tram-1/level", "tram-6/level"]


async def _publish(bus: Bus, latest: Latest, since: int = 0) -> None:
    await bus.client.publish("centre.live.latest", latest.ipc(since))


def observe(ids: list[int], results: list[float]) -> ObservationBatch:
    stamp = now_us()
    rows = len(ids)
    return ObservationBatch(
        np.array(ids, np.int32), np.full(rows, stamp), np.array(results), np.full(rows, stamp), np.zeros(rows, np.int64)
    )


@pytest.fixture
async def stations(records: Records) -> None:
    async with records.write() as connection:
        await register_things(
            connection,
            [{"name": "tram-1", "domain": "water", "lon": 105.5, "lat": 10.5}, {"name": "bay-1", "domain": "rice"}],
        )
        await register_datastreams(
            connection,
            [
                {"key": "tram-1/level", "property": "level"},
                {"key": "tram-1/salinity", "property": "salinity"},
                {"key": "bay-1/count", "property": "count"},
            ],
        )
        await register_movers(connection, [{"key": "mmsi-1", "domain": "sand"}, {"key": "mmsi-2", "domain": "sand"}])


async def test_changed_latest_values_come_filtered_as_columns(
    stations: None, caller: httpx.AsyncClient, bus: Bus
) -> None:
    latest, places = Latest(Kind.OBSERVATION), Latest(Kind.POSITION)
    async with (
        listening(caller, kinds="observation,position", domain="water") as water,
        listening(caller, kinds="position", bbox="105,10,106,11") as box,
    ):
        latest.update(observe([1, 3], [1.5, 40]))
        await _publish(bus, latest)
        stamp = np.array([now_us()] * 2)
        nan = np.array([np.nan, 90], np.float32)
        places.update(
            PositionBatch(
                np.array([1, 2], np.int32),
                stamp,
                np.array([105.5, 108.0]),
                np.array([10.5, 10.5]),
                nan,
                nan,
                stamp,
                np.zeros(2, np.int64),
            )
        )
        await _publish(bus, places)
        await until(lambda: len(water.events) == 1 and len(box.events) == 1)
        seen = latest.version
        latest.update(observe([2], [0.25]))
        await _publish(bus, latest, seen)
        await until(lambda: len(water.events) == 2)
    first, second = water.of("observation")
    assert (first["source"], first["result"]) == (["tram-1/level"], [1.5])
    assert (second["source"], second["result"]) == (["tram-1/salinity"], [0.25])
    assert abs(first["time"][0] - now_us()) < 60e6
    (place,) = box.of("position")
    assert (place["source"], place["lon"], place["lat"], place["speed_kn"]) == (["mmsi-1"], [105.5], [10.5], [None])


async def test_latest_values_are_conflated_to_four_a_second(
    stations: None, caller: httpx.AsyncClient, bus: Bus
) -> None:
    latest = Latest(Kind.OBSERVATION)
    async with listening(caller, kinds="observation") as listener:
        began = time.monotonic()
        for number in range(200):
            seen = latest.version
            latest.update(observe([1], [float(number)]))
            await _publish(bus, latest, seen)
            await asyncio.sleep(0.005)
        await until(lambda: bool(listener.events) and listener.of("observation")[-1]["result"] == [199.0])
        took = time.monotonic() - began
    assert 2 <= len(listener.events) <= took * 4 + 2


async def test_values_missed_while_away_are_sent_once(
    stations: None, caller: httpx.AsyncClient, bus: Bus, centre: Centre
) -> None:
    latest = Latest(Kind.OBSERVATION)
    async with listening(caller, kinds="observation") as listener:
        latest.update(observe([1, 2], [1, 2]))
        await _publish(bus, latest)
        await until(lambda: len(listener.events) == 1)
    seen = latest.version
    latest.update(observe([2], [2.5]))
    await _publish(bus, latest, seen)
    await until(lambda: centre.parts["live"].observations["result"][2] == 2.5)
    async with (
        listening(caller, kinds="observation", last_event_id=listener.last_id) as again,
        listening(caller, kinds="observation", last_event_id="0.0") as whole,
    ):
        await until(lambda: len(again.events) == 1 and len(whole.events) == 1)
    assert again.of("observation")[0]["source"] == ["tram-1/salinity"]
    assert whole.of("observation")[0]["source"] == ["tram-1/level", "tram-1/salinity"]


async def test_a_gap_in_announcements_is_asked_for(
    stations: None, caller: httpx.AsyncClient, bus: Bus, centre: Centre
) -> None:
    latest = Latest(Kind.OBSERVATION)
    empty = Latest(Kind.POSITION)

    async def answer(payload: bytes) -> bytes:
        return (latest if payload == b"observation" else empty).ipc()

    await bus.answer("centre.ask.latest", answer)
    live = centre.parts["live"]
    await until(lambda: live.asked >= 1)
    latest.update(observe([1], [7.0]))  # its announcement is lost
    seen = latest.version
    latest.update(observe([2], [8.0]))
    async with listening(caller, kinds="observation") as listener:
        await _publish(bus, latest, seen)
        await until(lambda: live.observations.rows == 2)
        await until(lambda: len(listener.events) == 2)
    assert {source for data in listener.of("observation") for source in data["source"]} == {
        "tram-1/level",
        "tram-1/salinity",
    }


async def test_a_value_of_a_source_not_known_yet_is_sent_once_it_is(
    stations: None, caller: httpx.AsyncClient, bus: Bus, records: Records, centre: Centre
) -> None:
    latest = Latest(Kind.OBSERVATION)
    async with listening(caller, kinds="observation") as listener:
        latest.update(observe([4], [7.0]))
        await _publish(bus, latest)
        await until(lambda: centre.parts["live"].observations.rows == 1)
        async with records.write() as connection:
            await register_datastreams(connection, [{"key": "new/one"}])
        await bus.announce("centre.live.registry", {})
        await until(lambda: len(listener.events) == 1)
    assert listener.of("observation")[0]["source"] == ["new/one"]


async def test_a_console_that_reads_nothing_is_bounded_and_loses_no_alarm(
    url: str, admin: str, book: AlarmBook, bus: Bus, centre: Centre
) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(f"GET {URL} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {admin}\r\n\r\n".encode())
    hub: Hub = centre.parts["stream"]
    await until(lambda: bool(hub.consoles))
    (console,) = hub.consoles
    total = 0
    while not console.behind:
        events = await book.apply([change(f"tram-{total + number}/level") for number in range(500)])
        total += 500
        await announce(bus, events)
        await until(lambda: hub.last == events[-1].id)  # noqa: B023
        assert len(console.alarms) <= 1000 and total < 60_000
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    heard = b""
    ids: list[int] = []
    while len(ids) < total:
        heard += await asyncio.wait_for(reader.read(2**20), 30)
        ids = [int(line[4:].partition(b".")[0]) for line in heard.split(b"\n") if line.startswith(b"id: ")][1:]
    writer.close()
    assert ids == list(range(1, total + 1))


async def test_two_hundred_consoles_hear_an_alarm_within_milliseconds(
    caller: httpx.AsyncClient, book: AlarmBook, bus: Bus, centre: Centre
) -> None:
    hub: Hub = centre.parts["stream"]
    listeners = [Listener() for _ in range(200)]
    tasks = [asyncio.create_task(listener.listen(caller)) for listener in listeners]
    await until(lambda: len(hub.consoles) == 200 and all(x.opened.is_set() for x in listeners), 20)
    events = await book.apply([change(f"tram-{number}/level") for number in range(5)])
    for event in events:
        await announce(bus, [event])
        await asyncio.sleep(0.2)
    await until(lambda: all(len(listener.events) == 5 for listener in listeners))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: not hub.consoles)


async def test_streams_end_when_the_centre_stops(caller: httpx.AsyncClient, centre: Centre) -> None:
    hub: Hub = centre.parts["stream"]
    listener = Listener()
    task = asyncio.create_task(listener.listen(caller))
    await until(lambda: len(hub.consoles) == 1)
    hub.close()
    await asyncio.wait_for(task, 30)
