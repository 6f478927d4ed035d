"""Figures of response: each is what the incidents behind it say."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from thap.kernel.clock import DAY_US
from thap.kernel.errors import InputError
from thap.kernel.records import Records
from thap.measure.response import By, Figure, incidents_behind, read_response
from thap.respond.incidents.records import incidents
from thap.respond.procedures.records import tasks

NOW = 1_795_000_000_000_000
SINCE, UNTIL = NOW - 30 * DAY_US, NOW


def _incident(number: int, **given: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "title": f"Sự cố {number}",
        "description": "",
        "domain": "water",
        "severity": 2,
        "state": "open",
        "unit": "30337",
        "commune": "30337",
        "owner": "",
        "opened": NOW - DAY_US,
        "opened_by": "",
        "origin": "hand",
        "cause": "",
        "acknowledged": None,
        "acknowledged_by": "",
        "resolved": None,
        "closed": None,
        "reopened": 0,
        "version": 1,
        "changed": NOW,
        "began": NOW - DAY_US,
        "latest": None,
        "place": "p:",
        "events": 1,
    }
    return {**row, **given}


def _task(incident: int, late: int | None) -> dict[str, Any]:
    texts = ("procedure", "step", "unit", "unit_of", "commune", "role", "assignee", "done_when", "why", "created_by")
    return {
        **dict.fromkeys((*texts, "closed_by", "comment"), ""),
        **dict.fromkeys(("title", "text"), "{}"),
        **dict.fromkeys(("after", "attach", "evidence"), "[]"),
        **dict.fromkeys(("procedure_version", "position", "remaining", "reminded", "created", "changed"), 0),
        "incident_id": incident,
        "domain": "water",
        "state": "open",
        "clock": "working",
        "within": 3_600_000_000,
        "late": late,
        "version": 1,
    }


async def _put(store: Records, rows: list[dict[str, Any]], lates: dict[int, int | None]) -> None:
    async with store.write() as connection:
        for row in rows:
            await connection.execute(sa.insert(incidents).values(**row))
        for number, late in lates.items():
            await connection.execute(sa.insert(tasks).values(**_task(number, late)))


async def test_times_lateness_and_backlog_are_told_by_unit(either: Records) -> None:
    minute = 60_000_000
    await _put(
        either,
        [
            _incident(1, state="closed", acknowledged=NOW - DAY_US + 4 * minute, resolved=NOW - DAY_US + 60 * minute),
            _incident(2, state="resolved", acknowledged=NOW - DAY_US + 8 * minute, resolved=NOW - DAY_US + 90 * minute),
            _incident(3, state="in_progress", opened=NOW - 5 * DAY_US, acknowledged=NOW, unit="", reopened=2),
            _incident(4, state="merged"),
            _incident(5, state="rejected"),
            _incident(6, opened=NOW - 40 * DAY_US),
        ],
        {1: None, 2: NOW, 3: None},
    )
    figures = await read_response(either, SINCE, UNTIL, sa.true(), "unit", NOW)
    assert [group.key for group in figures.groups] == ["30337", ""]
    commune = figures.groups[0]
    assert (commune.opened, commune.on_time, commune.late, commune.rejected) == (3, 1, 1, 1)
    assert (commune.acknowledged.count, commune.acknowledged.median_s) == (2, 360)
    assert (commune.resolved.count, commune.resolved.median_s) == (2, 4500)
    assert figures.total.opened == 4 and figures.total.reopened == 1
    assert figures.total.backlog == {
        "backlog": 2,
        "backlog_1d": 0,
        "backlog_3d": 0,
        "backlog_7d": 1,
        "backlog_30d": 0,
        "backlog_older": 1,
    }
    assert figures.total.oldest_s == 40 * 86400


async def test_without_incidents_there_is_an_answer(either: Records) -> None:
    figures = await read_response(either, SINCE, UNTIL, sa.true(), now=NOW)
    assert figures.groups == [] and figures.total.opened == 0 and figures.total.oldest_s is None


async def test_every_number_opens_to_the_incidents_it_counts(either: Records) -> None:
    rng = random.Random(5)
    states = ("open", "acknowledged", "in_progress", "waiting", "resolved", "closed", "rejected", "merged")
    rows = []
    for number in range(1, 301):
        opened = NOW - rng.randrange(45 * DAY_US)
        rows.append(
            _incident(
                number,
                opened=opened,
                state=(state := rng.choice(states)),
                unit=rng.choice(("", "30337", "30341")),
                domain=rng.choice(("water", "sand")),
                severity=rng.randint(1, 4),
                reopened=rng.choice((0, 0, 1)),
                acknowledged=None if state == "open" else opened + rng.randrange(DAY_US),
                resolved=opened + rng.randrange(2 * DAY_US) if state in ("resolved", "closed", "waiting") else None,
            )
        )
    await _put(either, rows, {number: rng.choice((None, NOW)) for number in rng.sample(range(1, 301), 200)})
    where = incidents.c.unit != "30341"
    for by in get_args(By):
        figures = await read_response(either, SINCE, UNTIL, where, by, NOW)
        for group in [*figures.groups, figures.total]:
            for figure in get_args(Figure):
                told = getattr(group, figure, None)
                told = group.backlog[figure] if told is None or figure == "backlog" else getattr(told, "count", told)
                found = await incidents_behind(
                    either, figure, SINCE, UNTIL, where, by=by, key=group.key, limit=1000, now=NOW
                )
                assert (figure, group.key, told) == (figure, group.key, found.total)
                assert len(found.items) == found.total and all(one.unit != "30341" for one in found.items)


async def test_pages_go_on_without_gap_or_repetition(either: Records) -> None:
    await _put(either, [_incident(number) for number in range(1, 26)], {})
    seen: list[int] = []
    after: int | None = None
    while True:
        page = await incidents_behind(either, "opened", SINCE, UNTIL, sa.true(), limit=10, after=after, now=NOW)
        assert page.total == 25
        seen += [item.id for item in page.items]
        if (after := page.next) is None:
            break
    assert seen == list(range(25, 0, -1))


@pytest.mark.parametrize(("given", "where"), [({"by": "colour"}, "by"), ({"since": UNTIL}, "since")])
async def test_what_cannot_be_asked_says_why(records: Records, given: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as raised:
        await read_response(records, given.get("since", SINCE), UNTIL, sa.true(), given.get("by", "unit"))
    assert raised.value.where == where
