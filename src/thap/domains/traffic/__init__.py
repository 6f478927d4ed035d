"""Traffic: cameras on roads, vessels and ferries on the river."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.traffic.demo import contribute

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="traffic",
    title={"vi": "Giao thông", "en": "Traffic"},
    package="thap.domains.traffic",
    rules="rules.toml",
    tables=("thap.domains.traffic.plate_records", "thap.domains.traffic.corridors"),
    parts=("thap.domains.traffic.background:part",),
    parameters="parameters.toml",
    demo=contribute,
    api="thap.domains.traffic.api:router",
    indicators="thap.domains.traffic.indicators:INDICATORS",
    layers=(
        Layer(
            "closed_zones",
            {"vi": "Vùng cấm trên sông", "en": "Closed zones on the river"},
            rules=("traffic.restricted_zone",),
            colour="#d9626a",
        ),
    ),
)
