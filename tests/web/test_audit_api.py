"""Verifying the audit log over the API, as it goes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import httpx
import sqlalchemy as sa

from thap.kernel.audit import Entry, append_async, audit
from thap.kernel.records import Records

URL = "/api/v1/audit/verify/progress"


async def _write(records: Records, count: int) -> None:
    async with records.write() as connection:
        await append_async(connection, [Entry("local", "test.note", f"note:{number}", {}) for number in range(count)])


async def test_only_auditors_of_the_province_verify(
    stranger: httpx.AsyncClient, desk: Callable[..., Awaitable[httpx.AsyncClient]]
) -> None:
    assert (await stranger.get(URL)).status_code == 401
    assert (await (await desk("xem", "viewer")).get(URL)).status_code == 403
    assert (await (await desk("quan-tri-xa", "administrator", unit="29869")).get(URL)).status_code == 403


async def test_a_verification_says_how_far_it_is_and_what_it_found(client: httpx.AsyncClient, records: Records) -> None:
    await _write(records, 3000)
    lines = [json.loads(line) for line in (await client.get(URL)).text.splitlines()]
    assert lines[0]["of"] == lines[-1]["entries"] >= 3000
    assert lines[-1]["whole"] and lines[-1]["anchor"].startswith(f"{lines[-1]['last']}:")


async def test_a_broken_chain_is_named_by_its_entry(client: httpx.AsyncClient, records: Records) -> None:
    await _write(records, 5)
    async with records.write() as connection:
        await connection.execute(sa.update(audit).where(audit.c.id == 3).values(action="test.forged"))
    last = json.loads((await client.get(URL)).text.splitlines()[-1])
    assert not last["whole"] and last["broken_at"] == 3 and last["why"]


async def test_an_empty_log_is_whole(client: httpx.AsyncClient) -> None:
    lines = [json.loads(line) for line in (await client.get(URL)).text.splitlines()]
    assert lines[-1]["whole"] and lines[-1]["entries"] == 0
