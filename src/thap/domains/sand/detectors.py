"""Who dredges where, when and with which vessel, against what licences say: alarms of the live centre.

One detector tells all conditions of `Kind` that positions decide, because all of them stand on one state: what each
vessel is doing. What each means and waits for is said at `Kind`, its numbers in `parameters.toml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thap.detect.detector import Action, Change, Detector, Outcome, Severity
from thap.domains.sand.model import Book, Kind, Violation
from thap.kernel.clock import MINUTE_US, iso
from thap.observe.kinds import Kind as RecordKind
from thap.observe.kinds import ObservationBatch, PositionBatch
from thap.observe.registry import MoverInfo, Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from thap.domains.sand.behaviour import Behaviour, Findings

__all__ = ["SEVERITY", "SandWatch", "change_of", "watches_mover"]

SEVERITY = {
    Kind.OUTSIDE: Severity.HIGH,
    Kind.HOURS: Severity.HIGH,
    Kind.UNLISTED: Severity.HIGH,
    Kind.EXPIRED: Severity.HIGH,
    Kind.FORBIDDEN: Severity.CRITICAL,
    Kind.BANK: Severity.HIGH,
    Kind.SILENT: Severity.MEDIUM,
    Kind.UNLOADING: Severity.HIGH,
    Kind.TWO_PLACES: Severity.MEDIUM,
    Kind.RENAMED: Severity.HIGH,
}
"""How bad each is; forbidden zones protect banks that slide and bridges."""

_VALUE = {
    Kind.OUTSIDE: "distance_m",
    Kind.HOURS: "minutes",
    Kind.BANK: "bank_m",
    Kind.SILENT: "silent_min",
    Kind.UNLOADING: "lay_min",
    Kind.TWO_PLACES: "distance_m",
}
_SHOWN_FIXES = 12
_LONE = 3


def watches_mover(mover: MoverInfo, book: Book) -> bool:
    """Whether a mover may be a vessel of this domain: heard on AIS, of the domain, or of the register."""
    return mover.key.startswith("mmsi-") or mover.domain == "sand" or mover.key in book.vessels


def change_of(violation: Violation, seq: int, received: int, book: Book) -> Change:
    """A violation that began or ended as a change of its alarm."""
    raised = violation.end is None
    evidence: dict[str, Any] = {
        "begin": iso(violation.begin),
        "noticed": iso(violation.noticed),
        **violation.numbers,
        **violation.detail,
        "book": book.version,
    }
    if raised:
        fixes = violation.positions
        evidence["positions"] = [fix.as_dict() for fix in fixes[:: max(1, -(-len(fixes) // _SHOWN_FIXES))]]
    else:
        assert violation.end is not None
        evidence["end"] = iso(violation.end)
    return Change(
        violation.vessel,
        str(violation.kind),
        Action.RAISE if raised else Action.CLEAR,
        SEVERITY[violation.kind],
        violation.begin if violation.end is None else violation.end,
        seq,
        received,
        violation.numbers.get(_VALUE.get(violation.kind, "")),
        "sand",
        violation.lon,
        violation.lat,
        "",
        evidence,
    )


class SandWatch(Detector):
    """Vessels that dredge, load and unload sand against the licences.

    Watches positions of vessels. Each condition is raised once the vessel's track shows it beyond noise and dwell, and
    cleared when the vessel ceases or leaves. Evidence: when it began, distances and times, the licence, the version of
    the register, and the positions that decided it. Trips, stays and violations go on as findings, for the records.

    Source: NĐ 23/2020 article 9 (boundary, vessels, tracking unit), NĐ 10/2025 (hours); dwell and tolerance are the
    province's choice, see `parameters.toml`.
    """

    watches = RecordKind.POSITION
    condition = "sand.watch"
    conditions: ClassVar[tuple[str, ...]] = tuple(str(kind) for kind in SEVERITY)

    def __init__(self, book: Book | None = None, parameters: dict[str, float] | None = None) -> None:
        self._book = book or Book()
        self._parameters = parameters
        self._versions: tuple[int, int] | None = None
        self._behaviour: Behaviour | None = None
        self._movers: dict[int, MoverInfo] = {}
        self._slots: np.ndarray[Any, np.dtype[np.intp]] = np.zeros(0, np.intp)
        self._received = 0

    async def refresh(self, connection: AsyncConnection) -> None:
        """Take licences and parameters in force."""
        from thap.domains.domain import domain
        from thap.domains.parameter_records import load_parameters
        from thap.domains.sand.records import load_book

        parameters = await load_parameters(connection, domain("sand"))
        book = await load_book(connection)
        if self._versions == (book.version, parameters.version):
            return
        self._versions, self._book, self._parameters = (book.version, parameters.version), book, dict(parameters)
        if self._behaviour is not None:
            self._behaviour.take_book(book, self._parameters)

    def bind(self, registry: Registry) -> None:
        """Take a new registry; what is known of vessels is kept."""
        if self._behaviour is None:
            self._behaviour = self._made()
        self._movers = {mover.id: mover for mover in registry.movers}
        self._slots = np.full(registry.max_mover + 1, -1, np.intp)
        ignored = [mover.id for mover in registry.movers if not watches_mover(mover, self._book)]
        self._slots[ignored] = -2

    def _made(self) -> Behaviour:
        from thap.domains.sand.behaviour import Behaviour

        if self._parameters is None:
            from thap.domains.domain import domain
            from thap.domains.parameters import shipped_parameters

            self._parameters = dict(shipped_parameters(domain("sand")))
        return Behaviour(self._book, self._parameters)

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        """Take positions of any movers."""
        assert isinstance(batch, PositionBatch) and self._behaviour is not None
        known = batch.mover < len(self._slots)
        if not known.all():
            batch = batch.take(known)
        self._assign(batch)
        slots = self._slots[batch.mover]
        if (slots < 0).any():
            batch, slots = batch.take(slots >= 0), slots[slots >= 0]
        if not len(batch):
            return Outcome()
        from thap.domains.sand.behaviour import Rows

        self._received = max(self._received, int(batch.received[-1]))
        return self._outcome(
            self._behaviour.update(
                Rows(
                    slots,
                    batch.time,
                    batch.lon,
                    batch.lat,
                    batch.speed_kn.astype(np.float64),
                    batch.received,
                    batch.seq,
                )
            )
        )

    def _assign(self, batch: PositionBatch) -> None:
        """Slots for vessels heard for the first time, in the order in which they are."""
        assert self._behaviour is not None
        fresh = batch.mover[self._slots[batch.mover] == -1]
        if not len(fresh):
            return
        numbers, first = np.unique(fresh, return_index=True)
        for number in numbers[np.argsort(first)].tolist():
            mover = self._movers.get(number)
            self._slots[number] = -2 if mover is None else self._behaviour.slot_of(mover.key, mover.kind, mover.name)

    def tick(self, now_us: int) -> Outcome:
        """Where hardly anybody is heard, the clock goes on without them, so that one vessel can fall silent."""
        behaviour = self._behaviour
        if behaviour is None or not self._received or now_us - self._received < 2 * MINUTE_US:
            return Outcome()
        if behaviour.heard_lately() >= _LONE:
            return Outcome()  # all of them fell silent at once: that is the receiver
        return self._outcome(behaviour.tick(behaviour.now + now_us - self._received))

    def _outcome(self, found: Findings) -> Outcome:
        from thap.domains.sand.found import Found, finding_of

        parameters = self._parameters or {}
        return Outcome(
            [change_of(told.violation, told.seq, told.received, self._book) for told in found.changes],
            findings=[finding_of(Found(one, clock, self._book.version, parameters)) for clock, one in found.order],
        )

    def dump(self) -> dict[str, Any]:
        """Its state."""
        assert self._behaviour is not None
        return {"received": self._received, "behaviour": self._behaviour.dump()}

    def load(self, state: dict[str, Any]) -> None:
        """Take what `dump` gave, after `bind`."""
        if not state or self._behaviour is None:
            return
        self._behaviour.load(state["behaviour"])
        self._received = state["received"]
        self._slots[self._slots >= 0] = -1  # asked again: slots are those of the state now
