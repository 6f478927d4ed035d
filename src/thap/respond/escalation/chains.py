"""Chains: which there are, which is for an incident, and when they do not begin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from thap.kernel.clock import DAY_US
from thap.kernel.errors import InputError
from thap.kernel.units import PROVINCE_CODE
from thap.respond.duty.roster import check_rule, times
from thap.respond.escalation.model import Chain, Step, Suppression

__all__ = ["all_chains", "check_chain", "check_suppression", "choose", "held_until", "packaged"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TO = re.compile(
    r"(?:(?:duty|role):(?:\$unit|\$commune|[a-z0-9-]{0,32})(?:/[a-z_]{1,32})?|person:(?:\$owner|[^\s/:]{1,64})"
    r"|(?!duty:|role:|person:)[A-Za-z][A-Za-z0-9_-]{0,31}:[^\s$]{1,400})"
)
_STEPS_MAX, _TO_MAX, _ROUNDS_MAX = 20, 30, 20


@cache
def packaged() -> tuple[Chain, ...]:
    """The chains that come with the program."""
    body = tomllib.loads((Path(__file__).parent / "chains.toml").read_text("utf-8"))
    found = []
    for one in body["chain"]:
        steps = [msgspec.convert(step, Step) for step in one.pop("step")]
        found.append(check_chain(msgspec.convert({**one, "steps": []}, Chain), steps))
    return tuple(found)


def all_chains(kept: Iterable[Chain]) -> list[Chain]:
    """Those of the records, and those that came with the program and have no namesake there; by name."""
    return sorted(({one.name: one for one in packaged()} | {one.name: one for one in kept}).values(), key=_name)


def check_chain(chain: Chain, steps: Sequence[Step] | None = None) -> Chain:
    """A chain that holds together.

    Raises:
        InputError: name, severity, rounds, a step's recipient or its wait is not such.
    """
    made = msgspec.structs.replace(
        chain,
        steps=list(chain.steps if steps is None else steps),
        unit=PROVINCE_CODE if chain.unit == "" else chain.unit,
    )
    if not _NAME.fullmatch(made.name):
        raise InputError(f"{made.name!r} is not a name of a chain", where="name", hint="a-z, 0-9 and -")
    if not 1 <= made.severity <= 4:
        raise InputError("a severity is 1 to 4", where="severity")
    if not 1 <= made.rounds <= _ROUNDS_MAX:
        raise InputError(f"a chain is gone through 1 to {_ROUNDS_MAX} times", where="rounds")
    if not 1 <= len(made.steps) <= _STEPS_MAX:
        raise InputError(f"a chain has 1 to {_STEPS_MAX} steps", where="steps")
    for number, step in enumerate(made.steps, 1):
        if not 1 <= len(step.to) <= _TO_MAX:
            raise InputError(f"a step is for 1 to {_TO_MAX} recipients", where=f"step {number}, to")
        for to in step.to:
            if not _TO.fullmatch(to):
                raise InputError(
                    f"{to!r} is nobody a step can tell",
                    where=f"step {number}, to",
                    hint="duty:UNIT/ROLE, role:UNIT/ROLE, person:LOGIN or channel:address",
                )
        if not 10 <= step.wait_s <= 7 * 86_400:
            raise InputError("a step waits ten seconds to a week", where=f"step {number}, wait_s")
        if not 1 <= step.times <= _ROUNDS_MAX:
            raise InputError(f"a step is taken 1 to {_ROUNDS_MAX} times", where=f"step {number}, times")
    return made


def check_suppression(one: Suppression) -> Suppression:
    """A suppression that holds together.

    Raises:
        InputError: severity, rule or length is not such.
    """
    if not 1 <= one.severity <= 3:
        raise InputError("up to severity 3: critical incidents are never held back", where="severity")
    if not one.title.strip():
        raise InputError("say what it is for", where="title")
    if one.length_us > 30 * DAY_US:
        raise InputError("a suppression lasts 30 days at most", where="length")
    rule = check_rule(one.rule, one.start, one.length_us) if one.rule else ""
    if one.length_us <= 0:
        raise InputError("it must last some time", where="length")
    return msgspec.structs.replace(one, rule=rule, unit=PROVINCE_CODE if one.unit == "" else one.unit)


def choose(chains: Iterable[Chain], *, domain: str, units: Sequence[str], severity: int) -> Chain | None:
    """The chain for an incident: the one named closest to its unit, then domain, then severity."""
    fitting = [
        one
        for one in chains
        if one.enabled
        and one.domain in ("", domain)
        and (one.unit is None or one.unit in units)
        and one.severity <= severity
    ]
    return max(fitting, key=_closeness, default=None)


def _closeness(one: Chain) -> tuple[bool, bool, int, bool, str]:
    """Of two alike the province's own stands before one that came with the program."""
    return one.unit is not None, one.domain != "", one.severity, one.version > 0, one.name


def held_until(
    suppressions: Iterable[Suppression], *, domain: str, units: Sequence[str], severity: int, at: int
) -> int | None:
    """Until when a chain may not begin, None where it may."""
    ends = []
    for one in suppressions:
        if one.domain not in ("", domain) or (one.unit is not None and one.unit not in units):
            continue
        if severity > one.severity:
            continue
        if not one.rule:
            begins = [one.start]
        else:
            begins = [t for _, t in times(one.rule, one.start).between(at - one.length_us + 1, at + 1)]
        ends += [begin + one.length_us for begin in begins if begin <= at < begin + one.length_us]
    return max(ends, default=None)


def _name(chain: Chain) -> str:
    return chain.name
