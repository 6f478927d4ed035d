"""Notices: kept with what they tell of, sent once they can be, told to whom they are for.

Mail goes to a real SMTP server, webhooks to a real HTTP server, both on loopback.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, now_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.policy.people import add_person, grant
from thap.kernel.policy.seeding import seed
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, open_store
from thap.respond.duty.book import DutyBook
from thap.respond.duty.model import Shift
from thap.respond.notify import Address, Duty, Notice, Person, enqueue
from thap.respond.notify.carrier import Carrier, target
from thap.respond.notify.links import ExpiredLinkError, Links, Purpose
from thap.respond.notify.people import Channel, Preferences, put_preferences
from thap.respond.notify.records import (
    OutboxRows,
    attempts_of,
    deliveries_of,
    notice_rows,
    notices,
)
from thap.respond.notify.sending import Sender, after_quiet, centre_address
from thap.respond.notify.wording import LANGUAGES, PACKAGES, render

# Apprise imports what Python 3.13 no longer has; it has a substitute for it.
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")

TABLES = "notice_attempts, notice_deliveries, notices, notice_channels, notice_preferences, duty_shifts"


@dataclass
class Mailbox:
    """What came in by mail; `refuse` answers with a code instead."""

    port: int = 0
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    refuse: str = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuse:
            return self.refuse
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 taken"

    def texts(self) -> list[str]:
        found = []
        for _, mail in self.mails:
            body = mail.get_body(("plain", "html"))
            found.append(f"{mail['subject']}\n{body.get_content() if body else ''}")
        return found


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
    await server.wait_closed()


@dataclass
class Hook:
    """A service that is told by webhook."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    pause: threading.Event | None = None


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if made.pause is not None:
                made.pause.wait(10)
            if made.status == 200:
                made.bodies.append(body)
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    if made.pause is not None:
        made.pause.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    if not either.is_sqlite:
        async with either.write() as connection:
            await connection.execute(sa.text(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE"))
    made = open_store(either)
    yield made
    await made.close()


class Clock:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.us = now_us()

    def __call__(self) -> int:
        return self.us


MakeSender = Callable[..., Sender]


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sender(
    settings: Settings, either: Records, store: Store, clock: Clock, mailbox: Mailbox, hook: Hook
) -> AsyncIterator[Sender]:
    settings.notify.channels = {
        "email": SecretStr(f"mailto://127.0.0.1:{mailbox.port}/?from=thap@example.org&to={{address}}"),
        "hook": SecretStr(f"json://127.0.0.1:{hook.port}/{{address}}"),
    }
    settings.notify.address = "https://thap.example.org"
    made = Sender(settings, either, store, clock=clock)
    yield made
    await made.close()


async def put(store: Store, login: str, *channels: tuple[str, str], **more: Any) -> None:
    chosen = Preferences(login=login, channels=[Channel(channel=c, address=a) for c, a in channels], **more)
    await store.transact(lambda tx: put_preferences(tx, chosen, now_us()))


async def send(sender: Sender) -> None:
    """Until nothing is due."""
    for _ in range(50):
        busy = await sender.once()
        await sender.idle()
        if not busy:
            return
    raise AssertionError("there is no end to it")


async def told(store: Store, clock: Clock, *notices: Notice) -> list[int]:
    return await store.transact(lambda tx: enqueue(tx, notices, clock()))


# The outbox.


async def test_a_notice_is_kept_with_its_transaction_and_a_repeated_one_is_counted(
    either: Records, store: Store, clock: Clock
) -> None:
    some = [
        Notice(Person("truc-ban"), "test", {"tên": "trạm"}, dedup="a"),
        Notice(Duty("82", "operator"), "test", urgent=True),
        Notice(Address("email:ai@example.org", "en"), "test"),
    ]
    first = await told(store, clock, *some)
    again = await told(store, clock, *some)
    assert again[0] == first[0] and again[1] != first[1], "only the one with a key is a repeat"
    clock.us += 31 * MINUTE_US
    assert (await told(store, clock, some[0]))[0] not in (*first, *again), "half an hour later it is another"
    async with either.read() as connection:
        kept = {row["id"]: row for row in (await connection.execute(sa.select(notices))).mappings()}
    assert len(kept) == 6
    assert (kept[first[0]]["repeats"], kept[first[0]]["params"]) == (1, '{"tên":"trạm"}')


async def test_a_transaction_that_fails_tells_nobody(either: Records, store: Store) -> None:
    def work(tx: Any) -> None:
        enqueue(tx, [Notice(Person("truc-ban"), "test")])
        raise InputError("no")

    with pytest.raises(InputError):
        await store.transact(work)
    async with either.read() as connection:
        assert await notice_rows(connection) == []


async def test_twenty_at_once_with_one_key_are_one(either: Records, store: Store, clock: Clock) -> None:
    notice = Notice(Person("truc-ban"), "test", dedup="x")
    numbers = await asyncio.gather(*(told(store, clock, notice) for _ in range(20)))
    assert len({one[0] for one in numbers}) == 1
    async with either.read() as connection:
        assert [row["repeats"] for row in await notice_rows(connection)] == [19]


async def test_what_does_not_fit_is_refused_where_it_is_written(store: Store) -> None:
    for notice, words in (
        (Notice(Person("x" * 600), "test"), "to_name"),
        (Notice(Person("a"), "t" * 65), "template"),
        (Notice(Person("a"), "test", {"x": object()}), "JSON"),
    ):
        with pytest.raises(InputError, match=words):
            await store.transact(lambda tx, one=notice: enqueue(tx, [one]))


# Sending.


async def test_a_person_gets_mail_in_their_language_and_the_log_says_so(
    either: Records, store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    await put(store, "truc-ban", ("email", "truc-ban@example.org"))
    await put(store, "truong-ca", ("email", "ca@example.org"), language="en")
    [number, _] = await told(store, clock, Notice(Person("truc-ban"), "test"), Notice(Person("truong-ca"), "test"))
    await send(sender)
    assert sorted(to[0] for to, _ in mailbox.mails) == ["ca@example.org", "truc-ban@example.org"]
    assert {str(mail["subject"]) for _, mail in mailbox.mails} == {"Thử thông báo", "Test of notices"}
    async with either.read() as connection:
        [delivery] = await deliveries_of(connection, number)
        [attempt] = await attempts_of(connection, number)
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("sent", 1, "")
    assert bool(attempt["ok"]) and attempt["took_ms"] >= 0


async def test_after_the_part_failed_and_was_begun_again_it_sends(
    store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    await put(store, "truc-ban", ("email", "truc-ban@example.org"))
    for number in (1, 2):
        await told(store, clock, Notice(Person("truc-ban"), "test"))
        running = asyncio.create_task(sender.run())
        try:
            async with asyncio.timeout(10):
                while len(mailbox.mails) < number:
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_whoever_is_on_duty_is_told_and_an_address_too(
    either: Records, store: Store, clock: Clock, sender: Sender, mailbox: Mailbox, hook: Hook
) -> None:
    await put(store, "truc-ban", ("email", "truc-ban@example.org"), ("hook", "truc ban/1"))
    shift = Shift(unit="82", role="operator", login="truc-ban", start=clock() - HOUR_US, until=clock() + HOUR_US)
    await DutyBook(either, store).add_shift(shift, "lanh-dao")
    await told(
        store,
        clock,
        Notice(Duty("82", "operator"), "test", dedup="k"),
        Notice(Duty("82"), "test", dedup="k"),
        Notice(Address(f"json://127.0.0.1:{hook.port}/raw"), "test"),
        Notice(Address("email:ai@example.org", "en"), "test"),
    )
    await send(sender)
    assert sorted(to[0] for to, _ in mailbox.mails) == ["ai@example.org", "truc-ban@example.org"]
    assert [body["title"] for body in hook.bodies] == ["Thử thông báo"] * 2, "one key reaches an address once"


async def test_where_nobody_is_on_duty_who_has_the_role_is_told_else_the_province(
    either: Records, store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    for login in ("truc-tinh", "xa", "khong-kenh"):
        await put(store, login, *([("email", f"{login}@example.org")] if login != "khong-kenh" else []))
    duty = DutyBook(either, store)
    for unit, role, login in (("82", "operator", "truc-tinh"), ("30259", "leader", "khong-kenh")):
        shift = Shift(unit=unit, role=role, login=login, start=clock() - HOUR_US, until=clock() + HOUR_US)
        await duty.add_shift(shift, "lanh-dao")
    async with either.write() as connection:
        await seed(connection)
        await add_person(connection, "xa", by="x")
        await grant(connection, "xa", "leader", unit="29869", by="x")
    for unit in ("29869", "30259"):
        await told(store, clock, Notice(Duty(unit, "leader"), "test"))
        await send(sender)
    assert [to[0] for to, _ in mailbox.mails] == ["xa@example.org", "truc-tinh@example.org"]


async def test_nobody_on_duty_is_written_down(either: Records, store: Store, clock: Clock, sender: Sender) -> None:
    await told(store, clock, Notice(Duty("82", "operator"), "test"), Notice(Person("khong-kenh"), "test"))
    await send(sender)
    async with either.read() as connection:
        assert [row["state"] for row in await notice_rows(connection)] == ["unreachable"] * 2


async def test_what_fails_is_tried_again_later_and_later_and_given_up_at_last(
    either: Records, store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    mailbox.refuse = "451 not now"
    await put(store, "truc-ban", ("email", "truc-ban@example.org"))
    [number] = await told(store, clock, Notice(Person("truc-ban"), "test"))
    waits = []
    for _ in range(4):
        await send(sender)
        async with either.read() as connection:
            [delivery] = await deliveries_of(connection, number)
        assert delivery["state"] == "waiting" and "email" in delivery["error"]
        waits.append(delivery["due"] - clock())
        clock.us = delivery["due"]
    assert all(later > 1.2 * before for before, later in pairwise(waits)), waits
    mailbox.refuse = ""
    await send(sender)
    async with either.read() as connection:
        [delivery] = await deliveries_of(connection, number)
        tried = [bool(row["ok"]) for row in await attempts_of(connection, number)]
    assert delivery["state"] == "sent" and tried == [False] * 4 + [True] and len(mailbox.mails) == 1
    mailbox.refuse = "451 not now"
    [number] = await told(store, clock, Notice(Person("truc-ban"), "test"))
    await send(sender)
    clock.us += DAY_US
    await send(sender)
    async with either.read() as connection:
        [delivery] = await deliveries_of(connection, number)
    assert (delivery["state"], delivery["attempts"]) == ("failed", 2)


async def test_a_channel_that_is_none_fails_at_once_with_the_reason(
    either: Records, store: Store, clock: Clock, sender: Sender
) -> None:
    await put(store, "a", ("zalo", "0900"))
    await put(store, "b", ("email", "not an address"))
    await told(
        store,
        clock,
        Notice(Person("a"), "test"),
        Notice(Person("b"), "test"),
        Notice(Address("nonsense://x"), "test"),
        Notice(Address("nonsense"), "test"),
    )
    await send(sender)
    async with either.read() as connection:
        found = [(await deliveries_of(connection, number))[0] for number in range(1, 5)]
    assert {one["state"] for one in found} == {"failed"}
    assert "no channel 'zalo'" in found[0]["error"] and "no e-mail address" in found[1]["error"]


async def test_a_flood_is_one_digest(store: Store, clock: Clock, sender: Sender, mailbox: Mailbox) -> None:
    sender._notify.rate = 3
    await put(store, "truc-ban", ("email", "truc-ban@example.org"))
    for index in range(3):
        await told(store, clock, Notice(Person("truc-ban"), "test", {"n": index}))
        await send(sender)
    assert len(mailbox.mails) == 3
    for index in range(5):
        await told(store, clock, Notice(Person("truc-ban"), "test", {"n": index}))
        await send(sender)
        clock.us += SECOND_US
    assert len(mailbox.mails) == 3, "the fourth and those after it gather"
    clock.us += 5 * MINUTE_US
    await send(sender)
    assert len(mailbox.mails) == 4
    assert "(5 lần)" in mailbox.texts()[3]
    clock.us += 20 * MINUTE_US
    await told(store, clock, *(Notice(Person("truc-ban"), "test", {"n": n}, urgent=True) for n in range(250)))
    await send(sender)
    assert len(mailbox.mails) == 5, "two hundred and fifty at once are one message"


async def test_what_is_under_way_counts_too(
    either: Records, store: Store, sender: Sender, clock: Clock, hook: Hook
) -> None:
    sender._notify.rate = 3
    hook.pause = threading.Event()
    await put(store, "truc-ban", ("hook", "x"))
    for _ in range(2):  # the second look comes while nothing of the first has been taken by the service
        await told(store, clock, *(Notice(Person("truc-ban"), "test", {"n": n}) for n in range(3)))
        await sender.once()
    async with either.read() as connection:
        found = [d["state"] for number in range(1, 7) for d in await deliveries_of(connection, number)]
    assert found == ["sending"] * 3 + ["held"] * 3
    hook.pause.set()
    await sender.idle()
    assert len(hook.bodies) == 3


async def test_quiet_hours_hold_back_all_but_what_is_urgent(
    store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    clock.us = parse_time_us("2026-11-22T23:30:00+07:00")
    await put(store, "truc-ban", ("email", "truc-ban@example.org"), quiet_from=22 * 60, quiet_until=6 * 60)
    await told(store, clock, Notice(Person("truc-ban"), "test"), Notice(Person("truc-ban"), "test", urgent=True))
    await send(sender)
    assert len(mailbox.mails) == 1
    clock.us = parse_time_us("2026-11-23T05:59:59+07:00")
    await send(sender)
    assert len(mailbox.mails) == 1
    clock.us += SECOND_US
    await send(sender)
    assert len(mailbox.mails) == 2


@pytest.mark.parametrize(
    ("at", "low", "high", "until"),
    [
        ("12:00", 22 * 60, 6 * 60, "12:00"),
        ("22:00", 22 * 60, 6 * 60, "30:00"),
        ("05:59", 22 * 60, 6 * 60, "06:00"),
        ("06:00", 22 * 60, 6 * 60, "06:00"),
        ("13:00", 12 * 60, 13 * 60 + 30, "13:30"),
        ("13:30", 12 * 60, 13 * 60 + 30, "13:30"),
        ("03:00", None, None, "03:00"),
        ("03:00", 0, 0, "03:00"),
    ],
)
def test_quiet_hours_end_when_they_say(at: str, low: int | None, high: int | None, until: str) -> None:
    midnight = parse_time_us("2026-11-22T00:00:00+07:00")

    def moment(text: str) -> int:
        hours, minutes = text.split(":")
        return midnight + int(hours) * HOUR_US + int(minutes) * MINUTE_US

    chosen = Preferences(login="a", quiet_from=low, quiet_until=high)
    assert after_quiet(chosen, moment(at)) == moment(until)


async def test_what_a_killed_process_had_claimed_is_sent_by_the_next(
    settings: Settings, either: Records, store: Store, clock: Clock, sender: Sender, hook: Hook
) -> None:
    hook.pause = threading.Event()
    await put(store, "a", ("hook", "x"))
    [number] = await told(store, clock, Notice(Person("a"), "test"))
    await sender.once()
    async with either.read() as connection:
        assert [row["state"] for row in await deliveries_of(connection, number)] == ["sending"]
    other = Sender(settings, either, store, clock=clock)
    assert not await other.once(), "a claim keeps others away"
    for task in sender._sending:
        task.cancel()
    hook.pause.set()
    clock.us += HOUR_US
    await send(other)
    async with either.read() as connection:
        assert [row["state"] for row in await deliveries_of(connection, number)] == ["sent"]
    await other.close()


async def test_what_waits_for_its_time_is_no_standstill(
    store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    clock.us = parse_time_us("2026-11-20T23:00:00+07:00")
    await put(store, "truc-ban", ("email", "truc-ban@example.org"), quiet_from=22 * 60, quiet_until=6 * 60)
    await told(store, clock, Notice(Person("truc-ban"), "test"))
    while await sender.once():
        await sender.idle()
    stats = sender.stats()
    assert (stats["lag"], stats["holding"], mailbox.mails) == (0, False, [])
    clock.us += 8 * HOUR_US
    assert await sender.once()
    assert (sender.stats()["lag"], sender.stats()["holding"]) == (1, True)  # it is in hand
    while await sender.once():
        await sender.idle()
    await sender.idle()
    assert (sender.stats()["lag"], sender.stats()["seq"]) == (0, 1)


async def test_a_slow_service_holds_nobody_else_up(
    store: Store, clock: Clock, sender: Sender, hook: Hook, mailbox: Mailbox
) -> None:
    hook.pause = threading.Event()
    await put(store, "cham", ("hook", "x"))
    await put(store, "nhanh", ("email", "nhanh@example.org"))
    await told(store, clock, Notice(Person("cham"), "test"))
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(5):
        while not sender._sending:
            await asyncio.sleep(0.01)
        await told(store, clock, Notice(Person("nhanh"), "test"))
        while not mailbox.mails:
            await asyncio.sleep(0.01)
    assert not hook.bodies
    hook.pause.set()
    async with asyncio.timeout(5):
        while not hook.bodies:
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sender.stats()["total"] == 2


async def test_the_log_is_forgotten_in_time_and_an_address_on_request(
    either: Records, store: Store, clock: Clock, sender: Sender, mailbox: Mailbox
) -> None:
    [first] = await told(store, clock, Notice(Address("email:dan@example.org"), "other", {"phone": "0900"}))
    await send(sender)
    await store.transact(lambda tx: OutboxRows(tx).erase("dan@example.org", "email:dan@example.org"))
    async with either.read() as connection:
        [row] = await notice_rows(connection)
        [delivery] = await deliveries_of(connection, first)
    assert (row["to_name"], row["params"], delivery["address"]) == ("", "{}", "")
    clock.us += 400 * DAY_US
    sender._next_prune = 0
    await told(store, clock, Notice(Person("a"), "test"))
    await send(sender)
    async with either.read() as connection:
        assert [row["id"] for row in await notice_rows(connection)] == [first + 1]
        assert await attempts_of(connection, first) == []


# Words.


def test_every_template_says_the_same_in_both_languages() -> None:
    import tomllib
    from importlib.resources import files

    for package in PACKAGES:
        found = []
        for language in LANGUAGES:
            try:
                path = files(package) / "messages" / f"notices.{language}.toml"
            except ModuleNotFoundError:
                continue
            if path.is_file():
                body = tomllib.loads(path.read_text("utf-8"))
                words = {name: sorted(table) for name, table in body.items() if name != "words"}
                assert all(table == ["body", "title"] for table in words.values()), package
                found.append(words)
        assert not found or (len(found) == 2 and found[0] == found[1]), package


def test_a_template_without_words_is_still_told() -> None:
    title, body = render("no.such", "vi", {"n": 1})
    assert title == "Thông báo: no.such" and "n: 1" in body


def test_words_cannot_run_what_a_title_holds() -> None:
    params = {"incident": 1, "title": "{{ 7 * 7 }}\nBcc: x", "severity": 4, "waited_us": 90 * MINUTE_US, "url": "u"}
    title, body = render("escalation.step", "en", {**params, "opened": 0, "commune": "", "ack": ""})
    assert title == "[Critical] {{ 7 * 7 }} Bcc: x" and "after 1 h 30 min" in body


# Links.


def test_a_link_says_for_whom_and_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    links, other = Links(settings), Links(settings)
    path = links.make(Purpose(12, 3, "truc-ban"))
    token = path.removeprefix("/a/")
    assert path.startswith("/a/") and other.read(token) == Purpose(12, 3, "truc-ban")
    secret = settings.run_dir / "links.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    for bad in ("", "x", token[:-1], token + "a", "a" * 600, token.replace(".", "..", 1)):
        with pytest.raises(InputError):
            links.read(bad)
    settings.notify.link_hours = 1e-3
    import time

    later = time.time() + 50
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(ExpiredLinkError):
        links.read(token)


def test_many_processes_make_one_secret(settings: Settings) -> None:
    tokens: list[str] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(Links(settings).make(Purpose(1, 1, "a")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = Links(settings)
    assert all(reader.read(token.removeprefix("/a/")) == Purpose(1, 1, "a") for token in tokens)
    assert len(tokens) == 8 and list(settings.run_dir.iterdir()) == [settings.run_dir / "links.secret"]


def test_addresses_are_quoted_into_a_channel(settings: Settings) -> None:
    settings.notify.channels = {
        "t": SecretStr("tgram://1:x/{address}"),
        "email": SecretStr("mailtos://s/?to={address}"),
    }
    assert target(settings.notify, "t", "a/b?c&d") == "tgram://1:x/a%2Fb%3Fc%26d"
    with pytest.raises(InputError):
        target(settings.notify, "email", "a@b.c,d@e.f")
    assert centre_address(settings) == "http://127.0.0.1"


async def test_a_channel_of_files_keeps_messages_on_the_machine(settings: Settings) -> None:
    settings.notify.channels = {"email": SecretStr(f"file://{settings.data}/told/{{address}}.txt")}
    carrier = Carrier(settings.notify)
    for title in ("Một", "Hai"):
        assert (await carrier.send("email", "truc-ban@demo.invalid", title, "Nội dung")).ok
    assert (await carrier.send("email", "../../away", "Ba", "Nội dung")).ok  # stays in the folder
    outcome = await carrier.send("email", "x" * 300, "Bốn", "Nội dung")
    assert not outcome.ok and "told" in outcome.error
    carrier.close()
    told = {file.name: file.read_text() for file in (settings.data / "told").iterdir()}
    assert told == {
        "truc-ban%40demo.invalid.txt": "Một\nNội dung\n\nHai\nNội dung\n\n",
        "..%2F..%2Faway.txt": "Ba\nNội dung\n\n",
    }


async def test_apprise_is_loaded_with_the_first_message_only(settings: Settings) -> None:
    import subprocess
    import sys

    code = "import sys, thap.respond.notify.sending as s; s.Carrier; assert 'apprise' not in sys.modules"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    Carrier(settings.notify).close()
