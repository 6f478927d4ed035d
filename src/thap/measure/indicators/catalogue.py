"""All indicators of this centre, by id.

They are named here as text: some stand in packages that this module must not import.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import structlog

from thap.kernel.errors import NotFoundError, SettingsError
from thap.measure.indicators.model import THEMES, Indicator, Text

__all__ = ["indicator", "indicators", "theme_title"]

_log = structlog.get_logger(__name__)
SOURCES = (
    "thap.measure.indicators.alarms:INDICATORS",
    "thap.measure.indicators.incidents:INDICATORS",
    "thap.services.reports.indicators:INDICATORS",
    "thap.measure.indicators.system:INDICATORS",
)
DOMAINS = "thap.domains.domain:domains"


@cache
def indicators() -> dict[str, Indicator]:
    """By id, in the order of the wall: by theme, then as declared. A domain whose file is broken is left out with a
    line in the log.

    Raises:
        SettingsError: two have one id.
    """
    found: dict[str, Indicator] = {}
    for name in SOURCES:
        _add(found, _named(name))
    for domain in _named(DOMAINS)().values():
        if not domain.indicators:
            continue
        try:
            brought: Iterable[Indicator] = tuple(_named(domain.indicators))
        except Exception as error:  # whatever a foreign package raises while it is imported
            _log.error("indicators cannot be loaded", domain=domain.name, where=domain.indicators, reason=repr(error))
            continue
        _add(found, brought)
    order = list(THEMES)
    ranked = sorted(found.values(), key=lambda one: order.index(one.theme) if one.theme in order else len(order))
    return {one.id: one for one in ranked}


def indicator(id: str) -> Indicator:
    """The indicator of an id.

    Raises:
        NotFoundError: there is none.
    """
    found = indicators().get(id)
    if found is None:
        raise NotFoundError(f"there is no indicator {id!r}", where="id", hint="`thap indicators` lists them")
    return found


def theme_title(theme: str) -> Text:
    """What a theme is called."""
    if theme in THEMES:
        return THEMES[theme]
    domain = _named(DOMAINS)().get(theme)
    return {"vi": theme, "en": theme} if domain is None else domain.title


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _add(found: dict[str, Indicator], brought: Iterable[Indicator]) -> None:
    for one in brought:
        if one.id in found:
            raise SettingsError(f"two indicators are called {one.id}", hint="rename one of them")
        found[one.id] = one
