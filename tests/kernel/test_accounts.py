"""Passwords, waits after failures, one-time links, second factors: on both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import argon2
import pyotp
import pytest
import sqlalchemy as sa

from thap.kernel import passwords, second_factor
from thap.kernel.accounts import (
    Accounts,
    CodeNeededError,
    SignInError,
    WrongCodeError,
    credentials,
    first_administrator,
    link_identity,
    nobody_can_sign_in,
    one_time_link,
)
from thap.kernel.audit import audit
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.lockout import TooManyTriesError, sign_in_failures
from thap.kernel.passwords import check_rules, hash_password, is_right
from thap.kernel.policy import Policies, seed
from thap.kernel.policy.people import add_person, set_disabled
from thap.kernel.records import Records
from thap.kernel.sessions import Sessions
from thap.kernel.settings import SignInSettings

GOOD = "mùa nước nổi về sớm"
OTHER = "cánh đồng sen tháng tám"


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that takes little; what it costs in earnest is another test's."""
    if "in_earnest" not in request.node.name:
        monkeypatch.setattr(passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
        passwords._nobodys.cache_clear()


@pytest.fixture
async def person(either: Records) -> int:
    """`truc-ban`, without a password."""
    async with either.write() as connection:
        await seed(connection)
        return (await add_person(connection, "truc-ban", name="Trực ban")).id


@pytest.fixture
def accounts(either: Records) -> Accounts:
    return Accounts(either, SignInSettings(tries=3, first_wait_s=30, longest_wait_s=120))


@pytest.fixture
async def known(accounts: Accounts, person: int) -> AsyncIterator[int]:
    """`truc-ban`, with the password GOOD."""
    await accounts.set_password(person, GOOD, by="truc-ban")
    yield person


async def actions(records: Records) -> list[str]:
    async with records.read() as connection:
        return list(await connection.scalars(sa.select(audit.c.action).order_by(audit.c.id)))


# ---- passwords


@pytest.mark.parametrize(
    "bad",
    ["", "ngắn quá", "x" * 9, "y" * 201, "aaaaaaaaaaaa", "1234567890", "abcdefghijkl", "Password123!", "matkhau2026",
     "my truc-ban word", "QWERTYUIOP", "sáu chữ\x00 số bảy"],
)  # fmt: skip
def test_a_password_that_is_guessed_first_is_refused(bad: str) -> None:
    with pytest.raises(InputError) as raised:
        check_rules(bad, "truc-ban")
    assert raised.value.where == "password"


@pytest.mark.parametrize("good", [GOOD, "mười hai con vịt", "correct horse battery", "x9!kd-02jf"])
def test_words_in_a_row_are_a_good_password(good: str) -> None:
    check_rules(good, "truc-ban")


async def test_in_earnest_hashing_is_argon2id_and_takes_a_guesser_long() -> None:
    began = time.perf_counter()
    kept = await hash_password(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$") and time.perf_counter() - began > 0.01
    assert passwords.needs_new_hash(argon2.PasswordHasher(time_cost=1, memory_cost=1024).hash(GOOD))


async def test_letters_composed_and_with_marks_apart_are_the_same_password() -> None:
    kept = await hash_password("mười hai con vịt")
    assert kept.startswith("$argon2id$")
    assert await is_right(kept, "mu\u031bo\u031b\u0300i hai con vi\u0323t")
    assert not await is_right(kept, "muoi hai con vit")
    assert not await is_right("no hash at all", "x") and not await is_right(None, "nobody has this password")
    assert not await is_right(kept, "x" * 1_000_000) and not await is_right(kept, "\ud800" * 12)


# ---- signing in


async def test_the_right_password_signs_in_however_the_login_is_written(accounts: Accounts, known: int) -> None:
    for login in ("truc-ban", " Truc-Ban ", "TRUC-BAN"):
        assert (await accounts.sign_in(login, GOOD)).id == known


async def test_wrong_unknown_disabled_and_without_password_are_told_alike(
    accounts: Accounts, known: int, either: Records
) -> None:
    async with either.write() as connection:
        await add_person(connection, "khong-mat-khau")
        await add_person(connection, "da-nghi")
        await set_disabled(connection, "da-nghi")
        await connection.execute(
            sa.insert(credentials).values(
                person_id=(await add_person(connection, "nghi-viec")).id, password=await hash_password(GOOD)
            )
        )
        await set_disabled(connection, "nghi-viec")
    told = set()
    for login, password in (
        ("truc-ban", "wrong password"),
        ("nobody-here", GOOD),
        ("khong-mat-khau", ""),
        ("nghi-viec", GOOD),
        ("", ""),
        ("\x00", GOOD),
        ("x" * 500, GOOD),
    ):
        with pytest.raises(SignInError) as raised:
            await accounts.sign_in(login, password)
        told.add(str(raised.value))
    assert len(told) == 1


async def test_an_unknown_login_takes_as_long_as_a_wrong_password(accounts: Accounts, known: int) -> None:
    async def took(login: str) -> float:
        began = time.perf_counter()
        with pytest.raises((SignInError, TooManyTriesError)):
            await accounts.sign_in(login, "wrong password")
        return time.perf_counter() - began

    await took("warm-up")  # makes the hash that stands for nobody's
    real, unknown = await took("truc-ban"), await took("nobody-here")
    assert unknown > real / 4


async def test_failures_make_an_account_wait_longer_each_time_and_unknown_ones_too(
    accounts: Accounts, known: int, either: Records
) -> None:
    waits = []
    for login in ("truc-ban", "nobody-here"):
        for _ in range(3):
            with pytest.raises(SignInError):
                await accounts.sign_in(login, "wrong password")
        with pytest.raises(TooManyTriesError) as raised:
            await accounts.sign_in(login, GOOD)
        waits.append(raised.value.wait_s)
    assert waits == [30, 30] or all(28 <= wait <= 30 for wait in waits)
    for expected in (60, 120, 120):
        async with either.write() as connection:  # the wait is over
            await connection.execute(sa.update(sign_in_failures).values(until=0))
        with pytest.raises(SignInError):
            await accounts.sign_in("truc-ban", "wrong password")
        with pytest.raises(TooManyTriesError) as raised:
            await accounts.sign_in("truc-ban", GOOD)
        assert expected - 3 <= raised.value.wait_s <= expected
    assert (await actions(either)).count("sign_in.locked") == 5
    async with either.write() as connection:
        await connection.execute(sa.update(sign_in_failures).values(until=0))
    assert (await accounts.sign_in("truc-ban", GOOD)).id == known
    for _ in range(2):  # forgotten with the success
        with pytest.raises(SignInError):
            await accounts.sign_in("truc-ban", "wrong password")
    assert (await accounts.sign_in("truc-ban", GOOD)).id == known


async def test_guesses_at_once_are_no_more_guesses(accounts: Accounts, known: int) -> None:
    results = await asyncio.gather(
        *(accounts.sign_in("truc-ban", f"guess number {number}") for number in range(12)), return_exceptions=True
    )
    kinds = [type(result) for result in results]
    assert kinds.count(SignInError) == 3 and kinds.count(TooManyTriesError) == 9


async def test_an_address_waits_too_and_its_own_success_does_not_free_it(
    accounts: Accounts, known: int, either: Records
) -> None:
    for number in range(17):
        with pytest.raises(SignInError):
            await accounts.sign_in(f"login-{number}", "x", address="2001:db8::1")
    assert await accounts.sign_in("truc-ban", GOOD, address="2001:db8::2")  # the same network: 17 of 18 tries stay
    with pytest.raises(SignInError):
        await accounts.sign_in("login-18", "x", address="2001:db8::ffff")
    with pytest.raises(TooManyTriesError):
        await accounts.sign_in("truc-ban", GOOD, address="2001:db8::3")
    assert await accounts.sign_in("truc-ban", GOOD, address="2001:db8:1::1")


async def test_a_clock_set_back_prolongs_no_wait(accounts: Accounts, known: int, either: Records) -> None:
    for _ in range(3):
        with pytest.raises(SignInError):
            await accounts.sign_in("truc-ban", "wrong password")
    async with either.write() as connection:
        await connection.execute(sa.update(sign_in_failures).values(until=now_us() + 400 * HOUR_US))
    with pytest.raises(TooManyTriesError) as raised:
        await accounts.sign_in("truc-ban", GOOD)
    assert raised.value.wait_s <= 120


async def test_a_new_password_ends_sessions_and_links(accounts: Accounts, known: int, either: Records) -> None:
    sessions = Sessions(either, SignInSettings())
    async with either.write() as connection:
        kept, _ = await sessions.start(connection, person_id=known, method="password")
        _, other = await sessions.start(connection, person_id=known, method="password")
        link = await one_time_link(connection, known)
    await accounts.set_password(known, OTHER, by="truc-ban", keep=kept.id)
    sessions.changed()
    assert await sessions.check(other) is None
    assert [session.id for session in await sessions.of_person(known)] == [kept.id]
    with pytest.raises(SignInError):
        await accounts.redeem(link, GOOD)
    with pytest.raises(SignInError):
        await accounts.sign_in("truc-ban", GOOD)
    assert await accounts.sign_in("truc-ban", OTHER)


# ---- links


async def test_a_link_sets_a_password_once(accounts: Accounts, person: int, either: Records) -> None:
    async with either.write() as connection:
        assert await nobody_can_sign_in(connection)
        old = await one_time_link(connection, person, by="administrator")
        link = await one_time_link(connection, person, by="administrator")
    assert await accounts.login_of_link(link) == "truc-ban"
    with pytest.raises(InputError):
        await accounts.redeem(link, "short")
    results = await asyncio.gather(*(accounts.redeem(link, GOOD) for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    for over in (link, old, "", "guess", "\ud800"):
        with pytest.raises(SignInError):
            await accounts.redeem(over, OTHER)
    assert await accounts.sign_in("truc-ban", GOOD)
    assert (await actions(either)).count("link.used") == 1
    async with either.write() as connection:
        assert not await nobody_can_sign_in(connection)


async def test_a_link_ends_with_its_time_and_with_its_person(accounts: Accounts, person: int, either: Records) -> None:
    async with either.write() as connection:
        late = await one_time_link(connection, person, hours=-0.001)
    with pytest.raises(SignInError):
        await accounts.redeem(late, GOOD)
    async with either.write() as connection:
        link = await one_time_link(connection, person)
        await set_disabled(connection, "truc-ban")
    with pytest.raises(SignInError):
        await accounts.redeem(link, GOOD)


async def test_the_first_start_makes_one_administrator_and_no_later_one(either: Records) -> None:
    made = [link for link in await asyncio.gather(*(first_administrator(either) for _ in range(3))) if link]
    assert len(made) == 1 and await first_administrator(either) is None
    person = await Accounts(either, SignInSettings()).redeem(made[0], GOOD)
    who = (await Policies(either).current()).person(person.id)
    assert who is not None and [(grant.role, grant.unit) for grant in who.grants] == [("administrator", "82")]


# ---- second factor


async def switch_on(accounts: Accounts, person: int) -> tuple[str, list[str]]:
    secret = await accounts.begin_totp(person)
    return secret, await accounts.confirm_totp(person, pyotp.TOTP(secret).at(int(time.time()) - 30))


async def test_a_code_is_asked_taken_once_and_not_again(accounts: Accounts, known: int) -> None:
    with pytest.raises(ConflictError):
        await accounts.confirm_totp(known, "000000")
    secret = await accounts.begin_totp(known)
    assert await accounts.sign_in("truc-ban", GOOD)  # not in force before it is confirmed
    with pytest.raises(WrongCodeError):
        await accounts.confirm_totp(known, "abcdef")
    await accounts.confirm_totp(known, pyotp.TOTP(secret).at(int(time.time()) - 30))
    for _ in range(5):  # a missing code is no failure
        with pytest.raises(CodeNeededError):
            await accounts.sign_in("truc-ban", GOOD)
    with pytest.raises(SignInError) as raised:
        await accounts.sign_in("truc-ban", "wrong password")
    assert not isinstance(raised.value, CodeNeededError)
    code = pyotp.TOTP(secret).now()
    results = await asyncio.gather(
        *(accounts.sign_in("truc-ban", GOOD, code) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Person", "WrongCodeError"]
    with pytest.raises(ConflictError):
        await accounts.begin_totp(known)


async def test_old_early_and_odd_codes_are_refused() -> None:
    secret, now = second_factor.new_secret(), int(time.time())
    maker = pyotp.TOTP(secret)
    for moment in (now - 90, now + 90):
        assert second_factor.accepted_step(secret, maker.at(moment), 0) is None
    spaced = f"{maker.at(now)[:3]} {maker.at(now)[3:]}"
    assert second_factor.accepted_step(secret, spaced, 0) is not None
    for odd in ("", "12345", "1234567", "１２３４５６", "-12345", "+12345"):
        assert second_factor.accepted_step(secret, odd, 0) is None


async def test_a_recovery_code_works_once(accounts: Accounts, known: int, either: Records) -> None:
    _, codes = await switch_on(accounts, known)
    assert len(set(codes)) == 10 and await accounts.recovery_left(known) == 10
    assert await accounts.sign_in("truc-ban", GOOD, codes[3].upper().replace("-", " "))
    with pytest.raises(WrongCodeError):
        await accounts.sign_in("truc-ban", GOOD, codes[3])
    assert await accounts.recovery_left(known) == 9
    assert "recovery_code.used" in await actions(either)


async def test_wrong_codes_lead_to_a_wait_as_wrong_passwords_do(accounts: Accounts, known: int) -> None:
    await switch_on(accounts, known)
    for _ in range(3):
        with pytest.raises(WrongCodeError):
            await accounts.sign_in("truc-ban", GOOD, "not-a-code")
    with pytest.raises(TooManyTriesError):
        await accounts.sign_in("truc-ban", GOOD, "not-a-code")


async def test_a_link_asks_for_the_code_unless_it_is_for_who_lost_it(
    accounts: Accounts, known: int, either: Records
) -> None:
    _, codes = await switch_on(accounts, known)
    async with either.write() as connection:
        link = await one_time_link(connection, known)
    with pytest.raises(CodeNeededError):
        await accounts.redeem(link, OTHER)
    with pytest.raises(WrongCodeError):
        await accounts.redeem(link, OTHER, "000000")
    await accounts.redeem(link, OTHER, codes[0])
    async with either.write() as connection:
        lost = await one_time_link(connection, known, purpose="everything")
    await accounts.redeem(lost, GOOD)
    assert await accounts.sign_in("truc-ban", GOOD)
    assert await accounts.recovery_left(known) == 0


# ---- sessions and identities


async def test_a_session_ends_idle_old_and_told_so(either: Records, person: int) -> None:
    sessions = Sessions(either, SignInSettings(idle_hours=1, longest_hours=2))
    async with either.write() as connection:
        session, secret = await sessions.start(connection, person_id=person, method="password", agent="a" * 999)
        _, short = await sessions.start(connection, person_id=person, method="password", until=now_us() - 1)
        _, wall = await sessions.start(connection, token="man-hinh", method="token:x")
    assert (await sessions.check(secret)) is not None and await sessions.check(short) is None
    assert await sessions.check("") is None and await sessions.check("\ud800") is None
    table = sa.table("sessions", sa.column("id"), sa.column("seen"), sa.column("expires"), sa.column("token"))
    async with either.write() as connection:
        await connection.execute(sa.update(table).values(seen=now_us() - 2 * HOUR_US))
    sessions.changed()
    assert await sessions.check(secret) is None
    assert await sessions.check(wall) is not None  # screens on walls have no idle time
    async with either.write() as connection:
        await connection.execute(sa.update(table).values(seen=now_us() - 2 * HOUR_US // 3))
    sessions.changed()
    assert await sessions.check(secret) is not None
    await sessions.flush()
    found = (await sessions.of_person(person))[0]
    assert found.id == session.id and now_us() - found.seen < HOUR_US / 60
    await sessions.end(session.id, "signed out")
    assert await sessions.check(secret) is None and not await sessions.in_force(session.id)


async def test_an_identity_belongs_to_one_person(accounts: Accounts, known: int, either: Records) -> None:
    issuer = "https://issuer.example"
    async with either.write() as connection:
        other = (await add_person(connection, "lanh-dao")).id
        await link_identity(connection, known, issuer, "s-1", by="truc-ban")
        await link_identity(connection, known, issuer, "s-1", by="truc-ban")
        await link_identity(connection, other, issuer, "s-2", by="lanh-dao")
        with pytest.raises(ConflictError):
            await link_identity(connection, other, issuer, "s-1", by="lanh-dao")
        for bad in ("", "x" * 256):
            with pytest.raises(InputError):
                await link_identity(connection, other, issuer, bad, by="lanh-dao")
    found = await accounts.of_identity(issuer, "s-1")
    assert found is not None and found.id == known
    assert await accounts.of_identity(issuer, "s-3") is None
    await accounts.unlink(known, issuer, by="truc-ban")
    assert await accounts.of_identity(issuer, "s-1") is None
    with pytest.raises(ConflictError):  # nothing else lets them in
        await accounts.unlink(other, issuer, by="lanh-dao")
