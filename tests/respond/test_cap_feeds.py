"""Others' feeds become alarms, and what is wrong with one costs only what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.respond.feed_server import Answer, Server, serving

from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us
from thap.kernel.errors import UnavailableError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import open_store
from thap.respond.alarm import Alarm, AlarmFilter
from thap.respond.book import AlarmBook
from thap.respond.parts import Context
from thap.respond.warnings.cap import Alert, Area, Circle, Info
from thap.respond.warnings.document import to_bytes, write
from thap.respond.warnings.feeds import SILENT, Feeds
from thap.respond.warnings.records import cap_feeds, cap_messages, warning_pushes, warning_subscribers, warnings
from thap.respond.warnings.signing import open_signer, sign

NEAR = (Circle(105.63, 10.45, 20.0),)
FAR = (Circle(-120.0, 38.0, 20.0),)
NOW = now_us() // SECOND_US * SECOND_US


def alert(identifier: str = "KT.1", minute: int = 0, **more: Any) -> Alert:
    """An alert about a storm over the province; `info` fields may be given as such."""
    said = {name: more.pop(name) for name in list(more) if name in Info.__struct_fields__}
    circles = more.pop("circles", NEAR)
    area = Area(description="Đồng Tháp", circles=circles)
    info = Info(
        **{
            "language": "vi-VN",
            "event": "Dông, lốc",
            "headline": "Dông mạnh",
            "severity": "Severe",
            "expires": NOW + 3 * HOUR_US,
            "areas": (area,),
            **said,
        }
    )
    base: dict[str, Any] = {
        "identifier": identifier,
        "sender": "dai@kttv",
        "sent": NOW + (minute - 60) * 60 * SECOND_US,
    }
    return Alert(**base, **{"infos": (info,), **more})


def body(one: Alert) -> bytes:
    return to_bytes(write(one))


def atom(*entries: str) -> bytes:
    inside = "".join(entries)
    return f'<feed xmlns="http://www.w3.org/2005/Atom"><id>x</id>{inside}</feed>'.encode()


def entry(path: str, updated: str = "1") -> str:
    return (
        f"<entry><id>{path}</id><updated>{updated}</updated>"
        f'<link rel="alternate" type="text/html" href="/page"/><link type="application/cap+xml" href="{path}"/></entry>'
    )


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as made:
        yield made


@pytest.fixture
async def reader(settings: Settings, records: Records, bus: Bus) -> AsyncIterator[Feeds]:
    store = open_store(records)
    made = Feeds(Context(settings, records, bus, store))
    yield made
    await made.close()
    await store.close()


@pytest.fixture
def alarms(reader: Feeds) -> AlarmBook:
    return reader._alarms


async def follow(records: Records, url: str, name: str = "kttv") -> None:
    async with records.write() as connection:
        await connection.execute(
            sa.insert(cap_feeds).values(
                name=name,
                url=url,
                domain="water",
                language="vi-VN",
                hosts="",
                every_s=60,
                enabled=True,
                etag="",
                modified="",
                due=0,
                failures=0,
                error="",
                created=1,
                created_by="x",
            )
        )


async def the_feed(records: Records, name: str = "kttv") -> Any:
    async with records.read() as connection:
        return (await connection.execute(sa.select(cap_feeds).where(cap_feeds.c.name == name))).mappings().one()


async def states(records: Records) -> dict[str, str]:
    async with records.read() as connection:
        rows = await connection.execute(sa.select(cap_messages.c.identifier, cap_messages.c.state))
        return {row.identifier: row.state for row in rows}


async def active(alarms: AlarmBook) -> list[Alarm]:
    return (await alarms.list(AlarmFilter(active=True))).items


async def test_after_the_part_failed_and_was_begun_again_it_reads(
    reader: Feeds, records: Records, server: Server
) -> None:
    server.answers = {f"/{name}": Answer(atom()) for name in ("one", "two")}
    for name in server.answers.copy():
        await follow(records, server.url(name), name.strip("/"))
        running = asyncio.create_task(reader.run())
        try:
            async with asyncio.timeout(10):
                while (await the_feed(records, name.strip("/")))["visited"] is None:
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert (await the_feed(records, name.strip("/")))["error"] == ""


async def test_an_alert_becomes_an_alarm_that_a_cancellation_clears(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    first = alert()
    server.answers = {"/feed": Answer(atom(entry("/1.xml"))), "/1.xml": Answer(body(first))}
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    [raised] = await active(alarms)
    assert (raised.source, raised.condition, raised.severity, raised.domain) == ("kttv/KT.1", "cap.warning", 3, "water")
    assert raised.raised == first.sent and raised.evidence["headline"] == "Dông mạnh"
    assert raised.evidence["signature"] == "none" and raised.lon == pytest.approx(105.63, abs=0.2)
    cancel = alert("KT.2", 5, message_type="Cancel", references=(first.reference,))
    server.answers["/feed"] = Answer(atom(entry("/1.xml"), entry("/2.xml")))
    server.answers["/2.xml"] = Answer(body(cancel))
    await reader.turn(NOW + 61 * SECOND_US)
    assert await active(alarms) == [] and await states(records) == {"KT.1": "cancelled", "KT.2": "cancelled"}
    assert [request.path for request in server.asked] == ["/feed", "/1.xml", "/feed", "/2.xml"], "none is read twice"


async def test_updates_escalate_and_downgrade_one_alarm(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    chain = [alert()]
    await follow(records, server.url("/feed"))
    seen = []
    for number, level in enumerate(("Severe", "Extreme", "Minor", "Minor")):
        if number:
            references = tuple(one.reference for one in chain)
            chain.append(
                alert(f"KT.{number + 1}", number, message_type="Update", references=references, severity=level)
            )
        server.answers["/feed"] = Answer(body(chain[-1]))
        await reader.turn(NOW + number * 61 * SECOND_US)
        [one] = await active(alarms)
        seen.append((one.id, one.severity))
    assert seen == [(1, 3), (1, 4), (1, 1), (1, 1)]


async def test_messages_read_in_the_wrong_order_end_where_the_sender_meant(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    first = alert()
    second = alert("KT.2", 1, message_type="Update", references=(first.reference,), severity="Extreme")
    third = alert("KT.3", 2, message_type="Cancel", references=(first.reference, second.reference))
    await follow(records, server.url("/feed"))
    for number, one in enumerate((third, second, first)):
        server.answers["/feed"] = Answer(body(one))
        await reader.turn(NOW + number * 61 * SECOND_US)
    assert await active(alarms) == []
    assert await states(records) == {"KT.1": "cancelled", "KT.2": "cancelled", "KT.3": "cancelled"}


async def test_an_alert_ends_by_itself_and_one_that_came_too_late_is_none(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    server.answers["/feed"] = Answer(body(alert()))
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    assert len(await active(alarms)) == 1
    await reader.turn(NOW + 3 * HOUR_US + 1)
    [ended] = (await alarms.list()).items
    assert not ended.active and ended.cleared == NOW + 3 * HOUR_US
    server.answers["/feed"] = Answer(body(alert("KT.9")))
    await reader.turn(NOW + DAY_US)
    assert (await states(records))["KT.9"] == "expired" and await active(alarms) == []


async def test_what_does_not_concern_the_province_is_kept_but_is_no_alarm(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "drill": ({"status": "Exercise"}, "ignored"),
        "test": ({"status": "Test"}, "ignored"),
        "ack": ({"message_type": "Ack"}, "ignored"),
        "far": ({"circles": FAR}, "distant"),
        "clear": ({"responses": ("AllClear",)}, "cancelled"),
    }
    server.answers = {f"/{name}": Answer(body(alert(name, **more))) for name, (more, _) in kinds.items()}
    server.answers["/feed"] = Answer(atom(*(entry(f"/{name}") for name in kinds)))
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    assert await states(records) == {name: state for name, (_, state) in kinds.items()}
    assert await active(alarms) == []


async def test_an_exercise_cannot_end_a_real_warning(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    first = alert()
    drill = alert("KT.2", 1, status="Exercise", message_type="Cancel", references=(first.reference,))
    server.answers = {
        "/feed": Answer(atom(entry("/1"), entry("/2"))),
        "/1": Answer(body(first)),
        "/2": Answer(body(drill)),
    }
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    assert len(await active(alarms)) == 1


async def test_one_feed_cannot_cancel_the_alerts_of_another(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    first = alert()
    server.answers = {
        "/a": Answer(body(first)),
        "/b": Answer(body(alert("X", 1, message_type="Cancel", references=(first.reference,)))),
    }
    await follow(records, server.url("/a"), "a")
    await reader.turn(NOW)
    await follow(records, server.url("/b"), "b")
    await reader.turn(NOW + 1)
    assert [one.source for one in await active(alarms)] == ["a/KT.1"]


LAUGHS = (
    b'<!DOCTYPE alert [<!ENTITY a "ha">'
    + b"".join(
        b'<!ENTITY %c "&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;">' % (c, *[c - 1] * 10)
        for c in range(ord("b"), ord("k"))
    )
    + b"]>"
)
GOOD = body(alert("GOOD"))
BROKEN = {
    "an outside entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + GOOD.split(b"?>")[1].replace(b"D\xc3\xb4ng m\xe1\xba\xa1nh", b"&x;"),
    "a billion laughs": LAUGHS + GOOD.split(b"?>")[1].replace(b"Public", b"&j;"),
    "laughs in an attribute": LAUGHS + b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2" a="&j;"/>',
    "a document type": b"<!DOCTYPE alert>" + GOOD.split(b"?>")[1],
    "cut short": GOOD[: len(GOOD) // 2],
    "empty": b"",
    "another encoding": GOOD.replace(b"UTF-8", b"UTF-16", 1),
    "an unknown encoding": GOOD.replace(b"UTF-8", b"X-KLINGON", 1),
    "bytes that are no text": GOOD.replace(b"Severe", b"Sev\xffere"),
    "no XML": b"404 page not found",
    "another document": b"<html><body>hello</body></html>",
    "without an identifier": GOOD.replace(b"GOOD", b" "),
    "a time that is none": GOOD.replace(b"<sent>2", b"<sent>9999-99-99T2"),
    "deep": b"<a>" * 100_000,
}


async def test_what_is_broken_is_told_and_the_rest_goes_on(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    paths = {f"/{what.replace(' ', '-')}": content for what, content in BROKEN.items()}
    server.answers = {path: Answer(content) for path, content in paths.items()}
    server.answers["/good"] = Answer(GOOD)
    for path in paths:
        server.answers[f"/feed-of{path}"] = Answer(atom(entry(path), entry("/good")))
        await follow(records, server.url(f"/feed-of{path}"), f"entry-{path[1:]}")
        await follow(records, server.url(path), path[1:])
    await reader.turn(NOW)
    assert {one.source for one in await active(alarms)} == {f"entry-{path[1:]}/GOOD" for path in paths}
    for path in paths:
        told = await the_feed(records, f"entry-{path[1:]}")
        assert path in told["error"] and told["failures"] == 0, path
        whole = await the_feed(records, path[1:])
        assert whole["error"] and "Traceback" not in whole["error"] and "root:" not in whole["error"], path


async def test_fifty_megabytes_are_not_read_to_their_end(reader: Feeds, records: Records, server: Server) -> None:
    chunk = b"x" * (1 << 20)
    server.answers = {
        "/plain": Answer(chunk, repeat=50),
        "/packed": Answer(gzip.compress(chunk * 50), headers={"Content-Encoding": "gzip"}),
    }
    for path in server.answers:
        await follow(records, server.url(path), path)
    await reader.turn(NOW)
    for path in server.answers:
        told = await the_feed(records, path)
        assert "larger than 8192 KiB" in told["error"] and told["failures"] == 1


async def test_answers_that_end_too_soon_or_lead_elsewhere_are_refused(
    reader: Feeds, records: Records, server: Server
) -> None:
    server.answers = {
        "/short": Answer(GOOD, length=len(GOOD) + 100),
        "/gzip": Answer(gzip.compress(GOOD)[:-20], headers={"Content-Encoding": "gzip"}),
        "/nogzip": Answer(GOOD, headers={"Content-Encoding": "gzip"}),
        "/circle": Answer(status=302, headers={"Location": "/circle"}),
        "/away": Answer(status=302, headers={"Location": "http://localhost:1/"}),
        "/file": Answer(status=302, headers={"Location": "file:///etc/passwd"}),
        "/error": Answer(status=500),
        "/links": Answer(atom(entry("http://localhost:1/x"), entry("file:///etc/passwd"))),
    }
    for path in server.answers:
        await follow(records, server.url(path), path)
    await reader.turn(NOW)
    for path, words in {
        "/short": "could not be read",
        "/gzip": "before its end",
        "/nogzip": "not packed",
        "/circle": "circles",
        "/away": "another host",
        "/file": "no http",
        "/error": "status 500",
        "/links": "another host",
    }.items():
        assert words in (await the_feed(records, path))["error"], path


async def test_feeds_that_hang_keep_nobody_waiting(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    server.answers = {"/hang": Answer(length=99, hang=True), "/good": Answer(GOOD)}
    for number in range(5):
        await follow(records, server.url("/hang"), f"hang-{number}")
    await follow(records, server.url("/good"), "good")
    running = asyncio.create_task(reader.run())
    async with asyncio.timeout(15):
        while not await active(alarms):
            await asyncio.sleep(0.05)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_feed_that_did_not_change_is_not_read_again(reader: Feeds, records: Records, server: Server) -> None:
    def answer(request: Any) -> Answer:
        same = request.headers.get("if-none-match") == '"7"'
        return Answer(status=304) if same else Answer(body(alert()), headers={"ETag": '"7"'})

    server.answers["/feed"] = answer
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    await reader.turn(NOW + 61 * SECOND_US)
    assert len(server.asked) == 2 and (await the_feed(records))["error"] == ""
    assert reader.stats()["total"] == 1


async def test_a_feed_that_stays_silent_is_an_alarm_until_it_answers(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    await follow(records, server.url("/feed"))
    moment = NOW
    for _ in range(5):
        assert await active(alarms) == []
        await reader.turn(moment)
        moment = (await the_feed(records))["due"]
    [silent] = await active(alarms)
    assert (silent.source, silent.condition) == ("cap-feed/kttv", SILENT) and "404" in silent.evidence["error"]
    server.answers["/feed"] = Answer(atom())
    await reader.turn(moment)
    assert await active(alarms) == []


async def test_a_silence_that_could_not_be_told_is_told_at_the_next_visit(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise UnavailableError("the alarms are away")

    await follow(records, server.url("/feed"))
    moment = NOW
    for _ in range(4):
        await reader.turn(moment)
        moment = (await the_feed(records))["due"]
    for answer, standing in ((Answer(status=404), 1), (Answer(atom()), 0)):
        server.answers["/feed"] = answer
        with monkeypatch.context() as patch, pytest.raises(UnavailableError):
            patch.setattr(alarms, "apply", away)
            await reader.turn(moment)
        await reader.turn(moment)
        assert len(await active(alarms)) == standing
        moment = (await the_feed(records))["due"]


async def test_rss_and_alerts_inside_a_feed_are_read(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    inside = body(alert("IN")).split(b"?>", 1)[1].decode()
    server.answers = {
        "/rss": Answer(b"<rss><channel><item><link>/1.xml</link></item></channel></rss>"),
        "/1.xml": Answer(body(alert("OUT"))),
        "/atom": Answer(atom(f"<entry><id>1</id><content>{inside}</content></entry>")),
    }
    await follow(records, server.url("/rss"), "rss")
    await follow(records, server.url("/atom"), "atom")
    await reader.turn(NOW)
    assert {one.source for one in await active(alarms)} == {"rss/OUT", "atom/IN"}


async def test_the_signature_of_others_is_told_not_required(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook, tmp_path: Path
) -> None:
    signer = open_signer(tmp_path, "khac")
    signed = to_bytes(sign(write(alert("SIGNED")), signer))
    server.answers = {
        "/feed": Answer(atom(entry("/1"), entry("/2"))),
        "/1": Answer(signed),
        "/2": Answer(signed.replace(b"SIGNED", b"FORGED")),
    }
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    found = {one.source: one.evidence["signature"] for one in await active(alarms)}
    assert found == {"kttv/SIGNED": "valid", "kttv/FORGED": "broken"}


async def test_after_a_crash_between_keeping_and_telling_the_alarm_is_raised_once(
    reader: Feeds, records: Records, server: Server, alarms: AlarmBook
) -> None:
    server.answers["/feed"] = Answer(body(alert()))
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    async with records.write() as connection:
        await connection.execute(sa.update(cap_messages).values(told=False))
    await reader.turn(NOW + 1)
    [one] = await active(alarms)
    assert one.count == 1


async def test_the_examples_of_the_standard_are_read(
    reader: Feeds, records: Records, server: Server, shared_data: Path
) -> None:
    paths = sorted((shared_data / "cap").glob("example*.xml"))
    server.answers = {f"/{path.name}": Answer(path.read_bytes()) for path in paths}
    server.answers["/feed"] = Answer(atom(*(entry(f"/{path.name}") for path in paths)))
    await follow(records, server.url("/feed"))
    await reader.turn(NOW)
    assert len(await states(records)) == 4 and (await the_feed(records))["error"] == ""


async def test_a_push_is_tried_until_it_is_taken(reader: Feeds, records: Records, server: Server) -> None:
    async with records.write() as connection:
        values = {column.name: "" for column in warnings.columns if isinstance(column.type, sa.String)}
        numbers = {"series": 0, "created": NOW, "changed": NOW, "version": 1, "sent": NOW, "expires": NOW}
        await connection.execute(
            sa.insert(warnings).values(
                {**values, **numbers, "identifier": "a.1", "document": GOOD, "state": "published"}
            )
        )
        await connection.execute(
            sa.insert(warning_subscribers).values(
                url=server.url("/in"), title="đài", secret="bí mật", created=1, created_by="x"
            )
        )
        push = {"warning_id": 1, "subscriber_id": 1, "state": "waiting", "created": NOW, "due": NOW, "tries": 0}
        await connection.execute(sa.insert(warning_pushes).values(**push, answer=""))
    server.answers["/in"] = Answer(status=503)
    await reader.turn(NOW)
    server.answers["/in"] = Answer(status=202)
    assert await reader.turn(NOW + SECOND_US) == 0, "not before it is due again"
    await reader.turn(NOW + 6 * SECOND_US)
    assert await reader.turn(NOW + HOUR_US) == 0
    assert [request.body for request in server.asked] == [GOOD, GOOD]
    assert server.asked[0].headers["x-thap-signature"].startswith("sha256=")
    async with records.read() as connection:
        done = (await connection.execute(sa.select(warning_pushes))).mappings().one()
    assert (done["state"], done["tries"], done["answer"]) == ("sent", 2, "status 202")


async def test_a_push_that_is_never_taken_ends(reader: Feeds, records: Records) -> None:
    from thap.respond.warnings.pushing import push

    row = {"tries": 40, "created": NOW - 25 * HOUR_US, "removed": None, "identifier": "a", "document": b"x"}
    done = await push(reader._http, {**row, "url": "http://127.0.0.1:1/", "secret": ""}, NOW, 24)
    assert done["state"] == "failed" and done["tries"] == 41


async def test_reading_and_pushing_hold_on_both_databases(
    either: Records, settings: Settings, bus: Bus, server: Server
) -> None:
    if not either.is_sqlite:
        async with either.write() as connection:
            tables = "cap_messages, cap_feeds, warning_subscribers, warnings"  # and those that refer to them
            await connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    store = open_store(either)
    readers = [Feeds(Context(settings, either, bus, store)) for _ in range(2)]
    first = alert()
    server.answers = {"/feed": Answer(atom(entry("/1"))), "/1": Answer(body(first)), "/in": Answer(status=200)}
    await follow(either, server.url("/feed"))
    async with either.write() as connection:
        values = {column.name: "" for column in warnings.columns if isinstance(column.type, sa.String)}
        numbers = {"series": 0, "created": NOW, "changed": NOW, "version": 1}
        await connection.execute(sa.insert(warnings).values({**values, **numbers, "document": GOOD}))
        someone = {"url": server.url("/in"), "title": "", "secret": "", "created": 1, "created_by": "x"}
        await connection.execute(sa.insert(warning_subscribers).values(**someone))
        push = {"warning_id": 1, "subscriber_id": 1, "state": "waiting", "created": NOW, "due": NOW, "tries": 0}
        await connection.execute(sa.insert(warning_pushes).values(**push, answer=""))
    await asyncio.gather(*(one.turn(NOW) for one in readers))
    assert len(await active(readers[0]._alarms)) == 1 and await states(either) == {"KT.1": "active"}
    assert [request.path for request in server.asked].count("/in") == 1, "two processes push once"
    server.answers["/feed"] = Answer(body(alert("KT.2", 1, message_type="Cancel", references=(first.reference,))))
    await readers[0].turn(NOW + 61 * SECOND_US)
    assert await active(readers[0]._alarms) == []
    for one in readers:
        await one.close()
    await store.close()
