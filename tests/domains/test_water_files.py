"""Files of series and sheets of salinity as offices give them, and what is wrong with them by line and column."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domains.water_data import measured, tide
from typer.testing import CliRunner

from thap.cli.app import build
from thap.domains.water.sheets import read_sheet, station_name
from thap.domains.water.tables import fold, read_table
from thap.kernel.clock import DAY_US, HOUR_US, iso, parse_time_us
from thap.kernel.errors import InputError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings

SHEET = """station,river,province,km_to_mouth,year,p0101_0110,p0111_0120,p0221_0228
Bến Đò,Tien,Tien Giang,40,2024,1.5,,2
Cầu Kè,Tien,Tien Giang,,2024,0.4,0.3,0.2
"""


def put(folder: Path, text: str, name: str = "tep.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "time,level\n2026-01-01T00:00:00Z,1.5\n2026-01-01T01:00:00Z,2\n",
        "\ufefftime,level\r\n2026-01-01 00:00:00,1.5\r\n2026-01-01 01:00:00,2\r\n",
        "Thời gian;Mực nước (m)\n2026-01-01T07:00:00+07:00;1,5\n2026-01-01T08:00:00+07:00;2,0\n",
        "timestamp\twater_level\n1767225600\t1.5\n1767229200\t2\n",
        "time,station 12\n1767229200000,2\n1767225600000,1.5\n",
        "time,level\n2026-01-01T00:00:00Z,9\n2026-01-01T00:00:00Z,1.5\n2026-01-01T01:00:00Z,2\n",
    ],
    ids=["plain", "bom and crlf", "vietnamese", "tabs and unix time", "one nameless column, unsorted", "repeated"],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    table = read_table(put(tmp_path, text), {"level": ("water_level", "muc_nuoc")}, only="level")
    assert [iso(one) for one in table.times.tolist()] == ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"]
    assert table.columns["level"].tolist() == [1.5, 2.0]
    assert table.faults == []


def test_what_cannot_be_read_is_told_by_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = "time,level\n2026-01-01T00:00:00Z,1\nyesterday,2\n2026-01-01T02:00:00Z,high\n2026-01-01T03:00:00Z,\n"
    table = read_table(put(tmp_path, text), {"level": ()})
    assert [(one.line, one.column) for one in table.faults] == [(3, "time"), (4, "level")]
    assert table.columns["level"][0] == 1 and np.isnan(table.columns["level"][1:]).all()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("level,depth\n1,2\n", "no column of times"),
        ("time,depth,width\n1767225600,2,3\n", "none of the columns"),
        ("time,level\nnever,1\n", "no line can be read"),
    ],
)
def test_a_file_that_is_no_series_is_refused_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_table(put(tmp_path, text), {"level": ()})


def test_no_file_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "none.csv", {"level": ()})
    with pytest.raises(InputError, match="folder"):
        read_table(tmp_path, {"level": ()})
    (tmp_path / "b.csv").write_bytes(b"time,level\n\xff\xfe\xfa")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_table(tmp_path / "b.csv", {"level": ()})


def test_milligrams_in_a_heading_become_micrograms(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "time,CO (mg/m3)\n1767225600,1.5\n"), {"co": ()})
    assert table.columns["co"].tolist() == [1500.0]


@given(st.text("aÂđ Đ.,-_()m³", max_size=20))
def test_any_heading_folds_to_plain_words(text: str) -> None:
    assert fold(text) == fold(fold(text)) or "(" in text
    assert " " not in fold(text)


def test_names_of_stations_are_those_of_things() -> None:
    assert [station_name(one) for one in ("Vam Kenh", "Mỹ Tho", "Xuân Hòa", "Đồng Tâm")] == [
        "vam-kenh",
        "my-tho",
        "xuan-hoa",
        "dong-tam",
    ]


def test_a_sheet_gives_a_value_for_each_station_and_ten_days(tmp_path: Path) -> None:
    sheet = read_sheet(put(tmp_path, SHEET))
    assert (len(sheet.rows), sheet.empty, sheet.faults, sheet.stations) == (5, 1, [], ["Bến Đò", "Cầu Kè"])
    first, last = sheet.rows[0], sheet.rows[1]
    assert (first.station, first.km, first.g_l) == ("ben-do", 40.0, 1.5)
    assert first.begin == parse_time_us("2024-01-01T00:00:00+07:00")
    assert first.end == parse_time_us("2024-01-11T00:00:00+07:00")
    assert last.end == parse_time_us("2024-03-01T00:00:00+07:00")  # a leap year under the heading of any year
    assert sheet.rows[2].km is None


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ("1.5", "x", 2, "p0101_0110", "is no number"),
        ("1.5", "-1", 2, "p0101_0110", "outside 0–45"),
        ("1.5", "350", 2, "p0101_0110", "outside 0–45"),
        ("40,2024", "40,24", 2, "year", "is no year"),
        ("40,2024", "far,2024", 2, "km_to_mouth", "kilometres"),
        ("Cầu Kè,", ",", 3, "station", "no name"),
        ("p0221_0228", "p0231_0240", 2, "p0231_0240", "no such days"),
        ("Cầu Kè", "Bến Đò", 3, "p0101_0110", "line 2 already"),
    ],
)
def test_a_cell_that_cannot_be_taken_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, column: str, says: str
) -> None:
    sheet = read_sheet(put(tmp_path, SHEET.replace(old, new, 1)))
    assert sheet.faults[0].line == line and sheet.faults[0].column == column
    assert says in sheet.faults[0].reason
    assert len(sheet.rows) >= 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("station,p0101_0110\na,1\n", "no column `year`"),
        ("year,p0101_0110\n2024,1\n", "no column `station`"),
        ("station,year,january\na,2024,1\n", "no column of days"),
    ],
)
def test_what_is_no_sheet_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_sheet(put(tmp_path, text))


def test_the_real_sheet_is_read_whole(shared_data: Path) -> None:
    (path,) = (shared_data / "salinity").glob("*.csv")
    sheet = read_sheet(path)
    assert (len(sheet.rows), sheet.empty, sheet.faults) == (57, 15, [])
    assert {one.station for one in sheet.rows} >= {"vam-kenh", "hoa-binh", "my-tho"}
    assert all(one.end - one.begin in (8 * DAY_US, 10 * DAY_US, 11 * DAY_US) for one in sheet.rows)


def thap(*words: str) -> dict[str, object]:
    result = CliRunner().invoke(build("water"), ["water", *words, "--json"])
    if isinstance(result.exception, ThapError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    body: dict[str, object] = json.loads(result.stdout)
    return body


def test_the_command_forecasts_a_file(tmp_path: Path) -> None:
    times, values = measured(30, 3, every_min=30)
    lines = "\n".join(f"{iso(time)},{value:.3f}" for time, value in zip(times.tolist(), values.tolist(), strict=True))
    found = thap("forecast", str(put(tmp_path, f"time,level\n{lines}\n")), "--hours", "48")
    items = found["forecast"]
    assert isinstance(items, list) and len(items) == 48
    moments = np.array([parse_time_us(one["time"]) for one in items])
    assert moments[0] > times[-1] and (np.diff(moments) == HOUR_US).all()
    wrong = np.array([one["level"] for one in items]) - tide(moments, 3)
    assert np.sqrt(np.mean(wrong**2)) < 0.05
    assert all(one["low"] <= one["level"] <= one["high"] for one in items)
    finer = thap("forecast", str(tmp_path / "tep.csv"), "--hours", "6", "--step", "10m")
    assert len(finer["forecast"]) == 36  # type: ignore[arg-type]


def test_the_command_says_when_a_sluice_may_open(tmp_path: Path) -> None:
    times, values = measured(20, 3, every_min=60)
    lines = "\n".join(
        f"{iso(time)},{max(0, 1 + value):.2f}" for time, value in zip(times.tolist(), values.tolist(), strict=True)
    )
    found = thap("forecast", str(put(tmp_path, f"time,salinity\n{lines}\n")), "--salinity")
    low, high = found["sluice"]  # type: ignore[misc]
    assert (low["line_g_l"], high["line_g_l"]) == (1.0, 4.0)
    assert all(parse_time_us(one["from"]) < parse_time_us(one["to"]) for one in low["open"])
    assert len(high["open"]) == 1


def test_the_command_tells_the_index_of_the_air_and_what_is_wrong(tmp_path: Path) -> None:
    text = "time,PM2.5,pm10\n2026-01-01T00:00:00Z,30,x\n2026-01-01T01:00:00Z,90,\n2026-01-01T02:00:00Z,90,100\n"
    found = thap("aqi", str(put(tmp_path, text)))
    last = found["hourly"][-1]  # type: ignore[index]
    # w = 0.5 (30 of 90): (90 + 45 + 7.5) / 1.75 = 81.4, so a little over 150
    assert (last["aqi"], last["pollutant"], last["class"], last["colour"]) == (151, "pm25", "Xấu", "#FF0000")
    assert found["faults"] == [{"line": 2, "column": "pm10", "reason": "'x' is no number"}]
    with pytest.raises(InputError, match="known are pm25"):
        thap("aqi", str(put(tmp_path, "time,dust,smoke\n1767225600,2,3\n")))


async def test_a_sheet_is_imported_once_and_corrected_by_a_later_one(
    records: Records, settings: Settings, tmp_path: Path
) -> None:
    import asyncio

    def run(text: str, *words: str) -> dict[str, object]:
        return thap("salinity", "import", str(put(tmp_path, text)), *words, "--data", str(settings.data))

    checked = await asyncio.to_thread(run, SHEET, "--check")
    assert (checked["imported"], checked["rows"]) == (False, 5)
    done = await asyncio.to_thread(run, SHEET)
    assert (done["added"], done["replaced"], done["same"]) == (5, 0, 0)
    again = await asyncio.to_thread(run, SHEET.replace("1.5", "1.8"))
    assert (again["added"], again["replaced"], again["same"]) == (0, 1, 4)
    with pytest.raises(InputError, match=r"1 cells cannot be taken, nothing was imported: line 2, p0101_0110"):
        await asyncio.to_thread(run, SHEET.replace("1.5", "x"))
    skipped = await asyncio.to_thread(run, SHEET.replace("1.5", "x"), "--skip-bad")
    assert (skipped["same"], len(skipped["faults"])) == (4, 1)  # type: ignore[arg-type]
