"""What a detector is, and what it says.

A detector turns batches and its own state into *changes*: a condition raised, escalated, downgraded
or cleared on a source. The same code runs live (engine) and over history (backtest); it never reads a
clock, only the times in the rows and the `now_us` of `tick`. How rows are cut into batches must not
change what it says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Action", "Change", "Detector", "Fault", "Finding", "Outcome", "Severity"]


class Severity(IntEnum):
    """How bad, and so how soon: ISA-18.2 priorities."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Action(StrEnum):
    """What happened to a condition."""

    RAISE = "raise"
    ESCALATE = "escalate"
    DOWNGRADE = "downgrade"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Change:
    """A condition changed on a source."""

    source: str
    """Key of the datastream, thing or mover."""
    condition: str
    """Name of the rule or detector; with `source` it identifies the alarm."""
    action: Action
    severity: Severity
    time: int
    """Event time of the change, µs: when the condition became true, not when it was noticed."""
    seq: int
    """Journal sequence of the record that decided it; 0 when a timer did."""
    received: int = 0
    """Door time of that record, µs; 0 when a timer did."""
    value: float | None = None
    domain: str = ""
    lon: float | None = None
    lat: float | None = None
    commune: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    """JSON-able: limits, the rows that decided, the rule's version."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row a detector could not judge; it goes to the dead-letter stream, the rest of the batch went on."""

    row: int
    """Index in the batch."""
    condition: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector found beside alarms, for the domain that it belongs to.

    The stream `FOUND` carries it there, at least once: after a crash it is found again. Its payload must be the same
    then, however the rows were cut into batches.
    """

    domain: str
    """Whose it is: readers ask for those of a domain."""
    what: str
    """What of it: `trip`."""
    payload: bytes
    """One msgpack value."""


@dataclass(slots=True)
class Outcome:
    """What a batch or a tick led to."""

    changes: list[Change] = field(default_factory=list)
    """In order of journal sequence, then time."""
    faults: list[Fault] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """In the order in which they were found."""

    def extend(self, other: Outcome) -> None:
        """Append another outcome."""
        self.changes += other.changes
        self.faults += other.faults
        self.findings += other.findings


class Detector(ABC):
    """One detector with its state. Not thread-safe; its owner calls it from one place."""

    watches: ClassVar[Kind]
    condition: str
    """Its name, and the condition it tells."""
    conditions: ClassVar[tuple[str, ...]] = ()
    """All conditions it tells, where they are others than `condition`."""

    async def refresh(self, connection: AsyncConnection) -> None:  # noqa: B027  most detectors need none
        """Take what it needs of the records (licences, parameters), before every `bind`.

        The engine calls it at its start and whenever the registry or the rules changed; who changes records that a
        detector reads announces `centre.live.rules`. Between two calls a detector reads nothing but its batches.
        """

    @abstractmethod
    def bind(self, registry: Registry) -> None:
        """Take a new registry; state of sources that remain is kept, of those gone dropped."""

    @abstractmethod
    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        """Take a batch of the kind it watches, of any sources."""

    def tick(self, now_us: int) -> Outcome:
        """Time passed; timers that end at or before `now_us` take effect."""
        return Outcome()

    def dump(self) -> dict[str, Any]:
        """Its state as msgpack-able values (NumPy arrays allowed as bytes); inverse of `load`."""
        return {}

    def load(self, state: dict[str, Any]) -> None:  # noqa: B027  a detector without state has nothing to take
        """Take the state that `dump` gave, after `bind`; sources unknown by now are skipped."""
