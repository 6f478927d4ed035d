"""Sand: dredgers on the Tiền, where and when they work."""

from __future__ import annotations

from thap.domains.domain import Domain
from thap.domains.sand.demo import contribute

__all__ = ["DOMAIN"]

DOMAIN = Domain(
    name="sand",
    title={"vi": "Khai thác cát", "en": "Sand mining"},
    package="thap.domains.sand",
    rules="rules.toml",
    demo=contribute,
)
