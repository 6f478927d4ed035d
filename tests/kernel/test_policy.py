"""Who may do what: one answer and the filtered list never differ."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa
from bench.policy_cases import TABLE, make_action, make_policy, make_records, make_who, subject_of
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import DeniedError, InputError, NotFoundError
from thap.kernel.policy import ACTIONS, READING, ROLES, SCOPE_ROLES, Grant, Policy, Resource, Restriction, Subject, Who
from thap.kernel.records import Records
from thap.kernel.tokens import SCOPES

TREE = {"82": "", "so-xay-dung": "82", "so-xay-dung-doi-1": "so-xay-dung", "28001": "82", "28002": "82"}
C = TABLE.c
RESOURCE = Resource((C.unit, C.commune), C.domain, C.thing)


def person(*grants: Grant, clearances: frozenset[str] = frozenset()) -> Who:
    return Who("truc-ban", "person", 1, "82", grants, clearances)


def incident(*units: str, domain: str = "sand", thing: str = "") -> Subject:
    return Subject("incident", units, domain, thing)


POLICY = Policy(TREE)


@pytest.mark.parametrize(
    ("grant", "subject", "allowed"),
    [
        (Grant("operator", "82"), incident("28001"), True),
        (Grant("operator", ""), incident("28001"), True),
        (Grant("operator", "82"), incident("", ""), True),
        (Grant("operator", "28001"), incident("so-xay-dung", "28001"), True),
        (Grant("operator", "28001"), incident("28002"), False),
        (Grant("operator", "28001"), incident("", ""), False),
        (Grant("operator", "28001"), incident("82"), False),
        (Grant("operator", "so-xay-dung"), incident("so-xay-dung-doi-1"), True),
        (Grant("operator", "so-xay-dung-doi-1"), incident("so-xay-dung"), False),
        (Grant("operator", "82", "sand"), incident("28001"), True),
        (Grant("operator", "82", "water"), incident("28001"), False),
        (Grant("operator", "82", "water"), incident("28001", domain=""), False),
        (Grant("operator", "82", until=1), incident("28001"), False),
        (Grant("operator", "82", until=2**60), incident("28001"), True),
        (Grant("viewer", "82"), incident("28001"), False),
        (Grant("no-such-role", "82"), incident("28001"), False),
        (Grant("operator", "xa-bo"), incident("xa-bo"), True),
    ],
)
def test_a_grant_reaches_its_unit_and_all_below_in_its_domain_until_it_ends(
    grant: Grant, subject: Subject, allowed: bool
) -> None:
    assert POLICY.decide(person(grant), "incident.work", subject).allowed is allowed


def test_nobody_may_anything_without_a_role_but_the_machines_owner_and_the_centre() -> None:
    for action in ACTIONS:
        assert not POLICY.decide(person(), action, incident("28001")).allowed
        assert not POLICY.decide(Who.anonymous(), action, incident("28001")).allowed
        assert POLICY.decide(Who.local(), action, incident("28001")).allowed
        assert POLICY.decide(Who.system(), action, incident("28001")).allowed


def test_no_role_sees_what_is_restricted_but_a_clearance_does() -> None:
    limits = [Restriction("thing", "cam-1"), Restriction("domain", "sand"), Restriction("unit", "so-xay-dung")]
    policy = Policy(TREE, (), limits)
    everything = tuple(Grant(role, "82") for role in ROLES)
    held = incident("so-xay-dung-doi-1", thing="cam-1/frames")
    for missing in limits:
        clear = frozenset(one.key for one in limits if one != missing)
        decision = policy.decide(person(*everything, clearances=clear), "incident.read", held)
        assert not decision.allowed
        assert f"{missing.kind} {missing.ref} is restricted, and there is no clearance for it" in decision.reasons
    assert policy.decide(person(*everything, clearances=policy.restricted), "incident.read", held).allowed
    assert [one.key for one in policy.restrictions_on(held)] == ["thing:cam-1", "domain:sand", "unit:so-xay-dung"]
    assert policy.decide(
        person(*everything), "incident.read", incident("28001", domain="water", thing="cam-10")
    ).allowed
    token = Who("trung-tam", "token", grants=everything)
    assert not policy.decide(token, "incident.read", held).allowed
    assert policy.decide(Who.local(), "incident.read", held).allowed
    assert not policy.decide(person(clearances=policy.restricted), "incident.read", held).allowed, "no role, no sight"


def test_who_may_not_see_a_record_is_told_that_there_is_none_and_who_may_see_it_why_not() -> None:
    viewer = person(Grant("viewer", "28001"))
    POLICY.check(viewer, "incident.read", incident("28001"))
    with pytest.raises(DeniedError, match=r"may not incident\.close"):
        POLICY.check(viewer, "incident.close", incident("28001"))
    for action in ("incident.read", "incident.close"):
        with pytest.raises(NotFoundError, match="no such incident"):
            POLICY.check(viewer, action, incident("28002"))


def test_an_action_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"'incident\.eat' is not an action"):
        POLICY.decide(person(), "incident.eat", incident())
    with pytest.raises(InputError):
        POLICY.where(Who.local(), "", RESOURCE)


def test_every_role_and_scope_names_actions_and_roles_there_are() -> None:
    assert frozenset().union(*ROLES.values()) == ACTIONS
    assert set(SCOPE_ROLES) == set(SCOPES)
    assert frozenset().union(*SCOPE_ROLES.values()) <= set(ROLES)
    assert set(READING) == ACTIONS
    assert set(READING.values()) <= ACTIONS
    assert ROLES["sender"] == {"record.write"}


def test_units_are_those_of_the_grants_without_those_restricted() -> None:
    both = person(Grant("operator", "so-xay-dung"), Grant("operator", "28001", "sand"), Grant("viewer", "28002"))
    assert POLICY.units(both, "incident.work") == {"so-xay-dung", "so-xay-dung-doi-1"}
    assert POLICY.units(both, "incident.work", "sand") == {"so-xay-dung", "so-xay-dung-doi-1", "28001"}
    assert POLICY.units(person(), "incident.work") == frozenset()
    assert POLICY.units(person(Grant("operator", "82")), "incident.work") is None
    closed = Policy(TREE, (), [Restriction("unit", "so-xay-dung"), Restriction("domain", "sand")])
    everywhere = person(Grant("operator", "82"))
    assert closed.units(everywhere, "incident.work") == {"", "82", "28001", "28002"}
    assert closed.units(everywhere, "incident.work", "sand") == frozenset()
    clear = person(Grant("operator", "82"), clearances=closed.restricted)
    assert closed.units(clear, "incident.work") is None


def test_a_person_is_known_by_login_and_their_clearance_ends_with_its_time() -> None:
    now = now_us()
    clear = [(7, "thing:cam-1", now + DAY_US), (7, "thing:cam-2", now - 1), (7, "domain:sand", None)]
    policy = Policy(TREE, [Who("lanh-dao", "person", 7, "82", (Grant("leader", "82"),))], [], clear)
    found = policy.person("lanh-dao")
    assert found is not None
    assert found == policy.person(7)
    assert found.clearances == {"thing:cam-1", "domain:sand"}
    assert policy.person("ai-do") is policy.person(8) is None
    assert policy.people_who("warning.approve", Subject("warning", ("28001",))) == [found]
    assert policy.people_with("leader", "") == [found]
    assert policy.people_with("leader", "28001") == []


def test_units_that_stand_in_a_circle_do_not_hang_anybody() -> None:
    policy = Policy({"a": "b", "b": "a", "82": ""})
    assert policy.below("a") == {"a", "b"}


async def _listed(
    store: Records, rows: list[dict[str, Any]], questions: list[tuple[Policy, Who, str]]
) -> list[set[int]]:
    async with store.engine.connect() as connection:
        await connection.run_sync(TABLE.create)
        await connection.execute(sa.insert(TABLE), rows)
        found = []
        for policy, who, action in questions:
            found.append(set(await connection.scalars(sa.select(C.id).where(policy.where(who, action, RESOURCE)))))
            count = sa.select(sa.func.count()).select_from(TABLE).where(policy.where(who, action, RESOURCE))
            assert await connection.scalar(count) == len(found[-1])
        await connection.rollback()
    return found


async def test_a_list_shows_just_the_records_that_are_allowed_one_by_one(either: Records) -> None:
    dice = random.Random(3)
    rows = make_records(dice, 200)
    people = [make_who(dice) for _ in range(200)]
    questions = [(make_policy(dice), who, make_action(dice, who)) for who in people]
    listed = await _listed(either, rows, questions)
    allowed = [
        {row["id"] for row in rows if policy.decide(who, action, subject_of(row)).allowed}
        for policy, who, action in questions
    ]
    assert listed == allowed
    assert any(0 < len(one) < 200 for one in listed)


@effort(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_list_and_single_answer_never_differ(dice: random.Random) -> None:
    rows = make_records(dice, 30)
    policy, who = make_policy(dice), make_who(dice)
    action = make_action(dice, who)
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        TABLE.create(connection)
        connection.execute(sa.insert(TABLE), rows)
        listed = set(connection.scalars(sa.select(C.id).where(policy.where(who, action, RESOURCE))))
    engine.dispose()
    assert listed == {row["id"] for row in rows if policy.decide(who, action, subject_of(row)).allowed}


@effort(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_units_are_just_those_whose_records_are_allowed(dice: random.Random) -> None:
    policy, who = make_policy(dice), make_who(dice)
    action = make_action(dice, who)
    reach = policy.units(who, action)
    for unit in ("", "82", "so-a", "so-a-1", "so-a-1-x", "28001", "28002", "28002-ap-1"):
        allowed = policy.decide(who, action, Subject("incident", (unit,), "\x00")).allowed
        assert (reach is None or unit in reach) is allowed, unit
