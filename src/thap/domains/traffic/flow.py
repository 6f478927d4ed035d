"""The traffic domain's parameters as what an analyser reckons flow with."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.vision.analyser import AnalyserSettings
from thap.detect.vision.flow import PCU, FlowSettings
from thap.domains.parameter_records import load_parameters

__all__ = ["analyser_settings", "flow_settings"]


def flow_settings(parameters: Mapping[str, float]) -> FlowSettings:
    """Passenger-car units and levels of service in force.

    Args:
        parameters: of the domain, as `thap.domains.parameters.Parameters`.
    """
    factors = {cls: parameters.get(f"pcu_{cls}", units) for cls, units in PCU.items()}
    limits = tuple(parameters[f"service_{letter}"] for letter in "abcde")
    return FlowSettings(factors, limits, round(parameters["flow_minutes"]))


async def analyser_settings(connection: AsyncConnection) -> AnalyserSettings:
    """How pictures are analysed by the parameters in force: what the vision worker is handed."""
    from thap.domains.traffic import DOMAIN

    return AnalyserSettings(flow=flow_settings(await load_parameters(connection, DOMAIN)))
