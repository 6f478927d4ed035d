"""Files as offices write them: headings near the top, Vietnamese numbers and days, faults with line and field."""

from __future__ import annotations

import io
from datetime import date, datetime

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thap.domains.rice.importing import KINDS, read_file
from thap.domains.rice.pests import PESTS, pest_named, stage_named, stage_on
from thap.domains.rice.spreadsheets import read_day, read_number
from thap.kernel.errors import InputError
from thap.kernel.places import communes

HERE = communes()[3].title
REPORT = [
    ["BÁO CÁO TÌNH HÌNH DỊCH HẠI 7 NGÀY"],
    ["(Từ ngày 28/12 đến ngày 03/01/2027)"],
    ["TT", "Xã, phường", "Đối tượng", "GĐST", "Mật độ/tỷ lệ", "", "", "Diện tích nhiễm (ha)", "", "", "", "Ghi chú"],
    ["", "", "", "", "Phổ biến", "Cao", "Cá biệt", "Nhẹ", "Trung bình", "Nặng", "Tổng số", ""],
    ["1", HERE, "Rầy nâu", "Đẻ nhánh", "750", "1.200,5", "2.000", "1.200,5", "30", "0", "1.230,5", "ven kênh"],
    ["2", "", "Sâu cuốn lá nhỏ", "Đẻ nhánh - Làm đòng", "15", "30", "", "20", "-", "", "20", ""],
    ["", "Tổng cộng", "", "", "", "", "", "1220,5", "30", "0", "1250,5", ""],
]


def csv(rows: list[list[str]], mark: str = ";") -> bytes:
    return "\n".join(mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in rows).encode()


def workbook(rows: list[list[str]], merged: tuple[str, ...] = ()) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([cell or None for cell in row])
    for area in merged:
        book.active.merge_cells(area)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("said", "number"),
    [("1.200,5", 1200.5), ("1.200", 1200), ("1,5", 1.5), ("1.5", 1.5), ("1,200.5", 1200.5), ("12 000", 12000),
     ("5%", 5), ("–", None), ("", None), (7, 7), ("1.234.567", 1234567), ("0,25", 0.25)],
)  # fmt: skip
def test_a_number_is_read_as_it_is_written_here(said: object, number: float | None) -> None:
    assert read_number(said) == number


@given(st.floats(0, 1e9, allow_nan=False).map(lambda value: round(value, 1)))
def test_any_number_written_in_vietnamese_is_read_back(value: float) -> None:
    text = f"{value:,.1f}".replace(",", " ").replace(".", ",").replace(" ", ".")
    assert read_number(text) == value


@settings(max_examples=60)
@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_numbers_and_days(text: str) -> None:
    for read in (read_number, read_day):
        try:
            read(text)
        except InputError as error:
            assert error.hint


@pytest.mark.parametrize(
    ("said", "day"),
    [("22/11/2026", date(2026, 11, 22)), ("2-1-27", date(2027, 1, 2)), ("2026-11-22", date(2026, 11, 22)),
     (datetime(2026, 11, 22, 7), date(2026, 11, 22)), ("46348", date(2026, 11, 22)), ("", None)],
)  # fmt: skip
def test_a_day_is_read_as_it_is_written_here(said: object, day: date | None) -> None:
    assert read_day(said) == day


def test_thirty_one_february_is_no_day() -> None:
    with pytest.raises(InputError, match="is not a day"):
        read_day("31/02/2026")


MERGED = workbook(REPORT, ("E3:G3", "H3:K3", "A3:A4", "B3:B4", "B5:B6"))


@pytest.mark.parametrize("content", [csv(REPORT), csv(REPORT, ","), csv(REPORT, "\t"), MERGED])
def test_a_weekly_report_is_read_through_its_title_two_rows_of_headings_and_merged_cells(content: bytes) -> None:
    found = read_file("surveys", content, "bc7n")
    assert [(row["pest"], row["stage"], row["common"], row["light_ha"], row["medium_ha"]) for row in found.rows] == [
        ("bph", "tillering", 750, 1200.5, 30),
        ("leaf_folder", "tillering", 15, 20, 0),
    ]
    assert {(row["surveyed"], row["week"]) for row in found.rows} == {("2027-01-03", "2026-12-28")}  # across New Year
    assert found.faults == [] and {row["commune"] for row in found.rows} == {communes()[3].code}


def test_each_fault_says_line_and_field_and_the_rest_is_taken() -> None:
    rows = [*REPORT[:5], ["3", HERE, "Kiến lửa", "Trổ", "1", "2", "3", "x1", "0", "0", "0", ""], *REPORT[5:]]
    found = read_file("surveys", csv(rows), "bc7n.csv")
    assert len(found.rows) == 2 and found.bad == 1
    assert {(fault.line, fault.field) for fault in found.faults if fault.fatal} == {(6, "pest"), (6, "light_ha")}


def test_densities_that_do_not_rise_and_totals_that_do_not_add_up_are_told_but_taken() -> None:
    rows = [*REPORT[:4], ["1", HERE, "Rầy nâu", "Trổ", "900", "300", "", "10", "5", "0", "99", ""]]
    found = read_file("surveys", csv(rows), "bc7n.csv")
    assert len(found.rows) == 1 and {fault.field for fault in found.faults} == {"common", "total_ha"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"PK\x03\x04 half", b"a;b\n1;2\n", "Tên,Tuổi\n".encode()])
def test_what_is_no_such_table_is_refused_with_what_is_missing(kind: str, content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_file(kind, content, "tệp.csv")  # type: ignore[arg-type]
    assert caught.value.where == "tệp.csv" and caught.value.hint


def test_a_name_that_two_communes_have_without_marks_is_told_by_its_marks() -> None:
    text = "Mã vùng,Xã,Diện tích\nA,Xã Tân Thành,10\nB,Tan Thanh,10\n"
    found = read_file("zones", text.encode(), "z.csv")
    assert [row["code"] for row in found.rows] == ["A"]
    assert "is the name of several" in found.faults[0].message


@pytest.mark.parametrize(("name", "key"), [("Rầy nâu", "bph"), ("ray nau tuoi 2", "bph"), ("ĐẠO ÔN LÁ", "leaf_blast")])
def test_pests_are_known_by_any_name(name: str, key: str) -> None:
    found = pest_named(name)
    assert found is not None and found.key == key and found.key in PESTS


def test_stages_are_known_and_follow_the_sowing_day() -> None:
    assert [stage_named(name) for name in ("Đứng cái - làm đòng", "Trổ – chín", "ma", "?")] == [
        "booting", "heading", "seedling", None,
    ]  # fmt: skip
    sown = date(2026, 11, 1)
    assert [stage_on(sown, date(2026, 11, day), 95) for day in (1, 20)] == ["seedling", "tillering"]
    assert stage_on(sown, date(2026, 10, 31), 95) == "" and stage_on(sown, date(2027, 3, 1), 95) == "harvested"
