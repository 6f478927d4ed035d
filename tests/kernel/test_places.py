"""Communes, their names and outlines, and which one a point lies in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from thap.cli.places import places as places_app
from thap.kernel.errors import InputError, NotFoundError, ThapError
from thap.kernel.places import (
    Locator,
    commune,
    communes,
    convert,
    fold,
    import_polygons,
    imports,
    load_locator,
    old_units,
    parse_polygons,
    polygons,
    read_polygons,
    search,
)
from thap.kernel.records import Records


@pytest.fixture(scope="module")
def outlines_file(shared_data: Path) -> Path:
    return shared_data / "places" / "dong_thap_102_simplified.geojson"


@pytest.fixture(scope="module")
def outlines(outlines_file: Path) -> dict[str, Any]:
    return {code: shapely.from_wkb(shape) for code, shape in read_polygons(outlines_file).wkb.items()}


@pytest.fixture(scope="module")
def locator(outlines: dict[str, Any]) -> Locator:
    return Locator(communes(), outlines)


def by_shapely(outlines: dict[str, Any], lon: Any, lat: Any) -> Any:
    """The lowest index of a polygon that covers each point: what the grid promises."""
    best = np.full(len(lon), -1)
    for index in reversed(range(102)):
        best[shapely.intersects_xy(outlines[communes()[index].code], lon, lat)] = index
    return best


# Names


def test_the_province_has_102_communes_20_of_them_phuong() -> None:
    assert len(communes()) == 102
    assert sum(unit.kind == "phường" for unit in communes()) == 20
    assert len({unit.code for unit in communes()}) == 102


def test_every_old_unit_became_at_least_one_commune_and_every_commune_came_from_one() -> None:
    assert len(old_units()) == 305
    assert all(old.became for old in old_units())
    assert {code for old in old_units() for code in old.became} == {unit.code for unit in communes()}


def test_centres_lie_near_the_outlines(outlines: dict[str, Any]) -> None:
    away = {
        unit.title: shapely.distance(outlines[unit.code], shapely.Point(unit.lon, unit.lat)) * 110
        for unit in communes()
    }
    assert max(away.values()) < 6, away  # kilometres; three centres of the package are up to 95 km off


@pytest.mark.parametrize("text", ["Cao Lãnh", "cao lanh", "CAO LANH", "phường cao lãnh", "phuong cao lanh"])
def test_a_search_finds_either_spelling(text: str) -> None:
    assert search(text)[0].title == "Phường Cao Lãnh"


def test_d_without_its_stroke_finds_d_with_it() -> None:
    assert search("dao thanh")[0].name == "Đạo Thạnh"


def test_written_marks_decide_between_names_that_differ_in_marks_alone() -> None:
    assert search("Tân Thạnh")[0].title == "Xã Tân Thạnh"
    assert search("Tân Thành")[0].title == "Xã Tân Thành"
    assert {unit.title for unit in search("tan thanh")[:2]} == {"Xã Tân Thạnh", "Xã Tân Thành"}


@pytest.mark.parametrize("text", ["Thanh Hòa", "Thanh Hoà"])
def test_the_tone_mark_may_stand_on_either_vowel(text: str) -> None:
    assert search(text)[0].code == "28436"


def test_a_search_finds_todays_commune_by_its_old_name() -> None:
    assert "30088" in {unit.code for unit in search("gáo giồng")}


def test_an_empty_search_finds_nothing() -> None:
    assert search("") == search("  ") == search("%%%") == []


@given(st.text())
def test_any_text_can_be_searched_and_converted(text: str) -> None:
    assert all(unit in communes() for unit in search(text))
    try:
        assert all(old in old_units() for old in convert(text))
    except NotFoundError as error:
        assert error.hint


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_an_old_ward_is_told_apart_by_its_district() -> None:
    assert len(convert("Phường 5")) == 3
    (old,) = convert("phuong 5, my tho")
    assert [commune(code).title for code in old.became] == ["Phường Đạo Thạnh"]


def test_a_divided_unit_names_all_it_became_the_main_one_first() -> None:
    (old,) = convert("Gáo Giồng")
    assert [commune(code).name for code in old.became] == ["Phong Mỹ", "Phú Cường"]


def test_an_old_district_gives_all_it_had() -> None:
    assert len(convert("huyện Tam Nông")) == 12
    assert {old.district for old in convert("Mỹ Tho")} == {"Thành phố Mỹ Tho"}
    assert {old.ward for old in convert("Mỹ Thọ")} >= {"Thị trấn Mỹ Thọ"}


def test_an_unknown_code_says_where_to_look() -> None:
    with pytest.raises(NotFoundError) as caught:
        commune("99999")
    assert caught.value.hint is not None and "places list" in caught.value.hint


# Points


def test_the_grid_agrees_with_shapely_on_random_points(locator: Locator, outlines: dict[str, Any]) -> None:
    random = np.random.default_rng(3)
    lon, lat = random.uniform(105.1, 106.9, 30_000), random.uniform(10.05, 11.0, 30_000)
    assert np.array_equal(locator.commune_of(lon, lat), by_shapely(outlines, lon, lat))


def test_the_grid_agrees_with_shapely_on_borders(locator: Locator, outlines: dict[str, Any]) -> None:
    corners = shapely.get_coordinates(list(outlines.values()))
    middles = (corners[1:] + corners[:-1]) / 2
    nearly = corners + np.random.default_rng(4).normal(0, 1e-9, corners.shape)
    for points in (corners, middles, nearly):
        assert np.array_equal(locator.commune_of(*points.T), by_shapely(outlines, *points.T))


SHAPES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.5), st.integers(3, 9), st.floats(0, 6.3)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_any_polygons_in_any_grid_agree_with_shapely(drawn: list[Any], cells: int, seed: int) -> None:
    units = communes()[: len(drawn)]
    made = {}
    for unit, (x, y, radius, corners, turn) in zip(units, drawn, strict=True):
        angles = turn + np.linspace(0, 2 * np.pi, corners, endpoint=False)
        made[unit.code] = shapely.Polygon(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1))
    vertices = shapely.get_coordinates(list(made.values()))
    points = np.concatenate(
        [np.random.default_rng(seed).uniform(-0.6, 1.6, (300, 2)), vertices, (vertices[1:] + vertices[:-1]) / 2]
    )
    expected = np.full(len(points), -1)
    for index in reversed(range(len(units))):
        expected[shapely.intersects_xy(made[units[index].code], *points.T)] = index
    assert np.array_equal(Locator(units, made, cells).commune_of(*points.T), expected)


@given(st.floats(), st.floats())
def test_any_number_is_a_point_inside_or_outside(lon: float, lat: float) -> None:
    assert -1 <= Locator(communes()).commune_of(lon, lat)[0] < 102


def test_without_outlines_the_nearest_centre_answers_and_says_so(locator: Locator) -> None:
    plain = Locator(communes())
    assert plain.approximate and not locator.approximate
    assert plain.codes_of([105.6375, 105.85], [10.45, 21.03]).tolist() == ["29869", ""]


def test_points_not_on_earth_lie_in_no_commune(locator: Locator) -> None:
    assert (locator.commune_of([np.nan, np.inf, 0, 500], [10.4, 10.4, 0, -500]) == -1).all()
    assert locator.codes_of([], []).tolist() == []


# Import


def write(path: Path, features: list[Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")
    return path


def square(lon: float = 105.6, lat: float = 10.4, size: float = 0.1) -> dict[str, Any]:
    ring = [[lon, lat], [lon + size, lat], [lon + size, lat + size], [lon, lat + size], [lon, lat]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def test_the_real_outlines_are_read_whole(outlines_file: Path) -> None:
    read = read_polygons(outlines_file)
    assert len(read.wkb) == 102
    assert read.faults == read.missing == []


def test_each_bad_feature_is_named_with_its_index_and_reason(tmp_path: Path) -> None:
    bowtie = {"type": "Polygon", "coordinates": [[[105, 10], [106, 11], [106, 10], [105, 11], [105, 10]]]}
    read = read_polygons(
        write(
            tmp_path / "x.geojson",
            [
                feature(square(), code="29869"),
                feature(square(), name="Hà Nội"),
                feature(None, name="Sa Đéc"),
                feature(bowtie, name="Mỹ Tho"),
                feature(square(580000, 1150000, 100), name="Mỹ Ngãi", code="29884"),
                feature(square(), name="Tan Thanh"),
                feature({"type": "Point", "coordinates": [105, 10]}, code=28249),
                feature({"type": "Polygon", "coordinates": "no"}, code=28249),
                feature(square(), fullName="Phường Cao Lãnh"),
                feature(square(), nothing=1),
                "not even a feature",
            ],
        )
    )
    assert list(read.wkb) == ["29869"]
    assert [fault.index for fault in read.faults] == list(range(1, 11))
    says = [
        "no commune",
        "no geometry",
        "Self-intersection",
        "VN-2000",
        "several",
        "is a Point",
        "cannot be read",
        "again, as feature 0",
        "neither",
        "not a GeoJSON Feature",
    ]
    for part, fault in zip(says, read.faults, strict=True):
        assert part in fault.reason
    assert str(read.faults[0]).startswith("feature 1 (Hà Nội)")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "line 1 column 1"),
        (b'{"type": "FeatureCollection",\n "features": [1,,]}', "line 2 column"),
        (b"[]", "FeatureCollection"),
        (b'{"type": "FeatureCollection", "features": []}', "no features"),
        (b"\xff\xfe", "not JSON"),
        (b'{"type": "Feature"}', "FeatureCollection"),
    ],
)
def test_a_file_that_is_no_collection_is_refused_with_the_place(tmp_path: Path, body: bytes, says: str) -> None:
    path = tmp_path / "x.geojson"
    path.write_bytes(body)
    with pytest.raises(InputError) as caught:
        read_polygons(path)
    assert says in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_polygons(tmp_path / "none.geojson")
    assert "none.geojson: cannot be read" in str(caught.value)


async def test_outlines_are_replaced_and_what_they_replace_is_kept(records: Records, tmp_path: Path) -> None:
    first = read_polygons(
        write(tmp_path / "a.geojson", [feature(square(), code="29869"), feature(square(105.8), code="29884")])
    )
    second = read_polygons(write(tmp_path / "b.geojson", [feature(square(105.0), code="29869")]))
    async with records.write() as connection:
        one = await import_polygons(connection, "a", first.digest, first.wkb)
    async with records.write() as connection:
        assert await import_polygons(connection, "a", first.digest, first.wkb) is None
        two = await import_polygons(connection, "b", second.digest, second.wkb)
    assert one is not None and two is not None and two.time > one.time
    async with records.read() as connection:
        assert [entry.source for entry in await imports(connection)] == ["b", "a"]
        assert await polygons(connection) == {**first.wkb, **second.wkb}
        assert await polygons(connection, at=one.time) == first.wkb
        locator = await load_locator(connection)
    assert locator.codes_of([105.05, 105.65, 105.85], [10.45] * 3).tolist() == ["29869", "", "29884"]


# Command line


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(places_app, [*arguments, "--json"])
    if isinstance(result.exception, ThapError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_imports_and_locates(data_dir: Path, outlines_file: Path) -> None:
    data = ("--data", str(data_dir))
    assert run("at", "105.6375", "10.45", *data)["approximate"] is True
    done = run("import", str(outlines_file), *data)
    assert done == {"imported": 102, "unchanged": False, "faults": [], "missing": []}
    assert run("import", str(outlines_file), *data)["unchanged"] is True
    found = run("at", "105.6375", "10.45", *data)
    assert found["approximate"] is False and found["commune"]["title"] == "Phường Cao Lãnh"
    assert run("at", "105.85", "21.03", *data)["commune"] is None
    assert len(run("imports", *data)) == 1


def test_one_bad_feature_stops_an_import_unless_skipped(data_dir: Path, tmp_path: Path) -> None:
    data = ("--data", str(data_dir))
    path = str(write(tmp_path / "x.geojson", [feature(square(), code="29869"), feature(square(), name="Hà Nội")]))
    with pytest.raises(InputError, match="feature 1"):
        run("import", path, *data)
    assert run("imports", *data) == []
    done = run("import", path, "--skip-bad", *data)
    assert done["imported"] == 1 and len(done["missing"]) == 101


def test_a_point_beyond_the_globe_is_refused() -> None:
    with pytest.raises(InputError, match="±180"):
        run("at", "200", "10")


def test_a_file_of_too_many_features_is_refused_before_any_is_looked_at() -> None:
    body = b'{"type": "FeatureCollection", "features": [' + b",".join([b"{}"] * 20_001) + b"]}"
    with pytest.raises(InputError, match="20001 features"):
        parse_polygons(body, "xa.geojson")
