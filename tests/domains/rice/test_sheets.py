from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from thap.cli.app import build
from thap.domains.rice.nights import plant
from thap.domains.rice.sheets import catches_of, choose, pool_of, read_catches, read_temperatures, series_of
from thap.kernel.errors import InputError, NotFoundError

HEAD = (
    "Observation Year,Standard Week,Pest Value,Collection Type,MaxT,MinT,RH1(%),RH2(%),RF(mm),WS(kmph),SSH(hrs),"
    "EVP(mm),PEST NAME,Location\n"
)


def weekly(years: int = 3) -> str:
    lines = []
    for pest in ("Brownplanthopper", "Gallmidge"):
        for week in range(52 * years):
            count = round(50 + 45 * np.sin(2 * np.pi * week / 52))
            lines.append(
                f"{2000 + week // 52},{week % 52 + 1},{count},Number/Light trap,33,24,90,60,0,3,8,4,{pest},Maruteru"
            )
    return HEAD + "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weekly.csv").write_text(weekly())
    (tmp_path / "steady.csv").write_text(
        "date,min,max\n" + "".join(f"2026-04-{day:02d},28,28\n" for day in range(1, 31))
    )
    planted = plant(7)
    nights = "".join(
        f"{planted.catches.day(at):%d/%m/%Y};{'' if np.isnan(count) else int(count)}\n"
        for at, count in enumerate(planted.catches.counts)
    )
    (tmp_path / "nights.csv").write_text("Ngày;Số lượng\n" + nights)
    return tmp_path


def thap(*words: str | Path) -> dict[str, object]:
    done = CliRunner().invoke(build("rice"), ["rice", *map(str, words), "--json"])
    if done.exception is not None:
        raise done.exception
    return dict(json.loads(done.stdout))


def test_the_weekly_layout_is_read_and_pests_go_by_their_common_names(folder: Path) -> None:
    read = read_catches(folder / "weekly.csv")
    for name in ("Brownplanthopper", "brown planthopper", "BPH", "Rầy nâu", "hopper"):
        assert choose(read, name, "maruteru")[0].pest == "Brownplanthopper"
    series = series_of(choose(read, "BPH", "Maruteru"))
    assert len(series.counts) == 156
    assert len(pool_of(read, series)) == 1


def test_an_unknown_pest_or_place_names_those_there_are(folder: Path) -> None:
    read = read_catches(folder / "weekly.csv")
    with pytest.raises(NotFoundError, match="Brownplanthopper, Gallmidge"):
        choose(read, "locust")
    with pytest.raises(NotFoundError, match="there are Maruteru"):
        choose(read, "BPH", "Paris")
    with pytest.raises(InputError, match="Brownplanthopper, Gallmidge"):
        choose(read)


def test_bad_lines_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(
        "date,count,odd\n2026-01-01,5,x\n2026-13-01,5,x\n2026-01-03,many,x\n2026-01-04,-2,x\n2026-01-05,,x\n"
    )
    read = read_catches(path)
    assert read.rows[0].count == 5
    assert len(read.rows) == 2
    assert [problem.split(":")[0] for problem in read.problems] == ["line 3", "line 4", "line 5"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "no column of counts; there are a, b"),
        (b"date,count\n", "no line below"),
        (b"date,count\nx,y\n", "not one line can be used: line 2"),
        (b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_catches(path)


def test_a_packed_file_is_read(folder: Path) -> None:
    path = folder / "weekly.csv.gz"
    path.write_bytes(gzip.compress((folder / "weekly.csv").read_bytes()))
    assert len(read_catches(path).rows) == 312


def test_nights_with_vietnamese_headings_are_nights(folder: Path) -> None:
    catches, wind = catches_of(choose(read_catches(folder / "nights.csv")))
    assert (catches.step_days, wind, len(catches.counts)) == (1, None, 180)


def test_hourly_temperatures_become_lowest_and_highest(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    path.write_text("time,temperature\n2026-04-01T03:00,24.5\n2026-04-01T14:00,33\n2026-04-02T03:00,25\n")
    read = read_temperatures(path)
    assert read.lowest_c.tolist() == [24.5, 25.0]
    assert read.highest_c.tolist() == [33.0, 25.0]


def test_forecast_on_the_command_line_tells_its_origin_and_baselines(folder: Path) -> None:
    body = thap(
        "forecast", folder / "weekly.csv", "--pest", "Brownplanthopper", "--location", "Maruteru", "--horizon", "4"
    )
    assert body["origin"] == {"date": "2002-12-24", "year": 2002, "week": 52, "count": 45.0}
    assert [one["target_week"] for one in body["forecasts"]] == [1, 2, 3, 4]  # type: ignore[attr-defined,index]
    assert [one["baselines"]["persistence"] for one in body["forecasts"]] == [45.0] * 4  # type: ignore[attr-defined,index]
    earlier = thap("forecast", folder / "weekly.csv", "--pest", "BPH", "--origin", "2001-07-05")
    assert earlier["origin"]["date"] == "2001-07-02"  # type: ignore[index]


def test_flights_on_the_command_line_are_those_planted(folder: Path) -> None:
    found = {one["peak"] for one in thap("flights", folder / "nights.csv")["flights"]}  # type: ignore[attr-defined]
    planted = plant(7)
    assert len(found) >= len(planted.peaks) - 1


def test_phenology_on_the_command_line_is_22_2_days_at_28_degrees(folder: Path) -> None:
    body = thap("phenology", "--from", "2026-04-02", "--temperature", folder / "steady.csv")
    assert body["generation_days"] == pytest.approx(22.2, abs=0.05)
    events = {one["event"]: one["expected"] for one in body["windows"]}  # type: ignore[attr-defined]
    assert events["next_flight"] == "2026-04-24"


def test_a_date_that_is_none_is_said(folder: Path) -> None:
    with pytest.raises(InputError, match="is no date"):
        thap("phenology", "--from", "soon", "--temperature", folder / "steady.csv")
