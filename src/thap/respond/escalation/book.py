"""The book of escalation: chains, suppressions, and chains at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from thap.kernel import audit
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.respond.escalation.chains import all_chains, check_chain, check_suppression, packaged
from thap.respond.escalation.follow import reach
from thap.respond.escalation.model import Chain, Escalation, ReachedStep, Step, Suppression
from thap.respond.escalation.records import (
    EscalationRows,
    chain_rows,
    escalation_by_id,
    escalation_rows,
    suppression_rows,
)

__all__ = ["EscalationBook"]


class EscalationBook:
    """Escalation of one centre. The caller announces `centre.live.duty` after a change."""

    def __init__(self, records: Records, store: Store | None = None) -> None:
        self._records = records
        self._own = store is None
        self._store = store or open_store(records)

    async def close(self) -> None:
        """Close the connection for writing, if it was opened here."""
        if self._own:
            await self._store.close()

    async def chains(self) -> list[Chain]:
        """All chains, by name; version 0 are those that came with the program."""
        async with self._records.read() as connection:
            return all_chains(await chain_rows(connection))

    async def put_chain(self, chain: Chain, by: str, version: int | None = None) -> Chain:
        """Make a chain or change one; chains at work go on as they began.

        Raises:
            InputError: it does not hold together.
            ConflictError: it changed since that version.
        """
        checked = check_chain(chain)

        def work(tx: Transaction) -> Chain:
            rows = EscalationRows(tx)
            before = rows.chain(chain.name)
            at = 0 if before is None else before.version
            if version is not None and version != at:
                by_whom = f", by {before.changed_by}" if before is not None else ""
                raise ConflictError(
                    f"it is at version {at}{by_whom}, not {version}", where=f"chain {chain.name}", hint="read it again"
                )
            made = msgspec.structs.replace(checked, version=at + 1, changed=now_us(), changed_by=by)
            rows.put_chain(made, new=before is None)
            _note(tx, by, "put", f"chain:{made.name}", {"version": made.version, "enabled": made.enabled})
            return made

        return await self._store.transact(work)

    async def delete_chain(self, name: str, by: str) -> None:
        """Forget a chain; one that came with the program is then as it came.

        Raises:
            NotFoundError: there is none in the records.
            ConflictError: it came with the program: switch it off instead.
        """

        def work(tx: Transaction) -> None:
            rows = EscalationRows(tx)
            if rows.chain(name) is None:
                if any(one.name == name for one in packaged()):
                    raise ConflictError(
                        "it came with the program", where=f"chain {name}", hint="put one of this name, not enabled"
                    )
                raise NotFoundError(f"there is no chain {name!r}", hint="`thap duty chains` lists them")
            rows.delete_chain(name)
            _note(tx, by, "delete", f"chain:{name}", {})

        await self._store.transact(work)

    async def suppressions(self) -> list[Suppression]:
        """Those in force."""
        async with self._records.read() as connection:
            return await suppression_rows(connection)

    async def add_suppression(self, one: Suppression, by: str) -> Suppression:
        """Hold chains back at times.

        Raises:
            InputError: it does not hold together.
        """
        made = msgspec.structs.replace(
            check_suppression(one), created=now_us(), created_by=by, removed=None, removed_by=""
        )

        def work(tx: Transaction) -> int:
            number = EscalationRows(tx).add_suppression(made)
            _note(tx, by, "add", f"suppression:{number}", {"title": made.title, "severity": made.severity})
            return number

        return msgspec.structs.replace(made, id=await self._store.transact(work))

    async def remove_suppression(self, number: int, by: str) -> Suppression:
        """Take one back.

        Raises:
            NotFoundError: there is none in force.
        """

        def work(tx: Transaction) -> Suppression:
            rows, now = EscalationRows(tx), now_us()
            one = rows.suppression(number)
            if one is None or one.removed is not None:
                raise NotFoundError(f"there is no suppression {number}", hint="`thap duty suppressions` lists them")
            rows.remove_suppression(number, by, now)
            _note(tx, by, "remove", f"suppression:{number}", {"title": one.title})
            return msgspec.structs.replace(one, removed=now, removed_by=by)

        return await self._store.transact(work)

    async def list(
        self,
        *,
        where: sa.ColumnElement[bool] | None = None,
        state: str = "",
        incident: int | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[Escalation]:
        """Escalations, the newest first, below number `before`."""
        async with self._records.read() as connection:
            return await escalation_rows(
                connection, where=where, state=state, incident=incident, limit=limit, before=before
            )

    async def reach(
        self, steps: Sequence[Step], *, unit: str, commune: str = "", owner: str = "", severity: int
    ) -> Sequence[ReachedStep]:
        """Who each of these steps would tell now, of an incident of this unit; nobody is told.

        Raises:
            InputError: a step does not hold together.
        """
        trial = Chain(name="trial", steps=list(steps))
        check_chain(trial, trial.steps)
        return await self._store.transact(
            lambda tx: reach(tx, trial.steps, unit=unit, commune=commune, owner=owner, severity=severity, now=now_us())
        )

    async def get(self, number: int) -> Escalation | None:
        """One escalation."""
        async with self._records.read() as connection:
            return await escalation_by_id(connection, number)


def _note(tx: Transaction, by: str, action: str, what: str, detail: dict[str, Any]) -> None:
    audit.append(tx, [audit.Entry(by, f"escalation.{action}", what, detail)])
