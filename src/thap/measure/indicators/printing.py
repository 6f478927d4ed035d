"""The wall on paper: PDF and CSV, numbers written as people of the province write them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from thap.kernel.clock import VIETNAM, from_us, iso, now_us
from thap.measure.indicators.catalogue import theme_title
from thap.measure.indicators.model import Column
from thap.measure.indicators.wall import Item
from thap.measure.typesetting import Language, set_pdf

__all__ = ["cell", "rows_csv", "said_value", "wall_csv", "wall_pdf", "words_of"]

_PACKAGE = "thap.measure.indicators"
_LIGHTS = ("bad", "warn", "unknown", "good", "none")


@cache
def words_of(language: Language) -> dict[str, str]:
    """The fixed words in a language."""
    words: dict[str, str] = json.loads(resources.files(_PACKAGE).joinpath(f"messages/{language}.json").read_text())
    return words


def wall_pdf(items: Sequence[Item], language: Language, who: str) -> bytes:
    """The wall as PDF: first what is red, then every theme.

    Raises:
        UnavailableError: the typesetter refused it.
    """
    words = words_of(language)
    lines = [(item, _line(item, language)) for item in items]
    themes: dict[str, list[dict[str, Any]]] = {}
    for item, line in lines:
        themes.setdefault(item.theme, []).append(line)
    wall = {
        "made": words["made"].format(time=_moment(now_us()), who=who),
        "red": [line for item, line in lines if item.light == "bad"],
        "counts": [
            {"light": light, "word": words[f"light.{light}"], "count": sum(item.light == light for item, _ in lines)}
            for light in _LIGHTS
        ],
        "themes": [{"title": theme_title(name)[language], "lines": found} for name, found in themes.items()],
    }
    return set_pdf(_PACKAGE, "wall.typ", language, "indicators", wall=wall, words=words)


def wall_csv(items: Iterable[Item], language: Language) -> str:
    """The wall as CSV: values as plain numbers, moments in ISO 8601."""
    words = words_of(language)
    names = ("id", "theme", "title", "value", "unit", "light", "low", "high", "target_source", "rows", "time", "source")
    out = io.StringIO()
    write = csv.writer(out)
    write.writerow([words[f"csv.{name}"] for name in names])
    for item in items:
        write.writerow(
            [
                item.id,
                cell(theme_title(item.theme)[language]),
                cell(item.title[language]),
                "" if item.value is None else round(item.value, 6),
                "" if item.unit == "%" else item.unit,
                words[f"light.{item.light}"],
                "" if item.target.low is None else item.target.low,
                "" if item.target.high is None else item.target.high,
                cell(item.target.source),
                item.rows,
                "" if item.time is None else iso(item.time),
                cell(item.source[language]),
            ]
        )
    return out.getvalue()


def rows_csv(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]], language: Language, *, head: bool) -> str:
    """Rows behind a number as CSV."""
    out = io.StringIO()
    write = csv.writer(out)
    if head:
        units = [f" ({one.unit})" if one.unit else "" for one in columns]
        write.writerow([one.title[language] + unit for one, unit in zip(columns, units, strict=True)])
    for row in rows:
        write.writerow([_plain(row.get(one.name), one) for one in columns])
    return out.getvalue()


def _plain(value: Any, column: Column) -> Any:
    if value is None:
        return ""
    if column.kind == "time":
        return iso(int(value))
    if column.kind == "yes":
        return int(bool(value))
    return cell(value) if isinstance(value, str) else value


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def said_value(value: float | None, unit: str, digits: int, language: Language) -> str:
    """A value with its unit, as people write it."""
    if value is None:
        return "–"
    if unit == "s":
        return _length(value, language)
    if unit == "%":
        return f"{_number(100 * value, digits, language)} %"
    return f"{_number(value, digits, language)} {unit}".rstrip()


def _number(value: float, digits: int, language: Language) -> str:
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "vi" else text


def _length(seconds: float, language: Language) -> str:
    words = words_of(language)
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{_number(seconds / size, 1, language)} {words[name]}"
    return f"{_number(seconds, 0 if seconds >= 10 else 1, language)} {words['seconds']}"


def _moment(us: int) -> str:
    return from_us(us).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M")


def _line(item: Item, language: Language) -> dict[str, Any]:
    words = words_of(language)

    def say(value: float | None) -> str:
        return said_value(value, item.unit, item.digits, language)

    low, high = item.target.low, item.target.high
    bounds = [f"≥ {say(low)}"] * (low is not None) + [f"≤ {say(high)}"] * (high is not None)
    reason = item.reason if item.reason not in ("not_yet", "no_rows") else words[item.reason]
    return {
        "title": item.title[language],
        "value": say(item.value),
        "light": item.light,
        "word": words[f"light.{item.light}"],
        "target": " · ".join(bounds) or "–",
        "target_source": item.target.source if bounds else "",
        "yesterday": say(item.yesterday),
        "time": "–" if item.time is None else _moment(item.time) + (f" ({words['stale']})" if item.stale else ""),
        "source": item.source[language],
        "reason": reason if item.value is None else "",
    }
