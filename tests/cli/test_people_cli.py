"""`thap people`, `units`, `policy` and `audit` on the records of a centre that does not run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.kernel.audit import audit
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, ThapError, UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.registry import things


class Thap:
    """Types commands in another thread: each runs an event loop of its own."""

    def __init__(self, data: Path) -> None:
        self._data = data

    async def __call__(self, *words: str) -> Result:
        line = [*words, "--data", str(self._data)]
        return await asyncio.to_thread(CliRunner().invoke, build(words[0]), line, env={"COLUMNS": "200"})

    async def json(self, *words: str) -> Any:
        result = await self(*words, "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)

    async def text(self, *words: str) -> str:
        result = await self(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    async def error(self, *words: str) -> ThapError:
        result = await self(*words)
        assert isinstance(result.exception, ThapError), result.output
        return result.exception


@pytest.fixture
def thap(records: Records, settings: Settings) -> Thap:
    return Thap(settings.data)


async def test_a_centre_without_people_says_how_to_add_one(thap: Thap) -> None:
    assert "`thap people add LOGIN`" in await thap.text("people", "list")
    assert (await thap.json("people", "list"))["items"] == []
    assert "no such entries" in await thap.text("audit", "list")
    assert "The log is empty" in await thap.text("audit", "verify")
    assert "Nothing is restricted" in await thap.text("policy", "restrictions")


async def test_a_directory_without_a_centre_is_named(tmp_path: Path) -> None:
    assert isinstance(await Thap(tmp_path / "nothing").error("people", "list"), UnavailableError)


async def test_people_are_added_given_roles_and_sent_a_link(thap: Thap) -> None:
    made = await thap.json("people", "add", "truc-ban", "--role", "operator", "--email", "truc-ban@so.example")
    assert [(one["role"], one["unit"]) for one in made["grants"]] == [("operator", "82")]
    assert "viewer (so-y-te, water)" in await thap.text(
        "people", "grant", "truc-ban", "viewer", "--unit", "so-y-te", "--domain", "water"
    )
    assert "operator (everywhere)" in await thap.text("people", "list", "--text", "truc")
    assert "truc-ban" in await thap.text("people", "edit", "truc-ban", "--name", "Trực ban")
    link = await thap.json("people", "link", "truc-ban")
    assert "/#link=" in link["url"]
    assert "once, within 24 hours" in await thap.text("people", "link", "truc-ban")
    taken = await thap.json("people", "revoke", "truc-ban", "operator")
    assert [one["role"] for one in taken["grants"]] == ["viewer"]
    assert (await thap.json("people", "disable", "truc-ban"))["disabled"] is not None
    assert "is disabled" in str(await thap.error("people", "link", "truc-ban"))
    assert (await thap.json("people", "disable", "--undo", "truc-ban"))["disabled"] is None
    assert isinstance(await thap.error("people", "add", "truc-ban"), ConflictError)
    assert isinstance(await thap.error("people", "add", "other", "--role", "chief"), InputError)
    assert isinstance(await thap.error("people", "link", "other"), NotFoundError), "half a person was not left"
    assert isinstance(await thap.error("people", "edit", "truc-ban"), InputError)


async def test_units_are_listed_added_and_changed(thap: Thap) -> None:
    await thap.json("units", "add", "so-moi", "Sở mới")
    assert len((await thap.json("units", "list", "--kind", "commune"))["items"]) == 102
    assert "Sở mới" in await thap.text("units", "list", "--kind", "department")
    assert (await thap.json("units", "edit", "so-moi", "--name", "Sở khác"))["name"] == "Sở khác"
    assert isinstance(await thap.error("units", "edit", "so-moi"), InputError)


async def test_policy_explains_itself(thap: Thap, records: Records) -> None:
    async with records.write() as connection:
        await connection.execute(sa.insert(things).values(name="cam-1", domain="traffic", created=now_us()))
    await thap.json("people", "add", "truc-ban", "--role", "operator")
    told = await thap.text("policy", "explain", "truc-ban", "thing.read", "thing:cam-1")
    assert "truc-ban may thing.read thing:cam-1" in told
    assert "the role operator (everywhere) holds thing.read" in told
    assert "no thing or mover 'cam-l'" in str(await thap.error("policy", "restrict", "thing", "cam-l"))
    await thap.json("policy", "restrict", "thing", "cam-1", "--reason", "nhìn vào nhà dân")
    assert "nhìn vào nhà dân" in await thap.text("policy", "restrictions")
    told = await thap.text("policy", "explain", "truc-ban", "thing.read", "thing:cam-1")
    assert "truc-ban may not thing.read thing:cam-1" in told
    assert "thing cam-1 is restricted, and there is no clearance for it" in told
    await thap.json("people", "clear", "truc-ban", "thing", "cam-1", "--until", "1h")
    assert (await thap.json("policy", "explain", "truc-ban", "thing.read", "thing:cam-1"))["allowed"]
    await thap.json("people", "clear", "truc-ban", "thing", "cam-1", "--undo")
    assert not (await thap.json("policy", "explain", "truc-ban", "thing.read", "thing:cam-1"))["allowed"]
    assert "is open again" in await thap.text("policy", "lift", "thing", "cam-1")
    assert "warning.approve" in await thap.text("policy", "roles")
    assert isinstance(await thap.error("policy", "explain", "truc-ban", "thing.eat", "thing:cam-1"), InputError)
    assert isinstance(await thap.error("people", "clear", "truc-ban", "thing", "x", "--until", "soon"), InputError)


async def test_the_log_is_listed_exported_and_verified(thap: Thap, records: Records, tmp_path: Path) -> None:
    for login in ("truc-ban", "lanh-dao"):
        await thap.json("people", "add", login)
    listed = await thap.json("audit", "list", "--object", "person:lanh-dao")
    assert [(one["who"], one["kind"], one["action"]) for one in listed["items"]] == [("local", "local", "person.add")]
    assert "person:truc-ban" in await thap.text("audit", "list", "--action", "person.*", "--since", "1h")
    found = await thap.json("audit", "verify")
    assert found["whole"]
    out = tmp_path / "audit.ndjson"
    assert await thap.json("audit", "export", str(out)) == {"entries": 3, "file": str(out)}
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [line["action"] for line in lines] == ["person.add", "person.add", "export"]
    assert len((await thap.text("audit", "export", "-")).splitlines()) == 4
    assert "whole: 4 entries" in await thap.text("audit", "verify", "--anchor", found["anchor"])
    assert (await thap.json("audit", "prune"))["pruned"] == 0
    assert isinstance(await thap.error("audit", "prune", "--older-than", "30d"), InputError)
    async with records.write() as connection:
        await connection.execute(sa.delete(audit).where(audit.c.id == 2))
    result = await thap("audit", "verify")
    assert result.exit_code == 1
    assert "broken at entry 2: it was removed. 1 entries before it hold together." in result.stdout
    assert (await thap("audit", "verify", "--json")).exit_code == 1


async def test_a_domain_nobody_knows_is_refused_and_a_token_is_kept_to_a_unit_and_domain(thap: Thap) -> None:
    await thap.json("people", "add", "truc-ban")
    wrong = await thap.error("people", "grant", "truc-ban", "viewer", "--domain", "watr")
    assert "did you mean 'water'" in str(wrong)
    assert "there is no domain" in str(await thap.error("tokens", "create", "bom", "--domain", "watr"))
    assert "there is no unit" in str(await thap.error("tokens", "create", "bom", "--unit", "khong-co"))
    made = await thap.json("tokens", "create", "bom", "--scope", "read", "--unit", "29869", "--domain", "water")
    assert (made["unit"], made["domain"]) == ("29869", "water")
    assert "29869, water" in await thap.text("tokens", "list")
