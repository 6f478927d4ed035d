"""The report desk: what is taken in, who may read what, what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.respond.incidents import attachments
from thap.respond.notify.records import notices
from thap.services.reports import Draft, ReportDesk, ReportFilter, Sender
from thap.services.reports.receipts import clean_receipt, new_receipt
from thap.services.reports.records import report_senders

HERE = {"lon": 105.6325, "lat": 10.4602}  # Cao Lãnh
DRAFT = Draft("rac-thai", "Rác đổ dưới chân cầu, gọi 0912 345 678", **HERE)
WHO = Sender("Người gửi phản ánh", "0912 345 678", "nguoi-gui@example.vn", "12 đường Tháp Mười")


async def test_a_report_is_taken_with_its_commune_its_unit_and_a_receipt(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    taken = await desk.receive(replace(DRAFT, sender=WHO))
    report = taken.report
    assert report.state == "received" and not report.published and report.public_text == ""
    assert report.commune and report.unit == report.commune
    assert report.expected is not None and report.expected > report.received
    assert (await desk.by_receipt(taken.receipt.lower().replace("-", " "))).id == report.id
    assert [step.action for step in await desk.steps(report.id)] == ["receive"]
    page = await desk.list()
    assert page.items == [report] and page.states == {"received": 1} and page.total == 1


async def test_the_sender_stands_apart_and_hears_of_every_public_step(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    number = (await desk.receive(replace(DRAFT, sender=WHO))).report.id
    assert "nguoi-gui" not in repr(await desk.get(number)) + repr(await desk.steps(number))
    await desk.accept(number, "truc-ban")
    await desk.comment(number, "truc-ban", comment="gọi lại cho xã")
    await desk.start(number, "truc-ban")
    await desk.answer(number, "lanh-dao", comment="Đã dọn xong.")
    async with desk._records.read() as connection:
        rows = (await connection.execute(sa.select(notices).order_by(notices.c.id))).mappings().all()
    assert [row["template"] for row in rows] == [
        "report.received",
        "report.accepted",
        "report.started",
        "report.answered",
    ]
    assert {row["to_name"] for row in rows} == {"email:nguoi-gui@example.vn"}
    public = await desk.steps(number, public=True)
    assert [step.action for step in public] == ["receive", "accept", "start", "answer"]
    assert public[-1].comment == "Đã dọn xong."


async def test_moderation_keeps_what_was_written(desk: ReportDesk, photo: bytes) -> None:
    kept = [await desk.keep_photo(photo, "anh.jpg")]
    number = (await desk.receive(DRAFT, photos=kept)).report.id
    [picture] = await desk.photos(number)
    await desk.accept(number, "truc-ban", photos=[picture.id])
    report = await desk.get(number)
    assert report.public_text == "Rác đổ dưới chân cầu, gọi •••" and report.shown_photos == [picture.id]
    await desk.edit(number, "truc-ban", public_text="Rác dưới chân cầu.", service="o-nhiem")
    report = await desk.get(number)
    assert report.text == DRAFT.text and report.public_text == "Rác dưới chân cầu."
    assert report.service == "o-nhiem" and report.severity == 2
    before = (await desk.steps(number))[-1].detail["before"]
    assert before["public_text"] == "Rác đổ dưới chân cầu, gọi •••" and before["service"] == "rac-thai"
    with pytest.raises(InputError, match="no photo 99"):
        await desk.edit(number, "truc-ban", photos=[99])
    with pytest.raises(InputError, match="nothing would change"):
        await desk.edit(number, "truc-ban", public_text="Rác dưới chân cầu.")


async def test_the_second_of_two_writers_is_told_what_changed(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    number = (await desk.receive(DRAFT)).report.id
    await desk.accept(number, "truc-ban", version=1)
    with pytest.raises(ConflictError, match="accept by truc-ban"):
        await desk.reject(number, "lanh-dao", comment="không", version=1)
    done = await asyncio.gather(
        *(desk.answer(number, f"nguoi-{i}", comment="xong") for i in range(5)), return_exceptions=True
    )
    assert sum(not isinstance(one, Exception) for one in done) == 1
    assert all(isinstance(one, ConflictError) for one in done if isinstance(one, Exception))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"lon": None}, "place"),
        ({"lon": None, "lat": None}, "place"),
        ({"lon": 0.0, "lat": 0.0}, "place"),
        ({"lon": float("nan")}, "place"),
        ({"lat": 91.0}, "place"),
        ({"text": "x" * 4001}, "text"),
        ({"place": "x" * 301}, "place"),
        ({"commune": "99999"}, "commune"),
        ({"media_url": "javascript:alert(1)"}, "media_url"),
        ({"answers": {"mau": ["đỏ"]}}, "attribute[mau]"),
        ({"sender": Sender(email="nobody")}, "email"),
        ({"sender": Sender(email="a@b.vn, c@d.vn")}, "email"),
        ({"sender": Sender(phone="call me")}, "phone"),
        ({"text": "\ud800"}, "text"),
    ],
)
async def test_what_does_not_hold_together_is_refused_and_named(
    desk: ReportDesk, change: dict[str, object], where: str
) -> None:
    with pytest.raises(InputError) as refused:
        await desk.receive(replace(DRAFT, **change))  # type: ignore[arg-type]
    assert refused.value.where == where
    assert (await desk.list()).total == 0


async def test_answers_are_held_to_their_types(desk: ReportDesk) -> None:
    road = Draft("duong-hu-hong", "Ổ gà", **HERE)
    for answers, words in (
        ({}, "must be answered"),
        ({"nguy_hiem": ["rất"]}, "not one of its values"),
        ({"nguy_hiem": ["co", "it"]}, "one answer"),
    ):
        with pytest.raises(InputError, match=words):
            await desk.receive(replace(road, answers=answers))
    water = Draft("ngap-ung", "Ngập", answers={"muc_nuoc_cm": ["ba mươi"]}, **HERE)
    with pytest.raises(InputError, match="not a number"):
        await desk.receive(water)
    taken = await desk.receive(replace(water, answers={"muc_nuoc_cm": ["30,5"]}))
    assert taken.report.answers == {"muc_nuoc_cm": ["30.5"]}


async def test_an_address_in_words_finds_its_commune(desk: ReportDesk) -> None:
    taken = await desk.receive(Draft("khac", "…", place="12 Nguyễn Huệ, phường Cao Lãnh, Đồng Tháp"))
    assert taken.report.commune == (await desk.receive(Draft("khac", commune=taken.report.commune))).report.commune
    assert taken.report.commune != ""
    assert (await desk.receive(Draft("khac", place="ngoài đồng"))).report.commune == ""


async def test_the_same_form_sent_twice_at_once_is_one_report(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    taken = await asyncio.gather(*(desk.receive(DRAFT, submission="tờ-1") for _ in range(4)))
    assert len({one.receipt for one in taken}) == 1
    again = await desk.receive(DRAFT, submission="tờ-1")
    assert again.receipt == taken[0].receipt and again.event is None
    assert (await desk.list()).total == 1


async def test_nearby_reports_of_one_group_are_suggested(desk: ReportDesk) -> None:
    first = (await desk.receive(DRAFT)).report
    await desk.receive(replace(DRAFT, lat=HERE["lat"] + 0.02))  # two kilometres
    await desk.receive(replace(DRAFT, service="sau-benh-lua"))
    [near] = await desk.near(HERE["lon"], HERE["lat"] + 0.0003, service="o-nhiem", text="rác chân cầu")
    assert near.report.id == first.id and 20 < near.metres < 50
    assert await desk.near(HERE["lon"], HERE["lat"], public=True) == []
    await desk.accept(first.id, "truc-ban")
    assert [one.report.id for one in await desk.near(HERE["lon"], HERE["lat"], public=True)] == [first.id]


async def test_a_duplicate_shares_the_life_of_the_first(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    first = (await desk.receive(DRAFT)).report.id
    second = (await desk.receive(replace(DRAFT, sender=WHO))).report.id
    third = (await desk.receive(DRAFT)).report.id
    await desk.duplicate(second, "truc-ban", first)
    await desk.duplicate(third, "truc-ban", second)
    assert (await desk.get(third)).duplicate_of == first
    with pytest.raises(ConflictError, match="of itself"):
        await desk.duplicate(first, "truc-ban", third)
    with pytest.raises(NotFoundError):
        await desk.duplicate(first, "truc-ban", 77)
    await desk.accept(first, "truc-ban")
    async with desk._records.read() as connection:
        told = list(await connection.scalars(sa.select(notices.c.template).order_by(notices.c.id)))
    assert told == ["report.received", "report.duplicate", "report.accepted"]


async def test_satisfaction_is_asked_when_answered_and_not_before(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    taken = await desk.receive(DRAFT)
    with pytest.raises(ConflictError):
        await desk.rate(taken.receipt, 5)
    await desk.accept(taken.report.id, "truc-ban")
    await desk.answer(taken.report.id, "truc-ban", comment="Đã dọn.")
    await desk.rate(taken.receipt, 1, "vẫn còn")
    assert [one.id for one in (await desk.list(ReportFilter(unhappy=True))).items] == [taken.report.id]
    await desk.reopen(taken.report.id, "lanh-dao", comment="Kiểm tra lại.")
    assert (await desk.get(taken.report.id)).satisfaction is None
    with pytest.raises(InputError):
        await desk.rate(taken.receipt, 6)
    with pytest.raises(NotFoundError):
        await desk.rate(new_receipt(), 3)


async def test_erasing_leaves_the_matter_and_nothing_of_the_sender(desk_on_either: ReportDesk, photo: bytes) -> None:
    desk = desk_on_either
    kept = [await desk.keep_photo(photo, "anh.jpg")]
    taken = await desk.receive(replace(DRAFT, sender=WHO, media_url="https://example.vn/a.jpg"), photos=kept)
    number = taken.report.id
    await desk.accept(number, "truc-ban")
    await desk.answer(number, "truc-ban", comment="Đã gọi 0912 345 678.")
    assert await desk.erase(number) is not None
    assert await desk.erase(number) is None
    report = await desk.get(number)
    everything = repr(report) + repr(await desk.steps(number))
    assert "345 678" not in everything and report.media_url == "" and report.text.startswith("Rác đổ")
    assert await desk.sender(number) is None and await desk.photos(number) == []
    async with desk._records.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(notices)) == 0
    assert (await desk.by_receipt(taken.receipt)).id == number  # the code still shows how it stands
    assert await attachments.sweep(desk.settings, desk._records, older_than_s=-1) > 0


async def test_closing_sets_when_the_sender_is_erased(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    number = (await desk.receive(replace(DRAFT, sender=WHO))).report.id

    async def due_days() -> float:
        async with desk._records.read() as connection:
            return (int(await connection.scalar(sa.select(report_senders.c.erase_after))) - now_us()) / DAY_US

    assert await due_days() == pytest.approx(730, abs=0.01)
    await desk.accept(number, "truc-ban")
    await desk.answer(number, "truc-ban", comment="xong")
    assert await due_days() == pytest.approx(90, abs=0.01)
    await desk.reopen(number, "truc-ban", comment="chưa xong")
    assert await due_days() == pytest.approx(730, abs=0.01)


def test_a_receipt_survives_how_people_write_it() -> None:
    code = new_receipt()
    assert clean_receipt(code.lower().replace("-", " ")) == code
    assert clean_receipt("o000-i111-l222") == "0000-1111-1222"
    for wrong in ("", "K7M2", code + "A", "UUUU-UUUU-UUUU"):
        assert clean_receipt(wrong) == ""


async def test_pages_do_not_shift_when_reports_come_in(desk_on_either: ReportDesk) -> None:
    desk = desk_on_either
    numbers = [(await desk.receive(replace(DRAFT, text=f"số {i}"))).report.id for i in range(5)]
    first = await desk.list(limit=2)
    await desk.receive(DRAFT)
    second = await desk.list(limit=10, after=first.next)
    assert [one.id for one in (*first.items, *second.items)] == numbers[::-1]
    assert (await desk.list(ReportFilter(text="SỐ 3"))).total <= 1
    with pytest.raises(InputError):
        await desk.list(after="zz")
