"""Files of the register: column names, numbers, days, outlines, and what is said of rows that cannot be taken."""

from __future__ import annotations

import io
import json
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.domains.sand.columns import COLUMNS, match_columns
from thap.domains.sand.demo_register import register_files
from thap.domains.sand.entries import ENTRIES, Noun, read_entry
from thap.domains.sand.reading import Options, Reading, read_entries
from thap.domains.sand.records import book_of
from thap.domains.sand.writing_styles import parse_date, parse_hours, parse_number, style_of
from thap.kernel.errors import InputError

WKT = "POLYGON((105.603 10.457,105.606 10.453,105.608 10.449,105.603 10.457))"


def read(noun: Noun, text: str | bytes, **options: Any) -> Reading:
    return read_entries(noun, text.encode() if isinstance(text, str) else text, "tep", Options(**options))


# ---- numbers, days, hours


@given(st.floats(0, 1e7, allow_nan=False).map(lambda value: round(value, 2)))
def test_a_number_is_the_same_written_either_way(value: float) -> None:
    english = f"{value:,.2f}"
    vietnamese = english.replace(",", "_").replace(".", ",").replace("_", ".")
    assert parse_number(vietnamese) == parse_number(english) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [("1.200", "", 1200), ("1.200", "en", 1.2), ("1,200", "vi", 1.2), ("0.125", "", 0.125), ("1 200,5 m3", "", 1200.5)],
)
def test_one_mark_before_three_digits_goes_by_the_file(text: str, style: Any, value: float) -> None:
    assert parse_number(text, style) == value
    assert style_of(["1.200", "12,5"]) == "vi" and style_of(["1,200", "12.5"]) == "en" and style_of(["1.200"]) == ""


