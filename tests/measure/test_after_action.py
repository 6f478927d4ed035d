"""After-action reports: what is told, in both languages, and that it can be set whatever people wrote."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from thap.kernel.errors import NotFoundError
from thap.kernel.places import communes, import_polygons, read_polygons
from thap.kernel.records import Records
from thap.measure.after_action.drawing import draw_map
from thap.measure.after_action.gather import gather
from thap.measure.after_action.model import AfterAction, Line, Mark
from thap.measure.after_action.writing import Language, words_of, write_pdf
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft, NewLink
from thap.respond.incidents.records import incidents
from thap.respond.incidents.states import IncidentAction, IncidentState

HERE = communes()[40]


@pytest.fixture
async def incident(either: Records) -> AsyncIterator[tuple[Records, int]]:
    """One that was worked on from opening to closing."""
    book = IncidentBook(either, followers=())
    track = {"lon": HERE.lon + 0.01, "lat": HERE.lat, "sha256": "ab" * 32}
    opened = await book.open(
        Draft("Tàu hút cát ngoài mỏ", "Đứng yên 40 phút.", "sand", 4, commune=HERE.code, lon=HERE.lon, lat=HERE.lat),
        "truc-ban",
    )
    number = opened.incident
    await book.link(number, "truc-ban", NewLink("track", "mmsi-574/1/2", "Đường đi của tàu", track))
    await book.acknowledge(number, "truc-ban", comment="Đã gọi tuần tra")
    await book.resolve(number, "truc-ban", comment="Đã lập biên bản")
    await book.close(number, "lanh-dao")
    yield either, number
    await book.close_store()


def _pages(pdf: bytes) -> int:
    assert pdf.startswith(b"%PDF-")
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.parametrize(("language", "acknowledged"), [("vi", "Xác nhận"), ("en", "Acknowledged")])
async def test_the_report_tells_the_life_of_an_incident(
    incident: tuple[Records, int], language: Language, acknowledged: str
) -> None:
    records, number = incident
    report = await gather(records, number, language, "lanh-dao")
    assert report.title == "Tàu hút cát ngoài mỏ" and report.state == words_of(language)["state"]["closed"]
    steps = [(line.what, line.by, line.note) for line in report.timeline]
    assert (acknowledged, "truc-ban", "Đã gọi tuần tra") in steps
    assert len(steps) == 5 and report.left_out == 0
    assert [(piece.ref, piece.digest) for piece in report.evidence] == [("track:mmsi-574/1/2", "ab" * 32)]
    assert len(report.marks) == 2
    assert _pages(write_pdf(report, language)) >= 1


async def test_what_is_not_yours_to_see_has_no_report(incident: tuple[Records, int]) -> None:
    records, number = incident
    for chosen, where in ((number, incidents.c.commune == "30341"), (number + 1, sa.true()), (2**70, sa.true())):
        with pytest.raises(NotFoundError):
            await gather(records, chosen, "vi", "x", where)


async def test_the_map_shows_the_commune_among_its_neighbours(incident: tuple[Records, int], shared_data: Path) -> None:
    records, number = incident
    polygons = read_polygons(shared_data / "places" / "dong_thap_102_simplified.geojson")
    async with records.write() as connection:
        await import_polygons(connection, "test", polygons.digest, polygons.wkb)
    report = await gather(records, number, "vi", "truc-ban")
    drawn = draw_map(report)
    assert drawn.count("<circle") == 2 and drawn.count("<path") == 3 and " km</text>" in drawn
    assert _pages(write_pdf(report, "vi")) >= 1


def test_every_action_and_state_has_its_words_in_both_languages() -> None:
    for language in ("vi", "en"):
        words = words_of(language)
        assert set(IncidentAction) <= words["action"].keys()
        assert set(IncidentState) == words["state"].keys()
    vi, en = words_of("vi"), words_of("en")
    assert vi.keys() == en.keys() and all(
        vi[name].keys() == en[name].keys() for name in vi if isinstance(vi[name], dict)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        '#import "x" $ * _ ` [ ] { } \\ < > @ //',
        "\x00\x07\ud800".encode("utf-8", "replace").decode(),
        "ạ" * 20_000,
        "🚤",
    ],
)
def test_whatever_people_write_can_be_set(text: str) -> None:
    line = Line("08:00", text, text[:60], text)
    report = AfterAction(1, text[:200], text, text[:10], "x", (), [line] * 3, marks=[Mark(105.6, 10.4, text[:40])])
    assert _pages(write_pdf(report, "vi")) >= 1


def test_without_a_place_there_is_no_map() -> None:
    assert draw_map(AfterAction(1, "a", "", "", "", (), ())) == ""
