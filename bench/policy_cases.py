"""Random people, restrictions and records, for the claim that a list and a single answer never differ."""

from __future__ import annotations

import random
from typing import Any

import sqlalchemy as sa

from thap.kernel.policy import ACTIONS, ROLES, Grant, Policy, Restriction, Subject, Who

__all__ = ["TABLE", "make_action", "make_policy", "make_records", "make_who", "subject_of"]

DOMAINS = ("", "sand", "water", "rice", "traffic")
THINGS = ("", "cam-1", "cam-1/frames", "cam-10", "CAM-1", "tram-2/level", "trạm-3")
PARENTS = {
    "82": "",
    "so-a": "82",
    "so-b": "82",
    "so-a-1": "so-a",
    "so-a-1-x": "so-a-1",
    "28001": "82",
    "28002": "82",
    "28002-ap-1": "28002",
}
_UNITS = ("", "82", "so-a", "so-b", "so-a-1", "so-a-1-x", "28001", "28002", "28002-ap-1", "99999")
_LIMITS = (
    ("thing", "cam-1"),
    ("thing", "trạm-3"),
    ("domain", "traffic"),
    ("unit", "so-a-1"),
    ("unit", "28002"),
)


TABLE = sa.Table(
    "policy_cases",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("unit", sa.String(32)),
    sa.Column("commune", sa.String(32)),
    sa.Column("domain", sa.String(32)),
    sa.Column("thing", sa.String(128)),
)


def make_policy(dice: random.Random) -> Policy:
    """The tree of units with some restrictions."""
    limits = [Restriction(kind, ref) for kind, ref in _LIMITS if dice.random() < 0.5]  # type: ignore[arg-type]
    return Policy(PARENTS, (), limits)


def make_who(dice: random.Random) -> Who:
    """Somebody with up to four grants, some ended, and some clearances."""
    grants = tuple(
        Grant(
            dice.choice(sorted(ROLES)),
            dice.choice(_UNITS),
            dice.choice(DOMAINS),
            dice.choice((None, None, 1_000_000, 2**60)),
        )
        for _ in range(dice.choice((0, 1, 1, 2, 3, 4)))
    )
    clear = frozenset(f"{kind}:{ref}" for kind, ref in _LIMITS if dice.random() < 0.4)
    kind = dice.choices(("person", "token", "local", "system", "anonymous"), (20, 4, 1, 1, 1))[0]
    return Who("x", kind, 1, "28001", grants, clear)  # type: ignore[arg-type]


def make_action(dice: random.Random, who: Who) -> str:
    """Any action, more often one that they have somewhere."""
    held = sorted(frozenset().union(*(ROLES[grant.role] for grant in who.grants)))
    return dice.choice(held if held and dice.random() < 0.8 else sorted(ACTIONS))


def make_records(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Rows of the table, some columns NULL."""

    def pick(choices: tuple[str, ...]) -> str | None:
        return None if dice.random() < 0.08 else dice.choice(choices)

    return [
        {"id": n, "unit": pick(_UNITS), "commune": pick(_UNITS), "domain": pick(DOMAINS), "thing": pick(THINGS)}
        for n in range(1, count + 1)
    ]


def subject_of(row: dict[str, Any]) -> Subject:
    """The row as one record."""
    return Subject("incident", (row["unit"] or "", row["commune"] or ""), row["domain"] or "", row["thing"] or "")