@pytest.mark.parametrize("text", ["", "abc", "1,2,3.4.5", "12m34", "nan", "1..2"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|decimals"):
        parse_number(text)


def test_days_and_hours_are_read_as_offices_write_them() -> None:
    for text in ("31/12/2026", "31-12-2026", "2026-12-31", "ngày 31 tháng 12 năm 2026", "31.12.2026"):
        assert parse_date(text).isoformat() == "2026-12-31"
    for text in ("05:00-19:00", "5h - 19h", "từ 5 giờ đến 19 giờ", "05h00–19h00"):
        assert parse_hours(text) == (5, 19)
    with pytest.raises(ValueError, match="no such day"):
        parse_date("31/11/2026")


# ---- files


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_vietnamese_table_is_read_with_and_without_diacritics(mark: str) -> None:
    heads = [
        "Số giấy phép",
        "Chủ giấy phép",
        "Hiệu lực từ",
        "Đến ngày",
        "Giờ khai thác",
        "Công suất (m3/ngày)",
        "Trữ lượng (m³)",
    ]
    plain = [
        "SO GIAY PHEP",
        "chu giay phep",
        "hieu luc tu",
        "den ngay",
        "gio khai thac",
        "cong suat m3 ngay",
        "tru luong",
    ]
    cells = ["12/GP-UBND", "Đơn vị A", "01/02/2026", "31/03/2027", "7h - 17h", "4.000,5", "1.200.000"]
    for names in (heads, plain):
        found = read("licence", "\n".join([mark.join([*names, "wkt"]), mark.join([*cells, WKT])]))
        body = found.drafts[0].entry.model_dump()
        assert not found.faults
        assert (body["valid_from"], body["valid_to"], body["opens"], body["closes"]) == (
            "2026-02-01", "2027-03-31", "07:00", "17:00",
        )  # fmt: skip
        assert (body["day_m3"], body["total_m3"]) == (4000.5, 1_200_000)


def test_a_workbook_is_read_with_its_own_numbers_and_days() -> None:
    from datetime import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["DANH SÁCH PHƯƠNG TIỆN"])
    sheet.append(["Tên tàu", "MMSI", "Dung tích hầm (m3)", "Loại"])
    sheet.append(["Tàu 1", 574000101, 350.5, "tàu hút cát"])
    sheet.append(["Tàu 2", "574000102", "1.200", "sà lan"])
    file = io.BytesIO()
    book.save(file)
    found = read("vessel", file.getvalue())
    assert [(one.entry.key, one.entry.hold_m3, one.entry.kind) for one in found.drafts] == [  # type: ignore[attr-defined]
        ("mmsi-574000101", 350.5, "dredger"), ("mmsi-574000102", 1200.0, "barge"),
    ]  # fmt: skip
    assert parse_date(datetime(2026, 12, 31, 8)).isoformat() == "2026-12-31"


def test_each_bad_row_says_row_column_reason_and_what_to_do() -> None:
    found = read("licence", f"number;valid_to;day_m3;wkt\n1;32/13/2026;abc;{WKT}\n2;;;\n3;;;{WKT}\n3;;;{WKT}\n")
    assert [(one.row, one.column, one.code) for one in found.faults] == [
        (2, "valid_to", "bad_day"), (2, "day_m3", "bad_number"), (3, "", "no_outline"), (5, "", "twice"),
    ]  # fmt: skip
    assert all(one.hint for one in found.faults) and [one.entry.key for one in found.drafts] == ["3"]


def test_an_outline_that_crosses_itself_or_lies_in_metres_is_refused() -> None:
    bow = {
        "type": "Polygon",
        "coordinates": [[[105.6, 10.4], [105.7, 10.5], [105.7, 10.4], [105.6, 10.5], [105.6, 10.4]]],
    }
    metres = {
        "type": "Polygon",
        "coordinates": [[[565898, 1156554], [566163, 1156071], [566427, 1155588], [565898, 1156554]]],
    }
    features = [
        {"type": "Feature", "properties": {"number": str(at)}, "geometry": one} for at, one in enumerate((bow, metres))
    ]
    found = read("licence", json.dumps({"type": "FeatureCollection", "features": features}))
    assert [one.row for one in found.faults] == [1, 2] and "crosses itself" in found.faults[0].message
    assert "plane metres" in found.faults[1].message


def test_a_line_is_a_bank_and_a_point_a_circle() -> None:
    found = read("zone", 'name;khoảng cách;wkt\nBờ trái;150;"LINESTRING(105.6 10.4,105.7 10.5)"\n')
    assert (found.drafts[0].entry.noun, found.drafts[0].entry.min_distance_m) == ("bank", 150.0)  # type: ignore[attr-defined]
    wharf = read("wharf", "tên bến;loại;vĩ độ;kinh độ;bán kính\nBến A;bến;10.45;105.6;200\n").drafts[0].entry
    shape = wharf.shape
    assert shape is not None and shape.centroid.x == pytest.approx(105.6, abs=1e-5)
    assert shape.area * 111_195**2 * 0.983 == pytest.approx(3.14 * 200**2, rel=0.02)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "no heading"),
        (b"\xd0\xcf\x11\xe0old", "xls"),
        (b"{", "JSON"),
        (b"PK\x03\x04x", "xlsx"),
        (b'{"type":"FeatureCollection","features":[]}', "no features"),
        (b"number\n", "nothing"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(content: bytes, says: str) -> None:
    if says == "nothing":
        assert read("licence", content).drafts == ()
        return
    with pytest.raises(InputError, match=says) as caught:
        read("licence", content)
    assert caught.value.hint


@given(st.binary(max_size=400), st.sampled_from(["licence", "vessel", "wharf", "zone"]))
def test_no_bytes_break_the_reader(content: bytes, noun: Noun) -> None:
    try:
        read(noun, content)
    except InputError as error:
        assert error.message


@given(st.lists(st.sampled_from(sorted({name for names in COLUMNS["licence"].values() for name in names})), max_size=8))
def test_no_two_columns_are_taken_for_one_field(columns: list[str]) -> None:
    fields = list(match_columns(dict.fromkeys(columns), COLUMNS["licence"]).values())
    assert len(fields) == len(set(fields))


# ---- what entries make


def test_the_demo_register_is_sound_and_makes_a_book() -> None:
    entries = []
    nouns: dict[str, Noun] = {"licences": "licence", "vessels": "vessel", "wharves": "wharf", "zones": "zone"}
    for part, name, content in register_files():
        found = read_entries(nouns[part], content, name)
        assert not found.faults and not found.unknown, (part, found.faults, found.unknown)
        entries += [(number, draft.entry) for number, draft in enumerate(found.drafts, 1)]
    book = book_of(entries)
    assert book.licences[0].vessels == {"mmsi-574000101", "mmsi-574000102"}
    assert (len(book.wharves), len(book.zones), len(book.banks)) == (2, 1, 4)
    assert book.hold_m3("mmsi-574000101") == 650 and book.hold_m3("mmsi-574000104") is None


def test_a_licence_names_vessels_by_name_registration_or_mmsi() -> None:
    vessels = read("vessel", "mmsi;tên tàu;số đăng ký\n574000101;Tàu Một;ĐT-1234\n574000102;Tàu Hai;ĐT-99\n").drafts
    licence = read("licence", f'number;vessels;wkt\n1;"Tàu Một, ĐT 99, 574 000 103";"{WKT}"\n').drafts
    book = book_of([(at, one.entry) for at, one in enumerate((*vessels, *licence), 1)])
    assert book.licences[0].vessels == {"mmsi-574000101", "mmsi-574000102", "mmsi-574000103"}


def test_the_last_day_of_a_licence_is_valid_to_its_end() -> None:
    body = {
        "number": "1",
        "geometry": {"type": "Polygon", "coordinates": [[[105, 10], [106, 10], [106, 11], [105, 10]]]},
    }
    made = read_entry("licence", {**body, "valid_from": "2026-01-01", "valid_to": "2026-01-31"})
    licence = made.to_licence(1, {})  # type: ignore[attr-defined]
    midnight = 1_769_878_800_000_000  # 2026-02-01 00:00 +07
    assert licence.valid_at(midnight - 1) and not licence.valid_at(midnight)
    with pytest.raises(InputError, match="ends before"):
        read_entry("licence", {**body, "valid_from": "2026-02-01", "valid_to": "2026-01-31"})
    assert set(ENTRIES) == {"licence", "vessel", "wharf", "zone", "bank"}
