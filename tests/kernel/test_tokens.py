"""Tokens: made once, shown once, checked without a statement each, revoked for good."""

from __future__ import annotations

import json
import time
from pathlib import Path

import bcrypt
import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.bus import Bus
from thap.kernel.clock import SECOND_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, UnauthenticatedError
from thap.kernel.nats import NatsServer
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tokens import (
    LOCAL,
    SCOPES,
    Token,
    Tokens,
    create_token,
    granted,
    list_tokens,
    mqtt_users,
    revoke_token,
    tokens,
)


async def test_a_secret_is_kept_only_as_a_hash(records: Records) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "tram", ["write"])
        _, password = await create_token(connection, "may-bom", ["write"], kind="mqtt")
    async with records.read() as connection:
        stored = repr((await connection.execute(tokens.select())).all())
    assert len(secret) >= 43 and secret not in stored and password not in stored


async def test_a_token_is_found_by_its_secret_and_by_no_other(records: Records) -> None:
    async with records.write() as connection:
        made, secret = await create_token(connection, "tram", ["write"], things=["tram-*"], created_by="an")
    checker = Tokens(records)
    found = await checker.check(secret)
    assert (found.name, found.scopes, found.things, found.created_by) == ("tram", {"write"}, ("tram-*",), "an")
    assert found.created == made.created
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "\udcff", "å" * 50):
        with pytest.raises(UnauthenticatedError, match="not known"):
            await checker.check(wrong)


async def test_a_revoked_token_ends_at_once_where_the_change_is_heard(records: Records) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "tram", ["write"])
    checker = Tokens(records)
    await checker.check(secret)
    async with records.write() as connection:
        await revoke_token(connection, "tram")
    checker.changed()
    with pytest.raises(UnauthenticatedError):
        await checker.check(secret)
    async with records.write() as connection:
        with pytest.raises(NotFoundError):
            await revoke_token(connection, "tram")


async def test_an_expired_token_is_refused_and_says_so(records: Records) -> None:
    end = now_us() + SECOND_US // 10
    async with records.write() as connection:
        _, secret = await create_token(connection, "khach", ["read"], expires=end)
        await create_token(connection, "bom", ["write"], kind="mqtt", expires=end)
        assert [user.name for user in await mqtt_users(connection)] == ["bom"]
    checker = Tokens(records)
    deadline = time.monotonic() + 30
    with pytest.raises(UnauthenticatedError, match="expired"):
        while time.monotonic() < deadline:
            await checker.check(secret)
    async with records.read() as connection:
        assert await mqtt_users(connection) == []


async def test_a_name_is_unique_among_tokens_in_force_and_free_again_after_revocation(records: Records) -> None:
    async with records.write() as connection:
        await create_token(connection, "tram", ["write"])
    with pytest.raises(ConflictError, match="exists"):
        async with records.write() as connection:
            await create_token(connection, "tram", ["read"])
    async with records.write() as connection:
        await revoke_token(connection, "tram")
        await create_token(connection, "tram", ["read"])
    async with records.read() as connection:
        assert [token.scopes for token in await list_tokens(connection)] == [{"read"}]
        assert len(await list_tokens(connection, revoked=True)) == 2


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"name": "có dấu"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires": 1}, "expires"),
        ({"things": [""]}, "things"),
        ({"kind": "mqtt", "scopes": ["read"]}, "scopes"),
        ({"kind": "mqtt", "things": ["tram-*"]}, "things"),
        ({"kind": "ftp"}, "kind"),
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(
    records: Records, arguments: dict[str, object], where: str
) -> None:
    async with records.write() as connection:
        with pytest.raises(InputError) as caught:
            await create_token(connection, **{"name": "tram", "scopes": ["write"], **arguments})  # type: ignore[arg-type]
    assert caught.value.where == where


@pytest.mark.parametrize("name", [LOCAL, "thap"])
async def test_names_of_the_centre_itself_are_not_given_away(records: Records, name: str) -> None:
    async with records.write() as connection:
        with pytest.raises(ConflictError):
            await create_token(connection, name, ["write"], kind="mqtt")


@given(st.sets(st.sampled_from(sorted(SCOPES)), min_size=1))
def test_scopes_imply_no_more_than_they_say(scopes: set[str]) -> None:
    grant = granted(scopes)
    assert scopes <= grant
    assert granted(grant) == grant
    assert ("admin" in grant) == ("admin" in scopes)
    assert ("write" in grant) == bool(scopes & {"write", "admin"})


