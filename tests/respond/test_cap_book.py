"""Warnings from draft to publication, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.respond.warning_world import draft

from thap.kernel.clock import HOUR_US, SECOND_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, SettingsError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.respond.notify.records import notices
from thap.respond.notify.wording import render
from thap.respond.warnings.book import WarningBook
from thap.respond.warnings.document import parse, read
from thap.respond.warnings.model import Warning
from thap.respond.warnings.records import warning_pushes, warning_subscribers, warnings
from thap.respond.warnings.schema import faults, faults_by_file
from thap.respond.warnings.signing import Signer, open_signer, verify

WRITER, LEADER = "truc-ban", "lanh-dao"


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """One key for all tests: making one takes half a second."""
    return open_signer(tmp_path_factory.mktemp("key"), "thap-82")


@pytest.fixture
async def desk(either: Records, settings: Settings, signer: Signer) -> AsyncIterator[WarningBook]:
    if not either.is_sqlite:
        async with either.write() as connection:
            tables = "warning_pushes, warning_subscribers, warning_events, warnings, notices"
            await connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    opened = WarningBook(either, settings)
    opened._signer = signer
    yield opened
    await opened.close()


async def _published(desk: WarningBook, **more: object) -> Warning:
    begun = await desk.compose(WRITER, draft(**more), incident=7, unit="29869", domain="water")
    return await _approved(desk, begun.warning)


async def _approved(desk: WarningBook, number: int) -> Warning:
    await desk.submit(number, WRITER)
    await desk.approve(number, LEADER)
    return await desk.get(number)


async def test_a_warning_goes_out_signed_valid_and_in_both_languages(
    desk: WarningBook, signer: Signer, shared_data: Path
) -> None:
    sent = await _published(desk)
    _, body = await desk.document(sent.id)
    root = parse(body, "document")
    assert faults(root) == [] == faults_by_file(root, shared_data / "cap" / "CAP-v1.2.xsd")
    assert verify(root, [signer.certificate]).state == "trusted"
    alert = read(root, "document")
    assert [info.language for info in alert.infos] == ["vi-VN", "en-US"]
    assert alert.infos[0].headline == "Triều cường vượt báo động III"
    assert alert.infos[0].areas[0].description == "Phường Cao Lãnh"
    assert alert.infos[1].areas[0].description == "Cao Lãnh ward"
    assert (alert.identifier, alert.sender, alert.sent) == (sent.identifier, "thap-82", sent.sent)
    assert (sent.state, sent.decided_by, sent.created_by, sent.incident) == ("published", LEADER, WRITER, 7)
    assert (await desk.document(identifier=sent.identifier))[1] == body
    assert [one.id for one in await desk.current()] == [sent.id]


async def test_who_wrote_any_of_it_cannot_approve_it(desk: WarningBook) -> None:
    number = (await desk.compose(WRITER, draft())).warning
    await desk.edit(number, LEADER, draft(contact="1022"))
    await desk.submit(number, WRITER)
    for by in (WRITER, LEADER):
        with pytest.raises(ConflictError, match="wrote some of it"):
            await desk.approve(number, by)
    assert (await desk.approve(number, "pho-lanh-dao")).to_state == "published"


async def test_an_update_and_a_cancellation_refer_to_all_that_went_before(desk: WarningBook) -> None:
    first = await _published(desk)
    begun = await desk.follow_up(first.id, WRITER, "Update")
    with pytest.raises(InputError, match="note: say why"):
        await desk.submit(begun.warning, WRITER)
    await desk.edit(begun.warning, WRITER, draft(note="Đỉnh triều cao hơn", severity="Extreme"))
    second = await _approved(desk, begun.warning)
    begun = await desk.follow_up(second.id, WRITER, "Cancel")
    made = await desk.get(begun.warning)
    assert made.draft["headline"]["vi"].startswith("Hủy cảnh báo: Triều cường")
    await desk.edit(begun.warning, WRITER, draft(**(made.draft | {"note": "Nước đã rút"})))
    third = await _approved(desk, begun.warning)
    alert = read(parse((await desk.document(third.id))[1], "document"), "document")
    assert alert.message_type == "Cancel"
    assert [(r.identifier, r.sent) for r in alert.references] == [(w.identifier, w.sent) for w in (first, second)]
    assert first.sent and second.sent and third.sent and first.sent < second.sent < third.sent
    assert (await desk.get(first.id)).replaced_by == second.id
    assert (await desk.get(second.id)).replaced_by == third.id and third.series == first.id
    assert [one.id for one in await desk.current()] == [third.id]
    with pytest.raises(ConflictError, match="cancellation"):
        await desk.follow_up(third.id, WRITER, "Update")
    with pytest.raises(ConflictError, match=f"warning {second.id} replaced it"):
        await desk.follow_up(first.id, WRITER, "Update")


async def test_of_two_updates_of_one_warning_the_second_is_told(desk: WarningBook) -> None:
    first = await _published(desk)
    numbers = [(await desk.follow_up(first.id, WRITER, "Update", draft(note="x"))).warning for _ in range(2)]
    await _approved(desk, numbers[0])
    await desk.submit(numbers[1], WRITER)
    with pytest.raises(ConflictError, match=f"warning {numbers[0]} replaced it"):
        await desk.approve(numbers[1], LEADER)
    assert (await desk.get(numbers[1])).state == "submitted"


async def test_ten_approve_at_once_and_it_goes_out_once(desk: WarningBook) -> None:
    number = (await desk.compose(WRITER, draft())).warning
    await desk.submit(number, WRITER)
    done = await asyncio.gather(*(desk.approve(number, f"lanh-dao-{i}") for i in range(10)), return_exceptions=True)
    won = [one for one in done if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert all(isinstance(one, ConflictError) for one in done if isinstance(one, BaseException))
    assert (await desk.get(number)).decided_by == won[0].by
    assert [event.action for event in await desk.life(number)] == ["approve", "submit", "compose"]


async def test_what_is_missing_is_told_all_at_once(desk: WarningBook) -> None:
    empty = {"vi": "", "en": ""}
    poor = draft(event=empty, categories=[], communes=[], expires=None, severity="Unknown", web="ftp://x y")
    number = (await desk.compose(WRITER, poor)).warning
    with pytest.raises(InputError) as told:
        await desk.submit(number, WRITER)
    for word in ("categories", "event.vi", "event.en", "communes or polygons", "expires", "severity", "web"):
        assert word in str(told.value), word


async def test_a_time_that_passed_while_it_waited_keeps_it_from_going_out(desk: WarningBook) -> None:
    number = (await desk.compose(WRITER, draft())).warning
    await desk.submit(number, WRITER)
    async with desk._records.write() as connection:
        old = draft(expires=now_us() - HOUR_US).model_dump_json()
        await connection.execute(sa.update(warnings).values(draft=old))
    with pytest.raises(InputError, match="expires: lies in the past"):
        await desk.approve(number, LEADER)


REFUSED: list[tuple[list[str], str]] = [
    ([], "approve"),
    ([], "retract"),
    ([], "send_back"),
    (["submit"], "edit"),
    (["submit"], "submit"),
    (["withdraw"], "submit"),
    (["submit", "approve"], "withdraw"),
    (["submit", "approve"], "edit"),
    (["submit", "approve"], "approve"),
    (["submit", "send_back"], "approve"),
    (["submit", "retract"], "approve"),
]


async def test_only_allowed_steps(desk: WarningBook) -> None:
    async def do(number: int, name: str) -> None:
        by = LEADER if name in ("approve", "send_back") else WRITER
        said = {"edit": [draft()], "send_back": ["sai mốc giờ"]}.get(name, [])
        await getattr(desk, name)(number, by, *said)

    for steps, refused in REFUSED:
        number = (await desk.compose(WRITER, draft())).warning
        for step in steps:
            await do(number, step)
        before = await desk.get(number)
        with pytest.raises(ConflictError):
            await do(number, refused)
        assert await desk.get(number) == before, (steps, refused)


async def test_a_returned_warning_keeps_its_texts_and_can_be_submitted_again(desk: WarningBook) -> None:
    number = (await desk.compose(WRITER, draft())).warning
    await desk.submit(number, WRITER)
    with pytest.raises(InputError, match="what is wrong"):
        await desk.send_back(number, LEADER, " ")
    await desk.send_back(number, LEADER, "ghi rõ mốc giờ")
    with pytest.raises(ConflictError, match="return by lanh-dao"):
        await desk.edit(number, WRITER, draft(), version=2)
    await desk.edit(number, WRITER, draft(contact="1022"), version=3)
    assert (await _approved(desk, number)).draft["contact"] == "1022"
    assert [event.action for event in await desk.life(number)][::-1] == [
        "compose",
        "submit",
        "return",
        "edit",
        "submit",
        "approve",
    ]


async def test_the_clock_going_back_does_not_turn_the_order_of_messages(desk: WarningBook) -> None:
    first = await _published(desk)
    async with desk._records.write() as connection:
        ahead = now_us() // SECOND_US * SECOND_US + HOUR_US
        await connection.execute(sa.update(warnings).values(sent=ahead))
    begun = await desk.follow_up(first.id, WRITER, "Update", draft(note="x"))
    assert (await _approved(desk, begun.warning)).sent == ahead + SECOND_US


async def test_who_waits_is_told_and_subscribers_are_pushed_to(desk: WarningBook) -> None:
    async with desk._records.write() as connection:
        for title, removed in (("đài truyền thanh", None), ("đã thôi", 1)):
            await connection.execute(
                sa.insert(warning_subscribers).values(
                    url="http://127.0.0.1:9/", title=title, secret="", created=1, created_by="x", removed=removed
                )
            )
    sent = await _published(desk)
    async with desk._records.read() as connection:
        told = (await connection.execute(sa.select(notices.c.template, notices.c.to_name, notices.c.to_role))).all()
        pushed = (await connection.execute(sa.select(warning_pushes.c.warning_id, warning_pushes.c.state))).all()
    assert [tuple(row) for row in told] == [("warning.submitted", "", "leader"), ("warning.published", WRITER, "")]
    for language, word in (("vi", "duyệt"), ("en", "approv")):
        for template in ("warning.submitted", "warning.returned", "warning.published"):
            said = {"headline": "Triều cường", "by": WRITER, "warning": sent.id, "comment": "x"}
            title, text = render(template, language, said)
            assert "Triều cường" in title and (template == "warning.returned" or word in text)
    assert [tuple(row) for row in pushed] == [(sent.id, "waiting")]


async def test_lists_page_by_number_and_filter(desk: WarningBook) -> None:
    for unit in ("29869", "29869", "so-nong-nghiep"):
        await desk.compose(WRITER, draft(), unit=unit, incident=len(unit))
    page = await desk.list(limit=2)
    assert [one.id for one in page.items] == [3, 2] and page.total == 3 and page.next == "2"
    assert [one.id for one in (await desk.list(limit=2, after=2)).items] == [1]
    assert (await desk.list(warnings.c.unit == "29869")).total == 2
    assert (await desk.list(states=frozenset({"published"}))).items == []
    assert (await desk.list(incident=14)).total == 1
    with pytest.raises(NotFoundError):
        await desk.get(3, warnings.c.unit == "29869")
    assert [event.id for event in await desk.events_after(1)] == [2, 3] and await desk.last_event_id() == 3


async def test_a_configured_schema_that_cannot_be_read_is_told(desk: WarningBook, tmp_path: Path) -> None:
    desk._settings.warnings.xsd = tmp_path / "none.xsd"
    number = (await desk.compose(WRITER, draft())).warning
    await desk.submit(number, WRITER)
    with pytest.raises(SettingsError, match="schema"):
        await desk.approve(number, LEADER)
