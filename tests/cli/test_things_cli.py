"""Things and movers out of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from thap.cli.things import read_things
from thap.kernel.errors import InputError


def test_a_table_has_one_row_for_each_datastream(tmp_path: Path) -> None:
    file = tmp_path / "things.csv"
    file.write_text(
        "\ufeffname,title,lon,lat,datastream,property,unit\n"
        "tram-01,Trạm Sa Đéc,105.75,10.29,level,water_level,m\ntram-01,,,,salinity,,\ntram-02,,,,,,\n"
    )
    assert read_things(file) == {
        "movers": [],
        "things": [
            {
                "name": "tram-01",
                "title": "Trạm Sa Đéc",
                "lon": 105.75,
                "lat": 10.29,
                "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}, {"name": "salinity"}],
            },
            {"name": "tram-02", "datastreams": []},
        ],
    }


def test_movers_have_a_table_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "movers.csv"
    file.write_text("mover,title,kind\nmmsi-574001234,Cát Tiên 02,dredger\n")
    assert read_things(file)["movers"] == [{"key": "mmsi-574001234", "name": "Cát Tiên 02", "kind": "dredger"}]


def test_json_is_taken_as_the_api_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "things.json"
    file.write_text('{"things": [{"name": "a"}]}')
    assert read_things(file) == {"things": [{"name": "a"}], "movers": []}


@pytest.mark.parametrize(
    "content, message, where",
    [
        (b"", "empty", ""),
        (b"title\nx\n", "no column 'name'", "line 1"),
        (b"name,colour\nx,y\n", "'colour'", "line 1"),
        (b"name,lon\na,E\n", "'E' is not a number", "line 2, column lon"),
        (b"name,title\na\n", "2 columns", "line 2"),
        (b"name,title\n,b\n", "'name' is empty", "line 2"),
        (b"name\n\xff\n", "not UTF-8", "line 2"),
        (b'{"things": ', "not valid JSON", ""),
        (b'{"thing": []}', "lists named things and movers", ""),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path: Path, content: bytes, message: str, where: str) -> None:
    file = tmp_path / "things.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_things(file)
    assert str(file) in str(caught.value.where) and where in str(caught.value.where)
