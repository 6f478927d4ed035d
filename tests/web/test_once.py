"""The header Idempotency-Key: what is sent again is not done again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image

from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError
from thap.kernel.once import KEPT_US, KeyReusedError, OnceStore, Repeated, kept_answers, prune
from thap.kernel.policy.people import grant, revoke
from thap.kernel.records import Records
from thap.kernel.store import Transaction, open_store
from thap.kernel.units import communes
from thap.web.deps import Centre, policy_of

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
PATH = "/api/v1/incidents"
HERE = communes()[0].code
AGAIN = "idempotent-replayed"


def key(word: str) -> dict[str, str]:
    return {"Idempotency-Key": word}


def photo(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(out, "JPEG")
    return out.getvalue()


async def opened(client: httpx.AsyncClient, word: str = "") -> httpx.Response:
    body = {"title": "Sạt lở bờ kênh", "domain": "water", "commune": HERE}
    return await client.post(PATH, json=body, headers=key(word) if word else {})


async def a_task(client: httpx.AsyncClient) -> dict[str, Any]:
    number = (await opened(client)).json()["incident"]["id"]
    new = {"incident": number, "title": "Đến xem", "within": "4h", "clock": "round"}
    return dict((await client.post("/api/v1/tasks", json=new)).json())


async def history(client: httpx.AsyncClient, number: int, action: str) -> list[dict[str, Any]]:
    events = (await client.get(f"{PATH}/{number}/events")).json()["items"]
    return [one for one in events if one["action"] == action]


async def test_an_incident_opened_twice_with_one_key_is_one(client: httpx.AsyncClient) -> None:
    first, second = await opened(client, "k1"), await opened(client, "k1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert AGAIN not in first.headers and second.headers[AGAIN] == "true"
    assert second.json() == first.json()
    assert (await client.get(PATH)).json()["total"] == 1


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient) -> None:
    await opened(client, "k1")
    answer = await client.post(PATH, json={"title": "khác", "commune": HERE}, headers=key("k1"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "key_reused")
    assert (await client.get(PATH)).json()["total"] == 1


async def test_a_remark_sent_again_is_said_once_even_at_the_same_moment(client: httpx.AsyncClient) -> None:
    number = (await opened(client)).json()["incident"]["id"]
    body = {"comment": "đã đến nơi", "position": {"lon": 105.6, "lat": 10.4, "accuracy_m": 12}}
    sent = [client.post(f"{PATH}/{number}/comment", json=body, headers=key("same")) for _ in range(6)]
    answers = await asyncio.gather(*sent)
    assert {one.status_code for one in answers} == {200}
    assert len({one.text for one in answers}) == 1
    (said,) = await history(client, number, "comment")
    assert said["detail"]["position"] == {"lon": 105.6, "lat": 10.4, "accuracy_m": 12.0, "time": None}


@pytest.mark.parametrize(
    ("act", "body", "event"),
    [
        ("done", {"comment": "xong", "position": {"lon": 105.6, "lat": 10.4}}, "task_done"),
        ("skip", {"comment": "không cần"}, "task_skipped"),
        ("extend", {"comment": "chờ thuyền", "length": "2h"}, "task_extended"),
    ],
)
async def test_what_is_done_to_a_task_is_done_once(
    client: httpx.AsyncClient, act: str, body: dict[str, Any], event: str
) -> None:
    task = await a_task(client)
    sent = {**body, "version": task["version"]}
    first = await client.post(f"/api/v1/tasks/{task['id']}/{act}", json=sent, headers=key("t"))
    second = await client.post(f"/api/v1/tasks/{task['id']}/{act}", json=sent, headers=key("t"))
    assert first.status_code == second.status_code == 200, first.text
    assert second.json() == first.json()
    assert len(await history(client, task["incident"], event)) == 1


async def test_a_photo_sent_again_is_attached_once_with_its_place_and_time(client: httpx.AsyncClient) -> None:
    number = (await opened(client)).json()["incident"]["id"]
    asked = {"name": "anh.jpg", "lon": 105.6, "lat": 10.4, "accuracy_m": 8, "taken": 1_763_800_000_000_000}
    path, headers = f"{PATH}/{number}/attachments", key("p")
    first = await client.post(path, params=asked, content=photo(), headers=headers)
    second = await client.post(path, params=asked, content=photo(), headers=headers)
    assert first.status_code == second.status_code == 201
    assert second.json() == first.json()
    other = await client.post(path, params=asked, content=photo("blue"), headers=headers)
    assert other.status_code == 422
    (link,) = (await client.get(f"{PATH}/{number}")).json()["links"]
    assert link["id"] == first.json()["link"]
    assert {name: link["detail"][name] for name in ("lon", "lat", "accuracy_m", "taken")} == {
        "lon": 105.6,
        "lat": 10.4,
        "accuracy_m": 8.0,
        "taken": 1_763_800_000_000_000,
    }


async def test_a_refusal_is_not_kept(client: httpx.AsyncClient) -> None:
    task = await a_task(client)
    path = f"/api/v1/tasks/{task['id']}/done"
    assert (await client.post(path, json={"version": 99}, headers=key("r"))).status_code == 409
    assert (await client.post(path, json={"version": task["version"]}, headers=key("r"))).status_code == 200


async def test_the_key_of_one_person_says_nothing_to_another(client: httpx.AsyncClient, desk: Desk) -> None:
    first = await desk("can-bo-a", "commune_official", unit=HERE)
    second = await desk("can-bo-b", "commune_official", unit=HERE)
    mine, yours = await opened(first, "one"), await opened(second, "one")
    assert AGAIN not in yours.headers
    assert mine.json()["incident"]["id"] != yours.json()["incident"]["id"]


async def test_what_one_person_wrote_is_not_sent_as_anothers(desk: Desk) -> None:
    first = await desk("can-bo-c", "commune_official", unit=HERE)
    body = {"title": "Sạt lở", "commune": HERE}
    answer = await first.post(PATH, json=body, headers={**key("one"), "Thap-Sender": "person%3Acan-bo-d"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "other_sender")
    answer = await first.post(PATH, json=body, headers={**key("one"), "Thap-Sender": "person%3Acan-bo-c"})
    assert answer.status_code == 201


async def test_a_stranger_gets_no_kept_answer(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    await opened(client, "k1")
    assert (await opened(stranger, "k1")).status_code == 401


async def test_a_token_made_anew_under_the_same_name_gets_none_of_the_others_answers(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    async def remade() -> dict[str, str]:
        new = {"name": "tram", "scopes": ["operate"]}
        secret = (await client.post("/api/v1/tokens", json=new)).json()["secret"]
        return {"Authorization": f"Bearer {secret}"}

    stranger.headers.update(await remade())
    first = await opened(stranger, "k1")
    assert first.status_code == 201
    assert (await opened(stranger, "k1")).headers[AGAIN] == "true"
    assert (await client.delete("/api/v1/tokens/tram")).status_code == 200
    stranger.headers.update(await remade())
    second = await opened(stranger, "k1")
    assert (second.status_code, AGAIN in second.headers) == (201, False)
    assert second.json()["incident"]["id"] != first.json()["incident"]["id"]


@pytest.mark.parametrize("what", ["open", "comment", "photo", "task"])
async def test_who_may_do_it_no_longer_gets_no_kept_answer(
    client: httpx.AsyncClient, desk: Desk, centre: Centre, what: str
) -> None:
    official = await desk("can-bo-h", "commune_official", unit=HERE)
    task = await a_task(client)

    async def ask() -> httpx.Response:
        if what == "open":
            return await opened(official, "o")
        if what == "comment":
            path = f"{PATH}/{task['incident']}/comment"
            return await official.post(path, json={"comment": "đã đến"}, headers=key("c"))
        if what == "photo":
            path = f"{PATH}/{task['incident']}/attachments"
            return await official.post(path, params={"name": "a.jpg"}, content=photo(), headers=key("p"))
        return await official.post(f"/api/v1/tasks/{task['id']}/done", json={"comment": "xong"}, headers=key("t"))

    assert (await ask()).is_success
    assert (await ask()).headers[AGAIN] == "true"
    async with centre.records.write() as connection:  # moved to another commune: still an official
        await revoke(connection, "can-bo-h", "commune_official", unit=HERE)
        await grant(connection, "can-bo-h", "commune_official", unit=communes()[1].code)
    policy_of(centre).changed()
    answer = await ask()
    assert answer.status_code in (403, 404), answer.text
    assert AGAIN not in answer.headers


async def test_a_key_that_is_no_word_is_refused(client: httpx.AsyncClient) -> None:
    assert (await opened(client, "x" * 101)).status_code == 400
    assert (await opened(client, "hai tu")).status_code == 400


# Below HTTP, on both databases.


async def count(records: Records, table: sa.Table) -> int:
    async with records.read() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def answered(_result: object) -> tuple[int, bytes]:
    return 200, b'{"done": true}'


async def test_the_key_and_the_act_are_kept_together_or_not_at_all(either: Records) -> None:
    store = open_store(either)

    def fails(_tx: Transaction) -> int:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await OnceStore(store, "person:a", "k", "r", answered).transact(fails)
    assert await count(either, kept_answers) == 0
    assert await OnceStore(store, "person:a", "k", "r", answered).transact(lambda _tx: 7) == 7
    with pytest.raises(Repeated) as again:
        await OnceStore(store, "person:a", "k", "r", answered).transact(fails)
    assert (again.value.status, again.value.answer) == (200, '{"done": true}')
    with pytest.raises(KeyReusedError):
        await OnceStore(store, "person:a", "k", "other", answered).transact(fails)
    await store.close()


async def test_twenty_at_once_do_it_once(either: Records) -> None:
    store, done = open_store(either), []

    async def one() -> str:
        try:
            await OnceStore(store, "person:a", "k", "r", answered).transact(lambda _tx: done.append(1))
        except Repeated as again:
            return again.answer
        return "first"

    answers = await asyncio.gather(*(one() for _ in range(20)))
    assert answers.count("first") == 1
    assert len(done) == 1
    await store.close()


async def test_answers_are_forgotten_after_a_week(either: Records) -> None:
    store = open_store(either)
    await OnceStore(store, "person:a", "k", "r", answered).transact(lambda _tx: None)
    async with either.write() as connection:
        assert await prune(connection, now_us()) == 0
        assert await prune(connection, now_us() + KEPT_US + 1_000_000) == 1
    await store.close()
