"""Workbooks that say they are huge, and ordinary ones."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import openpyxl
import pytest

from thap.kernel.errors import InputError
from thap.observe.workbook import Area, read_workbook


def made(fill: Any) -> bytes:
    book = openpyxl.Workbook()
    fill(book.active)
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def rewritten(content: bytes, part: str, old: bytes, new: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as read, zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as write:
        for name in read.namelist():
            body = read.read(name)
            if name.endswith(part):
                assert old in body
                body = body.replace(old, new)
            write.writestr(name, body)
    return kept.getvalue()


def test_cells_come_as_values_with_merged_headings_named() -> None:
    def fill(sheet: Any) -> None:
        sheet["A1"] = "Mật độ"
        sheet.merge_cells("A1:C1")
        sheet.append(["phổ biến", "cao", "cá biệt"])
        sheet.append([1.5, None, 3])

    (grid,) = read_workbook(made(fill), "tuan.xlsx", rows=100, columns=20)
    assert grid.rows == [["Mật độ"], ["phổ biến", "cao", "cá biệt"], [1.5, None, 3]]
    assert grid.merged == [Area(1, 1, 1, 3)] and not grid.cut


def test_a_cell_far_out_costs_nothing() -> None:
    def fill(sheet: Any) -> None:
        sheet["A1"] = "trạm"
        sheet["XFD1048576"] = "xa"

    (grid,) = read_workbook(made(fill), "xa.xlsx", rows=50, columns=10)
    assert grid.rows == [["trạm"]]


def test_a_merged_area_of_all_cells_costs_nothing() -> None:
    content = made(lambda sheet: (sheet.append(["a", "b"]), sheet.merge_cells("A1:B1")))
    huge = rewritten(content, "sheet1.xml", b'"A1:B1"', b'"A1:XFD1048576"')
    (grid,) = read_workbook(huge, "gop.xlsx", rows=50, columns=10)
    assert grid.merged == [Area(1, 1, 1_048_576, 16_384)]


def test_more_rows_than_are_read_is_told() -> None:
    def fill(sheet: Any) -> None:
        for number in range(12):
            sheet.append([number])

    (grid,) = read_workbook(made(fill), "dai.xlsx", rows=10, columns=5)
    assert len(grid.rows) == 10 and grid.cut


@pytest.mark.parametrize("content", [b"PK", b"PK\x03\x04 half of one", b""])
def test_what_is_no_workbook_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_workbook(content, "hong.xlsx", rows=10, columns=5)


def test_one_that_unpacks_to_gigabytes_is_refused_before_it_is() -> None:
    content = made(lambda sheet: sheet.append(["a"]))
    kept = io.BytesIO(content)
    with zipfile.ZipFile(kept, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/filler", "w") as filler:
        for _ in range(300):
            filler.write(bytes(2**20))
    with pytest.raises(InputError, match="unpacked"):
        read_workbook(kept.getvalue(), "bom.xlsx", rows=10, columns=5)