def test_a_pattern_limits_what_a_token_may_write() -> None:
    limited = Token("t", "api", granted(["write"]), ("tram-*", "bom-1/level", "mmsi-574*"))
    assert all(limited.may_write(key) for key in ("tram-01/level", "tram-", "bom-1/level", "mmsi-574000001"))
    assert not any(limited.may_write(key) for key in ("bom-1/power", "mmsi-1", "xtram-01/level", "", "a/tram-01"))
    assert Token("t", "api", granted(["write"])).may_write("anything/at-all")


async def test_the_local_token_follows_its_file(records: Records, tmp_path: Path) -> None:
    file = tmp_path / "centre.json"
    checker = Tokens(records, file)
    with pytest.raises(UnauthenticatedError):
        await checker.check("first")
    file.write_text(json.dumps({"token": "first"}))
    assert (await checker.check("first")).scopes == SCOPES["admin"]
    replacement = tmp_path / "new.json"
    replacement.write_text(json.dumps({"token": "second"}))
    replacement.replace(file)
    assert (await checker.check("second")).name == LOCAL
    with pytest.raises(UnauthenticatedError):
        await checker.check("first")
    file.write_text("half a fi")
    with pytest.raises(UnauthenticatedError):
        await checker.check("half a fi")


async def test_an_empty_local_token_opens_nothing(records: Records, tmp_path: Path) -> None:
    file = tmp_path / "centre.json"
    file.write_text('{"token": ""}')
    with pytest.raises(UnauthenticatedError):
        await Tokens(records, file).check("")


async def test_use_is_counted_and_written_down(records: Records) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "tram", ["write"])
    checker = Tokens(records)
    token = await checker.check(secret)
    for _ in range(3):
        checker.count(token, accepted=10, refused=1)
    await checker.flush()
    await checker.flush()
    async with records.read() as connection:
        (kept,) = await list_tokens(connection)
    assert (kept.requests, kept.accepted, kept.refused) == (3, 30, 3)
    assert kept.last_used is not None and abs(kept.last_used - now_us()) < 60 * SECOND_US


async def test_mqtt_passwords_are_bcrypt_hashes(records: Records) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "bom", ["write"], kind="mqtt", things=["bom-1", "a.b"])
        (user,) = await mqtt_users(connection)
    assert bcrypt.checkpw(secret.encode(), user.password_hash.encode())
    assert user.publish == ("thap.v1.bom-1.>", "thap.v1.a//b.>")
    with pytest.raises(UnauthenticatedError):
        await Tokens(records).check(secret)


def _connect(port: int, user: str, password: str) -> tuple[mqtt.Client, int]:
    answers: list[int] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"test-{user}", protocol=mqtt.MQTTv311)
    client.username_pw_set(user, password)
    client.on_connect = lambda *arguments: answers.append(arguments[3].value)
    client.connect("127.0.0.1", port)
    _until(client, lambda: bool(answers))
    return client, answers[0] if answers else -1


def _until(client: mqtt.Client, happened: object, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not happened() and time.monotonic() < deadline:  # type: ignore[operator]
        client.loop(0.05)


async def test_the_mqtt_server_lets_an_account_write_its_own_things_only(
    settings: Settings, records: Records, bus: Bus, nats_server: NatsServer
) -> None:
    async with records.write() as connection:
        _, secret = await create_token(connection, "bom", ["write"], kind="mqtt", things=["bom-1", "a.b"])
        nats_server.set_mqtt_users(await mqtt_users(connection))
    await bus.client.flush()
    deadline = time.monotonic() + 30
    code = -1
    while code != 0 and time.monotonic() < deadline:
        client, code = _connect(nats_server.mqtt_port, "bom", secret)
    assert code == 0
    _, refused = _connect(nats_server.mqtt_port, "bom", "guess")
    assert refused != 0
    for topic in ("thap/v1/bom-1/level", "thap/v1/bom-2/level", "thap/v1/a.b/level"):
        sent = client.publish(topic, "1", qos=1)
        _until(client, sent.is_published, 2)
        if not client.is_connected():
            client, _ = _connect(nats_server.mqtt_port, "bom", secret)
    subjects = []
    async for entries in bus.read("$MQTT_msgs", 0, stop_at_end=True):
        subjects += [entry.subject for entry in entries]
    assert subjects == ["$MQTT.msgs.thap.v1.bom-1.level", "$MQTT.msgs.thap.v1.a//b.level"]
