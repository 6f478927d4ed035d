"""Files of records: formats, what columns mean, and files that are broken."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import iso, parse_time_us
from thap.kernel.errors import InputError
from thap.observe.columns import Plan, plan_columns
from thap.observe.files import DataFile, Format
from thap.observe.kinds import Kind


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def records(path: Path, **options: Any) -> list[dict[str, Any]]:
    with DataFile(path) as file:
        plan = plan_columns(file.columns, file.sample(), where=path.name, **options)
        return [record for row in file.rows() if row.values is not None for record in plan.records(row.values).records]


LEVEL = [
    {"datastream": "tram-01/level", "at": "2026-11-22T08:00:00Z", "result": 1.5},
    {"datastream": "tram-01/level", "at": "2026-11-22T09:00:00Z", "result": 1.75},
]


def parquet(path: Path) -> Path:
    moments = [datetime(2026, 11, 22, 8, tzinfo=UTC), datetime(2026, 11, 22, 9, tzinfo=UTC)]
    pq.write_table(
        pa.table(
            {
                "datastream": ["tram-01/level"] * 2,
                "time": pa.array(moments, pa.timestamp("ns", "UTC")),
                "result": [1.5, 1.75],
            }
        ),
        path,
    )
    return path


@pytest.mark.parametrize(
    "text",
    [
        "datastream,time,result\ntram-01/level,2026-11-22T08:00:00Z,1.5\ntram-01/level,2026-11-22 09:00:00,1.75\n",
        "thing;datastream;time;value\ntram-01;level;22/11/2026 08:00;1,5\ntram-01;level;22/11/2026 09:00:00;1,75\n",
        "station,timestamp,level\ntram-01,1795334400,1.5\ntram-01,1795338000000,1.75\n",
        "date,time,station,level,note\n2026-11-22,08:00,tram-01,1.5,calm\n2026-11-22,09:00,tram-01,1.75,\n",
        "\ufeffStation\tTime\tlevel (m)\ntram 01\t2026-11-22T08:00Z\t1.5\r\ntram 01\t2026-11-22T09:00Z\t1.75\r\n",
        '{"datastream":"tram-01/level","at":"2026-11-22T08:00:00Z","result":1.5}\n\n'
        '{"datastream":"tram-01/level","at":1795338000.0,"result":1.75}\n',
    ],
)
def test_the_same_records_come_out_of_every_layout(tmp_path: Path, text: str) -> None:
    assert records(write(tmp_path / "file", text)) == LEVEL
    assert records(write(tmp_path / "packed", gzip.compress(text.encode()))) == LEVEL


def test_parquet_gives_the_same_records(tmp_path: Path) -> None:
    assert records(parquet(tmp_path / "file.parquet")) == LEVEL


def test_one_row_of_a_wide_file_is_one_record_for_each_column_told(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "time,a,b(mm),c,d\n2026-11-22T08:00:00Z,1,2,,x\n2026-11-22T09:00:00Z,,3,4,\n")
    found = records(path, thing="tram-01")
    assert [(record["datastream"], record["result"]) for record in found] == [
        ("tram-01/a", 1),
        ("tram-01/b", 2),
        ("tram-01/b", 3),
        ("tram-01/c", 4),
    ]
    with DataFile(path) as file:
        plan = plan_columns(file.columns, file.sample(), thing="tram-01")
    assert plan.describe("tram-01/b") == ("tram-01", {"name": "b", "unit": "mm"})
    assert {record["datastream"] for record in records(path, thing="t", maps={"b(mm)": "rain_mm"})} == {"t/rain_mm"}


def test_years_with_weeks_become_times() -> None:
    def moment(columns: list[str], values: list[Any]) -> str:
        plan = plan_columns([*columns, "n"], [[*values, 1]], thing="t")
        return str(plan.records([*values, 1]).records[0]["at"])

    assert moment(["year", "week"], ["2026", "1"]) == "2025-12-29T00:00:00Z"
    assert moment(["Observation Year", "Standard Week"], ["2003", "2"]) == "2003-01-08T00:00:00Z"
    assert moment(["year", "standard week"], ["2004", "9"]) == "2004-02-26T00:00:00Z"
    assert moment(["year", "standard week"], ["2004", "52"]) == "2004-12-24T00:00:00Z"
    assert moment(["year", "standard week"], ["2003", "52"]) == "2003-12-24T00:00:00Z"
    assert moment(["year", "month"], [1959, 7]) == "1959-07-01T00:00:00Z"
    assert moment(["year", "week"], ["2026", "60"]) == "2026 60", "what is no week is left for the door to refuse"


def test_periods_in_columns_become_times(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "station,year,p0101_0110,p0111_0120\nVam Kenh,2021,19.2,\nMy Tho,2022,x,1.5\n")
    assert records(path, maps={"p*": "salinity_g_l"}) == [
        {"datastream": "Vam-Kenh/salinity_g_l", "at": "2021-01-01T00:00:00Z", "result": 19.2},
        {"datastream": "My-Tho/salinity_g_l", "at": "2022-01-01T00:00:00Z", "result": "x"},
        {"datastream": "My-Tho/salinity_g_l", "at": "2022-01-11T00:00:00Z", "result": 1.5},
    ]


def test_positions_are_recognised_and_values_that_mean_unknown_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv",
        "datetime,mmsi,lon,lat,SOG,Heading,shiptype,name,length\n"
        "2022-11-01 09:35:36,22,8.1,56.5,102.3,511,Dredging,Vessel 22,18\n"
        "2022-11-01 09:35:37,574001234,8.1,56.5,3.5,31,,,\n",
    )
    first, second = records(path)
    assert first == {"mover": "mmsi-000000022", "at": "2022-11-01T09:35:36Z", "lon": 8.1, "lat": 56.5}
    assert second["speed_kn"] == 3.5 and second["course_deg"] == 31 and second["mover"] == "mmsi-574001234"
    with DataFile(path) as file:
        plan = plan_columns(file.columns, file.sample())
        row = next(iter(file.rows())).values
    assert plan.kind is Kind.POSITION and row is not None
    assert plan.describe_mover("mmsi-000000022", row) == {
        "key": "mmsi-000000022",
        "name": "Vessel 22",
        "kind": "dredger",
        "properties": {"length_m": 18.0},
    }


def test_values_that_are_no_numbers_are_left_for_the_door_to_refuse(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.csv",
        "datastream,time,result\na/b,noon,1\na/b,2026-11-22,much\na/b,2026-11-22,inf\n"
        "a/b,2026-11-22,NaN\na/b,2026-11-22,-\n",
    )
    assert [(record["at"], record["result"]) for record in records(path)] == [
        ("noon", 1.0),
        ("2026-11-22T00:00:00Z", "much"),
        ("2026-11-22T00:00:00Z", "inf"),
    ]


@pytest.mark.parametrize(
    "columns, options, message",
    [
        (["a", "b"], {}, "no column tells the time"),
        (["time", "note"], {"thing": "t"}, "no column holds values"),
        (["time", "level"], {}, "no column tells the thing"),
        (["time", "level"], {"maps": {"levle": "level"}}, "there is no column 'levle'"),
        (["time", "lon", "lat"], {"kind": Kind.POSITION}, "no column tells the mover"),
        (
            ["time", "lon", "lat", "id", "depth"],
            {"kind": Kind.POSITION, "maps": {"depth": "depth"}},
            "no field 'depth'",
        ),
        (["mover", "lon", "lat"], {}, "no column tells the time"),
    ],
)
def test_wrong_columns_are_told_with_what_there_is(columns: list[str], options: dict[str, Any], message: str) -> None:
    row = ["calm" if column == "note" else "1" for column in columns]
    with pytest.raises(InputError, match=message) as caught:
        plan_columns(columns, [row], where="f.csv", **options)
    assert "f.csv" in str(caught.value) and (columns[0] in str(caught.value) or "map" in str(caught.value))


@pytest.mark.parametrize(
    "content, message, where",
    [
        (b"", "the file is empty", ""),
        (b" \n\n", "the file is empty", ""),
        (gzip.compress(b"", mtime=0), "the file is empty", ""),
        (b"justonecolumn\n1\n", "does not name columns", "line 1"),
        (b"a,b,a\n1,2,3\n", "two columns are called 'a'", "line 1, column 3"),
        (b"PAR1 and then nothing", "not a whole Parquet file", ""),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no known format|not UTF-8", ""),
        ("time,a\n2026,1\n".encode("utf-16"), "UTF-16", "line 1, column 1"),
        (b'[{"a": 1}]', "a JSON array", ""),
        (b'{"a": \n', "no line is a JSON object", "line 1"),
        (b"\x1f\x8bnonsense", "packed file", ""),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str, where: str) -> None:
    path = write(tmp_path / "bad", content)
    with pytest.raises(InputError, match=message) as caught:
        DataFile(path)
    assert str(path) in (caught.value.where or "") and where in (caught.value.where or "")


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        DataFile(tmp_path / "none.csv")
    with pytest.raises(InputError, match="this is a folder"):
        DataFile(tmp_path)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "file.parquet").read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 20):
        with pytest.raises(InputError, match="not a whole Parquet file"):
            DataFile(write(tmp_path / "half.parquet", whole[:length]))


def test_a_truncated_gzip_file_gives_its_good_rows_first(tmp_path: Path) -> None:
    rows = "".join(f"a/b,{iso(10**15 + n * 10**6)},{n * 7 % 1009}\n" for n in range(90_000))
    text = f"datastream,time,result\n{rows}"
    path = write(tmp_path / "half.gz", gzip.compress(text.encode())[:-2000])
    seen = 0
    with DataFile(path) as file, pytest.raises(InputError, match="ends too early") as caught:
        for _ in file.rows():
            seen += 1
    assert seen > 50_000 and caught.value.where == f"{path}, line {seen + 2}"


def test_a_byte_that_is_not_utf8_is_told_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "old.csv", b"station,time,level\ntram,2026-11-22,1\nS\xf4ng,2026-11-22,2\n")
    with DataFile(path) as file, pytest.raises(InputError, match="0xf4 is not UTF-8") as caught:
        list(file.rows())
    assert caught.value.where == f"{path}, line 3, column 2"


def test_bad_rows_are_given_as_they_are_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "a,b\n1,2\n1\n1,2,3\n3,4\n")
    with DataFile(path) as file:
        rows = list(file.rows())
    assert [row.values for row in rows] == [["1", "2"], None, None, ["3", "4"]]
    assert rows[1].number == 3 and rows[1].raw == ["1"] and "has 1 columns, not 2" in rows[1].fault
    path = write(tmp_path / "f.ndjson", b'{"a":1}\n{"a":\n5\n{"a":\xff}\n{"a":2}\n')
    with DataFile(path) as file:
        rows = list(file.rows())
    assert [row.values for row in rows] == [[1], None, None, None, [2]] and "not valid JSON" in rows[1].fault


def test_an_nmea_log_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    line = b"# log\n!AIVDM,1,1,,A,15N8ip0P01I<rOj@wrVsJ?vp2<3T,0*46\n"
    with DataFile(write(tmp_path / "x.csv", line)) as file:
        assert file.format is Format.NMEA and [number for number, _ in file.lines()] == [1, 2]


@given(st.binary(max_size=300))
def test_no_bytes_whatever_make_anything_but_rows_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("any") / "file", content)
    try:
        with DataFile(path) as file:
            if file.format is Format.NMEA:
                list(file.lines())
            else:
                list(file.rows())
    except InputError as error:
        assert str(path) in str(error)


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.floats(allow_nan=False, allow_infinity=False)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_times_and_numbers_of_any_size_pass_unchanged(rows: list[tuple[datetime, float]]) -> None:
    plan: Plan = plan_columns(["time", "result"], [], thing="t")
    for moment, value in rows:
        made = plan.records([moment.isoformat(), repr(value)])
        assert made.time == parse_time_us(moment) and made.records[0]["result"] == value
        assert parse_time_us(made.records[0]["at"]) == made.time


# The real files, each with the one command line that the guide gives for it.


def test_the_pest_series_is_read_with_its_weather(shared_data: Path) -> None:
    found = records(shared_data / "pests" / "rice_pests_weather_1959_2006.csv")
    assert len(found) == 13_008 and all(isinstance(record["result"], float) for record in found)
    assert found[0] == {
        "datastream": "Cuttack/Brownplanthopper-Number-hill",
        "at": "2003-01-01T00:00:00Z",
        "result": 0.0,
    }
    with_weather = records(
        shared_data / "pests" / "rice_pests_weather_1959_2006.csv", maps={"MaxT": "temp_max_c", "RF(mm)": "rain_mm"}
    )
    assert len(with_weather) == 3 * 13_008
    assert {"Maruteru/rain_mm", "Maruteru/temp_max_c"} <= {record["datastream"] for record in with_weather}


def test_the_salinity_table_is_read(shared_data: Path) -> None:
    path = next((shared_data / "salinity").glob("*.csv"))
    found = records(path, maps={"p*": "salinity_g_l"})
    assert len(found) == 57 and found[0] == {
        "datastream": "Vam-Kenh/salinity_g_l",
        "at": "2021-01-01T00:00:00Z",
        "result": 19.2,
    }


def test_the_ais_table_is_read(shared_data: Path) -> None:
    found = records(shared_data / "vessels" / "danish_ais_20221101_50k.csv.gz")
    assert len(found) == 50_142 and len({record["mover"] for record in found}) == 202
    assert len({(record["mover"], record["at"]) for record in found}) == 49_504
    assert json.dumps(found[0]) and found[0]["speed_kn"] == 12.5
