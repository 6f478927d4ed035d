"""Every condition that the centre's own detectors raise has a title in the console; rules bring theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thap.domains.domain import domains
from thap.domains.rice.alarms import EXPECTED, FLIGHT
from thap.domains.sand.model import Kind
from thap.respond.conditions import condition_titles

COMMON = Path(__file__).parents[2] / "console" / "src" / "messages" / "vi" / "common.json"


def test_conditions_of_detectors_have_titles() -> None:
    titles = {key.removeprefix("condition.") for key in json.loads(COMMON.read_text("utf-8"))}
    watched = {detector.condition for domain in domains().values() for detector in domain.detectors}
    assert {"water.surge", "rice.planthopper_catch"} <= watched
    # The detector of sand raises one condition for each kind of violation, never its own.
    assert (watched - {"sand.watch"}) | {str(kind) for kind in Kind} | {FLIGHT, EXPECTED} <= titles


@pytest.mark.parametrize("language", ["vi", "en"])
def test_incidents_are_called_as_the_console_calls_their_alarms(language: str) -> None:
    words = json.loads((COMMON.parents[1] / language / "common.json").read_text("utf-8"))
    shown = {key.removeprefix("condition."): text for key, text in words.items() if key.startswith("condition.")}
    assert {condition: title[language] for condition, title in condition_titles().items()} == shown
