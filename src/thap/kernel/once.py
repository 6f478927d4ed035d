"""Done once, however often it is asked for: the first answer to a request is kept under the key its sender gave it.

A phone that sends something and hears nothing cannot know whether it was done. It sends the same again with the same
key. The key is written in the very transaction that does the thing, so that there is no moment at which one of them
is there without the other; a second request with it gets the first answer, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import ThapError
from thap.kernel.records import metadata
from thap.kernel.store import Store, Transaction

__all__ = ["KEPT_US", "KeyReusedError", "OnceStore", "Repeated", "kept_answers", "prune", "recall"]

T = TypeVar("T")
KEPT_US = 7 * DAY_US
"""How long answers are kept: a phone that was away for longer asks its person before it sends again."""

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("who", sa.String(80), primary_key=True),  # keys of one sender say nothing to another
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False),  # SHA-256 of what was asked
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
)
_C = kept_answers.c
_CLAIM = {
    name: module.insert(kept_answers).on_conflict_do_nothing(index_elements=["who", "key"]).returning(_C.status)
    for name, module in (("sqlite", sqlite), ("postgresql", postgresql))
}
_FIND = sa.select(_C.request, _C.status, _C.answer).where(
    _C.who == sa.bindparam("of_who"), _C.key == sa.bindparam("of_key")
)
_KEEP = sa.update(kept_answers).where(_C.who == sa.bindparam("of_who"), _C.key == sa.bindparam("of_key"))
_PRUNE = sa.delete(kept_answers).where(_C.at < sa.bindparam("before"))


class Repeated(Exception):  # noqa: N818 - it is none
    """Not an error: what is asked for was done before; carries the first answer."""

    def __init__(self, status: int, answer: str) -> None:
        super().__init__("it was done before")
        self.status, self.answer = status, answer


class KeyReusedError(ThapError):
    """A key that stands for another request."""

    code: ClassVar[str] = "key_reused"
    status: ClassVar[int] = 422


class OnceStore:
    """A store whose next transaction is one request of one sender: it is done once.

    Args:
        store: where it is done.
        who: the sender, by what is never given to another: not a name.
        key: the sender's word for the request, at most 100 letters.
        request: digest of what is asked; another one under the same key is refused.
        answer: what is answered, (HTTP status, JSON), from what the transaction gives.
    """

    def __init__(
        self, store: Store, who: str, key: str, request: str, answer: Callable[[Any], tuple[int, bytes]]
    ) -> None:
        self._store, self._who, self._key, self._request, self._answer = store, who, key, request, answer

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """As `Store.transact`.

        Raises:
            Repeated: it was done before.
            KeyReusedError: something else was done under this key.
        """

        def once(tx: Transaction) -> T:
            named = {"of_who": self._who, "of_key": self._key}
            row = {"who": self._who, "key": self._key, "request": self._request, "status": 0, "answer": ""}
            # PostgreSQL waits here for another that does the same at this moment.
            if not tx.rows(_CLAIM[tx.dialect], {**row, "at": now_us()}):
                _tell(tx.rows(_FIND, named)[0], self._request)
            result = work(tx)
            status, answer = self._answer(result)
            tx.run(_KEEP, [{**named, "status": status, "answer": answer.decode()}])
            return result

        return await self._store.transact(once)

    async def close(self) -> None:
        """Nothing: the store belongs to others."""


async def recall(connection: AsyncConnection, who: str, key: str, request: str) -> None:
    """Raise the first answer where there is one. Raises as `OnceStore.transact`."""
    row = (await connection.execute(_FIND, {"of_who": who, "of_key": key})).first()
    if row is not None:
        _tell(row, request)


def _tell(row: Any, request: str) -> None:
    if row[0] != request:
        raise KeyReusedError(
            "something else was asked under this key", where="Idempotency-Key", hint="use a new key for each request"
        )
    raise Repeated(int(row[1]), str(row[2]))


async def prune(connection: AsyncConnection, now: int) -> int:
    """Forget answers past their time; how many."""
    return (await connection.execute(_PRUNE, {"before": now - KEPT_US})).rowcount
