"""A report as PDF, set by typst."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

from thap.measure.after_action.drawing import draw_map
from thap.measure.after_action.model import AfterAction
from thap.measure.typesetting import Language, set_pdf

__all__ = ["Language", "words_of", "write_pdf"]

_PACKAGE = "thap.measure.after_action"


@cache
def words_of(language: Language) -> dict[str, Any]:
    """The fixed words of reports in a language."""
    text = resources.files(_PACKAGE).joinpath(f"messages/{language}.json").read_text("utf-8")
    words: dict[str, Any] = json.loads(text)
    return words


def write_pdf(report: AfterAction, language: Language) -> bytes:
    """The PDF (tagged, fonts embedded). Takes some tens of milliseconds of one core: call it in a thread.

    Raises:
        UnavailableError: the typesetter refused it; the message says where.
    """
    body = {**asdict(report), "map": draw_map(report)}
    body.pop("outlines"), body.pop("here")
    return set_pdf(
        _PACKAGE,
        "report.typ",
        language,
        f"incident {report.number}",
        report=body,
        words=words_of(language)["form"],
    )
