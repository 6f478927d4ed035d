"""Flow in passenger-car units and the level of service."""

from __future__ import annotations

import pytest

from thap.detect.vision.flow import LIMITS, PCU, FlowSettings, level_of_service
from thap.domains.parameters import shipped_parameters
from thap.domains.traffic import DOMAIN
from thap.domains.traffic.flow import flow_settings


def test_what_the_domain_ships_is_what_an_analyser_uses_by_itself() -> None:
    made, plain = flow_settings(shipped_parameters(DOMAIN)), FlowSettings()
    assert (dict(made.factors), tuple(made.limits), made.minutes) == (PCU, LIMITS, plain.minutes)


def test_a_province_that_weighs_motorbikes_otherwise_gets_another_flow() -> None:
    made = flow_settings({**shipped_parameters(DOMAIN), "pcu_motorcycle": 0.25})
    assert made.units("motorcycle") == 0.25
    assert made.units("car") == 1.0


@pytest.mark.parametrize(
    ("ratio", "letter"),
    [(0.0, "A"), (0.349, "A"), (0.35, "B"), (0.6, "C"), (0.75, "D"), (0.95, "E"), (1.0, "F"), (2, "F")],
)
def test_levels_of_service_go_by_volume_to_capacity(ratio: float, letter: str) -> None:
    assert level_of_service(ratio) == letter
