"""The clock of a task: begins, stands still, goes on, ends. Functions on a task's row that change only the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thap.kernel.clock import DAY_US, MINUTE_US
from thap.kernel.working_calendar import Calendar
from thap.respond.procedures.in_force import InForce
from thap.respond.procedures.model import TaskState
from thap.respond.timers import Timer

__all__ = ["KIND", "anew", "begin", "finish", "next_due", "pause", "restore", "timer_of"]

Row = dict[str, Any]
KIND = "task.due"
_LEAST_US, _MOST_US = 30 * MINUTE_US, DAY_US


def begin(row: Row, force: InForce, now: int) -> None:
    """Let the clock run: for the first time, or on with what is left."""
    clock = force.clock(row["clock"])
    row.update(state=str(TaskState.OPEN), since=now, due=clock.add(now, max(int(row["remaining"]), 0)))


def pause(row: Row, force: InForce, now: int) -> None:
    """Let the clock stand still; what is left is kept."""
    if row["since"] is not None:
        row["remaining"] = int(row["remaining"]) - force.clock(row["clock"]).between(int(row["since"]), now)
    row.update(state=str(TaskState.PAUSED), since=None, due=None)


def finish(row: Row, force: InForce, now: int, state: TaskState, by: str, *, comment: str = "", why: str = "") -> None:
    """End it. What was left is kept, for the case that it is opened again."""
    pause(row, force, now)
    row.update(state=str(state), closed=now, closed_by=by, comment=comment, why=why)


def restore(row: Row) -> None:
    """Undo its end; its clock stands still until `begin`. One that never began waits to begin."""
    row.update(state=str(TaskState.PAUSED), closed=None, closed_by="", comment="", why="")


def anew(row: Row) -> None:
    """Let it be done again after all: with what was left, or with half of its time where less was left."""
    restore(row)
    row.update(late=None, reminded=0, remaining=max(int(row["remaining"]), int(row["within"]) // 2))


def timer_of(row: Row, force: InForce, now: int) -> Timer:
    """The timer of a running task: at its deadline; once that is missed, whenever somebody is to be told again."""
    if row["late"] is None:
        due = int(row["due"])
    else:
        clock = force.clock(row["clock"])
        due = clock.add(now, _again(clock, int(row["within"])))
    return Timer(KIND, str(row["id"]), due)


def next_due(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """The next deadline of an incident's tasks; missed ones count too."""
    return min((int(row["due"]) for row in rows if row["due"] is not None), default=None)


def _again(clock: Calendar, within: int) -> int:
    """How long after telling that a task is late it is told again: as long as the task may take, between half an
    hour and a day."""
    longest = clock.length("1d") if clock.name == "working" else _MOST_US
    return min(max(within, _LEAST_US), longest)
