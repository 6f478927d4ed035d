"""How changes and steps become rows: inside one transaction of the alarm book."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from thap.detect.detector import Action, Change
from thap.respond.alarm import AlarmEvent
from thap.respond.isa_18_2 import AlarmAction, LifeCycle, Standing, State, Step
from thap.respond.records import AlarmRows

__all__ = ["Row", "Writing", "blank_row", "judge", "repeated_by_timers", "standing"]

Row = dict[str, Any]


class Writing:
    """Steps gathered in one transaction, then written at once."""

    def __init__(self, rows: AlarmRows, recorded: int, life: LifeCycle) -> None:
        self._rows, self._recorded, self._life = rows, recorded, life
        self._touched: dict[int, Row] = {}
        self._log: list[Row] = []
        self._about: list[Row] = []

    def step(
        self,
        alarm: Row,
        step: Step,
        time: int,
        *,
        received: int = 0,
        seq: int = 0,
        value: float | None = None,
        evidence: str = "{}",
        by: str = "",
        comment: str = "",
    ) -> None:
        """Take a step: `alarm` is changed to its new standing."""
        before = standing(alarm)
        after = step.standing
        if step.action is not AlarmAction.COMMENT:
            alarm["version"] += 1
        alarm.update(
            state=str(after.state),
            active=after.active,
            severity=after.severity,
            shelved_until=after.shelved_until,
            changed=self._recorded,
        )
        if step.action is AlarmAction.RAISE:
            alarm.update(announced=self._recorded, count=alarm["count"] + 1)
        if step.action is AlarmAction.ACKNOWLEDGE:
            alarm.update(acknowledged=time, acknowledged_by=by)
        elif after.state is State.UNACKNOWLEDGED:
            alarm.update(acknowledged=None, acknowledged_by="")
        self._touched[int(alarm["id"])] = alarm
        self._about.append(alarm)
        self._log.append(
            {
                "alarm_id": alarm["id"],
                "action": str(step.action),
                "from_state": str(before.state),
                "to_state": str(after.state),
                "severity": after.severity,
                "active": after.active,
                "annunciated": self._life.annunciates(before, step),
                "time": time,
                "recorded_at": self._recorded,
                "received": received,
                "seq": seq,
                "value": value,
                "lon": alarm["lon"],
                "lat": alarm["lat"],
                "commune": alarm["commune"],
                "by": by,
                "comment": comment,
                "evidence": evidence,
                "version": alarm["version"],
            }
        )

    def finish(self) -> list[AlarmEvent]:
        """Write rows and transitions; returns the events."""
        self._rows.update(list(self._touched.values()))
        numbers = self._rows.log(self._log)
        return [
            AlarmEvent(
                id=number,
                alarm=int(alarm["id"]),
                source=alarm["source"],
                condition=alarm["condition"],
                domain=alarm["domain"],
                **{name: line[name] for name in _IN_EVENT},
            )
            for number, alarm, line in zip(numbers, self._about, self._log, strict=True)
        ]


_IN_EVENT = (
    "action",
    "from_state",
    "to_state",
    "severity",
    "active",
    "annunciated",
    "time",
    "recorded_at",
    "received",
    "seq",
    "value",
    "lon",
    "lat",
    "commune",
    "by",
    "comment",
    "version",
)


def standing(alarm: Row) -> Standing:
    return Standing(State(alarm["state"]), bool(alarm["active"]), int(alarm["severity"]), alarm["shelved_until"])


def blank_row(change: Change, recorded: int) -> Row:
    """The row of an alarm never raised, for the key of this change."""
    return {
        "source": change.source,
        "condition": change.condition,
        "domain": change.domain[:32],
        "state": str(State.NORMAL),
        "active": False,
        "severity": 0,
        "raised": int(change.time),
        "announced": recorded,
        "cleared": None,
        "acknowledged": None,
        "acknowledged_by": "",
        "shelved_until": None,
        "count": 0,
        "value": None,
        "lon": None,
        "lat": None,
        "commune": "",
        "evidence": "{}",
        "changed": recorded,
        "version": 0,
    }


def repeated_by_timers(rows: AlarmRows, alarms: dict[tuple[str, str], Row], changes: Sequence[Change]) -> set[int]:
    """Indices of changes by timers that only repeat, after a crash, how an alarm came to stand as it does.

    For each alarm these are its first changes in the batch, as far as they lead to where it stands and were
    all taken before. What leads elsewhere is never dropped, known or not: that could lose an alarm.
    """
    first: dict[int, list[int]] = {}
    closed: set[int] = set()
    for index, change in enumerate(changes):
        alarm = alarms.get((change.source, change.condition))
        if alarm is None or int(alarm["id"]) in closed:
            continue
        if change.seq != 0:
            closed.add(int(alarm["id"]))
        else:
            first.setdefault(int(alarm["id"]), []).append(index)
    found: set[int] = set()
    for number, indices in first.items():
        alarm = alarms[changes[indices[0]].source, changes[indices[0]].condition]
        fits = [n for n, index in enumerate(indices) if _leads_to(changes[index], alarm)]
        told = indices[: fits[-1] + 1] if fits else []
        if len(told) > 1 and all(rows.timer_known(number, changes[i].action, int(changes[i].time)) for i in told):
            found.update(told)  # a single one that fits is refused by the life cycle anyway
    return found


def _leads_to(change: Change, alarm: Row) -> bool:
    """Whether the alarm stands as this change leaves one."""
    active = change.action is not Action.CLEAR
    return bool(alarm["active"]) == active and (not active or int(alarm["severity"]) == int(change.severity))


def judge(alarm: Row, change: Change, step: Step) -> str:
    """Put what a detector found into the row; returns the evidence as JSON."""
    evidence = _json(change.evidence)
    alarm["value"] = _number(change.value)
    if change.evidence or step.action is not AlarmAction.CLEAR:  # a clear may be silent about why it was raised
        alarm["evidence"] = evidence
    if change.domain:
        alarm["domain"] = change.domain[:32]
    if change.lon is not None and change.lat is not None:
        alarm.update(lon=_number(change.lon), lat=_number(change.lat), commune=change.commune[:16])
    elif change.commune:
        alarm["commune"] = change.commune[:16]
    if step.action is AlarmAction.RAISE:
        alarm.update(raised=int(change.time), cleared=None)
    elif step.action is AlarmAction.CLEAR:
        alarm["cleared"] = int(change.time)
    return evidence


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _json(evidence: dict[str, Any]) -> str:
    """Evidence as JSON. What is not JSON becomes text: evidence must not keep an alarm from being raised."""
    try:
        return msgspec.json.encode(evidence, enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        return msgspec.json.encode({"text": repr(evidence).encode("utf-8", "replace").decode()[:2000]}).decode()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
