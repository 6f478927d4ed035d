"""Corner tables of licences: VN-2000 into WGS 84, and what can be wrong with a table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.domains.sand.picture import draw_corners
from thap.domains.sand.vn2000 import Corner, from_wgs84, judge, meridian_of, read_corners, to_wgs84

RING = [
    (105.60375, 10.45783),
    (105.60616, 10.45346),
    (105.60856, 10.44909),
    (105.60663, 10.44806),
    (105.60423, 10.45242),
]


def corners(meridian: float = 105.0, ring: list[tuple[float, float]] = RING) -> list[Corner]:
    rows = [from_wgs84(lon, lat, meridian) for lon, lat in ring]
    return [Corner(str(at), round(float(x), 2), round(float(y), 2), at) for at, (x, y) in enumerate(rows, 1)]


def codes(*arguments: object, **more: object) -> list[str]:
    return [one.code for one in judge(*arguments, **more).faults]  # type: ignore[arg-type]


# ---- the transformation, against an independent computation


def helmert_tm(lon: float, lat: float, meridian: float) -> tuple[float, float]:
    """WGS 84 to VN-2000 by the formulas themselves: geocentric, seven parameters (inverse), Krüger's series to n⁴.

    Parameters: Quyết định 05/2007/QĐ-BTNMT; series: Karney 2011, equations 7 to 9 and 35.
    """
    a, f = 6378137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    la, ph = math.radians(lon), math.radians(lat)
    nu = a / math.sqrt(1 - e2 * math.sin(ph) ** 2)
    point = np.array([nu * math.cos(ph) * math.cos(la), nu * math.cos(ph) * math.sin(la), nu * (1 - e2) * math.sin(ph)])
    second = math.pi / 180 / 3600
    rx, ry, rz = -0.00928836 * second, 0.01975479 * second, -0.00427372 * second
    rotation = np.array([[1, rz, -ry], [-rz, 1, rx], [ry, -rx, 1]])  # coordinate frame
    shift = np.array([-191.90441429, -39.30318279, -111.45032835])
    x, y, z = np.linalg.solve(rotation, (point - shift) / (1 + 0.252906278e-6))
    p = math.hypot(x, y)
    ph = math.atan2(z, p * (1 - e2))
    for _ in range(10):
        nu = a / math.sqrt(1 - e2 * math.sin(ph) ** 2)
        ph = math.atan2(z + e2 * nu * math.sin(ph), p)
    la = math.atan2(y, x) - math.radians(meridian)
    n = f / (2 - f)
    radius = a / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    alpha = [
        n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16 + 41 * n**4 / 180,
        13 * n**2 / 48 - 3 * n**3 / 5 + 557 * n**4 / 1440,
        61 * n**3 / 240 - 103 * n**4 / 140,
        49561 * n**4 / 161280,
    ]
    e = math.sqrt(e2)
    t = math.sinh(math.atanh(math.sin(ph)) - e * math.atanh(e * math.sin(ph)))
    xi, eta = math.atan2(t, math.cos(la)), math.asinh(math.sin(la) / math.hypot(t, math.cos(la)))
    north = xi + sum(k * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, k in enumerate(alpha, 1))
    east = eta + sum(k * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, k in enumerate(alpha, 1))
    return 0.9999 * radius * north, 500_000 + 0.9999 * radius * east


@pytest.mark.parametrize("meridian", [105.0, 105.75])
@pytest.mark.parametrize("place", [(105.29, 10.78), (105.6, 10.455), (106.35, 10.34), (106.73, 10.27)])
def test_the_transformation_agrees_with_its_formulas_to_a_millimetre(
    place: tuple[float, float], meridian: float
) -> None:
    x, y = helmert_tm(*place, meridian)
    assert from_wgs84(*place, meridian) == pytest.approx((x, y), abs=0.001)
    assert to_wgs84(x, y, meridian) == pytest.approx(place, abs=1e-8)


def test_the_datum_shift_is_the_size_that_is_published() -> None:
    """Without the shift a VN-2000 position is off by a little under 200 m: not a detail in a mine 150 m wide."""
    from pyproj import Transformer

    plain = Transformer.from_pipeline("+proj=tmerc +lat_0=0 +lon_0=105 +k=0.9999 +x_0=500000 +ellps=WGS84")
    east, north = plain.transform(105.6, 10.455)
    x, y = from_wgs84(105.6, 10.455, 105.0)
    assert 150 < math.hypot(east - y, north - x) < 250


@given(st.floats(105.1, 106.8), st.floats(9.9, 11.0), st.sampled_from([105.0, 105.75, 104.75]))
def test_there_and_back_is_the_same_place(lon: float, lat: float, meridian: float) -> None:
    assert to_wgs84(*from_wgs84(lon, lat, meridian), meridian) == pytest.approx((lon, lat), abs=1e-8)


# ---- reading


def vietnamese(value: float) -> str:
    return f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


@pytest.mark.parametrize(
    ("mark", "write"),
    [
        ("\t", lambda v: f"{v:.2f}"),
        (";", vietnamese),
        ("   ", vietnamese),
        (" ", lambda v: f"{v:,.2f}".replace(",", " ").replace(".", ",")),
        (",", lambda v: f"{v:.3f}"),
        (" | ", lambda v: f"{v:,.2f}"),
    ],
)
@pytest.mark.parametrize("label", [True, False])
def test_a_table_is_read_however_its_numbers_are_written(mark: str, write: object, label: bool) -> None:
    rows = [[f"M{one.label}"] * label + [write(one.x), write(one.y)] for one in corners()]  # type: ignore[operator]
    text = "\n".join(["Hệ tọa độ VN-2000, kinh tuyến trục 105°00', múi chiếu 3°", *(mark.join(row) for row in rows)])
    found = read_corners(text)
    assert found.meridian == 105.0 and not found.faults
    assert [(one.x, one.y) for one in found.corners] == [(one.x, one.y) for one in corners()]
    assert judge(found.corners, found.meridian).good


def test_a_heading_puts_the_columns_in_their_order() -> None:
    text = "Điểm\tY (m)\tX (m)\n" + "\n".join(f"{one.label}\t{one.y}\t{one.x}" for one in corners())
    assert [one.x for one in read_corners(text).corners] == [one.x for one in corners()]


def test_a_line_that_cannot_be_read_is_named() -> None:
    lines = [f"{one.label}\t{one.x}\t{one.y}" for one in corners()]
    lines[2] = "3\t1155588,57"
    found = read_corners("\n".join(lines))
    assert [(one.row, one.code) for one in found.faults] == [(3, "corner_unreadable")]
    assert not judge(found.corners, 105.0, faults=found.faults).good


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = read_corners(text)
    judged = judge(found.corners, found.meridian, faults=found.faults)
    assert judged.good or judged.faults
    draw_corners(judged)


# ---- judging


def test_a_sound_table_gives_area_edges_and_a_picture() -> None:
    judged = judge(corners(), 105.0, stated_ha=19.9)
    assert judged.good and not judged.faults
    assert judged.area_ha == pytest.approx(19.9, rel=0.01) and len(judged.edges_m) == 5
    assert draw_corners(judged).count("<circle") == 5


def test_swapped_axes_are_explained_and_can_be_put_right() -> None:
    swapped = [Corner(one.label, one.y, one.x) for one in corners()]
    assert codes(swapped, 105.0) == ["swapped"]
    assert judge(swapped, 105.0, swap_axes=True).good


@pytest.mark.parametrize(
    ("true", "given", "ring"),
    [(105.0, 105.75, RING), (105.75, 105.0, [(106.35 + x - 105.605, 10.338 + y - 10.453) for x, y in RING])],
)
def test_a_wrong_meridian_is_seen_and_the_right_one_named(
    true: float, given: float, ring: list[tuple[float, float]]
) -> None:
    judged = judge(corners(true, ring), given)
    assert [one.code for one in judged.faults] == ["wrong_meridian"] and not judged.good
    assert judged.fits == (true,)
    assert judge(corners(true, ring), true).good


def test_without_a_meridian_the_one_that_fits_is_taken_and_told() -> None:
    judged = judge(corners(), None)
    assert judged.good and judged.meridian == 105.0 and [one.code for one in judged.faults] == ["meridian_guessed"]


def test_crossed_edges_are_named_with_an_order_that_would_not_cross() -> None:
    table = corners()
    judged = judge([table[0], table[2], table[1], *table[3:]], 105.0)
    crossed = judged.faults[0]
    assert crossed.code == "crossed" and {crossed.values["one"], crossed.values["other"]} == {"1–3", "2–4"}
    assert crossed.values["order"] == ["1", "2", "3", "4", "5"]


def test_mistyped_corners_are_named() -> None:
    table = corners()
    short = [*table[:3], Corner("4", table[3].x / 10, table[3].y, 4), table[4]]
    assert [(one.code, one.column) for one in judge(short, 105.0).faults] == [("digits", "X")]
    far = [*table[:3], Corner("4", table[3].x, table[3].y + 90_000, 4), table[4]]
    assert [(one.code, one.column) for one in judge(far, 105.0).faults] == [("far_corner", "Y")]
    assert codes([*table, table[2]], 105.0) == ["duplicate"]
    assert codes(table[:2], 105.0) == ["few_corners"]
    assert judge([*table, table[0]], 105.0).good  # closing the ring is no mistake


def test_an_area_that_differs_from_the_licence_is_told_and_does_not_block() -> None:
    judged = judge(corners(), 105.0, stated_ha=25.31)
    assert judged.good and [one.code for one in judged.faults] == ["area_differs"]


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("105°45'", 105.75),
        ("105 00", 105.0),
        ("105,75", 105.75),
        ("kinh tuyến trục 105o45'", 105.75),
        ("Tiền Giang", 105.75),
    ],
)
def test_a_meridian_is_read_as_it_is_written(text: str, degrees: float) -> None:
    assert meridian_of(text) == degrees
    with pytest.raises(ValueError, match="meridian"):
        meridian_of("104°10′")
