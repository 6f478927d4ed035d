"""The bulletin as a document: PDF set by typst, and DOCX, both of the same archived values."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import shapely

from thap.domains.rice.bulletin import SECTIONS, day_vi, number_vi, words
from thap.domains.rice.pests import STAGES
from thap.domains.rice.risk import COLOURS, LEVELS
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.units import communes
from thap.measure.typesetting import printable, set_pdf

__all__ = ["draw_risk_map", "form_of", "write_docx", "write_pdf"]

Row = Mapping[str, Any]
_WIDTH, _HEIGHT, _EDGE, _FINE = 1400, 900, 20, 2
_DATES = datetime(2000, 1, 1, tzinfo=UTC)
"""Times written into a DOCX, so that the same values make the same file."""


def form_of(bulletin: Row) -> dict[str, Any]:
    """A bulletin as the tables and lines of its form, in Vietnamese.

    Args:
        bulletin: number, year, week, state, content, data; approved, approved_by and digest once it is.
    """
    said, data = words(), bulletin["data"]
    approved = bulletin.get("approved")
    day = from_us(approved or bulletin["changed"]).astimezone(VIETNAM)
    lines = {
        "number": said["number"].format(number=bulletin["number"], year=bulletin["year"]),
        "dated": said["dated"].format(day=f"{day:%d}", month=f"{day:%m}", year=day.year),
        "period": said["period"].format(begin=day_vi(data["week"], year=True), end=day_vi(data["end"], year=True)),
        "state": said["draft"]
        if not approved
        else said["approved"].format(by=bulletin["approved_by"], time=f"{day:%d/%m/%Y %H:%M}"),
        "digest": said["digest"].format(digest=bulletin["digest"]) if bulletin.get("digest") else "",
    }
    return {
        **{name: said[name] for name in ("nation", "motto", "above", "office", "title", "subtitle", "page")},
        **lines,
        "map_caption": said["map_caption"],
        "legend": [
            {"colour": colour, "name": said["risk"][level]} for colour, level in zip(COLOURS, LEVELS, strict=True)
        ],
        "sections": [
            {
                "name": name,
                "title": said["section"][name],
                "text": str(bulletin["content"].get(name, "")),
                "tables": _tables(name, data, said),
            }
            for name in (*SECTIONS[:4], "map", *SECTIONS[4:])
        ],
    }


def _tables(name: str, data: Row, said: Row) -> list[dict[str, Any]]:
    makers = {"weather": _weather, "crops": _crops, "pests": _pests, "forecast": _forecast, "advice": _advice}
    maker = makers.get(name)
    return [] if maker is None else [one for one in maker(data, said["column"]) if one["rows"]]


def _table(column: Row, names: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> dict[str, Any]:
    """A table; its first `left` columns are words, the rest numbers."""
    return {"head": [column[name] for name in names], "rows": [list(row) for row in rows], "left": left}


def _weather(data: Row, column: Row) -> list[dict[str, Any]]:
    rows = [
        (
            row["place"],
            *(number_vi(row[name], 1) for name in ("low_c", "high_c", "rain_mm")),
            number_vi(row["humidity"]),
        )
        for row in data["weather"]
    ]
    return [_table(column, ("place", "low", "high", "rain", "humidity"), rows)]


def _crops(data: Row, column: Row) -> list[dict[str, Any]]:
    rows = [(row["season"], STAGES[row["stage"]][0], number_vi(row["ha"], 1)) for row in data["stages"]]
    return [_table(column, ("season", "stage", "area"), rows, 2)]


def _pests(data: Row, column: Row) -> list[dict[str, Any]]:
    rows = []
    for row in data["pests"]:
        unit = f" {row['unit']}"
        common = row["common"]
        range_ = "–" if common is None else "–".join(dict.fromkeys(number_vi(one, 1) for one in common)) + unit
        change = row["change_ha"]
        sign = "" if change is None or change <= 0 else "+"
        rows.append(
            (
                row["title"],
                range_,
                *(number_vi(row[name], 1) for name in ("high", "exceptional")),
                *(number_vi(row[name], 1) for name in ("light_ha", "medium_ha", "heavy_ha", "total_ha")),
                sign + number_vi(change, 1).replace("-", "−"),
            )
        )
    names = ("pest", "common", "dense", "exceptional", "light", "medium", "heavy", "total", "change")
    return [_table(column, names, rows, 2)]


def _forecast(data: Row, column: Row) -> list[dict[str, Any]]:
    windows = [
        (
            row["zone_name"],
            day_vi(row["peak"]),
            *(f"{day_vi(row[name][0])}–{day_vi(row[name][1])}" for name in ("nymph", "next")),
        )
        for row in data["windows"]
        if row["next"][1] > data["end"]
    ]  # fmt: skip
    weeks = [
        (day_vi(row["target"], year=True), number_vi(row["value"]), f"{number_vi(row['low'])}–{number_vi(row['high'])}")
        for row in data["predictions"]
    ]
    return [
        _table(column, ("zone", "peak", "nymph", "next"), windows),
        _table(column, ("week", "expected", "band"), weeks),
    ]


def _advice(data: Row, column: Row) -> list[dict[str, Any]]:
    rows = [
        (row["zone_name"], day_vi(row["peak"]), f"{day_vi(row['sow_from'])}–{day_vi(row['sow_to'], year=True)}")
        for row in data["advice"]
    ]
    return [_table(column, ("zone", "peak", "sow"), rows)]


def draw_risk_map(data: Row, outlines: Mapping[str, bytes]) -> bytes:
    """The map as PNG: communes coloured by risk, traps as dots; centres of communes where no outlines are imported.

    Args:
        data: of the bulletin.
        outlines: WKB by commune code (`thap.kernel.places_records.polygons`).
    """
    from PIL import Image, ImageDraw

    level = {row["commune"]: LEVELS.index(row["level"]) for row in data["risks"]}
    shapes = {code: shapely.simplify(shapely.from_wkb(wkb), 0.001) for code, wkb in outlines.items()}
    if not shapes:
        shapes = {one.code: shapely.Point(one.lon, one.lat).buffer(0.02) for one in communes()}
    west, south, east, north = shapely.total_bounds(list(shapes.values()))
    narrow = math.cos(math.radians((south + north) / 2))
    scale = min((_WIDTH - 2 * _EDGE) / ((east - west) * narrow), (_HEIGHT - 2 * _EDGE) / (north - south))
    wide, high = round((east - west) * narrow * scale + 2 * _EDGE), round((north - south) * scale + 2 * _EDGE)

    def at(lon: float, lat: float) -> tuple[float, float]:
        return ((lon - west) * narrow * scale + _EDGE) * _FINE, ((north - lat) * scale + _EDGE) * _FINE

    picture = Image.new("RGB", (wide * _FINE, high * _FINE), "#ffffff")
    draw = ImageDraw.Draw(picture)
    for code, shape in shapes.items():
        fill = COLOURS[level[code]] if code in level else "#f4f5f3"
        for part in getattr(shape, "geoms", [shape]):
            ring = [at(x, y) for x, y, *_ in part.exterior.coords]
            draw.polygon(ring, fill=fill)
            draw.line(ring, fill="#7d8a80", width=_FINE)
    for place in data["places"]:
        x, y = at(place["lon"], place["lat"])
        draw.ellipse(
            [x - 5 * _FINE, y - 5 * _FINE, x + 5 * _FINE, y + 5 * _FINE], fill="#1b1b1b", outline="#ffffff", width=2
        )
    picture = picture.resize((wide, high), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def write_pdf(bulletin: Row, picture: bytes) -> bytes:
    """The PDF. Takes some tens of milliseconds of one core: call it in a thread.

    Raises:
        UnavailableError: the typesetter refused it.
    """
    return set_pdf(
        "thap.domains.rice",
        "bulletin.typ",
        "vi",
        f"bulletin {bulletin['number']}/{bulletin['year']}",
        bulletin=form_of(bulletin),
        map=list(picture),
    )


def write_docx(bulletin: Row, picture: bytes) -> bytes:
    """The DOCX: the same tables and lines, to be edited by whoever gets it."""
    from docx import Document
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt

    form = printable(form_of(bulletin))
    document = Document()
    page = document.sections[0]
    page.page_width, page.page_height = Cm(21), Cm(29.7)
    page.left_margin, page.right_margin = Cm(3), Cm(2)
    page.top_margin = page.bottom_margin = Cm(2)
    style = document.styles["Normal"]
    style.font.name, style.font.size = "Times New Roman", Pt(13)
    style.element.rPr.rFonts.set(qn("w:eastAsia"), "Times New Roman")
    style.paragraph_format.space_after = Pt(4)

    def line(
        text: str, *, to: Any = document, bold: bool = False, italic: bool = False, size: int = 13, centre: bool = False
    ) -> None:
        paragraph = to.add_paragraph()
        run = paragraph.add_run(text)
        run.bold, run.italic, run.font.size = bold, italic, Pt(size)
        if centre:
            paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER

    head = document.add_table(1, 2)
    left, right = head.rows[0].cells
    for cell, rows in (
        (left, ((form["above"], False, 12), (form["office"], True, 12), (form["number"], False, 12))),
        (right, ((form["nation"], True, 12), (form["motto"], True, 13), (form["dated"], False, 12))),
    ):
        cell.paragraphs[0]._element.getparent().remove(cell.paragraphs[0]._element)
        for text, bold, size in rows:
            line(text, to=cell, bold=bold, size=size, centre=True, italic=text == form["dated"])
    line("", size=6)
    line(form["title"], bold=True, size=15, centre=True)
    line(form["subtitle"], bold=True, size=14, centre=True)
    line(form["period"], italic=True, centre=True)
    for section in form["sections"]:
        heading = document.add_heading(level=2)
        run = heading.add_run(section["title"])
        run.font.name, run.font.size, run.bold = "Times New Roman", Pt(13), True
        run.font.color.rgb = None
        for paragraph in section["text"].split("\n"):
            if paragraph.strip():
                line(paragraph.strip())
        if section["name"] == "map":
            document.add_picture(io.BytesIO(picture), width=Cm(15.5))
            line(form["map_caption"], italic=True, size=11, centre=True)
            line(
                " · ".join(f"{index}. {one['name']}" for index, one in enumerate(form["legend"], 1)),
                size=10,
                centre=True,
            )
        for table in section["tables"]:
            _docx_table(document, table)
    line("")
    line(form["state"], italic=True, size=11)
    if form["digest"]:
        line(form["digest"], size=8)
    core = document.core_properties
    core.title, core.author, core.comments = f"{form['title']} {form['number']}", form["office"], ""
    core.created = core.modified = _DATES.replace(tzinfo=None)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _docx_legend(document: Any, legend: Sequence[Mapping[str, str]]) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt, RGBColor

    paragraph = document.add_paragraph()
    paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
    for one in legend:
        mark = paragraph.add_run("■ ")
        mark.font.color.rgb = RGBColor.from_string(one["colour"].removeprefix("#").upper())
        mark.font.size = Pt(12)
        paragraph.add_run(f"{one['name']}    ").font.size = Pt(10)


def _docx_table(document: Any, table: Mapping[str, Any]) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    made = document.add_table(1, len(table["head"]))
    made.style = "Table Grid"
    repeat = OxmlElement("w:tblHeader")
    repeat.set(qn("w:val"), "true")
    made.rows[0]._tr.get_or_add_trPr().append(repeat)
    for row, cells in [(made.rows[0], table["head"]), *((made.add_row(), cells) for cells in table["rows"])]:
        for at, (cell, text) in enumerate(zip(row.cells, cells, strict=True)):
            paragraph = cell.paragraphs[0]
            paragraph.paragraph_format.space_after = Pt(0)
            run = paragraph.add_run(text)
            run.font.size, run.bold = Pt(10), row is made.rows[0] or cells is table["head"]
            if at >= table["left"]:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    document.add_paragraph().paragraph_format.space_after = Pt(2)
