"""The role `respond`: one part that fails does not silence the others."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from thap.respond.parts import Keeper


class _Part:
    def __init__(self, name: str, fails: int) -> None:
        self.name, self._fails, self.begun = name, fails, 0
        self.works = asyncio.Event()

    async def run(self) -> None:
        self.begun += 1
        if self.begun <= self._fails:
            raise TypeError("a mistake in this part")
        self.works.set()
        await asyncio.Event().wait()

    def stats(self) -> dict[str, Any]:
        return {"seq": self.begun, "lag": 0, "total": 0}


async def test_a_part_that_fails_is_begun_again_while_the_others_go_on() -> None:
    bad, good = _Part("bad", 2), _Part("good", 0)
    keeper = Keeper([bad, good])
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(10):
        await good.works.wait()
        await bad.works.wait()
    assert good.begun == 1 and bad.begun == 3
    assert keeper.failures == {"bad.failed": 2} and keeper.stats()["bad"]["seq"] == 3
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
