"""Sand: dredgers on the Tiền, where and when they work."""

from __future__ import annotations

from thap.domains.domain import Domain, Layer
from thap.domains.sand.demo import contribute
from thap.domains.sand.detectors import SandWatch

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="sand",
    title={"vi": "Khai thác cát", "en": "Sand mining"},
    package="thap.domains.sand",
    rules="rules.toml",
    detectors=(SandWatch,),
    demo=contribute,
    tables=("thap.domains.sand.records",),
    parameters="parameters.toml",
    api="thap.domains.sand.api:router",
    parts=("thap.domains.sand.following:part",),
    indicators="thap.domains.sand.indicators:INDICATORS",
    layers=(
        Layer(
            "mines",
            {"vi": "Khu mỏ cát được cấp phép", "en": "Licensed sand mines"},
            live="thap.domains.sand.api:mines_layer",
            colour="#c99a4b",
        ),
        Layer(
            "wharves",
            {"vi": "Bến, bãi cát", "en": "Sand wharves and yards"},
            live="thap.domains.sand.api:wharves_layer",
            colour="#7f95a1",
        ),
        Layer(
            "forbidden",
            {"vi": "Vùng cấm hút cát, bờ sông", "en": "Forbidden zones and banks"},
            live="thap.domains.sand.api:forbidden_layer",
            colour="#c4483e",
        ),
    ),
)
