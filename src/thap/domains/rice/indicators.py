"""Rice pests on the wall: what light traps caught last night, and which traps counted."""

from __future__ import annotations

from thap.kernel.clock import HOUR_US
from thap.measure.indicators.incidents import of_domain
from thap.measure.indicators.latest import values_now
from thap.measure.indicators.model import COUNT, Indicator, Target, highest, quantile

__all__ = ["INDICATORS"]

_TRAPS = {"vi": "Bẫy đèn", "en": "Light traps"}
_NIGHT = values_now("planthopper_catch", unit="con", within_us=30 * HOUR_US)
"""One count a night, and six hours of grace."""

INDICATORS = (
    Indicator(
        id="rice.catch_highest",
        title={"vi": "Rầy nâu vào đèn, cao nhất", "en": "Planthoppers in a trap, most"},
        meaning={
            "vi": "Số rầy nâu nhiều nhất ở một bẫy đèn đêm qua (số liệu không cũ hơn 30 giờ).",
            "en": "The most brown planthoppers in one light trap last night (at most 30 hours old).",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=highest("value"),
        unit="con",
        target=Target(
            high=500, warn_high=1500, source="500 và 1.500 con mỗi bẫy mỗi đêm: đề xuất, cơ quan BVTV điều chỉnh"
        ),
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.catch_common",
        title={"vi": "Rầy nâu vào đèn, phổ biến", "en": "Planthoppers in a trap, median"},
        meaning={
            "vi": "Trung vị số rầy nâu ở các bẫy đèn đêm qua (số liệu không cũ hơn 30 giờ).",
            "en": "Median of brown planthoppers in the light traps last night (at most 30 hours old).",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=quantile("value", 0.5),
        unit="con",
        direction="none",
        domain="rice",
        every_s=300,
    ),
    Indicator(
        id="rice.traps_counted",
        title={"vi": "Bẫy đèn có số liệu", "en": "Traps that counted"},
        meaning={
            "vi": "Số bẫy đèn đã gửi số đếm trong 30 giờ qua.",
            "en": "Light traps that sent a count within 30 hours.",
        },
        rows=_NIGHT,
        action="thing.read",
        source=_TRAPS,
        reduce=COUNT,
        direction="higher",
        domain="rice",
        every_s=300,
    ),
    *of_domain("rice"),
)
