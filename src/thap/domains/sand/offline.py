"""The detectors over a file: the same behaviour as live, in the order of event time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from thap.domains.sand.behaviour import Behaviour, Findings, Rows
from thap.domains.sand.files import PositionFile
from thap.domains.sand.model import Book, Stay, Trip, Violation
from thap.domains.sand.quantity import over_quantity

__all__ = ["Report", "detect", "rows_of"]

_BATCH = 50_000


@dataclass(slots=True)
class Report:
    """What a file leads to."""

    positions: int = 0
    vessels: int = 0
    begin: int = 0
    end: int = 0
    stays: list[Stay] = field(default_factory=list)
    trips: list[Trip] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    """In the order they were noticed; with their end, where they had ended."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Positions the noise filter did not use, by why."""

    def take(self, found: Findings) -> None:
        """Add what rows led to."""
        self.stays += found.stays
        self.trips += found.trips
        for told in found.changes:
            one = told.violation
            if one.end is None:
                self.violations.append(one)
            else:
                for at in range(len(self.violations) - 1, -1, -1):
                    open_one = self.violations[at]
                    if (open_one.kind, open_one.vessel, open_one.begin) == (one.kind, one.vessel, one.begin):
                        self.violations[at] = one
                        break


def rows_of(file: PositionFile, behaviour: Behaviour, size: int = _BATCH) -> Iterator[Rows]:
    """The positions of a file in batches, as received when they were measured."""
    slots = np.array([behaviour.slot_of(*one) for one in zip(file.keys, file.kinds, file.names, strict=True)], np.intp)
    for begin in range(0, len(file), size):
        part = slice(begin, begin + size)
        time = file.time[part]
        yield Rows(
            slots[file.vessel[part]],
            time,
            file.lon[part],
            file.lat[part],
            file.sog[part],
            time,
            np.arange(begin + 1, begin + 1 + len(time)),
        )


def detect(
    file: PositionFile,
    book: Book,
    parameters: Mapping[str, float],
    *,
    progress: Callable[[float], None] | None = None,
    batch: int = _BATCH,
) -> Report:
    """Run the detectors over a file.

    Args:
        file: the positions.
        book: licences and registers.
        parameters: by name, as in `parameters.toml`.
        progress: told the share that is done.
        batch: rows at once; changes nothing but speed.
    """
    behaviour = Behaviour(book, parameters)
    report = Report(len(file), len(file.keys), int(file.time[0]), int(file.time[-1]))
    done = 0
    for rows in rows_of(file, behaviour, batch):
        report.take(behaviour.update(rows))
        done += len(rows)
        if progress is not None:
            progress(done / len(file))
    report.take(behaviour.finish())
    report.violations += over_quantity(report.trips, book, parameters["fill_factor"])
    report.stays.sort(key=lambda stay: (stay.begin, stay.vessel))
    report.trips.sort(key=lambda trip: (trip.load_begin, trip.vessel))
    report.dropped = dict(behaviour.tracks.dropped)
    return report
