"""Counting insects on sheets drawn here: noise, a slope of light, insects that touch; on seeds nobody tuned on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tests.domains.rice_sheets import draw_sheet

from thap.domains.rice.insects import count_insects, read_picture
from thap.kernel.errors import InputError

UNSEEN = range(9000, 9006)
"""The counter was looked at on seeds 0 to 11 while it was written."""


def test_the_mean_error_on_unseen_sheets_is_below_four_per_cent() -> None:
    errors = []
    for seed in UNSEEN:
        sheet = draw_sheet(seed)
        errors.append((count_insects(sheet.picture).count - sheet.count) / sheet.count)
    assert np.mean(np.abs(errors)) < 0.04 and np.max(np.abs(errors)) < 0.10, errors


@pytest.mark.parametrize("more", [{"slope": 0.7}, {"noise": 14}, {"touching": 0.0}, {"touching": 0.45}])
def test_shadow_noise_and_crowding_change_little(more: dict[str, float]) -> None:
    errors = [
        count_insects(sheet.picture).count / sheet.count - 1
        for sheet in (draw_sheet(seed, 120, **more) for seed in (9100, 9101))
    ]
    assert np.max(np.abs(errors)) < 0.12, errors


def test_an_empty_sheet_in_shadow_has_none() -> None:
    assert count_insects(draw_sheet(9200, 0, slope=0.6).picture).count == 0


def test_a_blurred_picture_of_a_phone_is_counted_too() -> None:
    sheet = draw_sheet(9300, 80)
    found = count_insects(sheet.picture.filter(ImageFilter.GaussianBlur(2)).convert("RGB"))
    assert abs(found.count - 80) <= 8


def test_sizes_follow_the_scale_of_the_sheet() -> None:
    few, large = draw_sheet(9400, 30, touching=0), draw_sheet(9401, 30, touching=0, length=(70, 90))
    mm = 200 / 1200
    assert count_insects(few.picture, mm_per_px=mm).sizes["medium"] >= 27  # 3.7 to 5.7 mm
    assert count_insects(large.picture, mm_per_px=mm).sizes["large"] >= 27  # 12 to 15 mm


def test_what_is_no_picture_and_what_is_no_sheet_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(b"GIF89a")
    with pytest.raises(InputError, match="no light sheet"):
        count_insects(Image.new("L", (400, 300), 20))
    with pytest.raises(InputError, match="too few"):
        count_insects(Image.new("L", (20, 20), 255))
