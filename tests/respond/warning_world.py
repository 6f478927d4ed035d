"""A draft with everything filled in that a test does not care about, and the commune it is about."""

from __future__ import annotations

from typing import Any

from thap.kernel.clock import HOUR_US, now_us
from thap.respond.warnings.compose import Draft

CAO_LANH = "29869"


def draft(**more: Any) -> Draft:
    """A complete draft about flooding in Cao Lãnh."""
    return Draft.model_validate(
        {
            "categories": ["Met"],
            "event": {"vi": "Triều cường", "en": "High tide"},
            "responses": ["Prepare"],
            "urgency": "Expected",
            "severity": "Severe",
            "certainty": "Likely",
            "expires": now_us() + 6 * HOUR_US,
            "headline": {"vi": "Triều cường vượt báo động III", "en": "High tide above alarm level III"},
            "description": {"vi": "Đỉnh triều 2,35 m lúc 17 giờ.", "en": "Crest of 2.35 m at 17:00."},
            "instruction": {"vi": "Kê cao tài sản.", "en": "Raise belongings."},
            "communes": [CAO_LANH],
            **more,
        }
    )
