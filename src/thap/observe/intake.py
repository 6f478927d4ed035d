"""The intake: where every door hands its records in.

It checks values, gives names their registry numbers, gathers records of many requests for a few
milliseconds into one block, appends the block to the journal, and answers once that is durable. What
cannot be taken goes to the dead-letter stream with its reason; what nobody admitted yet goes to
quarantine.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
import structlog

from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, SECOND_US, iso, now_us, parse_time_us
from thap.kernel.errors import DiskFullError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.kinds import BLOCK_VERSION, Floats, Ints, Kind, Longs, encode_block
from thap.observe.registry import Registry, load_registry, quarantine, register_datastreams, register_movers, valid_name

__all__ = ["Intake", "Receipt", "Rejected"]

_log = structlog.get_logger(__name__)
Raw = Callable[[int], Any]
"""Gives record `i` as it was sent (JSON-able), for the dead-letter and quarantine streams."""


class Rejected(NamedTuple):
    """A record that was not taken: its index in what was handed in, and why."""

    index: int
    reason: str


@dataclass(slots=True)
class Receipt:
    """What became of a batch. Everything in it is durable."""

    accepted: int = 0
    quarantined: list[int] = field(default_factory=list)
    """Indices of records whose name waits to be admitted."""
    rejected: list[Rejected] = field(default_factory=list)
    """Records in the dead-letter stream."""


class Intake:
    """One per gateway process; shared by its doors."""

    async def observations(self, door: str, keys: Sequence[str], times: Longs, results: Floats, raw: Raw) -> Receipt:
        """Take observations.

        Args:
            door: the door's name, as `http`, `mqtt`, `ais`; counted and shown by it.
            keys: datastream keys, `thing/name`.
            times: phenomenon times, µs.
            results: in the datastreams' units.
            raw: gives a record as it was sent.

        Raises:
            DiskFullError: no room; nothing of the batch was taken.
            UnavailableError: the journal does not answer; the batch may or may not have been taken, and
                sending it again does no harm.
        """
        raise NotImplementedError

    async def positions(self, door: str, keys: Sequence[str], times: Longs, lons: Floats, lats: Floats,
                        speeds_kn: Floats, courses_deg: Floats, raw: Raw) -> Receipt:
        """Take positions; `keys` are mover keys, unknown speed or course is NaN. Raises as `observations`."""
        raise NotImplementedError

    async def reject(self, door: str, kind: Kind, rejected: Sequence[tuple[str, Any]]) -> None:
        """Send records that a door could not even decode to the dead-letter stream: (reason, record)."""
        raise NotImplementedError

    async def describe_movers(self, rows: Sequence[dict[str, Any]]) -> None:
        """Static data of movers (`key` and any of `name`, `kind`, `properties`): kept for admitted movers."""
        raise NotImplementedError

    def count(self, door: str, what: str, number: int = 1) -> None:
        """Count an event of a door for /metrics and `thap doctor`, as `bad_checksum`."""
        raise NotImplementedError
