"""An alarm book on real SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from thap.detect.detector import Action, Change, Severity
from thap.kernel.records import Records
from thap.respond.book import AlarmBook

MakeChange = Callable[..., Change]


@pytest.fixture
async def book(either: Records) -> AsyncIterator[AlarmBook]:
    opened = AlarmBook(either)
    yield opened
    await opened.close()


@pytest.fixture
def change() -> MakeChange:
    """A change with everything filled in that a test does not care about."""

    def make(
        action: Action | str = "raise",
        source: str = "my-thuan/level",
        condition: str = "water.high",
        severity: int = 2,
        time: int = 1_000_000,
        seq: int = 1,
        **more: Any,
    ) -> Change:
        return Change(source, condition, Action(action), Severity(severity), time, seq, **more)

    return make
