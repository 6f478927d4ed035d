"""People, units, roles, restrictions: how they come, change and go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.audit import entries_after
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.policy import Policies, Policy, Subject, Who, seed
from thap.kernel.policy.explain import explain, subject_of
from thap.kernel.policy.limits import lift, list_restrictions, restrict
from thap.kernel.policy.people import (
    RESOURCE,
    add_person,
    any_person,
    clear,
    edit_person,
    get_person,
    grant,
    list_people,
    revoke,
    set_disabled,
    unclear,
)
from thap.kernel.policy.records import units
from thap.kernel.policy.seeding import DEPARTMENTS
from thap.kernel.policy.units import add_unit, edit_unit, get_unit, list_units
from thap.kernel.records import Records
from thap.kernel.units import communes

COMMUNE = communes()[0].code
OTHER = communes()[1].code
ADMIN = Who("quan-tri", "person", 1)


@pytest.fixture
async def store(either: Records) -> Records:
    async with either.write() as connection:
        await seed(connection)
    return either


async def _acts(connection: AsyncConnection) -> list[str]:
    return [f"{one['who']} {one['action']} {one['object']}" for one in await entries_after(connection, 0, 1000)]


# Units.


async def test_a_centre_begins_with_the_province_its_departments_and_102_communes(store: Records) -> None:
    async with store.write() as connection:
        assert await seed(connection) == 0
        await connection.execute(sa.delete(units).where(units.c.code == "so-y-te"))
        assert await seed(connection) == 0, "a department taken away does not come back"
        await connection.execute(sa.delete(units).where(units.c.code == COMMUNE))
        assert await seed(connection) == 1
        found = await list_units(connection)
        assert (found[0].code, found[0].kind, found[0].parent) == ("82", "province", "")
        assert len(found) == 1 + len(DEPARTMENTS) - 1 + 102
        assert len(await list_units(connection, "commune", "82")) == 102
        assert (await get_unit(connection, "")).code == "82"
        assert await list_units(connection, parent=COMMUNE) == []


async def test_a_unit_stands_below_another_and_never_below_itself(store: Records) -> None:
    async with store.write() as connection:
        await add_unit(connection, "so-xay-dung-tt", "Thanh tra Sở", parent="so-xay-dung", by=ADMIN)
        await edit_unit(connection, "so-xay-dung-tt", {"name": "Thanh tra", "phone": "+84 277 1"}, by=ADMIN)
        assert (await get_unit(connection, "so-xay-dung-tt")).name == "Thanh tra"
        with pytest.raises(ConflictError, match="below itself"):
            await edit_unit(connection, "so-xay-dung", {"parent": "so-xay-dung-tt"})
        with pytest.raises(ConflictError, match="above the province"):
            await edit_unit(connection, "82", {"parent": "so-xay-dung"})
        with pytest.raises(ConflictError, match="already"):
            await add_unit(connection, COMMUNE, "lại")
        with pytest.raises(NotFoundError, match="no unit"):
            await add_unit(connection, "so-moi", "Sở mới", parent="so-khong-co")
        for code in ("", "x", "SO", "so mới", "so_a", "s" * 33, "so\x00"):
            with pytest.raises(InputError, match="code"):
                await add_unit(connection, code, "Sở")
        with pytest.raises(InputError, match="name"):
            await add_unit(connection, "so-moi", "  ")
        above = "so-xay-dung-tt"
        for depth in range(6):
            above = (await add_unit(connection, f"tang-{depth}", "Tầng", parent=above)).code
        with pytest.raises(InputError, match="at most 8"):
            await add_unit(connection, "tang-9", "Tầng", parent=above)
        assert await _acts(connection) == [
            "quan-tri unit.add unit:so-xay-dung-tt",
            "quan-tri unit.edit unit:so-xay-dung-tt",
            *(f" unit.add unit:tang-{depth}" for depth in range(6)),
        ]


# People.


async def test_a_person_comes_changes_and_goes_and_each_step_is_audited(store: Records) -> None:
    async with store.write() as connection:
        assert not await any_person(connection)
        made = await add_person(connection, " Truc-Ban ", unit=COMMUNE, email="truc-ban@so.example", by=ADMIN)
        assert (made.login, made.name, made.unit, made.version, made.created_by) == (
            "truc-ban",
            "truc-ban",
            COMMUNE,
            1,
            "quan-tri",
        )
        changed = await edit_person(
            connection, "truc-ban", {"name": "Trực  ban", "phone": "0277 1"}, by=ADMIN, version=1
        )
        assert (changed.name, changed.version) == ("Trực ban", 2)
        assert (await edit_person(connection, "truc-ban", {"name": "Trực ban"}, by=ADMIN)).version == 2
        with pytest.raises(ConflictError, match="changed since version 1, it is at 2"):
            await edit_person(connection, "truc-ban", {"name": "x"}, version=1)
        gone = await set_disabled(connection, "truc-ban", by=ADMIN)
        assert gone.disabled is not None
        assert (await set_disabled(connection, "truc-ban", by=ADMIN)).version == gone.version
        assert await list_people(connection) == []
        assert [one.login for one in await list_people(connection, disabled=True)] == ["truc-ban"]
        with pytest.raises(ConflictError, match="already"):
            await add_person(connection, "TRUC-BAN")
        assert (await set_disabled(connection, "truc-ban", False, by=ADMIN)).disabled is None
        assert await _acts(connection) == [
            f"quan-tri person.{act} person:truc-ban" for act in ("add", "edit", "disable", "enable")
        ]
        details = [one["detail"] for one in await entries_after(connection, 1, 1)]
        assert details == [{"name": ["truc-ban", "Trực ban"], "phone": "changed"}], "no contact in the log"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"login": ""}, "not a login"),
        ({"login": "a"}, "not a login"),
        ({"login": "trực-ban"}, "not a login"),
        ({"login": "a b"}, "not a login"),
        ({"login": "x" * 65}, "not a login"),
        ({"login": "a\x00b"}, "not a login"),
        ({"login": "-ab"}, "not a login"),
        ({"login": "Local"}, "belongs to the centre"),
        ({"name": "x" * 129}, "at most 128"),
        ({"name": "a\x00"}, "at most 128"),
        ({"name": "a\ud800"}, "at most 128"),
        ({"email": "a@b@c"}, "e-mail"),
        ({"email": "a\r\nBcc: x@y"}, "e-mail"),
        ({"phone": "<script>"}, "telephone"),
        ({"language": "fr"}, "language"),
        ({"unit": "so-khong-co"}, "no unit"),
        ({"unit": "a\x00"}, "at most 32"),
    ],
)
async def test_bad_input_adds_nobody(records: Records, values: dict[str, Any], error: str) -> None:
    async with records.write() as connection:
        await seed(connection)
        with pytest.raises((InputError, ConflictError, NotFoundError), match=error):
            await add_person(connection, values.pop("login", "truc-ban"), **values)
        assert not await any_person(connection)


@pytest.mark.parametrize("who", ["", "ai-do", "a\x00b", "\ud800", "x" * 100, 0, -1, 2**40])
async def test_a_person_who_is_not_there_is_not_found(store: Records, who: str | int) -> None:
    async with store.read() as connection:
        with pytest.raises(NotFoundError, match="no person"):
            await get_person(connection, who)


async def test_people_are_found_by_unit_role_and_words_and_by_what_the_asker_may_see(store: Records) -> None:
    async with store.write() as connection:
        await add_person(connection, "truc-ban", name="Trực ban 100%", unit="82")
        await add_person(connection, "can-bo-xa", unit=COMMUNE)
        await grant(connection, "can-bo-xa", "commune_official", unit=COMMUNE)

        async def logins(**chosen: Any) -> list[str]:
            return [one.login for one in await list_people(connection, **chosen)]

        assert await logins() == ["can-bo-xa", "truc-ban"]
        assert await logins(unit=COMMUNE) == await logins(role="commune_official") == ["can-bo-xa"]
        assert await logins(text="100%") == ["truc-ban"]
        assert await logins(text="trưc BAN") == await logins(text="BAN") == ["truc-ban"]
        assert await logins(text="_") == []
        policy = await Policy.load(connection)
        official = policy.person("can-bo-xa")
        assert official is not None
        assert await logins(where=policy.where(official, "people.read", RESOURCE)) == ["can-bo-xa"]
        with pytest.raises(InputError, match="not a role"):
            await logins(role="sender")


# Roles.


async def test_a_role_is_given_ends_and_is_taken(store: Records) -> None:
    until = now_us() + DAY_US
    async with store.write() as connection:
        await add_person(connection, "can-bo-xa", unit=COMMUNE)
        given = await grant(connection, "can-bo-xa", "operator", unit=COMMUNE, domain="sand", until=until, by=ADMIN)
        assert [(one.role, one.unit, one.domain, one.until) for one in given.grants] == [
            ("operator", COMMUNE, "sand", until)
        ]
        again = await grant(connection, "can-bo-xa", "operator", unit=COMMUNE, domain="sand", by=ADMIN)
        assert [one.until for one in again.grants] == [None]
        same = await grant(connection, "can-bo-xa", "operator", unit=COMMUNE, domain="sand", by=ADMIN)
        assert same.version == again.version
        with pytest.raises(NotFoundError, match="is not operator in"):
            await revoke(connection, "can-bo-xa", "operator", unit=COMMUNE)
        taken = await revoke(connection, "can-bo-xa", "operator", unit=COMMUNE, domain="sand", by=ADMIN)
        assert taken.grants == ()
        for role, more, error in (
            ("chief", {}, "not a role"),
            ("sender", {}, "not a role"),
            ("operator", {"unit": "so-khong-co"}, "no unit"),
            ("operator", {"domain": "Sand!"}, "name of a domain"),
            ("operator", {"until": 1}, "future"),
            ("operator", {"until": 2**62}, "future"),
        ):
            with pytest.raises((InputError, NotFoundError), match=error):
                await grant(connection, "can-bo-xa", role, **more)
        assert (await get_person(connection, "can-bo-xa")).grants == ()
        acts = [act for act in await _acts(connection) if "grant" in act]
        assert acts == [f"quan-tri grant.{act} person:can-bo-xa" for act in ("add", "add", "remove")]


async def test_the_last_administrator_of_the_province_stays(store: Records) -> None:
    async with store.write() as connection:
        for login in ("quan-tri", "quan-tri-2"):
            await add_person(connection, login)
        await grant(connection, "quan-tri", "administrator")
        await grant(connection, "quan-tri-2", "administrator", unit=COMMUNE)
        await grant(connection, "quan-tri-2", "administrator", domain="sand")
        await grant(connection, "quan-tri-2", "administrator", until=now_us() + DAY_US)
        for losing in (
            revoke(connection, "quan-tri", "administrator"),
            set_disabled(connection, "quan-tri"),
            grant(connection, "quan-tri", "administrator", until=now_us() + DAY_US),
        ):
            with pytest.raises(ConflictError, match="last administrator"):
                await losing
        await revoke(connection, "quan-tri-2", "administrator", unit=COMMUNE)
        await grant(connection, "quan-tri-2", "administrator")
        await set_disabled(connection, "quan-tri")
        await revoke(connection, "quan-tri", "administrator")
        with pytest.raises(ConflictError, match="last administrator"):
            await set_disabled(connection, "quan-tri-2")


async def test_two_administrators_who_take_each_others_role_at_once_do_not_both_succeed(store: Records) -> None:
    async with store.write() as connection:
        for login in ("quan-tri-1", "quan-tri-2"):
            await add_person(connection, login)
            await grant(connection, login, "administrator")

    async def take(login: str) -> None:
        async with store.write() as connection:
            await revoke(connection, login, "administrator")

    done = await asyncio.gather(take("quan-tri-1"), take("quan-tri-2"), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["ConflictError", "NoneType"]


async def test_many_people_added_at_once_are_all_there_and_a_login_is_given_once(store: Records) -> None:
    async def add(number: int) -> None:
        async with store.write() as connection:
            await add_person(connection, f"nguoi-{number % 10}")

    done = await asyncio.gather(*(add(number) for number in range(20)), return_exceptions=True)
    assert sum(one is None for one in done) == 10
    assert all(one is None or isinstance(one, ConflictError) for one in done)


# Restrictions, and the policy that follows.


async def test_what_is_restricted_is_seen_with_a_clearance_only_while_it_lasts(store: Records) -> None:
    policies = Policies(store)
    camera = Subject("thing", (COMMUNE,), "traffic", "cam-1")

    async def sees() -> bool:
        policies.changed()
        policy = await policies.current()
        who = policy.person("truc-ban")
        assert who is not None
        return policy.decide(who, "thing.read", camera).allowed

    async with store.write() as connection:
        await add_person(connection, "truc-ban")
        await grant(connection, "truc-ban", "administrator")
    assert await sees()
    async with store.write() as connection:
        await restrict(connection, "thing", "cam-1", "hướng vào nhà dân", by=ADMIN)
        with pytest.raises(ConflictError, match="already"):
            await restrict(connection, "thing", "cam-1")
        with pytest.raises(NotFoundError, match="is not restricted"):
            await clear(connection, "truc-ban", "thing", "cam-2")
    assert not await sees()
    async with store.write() as connection:
        await clear(connection, "truc-ban", "thing", "cam-1", until=now_us() + DAY_US, by=ADMIN)
    assert await sees()
    async with store.write() as connection:
        await unclear(connection, "truc-ban", "thing", "cam-1", by=ADMIN)
        with pytest.raises(NotFoundError, match="no clearance"):
            await unclear(connection, "truc-ban", "thing", "cam-1")
    assert not await sees()
    async with store.write() as connection:
        await clear(connection, "truc-ban", "thing", "cam-1")
        await lift(connection, "thing", "cam-1", by=ADMIN)
        assert await list_restrictions(connection) == []
        assert (await get_person(connection, "truc-ban")).clearances == ()
        await restrict(connection, "thing", "cam-1")
    assert not await sees(), "an old clearance does not come back"


@pytest.mark.parametrize(
    ("kind", "ref", "error"),
    [
        ("thing", "", "say what"),
        ("thing", "cam-1/frames", "as a whole"),
        ("thing", "x" * 129, "at most 128"),
        ("thing", "a\x00", "at most 128"),
        ("domain", "", "say what"),
        ("domain", "Sand!", "name of a domain"),
        ("unit", "so-khong-co", "no unit"),
        ("unit", "82", "whole province"),
        ("house", "x", "cannot be restricted"),
    ],
)
async def test_what_cannot_be_restricted(records: Records, kind: str, ref: str, error: str) -> None:
    async with records.write() as connection:
        await seed(connection)
        with pytest.raises((InputError, ConflictError, NotFoundError), match=error):
            await restrict(connection, kind, ref)


async def test_a_process_sees_the_change_of_another_when_told_or_soon(
    store: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = Policies(store)
    before = await policies.current()
    assert await policies.current() is before
    async with store.write() as connection:
        await add_person(connection, "truc-ban")
    assert await policies.current() is before
    policies.changed()
    after = await policies.current()
    assert after.person("truc-ban") is not None
    policies.changed()
    assert await policies.current() is after, "nothing changed, nothing is read"
    async with store.write() as connection:
        await set_disabled(connection, "truc-ban")
    monkeypatch.setattr("thap.kernel.policy.cache._FRESH_S", 0.0)
    assert (await policies.current()).person("truc-ban") is None


# Explaining.


async def test_an_explanation_names_each_role_and_restriction(store: Records) -> None:
    from thap.observe.registry import things

    async with store.write() as connection:
        await connection.execute(
            sa.insert(things).values(name="cam-1", domain="traffic", commune=COMMUNE, created=now_us())
        )
        await add_person(connection, "can-bo-xa", unit=OTHER)
        await grant(connection, "can-bo-xa", "commune_official", unit=OTHER)
        await grant(connection, "can-bo-xa", "viewer", domain="traffic")
        await restrict(connection, "domain", "traffic")
    async with store.read() as connection:
        policy = await Policy.load(connection)
        told = await explain(connection, policy, "can-bo-xa", "thing.read", "thing:cam-1")
        assert (told.allowed, told.subject) == (False, Subject("thing", (COMMUNE,), "traffic", "cam-1"))
        assert told.reasons == (
            "the role viewer (everywhere, domain traffic) holds thing.read",
            f"the role commune_official (in {OTHER}) does not reach this thing, which is of {COMMUNE}",
            "domain traffic is restricted, and there is no clearance for it",
        )
        assert not (await explain(connection, policy, "can-bo-xa", "people.write", "person:can-bo-xa")).allowed
        for record in ("", "cam-1", "house:1", "alarm:", "alarm:x", "alarm:-1", "alarm:" + "9" * 30, "alarm:١"):
            with pytest.raises(InputError):
                await subject_of(connection, record)
        for record in ("alarm:1", "thing:cam-2", "thing:a\x00b", "incident:1", "task:1", "report:1", "warning:1"):
            with pytest.raises(NotFoundError, match="there is no"):
                await subject_of(connection, record)
    async with store.write() as connection:
        await set_disabled(connection, "can-bo-xa")
    async with store.read() as connection:
        told = await explain(connection, await Policy.load(connection), "can-bo-xa", "thing.read", "unit:82")
        assert not told.allowed
        assert told.reasons[0].startswith("can-bo-xa is disabled since 20")
