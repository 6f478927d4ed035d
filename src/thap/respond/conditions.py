"""What the program's own detectors call their conditions; rules bring titles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

__all__ = ["condition_titles"]


@cache
def condition_titles() -> Mapping[str, Mapping[str, str]]:
    """Title by language (`vi`, `en`) of each condition; the console shows the same."""
    content = resources.files(__package__).joinpath("conditions.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, dict[str, str]])
