"""Sand: dredgers on the Tiền, where and when they work."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.sand.demo import contribute

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="sand",
    title={"vi": "Khai thác cát", "en": "Sand mining"},
    package="thap.domains.sand",
    rules="rules.toml",
    demo=contribute,
    indicators="thap.domains.sand.indicators:INDICATORS",
    layers=(
        Layer(
            "mines",
            {"vi": "Khu mỏ cát và bến đậu", "en": "Sand mines and berths"},
            rules=("sand.dredging_outside",),
            colour="#c99a4b",
        ),
    ),
)
