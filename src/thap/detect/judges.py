"""All that judges records in one engine: the rules, and the detectors that domains bring.

None of them can stop the stream: a batch that one fails on is handed on to the others, and what failed is told
as a fault of the batch's first row, with how many rows it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from thap.detect.detector import Change, Detector, Fault, Outcome
from thap.detect.rules import Rule
from thap.detect.ruleset import RuleSet
from thap.observe.kinds import Kind, ObservationBatch, PositionBatch
from thap.observe.registry import Registry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Judges"]

_log = structlog.get_logger(__name__)


class Judges:
    """Rules and detectors behind one face. Not thread-safe.

    Args:
        rules: the rule set; its rules are replaced by `rebind`.
        detectors: of domains; each is bound to every new registry.
    """

    def __init__(self, rules: RuleSet, detectors: Sequence[Detector] = ()) -> None:
        self.rules = rules
        self._detectors = list(detectors)

    async def refresh(self, connection: AsyncConnection) -> None:
        """Let every detector take what it needs of the records; one that fails keeps what it had."""
        for detector in self._detectors:
            try:
                await detector.refresh(connection)
            except Exception:
                _log.exception("a detector could not read its records", detector=detector.condition)

    def rebind(self, rules: Sequence[Rule], registry: Registry) -> list[Change]:
        """Take other rules, or another registry; gives the clearing of conditions that are gone."""
        changes = self.rules.rebind(rules, registry).changes
        for detector in self._detectors:
            self._guard(detector.condition, 0, partial(detector.bind, registry))
        return changes

    def update(self, batch: ObservationBatch | PositionBatch) -> Outcome:
        """Judge a batch in journal order."""
        outcome = Outcome()
        kind = Kind.OBSERVATION if isinstance(batch, ObservationBatch) else Kind.POSITION
        parts: list[tuple[str, Callable[[], Outcome]]] = [("rules", partial(self.rules.update, batch))]
        parts += [(d.condition, partial(d.update, batch)) for d in self._detectors if d.watches is kind]
        for name, judge in parts:
            self._collect(outcome, name, len(batch), judge)
        return outcome

    def tick(self, now_us: int) -> Outcome:
        """Time passed; see `RuleSet.tick`."""
        outcome = Outcome()
        parts: list[tuple[str, Callable[[], Outcome]]] = [("rules", partial(self.rules.tick, now_us))]
        parts += [(d.condition, partial(d.tick, now_us)) for d in self._detectors]
        for name, judge in parts:
            self._collect(outcome, name, 0, judge)
        return outcome

    def dump(self) -> bytes:
        """All state, to be given to `load`."""
        return msgspec.msgpack.encode(
            {"rules": self.rules.dump(), "detectors": {d.condition: d.dump() for d in self._detectors}}
        )

    def load(self, state: bytes) -> list[Change]:
        """Take the state that `dump` gave, after `rebind`; gives the clearing of conditions that are gone.

        Raises:
            ValueError: it is not such a state.
        """
        try:
            body: dict[str, Any] = msgspec.msgpack.decode(state)
            changes = self.rules.load(body["rules"]).changes
            saved = body["detectors"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ValueError(f"not a state of detectors: {error}") from None
        for detector in self._detectors:
            if detector.condition in saved:
                detector.load(saved[detector.condition])
        return changes

    def _collect(self, outcome: Outcome, name: str, rows: int, judge: Callable[[], Outcome]) -> None:
        found = self._guard(name, rows, judge)
        if isinstance(found, Outcome):
            outcome.extend(found)
        elif isinstance(found, str) and rows:
            outcome.faults.append(Fault(0, name, f"{found}, at one of {rows} rows from here on"))

    def _guard(self, name: str, rows: int, work: Callable[[], Any]) -> Any:
        """What `work` gives, or the reason as text when it fails."""
        try:
            return work()
        except Exception as error:
            _log.exception("a detector failed", detector=name, rows=rows)
            return f"{type(error).__name__}: {error}"
