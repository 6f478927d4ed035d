"""What the demo simulates at the moment: `demo/now.json` in the data directory, told to whoever looks at it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from thap.kernel.clock import SECOND_US, now_us

__all__ = ["Simulated"]

_FRESH_US = 30 * SECOND_US


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """Where a simulation stands. Moments are µs UTC."""

    at: int
    """When this was written, by the clock."""
    until: int
    """The simulated moment it had reached then."""
    speed: float
    """Simulated time in a unit of time; 1 once it has caught up with the clock."""

    def save(self, data: Path) -> None:
        """Write it, whole or not at all."""
        path = _path(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(self))
        draft.replace(path)

    @classmethod
    def read(cls, data: Path) -> Simulated | None:
        """What runs now; None where nothing does."""
        try:
            found = msgspec.json.decode(_path(data).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if now_us() - found.at < _FRESH_US else None


def _path(data: Path) -> Path:
    return data / "demo" / "now.json"
