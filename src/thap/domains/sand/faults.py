"""What is wrong with something that was handed in: where, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thap.kernel.errors import InputError

__all__ = ["Fault", "as_error"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding."""

    code: str
    """For the console, which has a message of this name: `swapped`, `crossed`, …"""
    message: str
    """In English, one sentence without a full stop."""
    hint: str = ""
    """What to do."""
    row: int = 0
    """Line of the file (the heading is line 1) or number of the feature, from 1; 0: of the whole."""
    column: str = ""
    """As the file calls it."""
    value: str = ""
    """What stood there, shortened."""
    blocking: bool = True
    """False: worth knowing, but it may be imported."""
    values: dict[str, Any] = field(default_factory=dict)
    """What the console's message is filled with."""

    def __str__(self) -> str:
        where = ", ".join(
            part
            for part in (f"row {self.row}" if self.row else "", f"column {self.column}" if self.column else "")
            if part
        )
        said = f"{where}: {self.message}" if where else self.message
        return f"{said} – {self.hint}" if self.hint else said

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "row": self.row,
            "column": self.column,
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "value": self.value,
            "blocking": self.blocking,
            "values": self.values,
        }


def as_error(faults: Sequence[Fault], where: str, hint: str) -> InputError:
    """Faults that keep something from being taken, as one error; the first three are told.

    Args:
        faults: at least one.
        where: the file or field.
        hint: what to do.
    """
    told = "; ".join(str(one) for one in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return InputError(f"{told}{more}", where=where, hint=hint)
