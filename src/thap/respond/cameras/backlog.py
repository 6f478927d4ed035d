"""What waits to be written, within a bound."""

from __future__ import annotations

import secrets
from collections import Counter, deque
from typing import Generic, TypeVar

__all__ = ["Backlog"]

Item = TypeVar("Item")


class Backlog(Generic[Item]):
    """What waits to be written, in order.

    A batch that was begun keeps its rows and its mark until it is done: so what is sent again can be known as such.

    Args:
        what: it is, for the counter `vision.lost_<what>` of what fell out.
        counters: where that is counted.
        most: how many may wait; beyond it the oldest falls out.
    """

    def __init__(self, what: str, counters: Counter[str], most: int) -> None:
        self._waiting: deque[Item] = deque()
        self._what, self._counters, self._most = what, counters, most
        self._batch: list[Item] = []
        self._mark = ""
        self._together = most
        """So many are begun at most: fewer after a refusal, twice as many after each batch that is written."""

    def __len__(self) -> int:
        return len(self._batch) + len(self._waiting)

    def add(self, *items: Item) -> None:
        """Let something wait."""
        self._waiting.extend(items)
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self._counters[f"vision.lost_{self._what}"] += 1

    def begin(self, most: int) -> tuple[list[Item], str]:
        """The next rows to write, or those of the last time where they were not `done`; and what marks them."""
        if not self._batch:
            most = min(most, self._together, len(self._waiting))
            self._batch = [self._waiting.popleft() for _ in range(most)]
            self._mark = secrets.token_hex(12)
        return self._batch, self._mark

    def halve(self) -> bool:
        """Let only the first half of the rows that were begun stay begun, under a new mark; False where it is one row
        alone. For a batch that is refused whole because of a row in it."""
        if len(self._batch) < 2:
            return False
        half = len(self._batch) // 2
        self._waiting.extendleft(reversed(self._batch[half:]))
        self._batch = self._batch[:half]
        self._together = half
        self._mark = secrets.token_hex(12)
        return True

    def done(self) -> None:
        """The rows that were begun are written."""
        self._batch = []
        self._together = min(2 * self._together, self._most)

    def leave(self) -> None:
        """The rows that were begun never will be; those behind them may be no better, so few are begun at a time."""
        self._batch = []
