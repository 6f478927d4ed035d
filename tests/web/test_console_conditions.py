"""Every condition that the centre's own detectors raise has a title in the console; rules bring theirs."""

from __future__ import annotations

import json
from pathlib import Path

from thap.domains.domain import domains
from thap.domains.rice.alarms import EXPECTED, FLIGHT
from thap.domains.sand.model import Kind

COMMON = Path(__file__).parents[2] / "console" / "src" / "messages" / "vi" / "common.json"


def test_conditions_of_detectors_have_titles() -> None:
    titles = {key.removeprefix("condition.") for key in json.loads(COMMON.read_text("utf-8"))}
    watched = {detector.condition for domain in domains().values() for detector in domain.detectors}
    assert {"water.surge", "rice.planthopper_catch"} <= watched
    # The detector of sand raises one condition for each kind of violation, never its own.
    assert (watched - {"sand.watch"}) | {str(kind) for kind in Kind} | {FLIGHT, EXPECTED} <= titles
