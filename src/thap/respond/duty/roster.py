"""Who is on duty when: from rotas and shifts, without a database."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from dateutil.rrule import rrule, rrulestr

from thap.kernel.clock import DAY_US, VIETNAM, from_us, to_us
from thap.kernel.errors import InputError
from thap.respond.duty.model import Rota, Shift, Stint

__all__ = ["Times", "check_rule", "on_duty", "plan", "times"]

_KEYS = {
    "FREQ": r"DAILY|WEEKLY|MONTHLY",
    "INTERVAL": r"[1-9]\d?",
    "BYDAY": r"(MO|TU|WE|TH|FR|SA|SU)(,(MO|TU|WE|TH|FR|SA|SU))*",
    "BYMONTHDAY": r"([1-9]|[12]\d|3[01]|-1)(,([1-9]|[12]\d|3[01]|-1))*",
    "BYHOUR": r"\d{1,2}(,\d{1,2})*",
    "BYMINUTE": r"\d{1,2}",
    "WKST": r"MO|SU",
    "UNTIL": r"\d{8}(T\d{6}Z?)?",
    "COUNT": r"[1-9]\d{0,4}",
}
LONGEST_US = 366 * DAY_US


class Times:
    """The times a rule comes round, found as far as they are asked for."""

    def __init__(self, rule: rrule) -> None:
        self._rest: Iterator[datetime] = iter(rule)
        self._found: list[int] = []
        self._ended = False
        self._lock = threading.Lock()  # the store's thread asks, and so does the event loop

    def between(self, since: int, until: int) -> Iterable[tuple[int, int]]:
        """(number from 0, time) of those at or after `since` and before `until`, µs."""
        with self._lock:
            while not self._ended and (not self._found or self._found[-1] < until):
                following = next(self._rest, None)
                if following is None:
                    self._ended = True
                else:
                    self._found.append(to_us(following.replace(tzinfo=VIETNAM)))
        first = bisect_left(self._found, since)
        return ((index, self._found[index]) for index in range(first, bisect_left(self._found, until)))


@lru_cache(maxsize=512)
def times(rule: str, start: int) -> Times:
    """The times of a rule that was checked, from a start on."""
    local = from_us(start).astimezone(VIETNAM).replace(tzinfo=None, microsecond=0)
    if "BYHOUR=" in rule:  # at the full hour, unless it says otherwise: not at the minute it was typed
        rule += ("" if "BYMINUTE=" in rule else ";BYMINUTE=0") + ";BYSECOND=0"
    found = rrulestr(re.sub(r"(UNTIL=\d{8}(T\d{6})?)Z", r"\1", rule), dtstart=local)
    assert isinstance(found, rrule)
    return Times(found)


def check_rule(rule: str, start: int, length_us: int) -> str:
    """The rule in its plain form.

    Raises:
        InputError: it is not a recurrence, or of a kind duty does not need (oftener than by hours of a day, nth
            week days, months by name), never comes round, or lasts longer than a year or not at all.
    """
    if not 0 < length_us <= LONGEST_US:
        raise InputError("it must last some time, and a year at most", where="length")
    text = rule.strip().upper().removeprefix("RRULE:").replace(" ", "")
    parts: dict[str, str] = {}
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if key not in _KEYS or key in parts or not re.fullmatch(_KEYS[key], value):
            raise InputError(
                f"{part!r} is not a part of a rule here",
                where="rule",
                hint="as FREQ=DAILY;BYHOUR=7,19 or FREQ=WEEKLY;BYDAY=MO,FR;BYHOUR=8 (RFC 5545)",
            )
        parts[key] = value
    if "FREQ" not in parts:
        raise InputError("a rule says how often", where="rule", hint="as FREQ=DAILY;BYHOUR=7,19")
    # A rule that can miss every day of the calendar would be searched for to the year 9999.
    apart = int(parts.get("INTERVAL", 1)) > 1
    if (parts["FREQ"] != "MONTHLY" and "BYMONTHDAY" in parts) or (
        apart and parts["FREQ"] != "WEEKLY" and {"BYDAY", "BYMONTHDAY"} & set(parts)
    ):
        raise InputError("days of this kind and this interval do not go together", where="rule")
    if not 0 <= start < 4_102_444_800_000_000:
        raise InputError("it begins at no time of this century", where="start")
    try:
        first = next(iter(times(text, start).between(start, start + 3 * LONGEST_US)), None)
    except (ValueError, OverflowError) as error:
        raise InputError(f"not a rule: {error}", where="rule") from None
    if first is None:
        raise InputError("the rule never comes round", where="rule")
    return text


def plan(rotas: Iterable[Rota], shifts: Sequence[Shift], since: int, until: int) -> list[Stint]:
    """Who is on duty between two times, in order of time; overrides applied, stretches cut to the times."""
    found: list[Stint] = []
    for rota in rotas:
        overrides = [shift for shift in shifts if shift.rota == rota.name and shift.removed is None]
        begin = max(since, rota.valid_from)
        end = until if rota.valid_until is None else min(until, rota.valid_until)
        for number, start in times(rota.rule, rota.start).between(begin - rota.length_us + 1, end):
            low, high = max(start, begin), min(start + rota.length_us, end)
            if low < high:
                found += _turn(rota, rota.turns[number % len(rota.turns)], low, high, overrides)
    found += [
        Stint(
            start=max(shift.start, since),
            until=min(shift.until, until),
            unit=shift.unit,
            role=shift.role,
            login=shift.login,
            shift=shift.id,
        )
        for shift in shifts
        if not shift.rota and shift.removed is None and shift.login and shift.start < until and shift.until > since
    ]
    return sorted(found, key=lambda one: (one.start, one.unit, one.role, one.login, one.until))


def _turn(rota: Rota, logins: Sequence[str], low: int, high: int, overrides: Sequence[Shift]) -> Iterator[Stint]:
    """The stretches of one turn; where several overrides overlap, the one made last counts."""
    here = [shift for shift in overrides if shift.start < high and shift.until > low]
    edges = sorted({low, high, *(t for shift in here for t in (shift.start, shift.until) if low < t < high)})
    for start, until in pairwise(edges):
        on: dict[str, int | None] = dict.fromkeys(logins)
        for shift in sorted((one for one in here if one.start <= start and one.until >= until), key=lambda s: s.id):
            if not shift.instead_of:
                on.clear()
            elif shift.instead_of in on:
                del on[shift.instead_of]
            else:
                continue
            if shift.login:
                on[shift.login] = shift.id
        for login, number in on.items():
            yield Stint(
                start=start, until=until, unit=rota.unit, role=rota.role, login=login, rota=rota.name, shift=number
            )


def on_duty(rotas: Iterable[Rota], shifts: Sequence[Shift], at: int, role: str = "") -> list[str]:
    """Logins on duty at a moment, each once."""
    stints = plan(rotas, shifts, at, at + 1)
    return list(dict.fromkeys(one.login for one in stints if not role or one.role == role))
