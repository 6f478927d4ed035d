"""What a rule says: the declarative model behind `[[rule]]` tables in TOML.

    [[rule]]
    name = "water.level_cao_lanh"
    kind = "threshold"
    title = { vi = "Mực nước Cao Lãnh vượt báo động", en = "Cao Lãnh water level above alarm level" }
    select = { datastream = "cao-lanh/water_level" }
    above = 1.9                      # at or above
    deadband = 0.05
    severity = "medium"
    levels = [ { severity = "high", above = 2.1 }, { severity = "critical", above = 2.3 } ]
    on_delay = "10m"
    source = "flood alarm levels I, II, III at Cao Lãnh"

Lengths of time are written `90s`, `15m`, `2h`, `7d` and are microseconds in the model. A limit itself counts as
reached: `above = 1.9` is true of 1.9. Reading rules from text, with positions of mistakes, is `ruletext`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from thap.detect.ladder import Plan
from thap.detect.limits import Limits, LimitWay
from thap.detect.rulefields import (
    Ages,
    Areas,
    Condition,
    Duration,
    Level,
    Listed,
    Pair,
    Part,
    ScheduleSpec,
    Select,
    SeverityName,
    Span,
    Title,
    Word,
    wrong,
)
from thap.observe.kinds import Kind

__all__ = [
    "KINDS",
    "Combined",
    "CommonRule",
    "Geofence",
    "Level",
    "NOfM",
    "Rate",
    "Rule",
    "ScheduleSpec",
    "Select",
    "Silence",
    "Threshold",
    "Title",
]


class CommonRule(Part):
    """What every rule has."""

    ways: ClassVar[tuple[str, ...]] = ()
    """Fields that can carry the limit; exactly one of them is given."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Unique; also the condition of its alarms. Lower case, digits and `_ . -`."""
    kind: str
    title: Title
    domain: str = Field("", max_length=32)
    """Domain of its alarms; empty takes the source's."""
    select: Select
    severity: SeverityName
    on_delay: Duration = 0
    """How long the condition must be true before it raises."""
    off_delay: Duration = 0
    """How long it must be untrue before it clears."""
    levels: Annotated[tuple[Level, ...], Listed] = ()
    schedule: ScheduleSpec | None = None
    lateness: Duration | None = None
    """How long to wait for records out of order; None takes the setting."""
    enabled: bool = True
    source: str = Field("", max_length=500)
    """Where the number is from."""
    version: Word = "1"

    @property
    def watches(self) -> Kind:
        """The kind of record it judges."""
        return Kind.OBSERVATION

    @property
    def way(self) -> str:
        """Which field carries the limit."""
        return next((way for way in self.ways if getattr(self, way) is not None), "")

    @property
    def limit(self) -> Any:
        """The base limit."""
        return getattr(self, self.way) if self.way else None

    @property
    def level_way(self) -> str:
        """Which field of a level carries its limit."""
        return self.way

    @property
    def level_base(self) -> Any:
        """What the first level must be stricter than."""
        return self.limit

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes the rule's judgement; its state is kept as long as this stays."""
        return hashlib.blake2s(repr(self).encode(), digest_size=8).hexdigest()

    def __repr__(self) -> str:
        body = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in ("title", "source", "version", "domain", "enabled")
        }
        return f"{type(self).__name__}({body!r})"

    def limit_levels(self) -> list[Level]:
        """The steps reached by a limit."""
        return [level for level in self.levels if level.after is None]

    def plan(self) -> Plan:
        """Its timers and severities."""
        return Plan(
            (self.severity, *(level.severity for level in self.limit_levels())),
            tuple((level.after, level.severity) for level in self.levels if level.after is not None),
            self.on_delay,
            self.off_delay,
            self.schedule.build() if self.schedule else None,
        )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self._check_way()
        self._check_levels()
        self._check()
        return self

    def _check(self) -> None:
        """What a kind asks beyond its fields."""

    def _check_way(self) -> None:
        given = [way for way in self.ways if getattr(self, way) is not None]
        if self.ways and len(given) != 1:
            need = self.ways[0] if len(self.ways) == 1 else f"exactly one of {', '.join(self.ways)}"
            raise wrong(
                given[1] if given else "",
                f"a {self.kind} rule needs {need}" + (f", not both {given[0]} and {given[1]}" if given else ""),
            )

    def _check_levels(self) -> None:
        before: dict[str, Level] = {}
        for index, level in enumerate(self.levels):
            at = f"levels.{index}"
            given = [name for name in Level.model_fields if name != "severity" and getattr(level, name) is not None]
            allowed = [self.level_way] * bool(self.level_way) + ["after"]
            for name in given:
                if name not in allowed:
                    raise wrong(f"{at}.{name}", f"a level of this rule is reached by {' or '.join(allowed)}")
            if len(given) != 1:
                raise wrong(at, f"a level needs exactly one of {', '.join(allowed)}")
            name = given[0]
            last = before.get(name)
            if level.severity <= (last.severity if last else self.severity):
                raise wrong(f"{at}.severity", "must be higher than the step before")
            limit = getattr(level, name)
            base = getattr(last, name) if last else 0 if name == "after" else self.level_base
            if not self._stricter(name, base, limit):
                raise wrong(f"{at}.{name}", f"must be stricter than the step before ({base})")
            before[name] = level

    def _stricter(self, name: str, base: Any, limit: Any) -> bool:
        if name == "below":
            return bool(limit < base)
        if name == "outside":
            return bool(limit[0] <= base[0] and limit[1] >= base[1] and limit != base)
        if name == "inside":
            return bool(limit[0] >= base[0] and limit[1] <= base[1] and limit != base)
        return bool(limit > base)

    def _no_selecting_by(self, *names: str) -> None:
        for name in names:
            if getattr(self.select, name):
                raise wrong(f"select.{name}", f"a {self.kind} rule cannot select by {name}")


class _Limited(CommonRule):
    """A rule with numeric limits and a deadband."""

    deadband: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    """How far inside the limit the value must come back, in its unit."""

    def limits(self) -> Limits:
        """Its limits, base first."""
        steps = [self.limit, *(getattr(level, self.way) for level in self.limit_levels())]
        ways: dict[str, LimitWay] = {"below": "below", "outside": "outside", "inside": "inside"}
        return Limits(ways.get(self.way, "above"), steps, self.deadband)

    def _check(self) -> None:
        for name in ("outside", "inside"):
            for at, pair in (
                (name, getattr(self, name, None)),
                *((f"levels.{i}.{name}", getattr(level, name)) for i, level in enumerate(self.levels)),
            ):
                if pair is not None and pair[0] >= pair[1]:
                    raise wrong(at, "the first number must be less than the second")
        outer = getattr(self, "outside", None)
        if outer is not None and self.deadband * 2 >= outer[1] - outer[0]:
            raise wrong("deadband", "leaves nothing between the limits")
        self._no_selecting_by("mover")


class Threshold(_Limited):
    """A value at or beyond a limit."""

    ways = ("above", "below", "outside", "inside")
    kind: Literal["threshold"]
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    outside: Pair | None = None
    """[low, high]: at or below the first, or at or above the second."""
    inside: Pair | None = None
    """[low, high], both counted."""


class Rate(_Limited):
    """A change within a window: from the lowest (rise) or highest (fall) value in it to the latest."""

    ways = ("rise", "fall", "change")
    kind: Literal["rate"]
    rise: Annotated[FiniteFloat, Field(gt=0)] | None = None
    fall: Annotated[FiniteFloat, Field(gt=0)] | None = None
    change: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Either way."""
    window: Span

    def _check(self) -> None:
        super()._check()
        if self.deadband >= self.limit:
            raise wrong("deadband", "must be less than the limit, or the condition never ends")


class Silence(CommonRule):
    """No data, by the clock of the doors: a device whose own clock is wrong still counts as alive."""

    ways = ("no_data_for",)
    kind: Literal["silence"]
    no_data_for: Span | None = None

    @property
    def watches(self) -> Kind:
        return Kind.POSITION if self.select.mover else Kind.OBSERVATION

    def _check(self) -> None:
        if self.on_delay:
            raise wrong("on_delay", "a silence rule has none; make no_data_for longer")
        if self.lateness is not None:
            raise wrong("lateness", "a silence rule goes by the time of arrival and waits for nothing")
        if self.select.mover:
            self._no_selecting_by("datastream", "property", "thing", "commune")


class Geofence(CommonRule):
    """A mover inside an area, outside all its areas, or inside for longer than `dwell`."""

    kind: Literal["geofence"]
    mode: Literal["inside", "outside", "dwell"]
    area: Areas
    dwell: Span | None = None
    hysteresis_m: Annotated[FiniteFloat, Field(ge=0, le=100_000)] = 30.0
    """Metres beyond the boundary a mover must be to count as outside; up to there it counts as where it was."""
    below_kn: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Only while slower than this, knots; an unknown speed changes nothing."""
    above_kn: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Only while faster than this, knots."""

    @property
    def watches(self) -> Kind:
        return Kind.POSITION

    @property
    def way(self) -> str:
        return ""

    def plan(self) -> Plan:
        plan = super().plan()
        return plan if self.dwell is None else plan._replace(on_delay=self.dwell)

    def _check(self) -> None:
        self._no_selecting_by("datastream", "property", "thing", "commune")
        if (self.mode == "dwell") != (self.dwell is not None):
            raise wrong("dwell", 'belongs to mode = "dwell", and is needed there')
        if self.dwell is not None and self.on_delay:
            raise wrong("on_delay", 'mode = "dwell" has its own delay, dwell')
        if self.below_kn and self.above_kn and self.below_kn <= self.above_kn:
            raise wrong("below_kn", "must be more than above_kn")


class NOfM(_Limited):
    """N of the last M values of one datastream, or N datastreams of a group, beyond a limit."""

    ways = ("above", "below", "outside")
    kind: Literal["n_of_m"]
    n: Annotated[int, Field(ge=1)]
    m: Annotated[int, Field(ge=1, le=62)] | None = None
    """Latest values of each datastream that vote."""
    group: Literal["thing", "commune", "all"] | None = None
    """Instead of `m`: the selected datastreams of one thing or commune, or all of them, vote."""
    max_age: Span = 3600 * 1_000_000
    """How long a vote of a group counts."""
    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    outside: Pair | None = None

    def limits(self) -> Limits:
        ways: dict[str, LimitWay] = {"below": "below", "outside": "outside"}
        return Limits(ways.get(self.way, "above"), [self.limit], self.deadband)

    @property
    def level_way(self) -> str:
        return "n"

    @property
    def level_base(self) -> Any:
        return self.n

    def _check(self) -> None:
        super()._check()
        if (self.m is None) == (self.group is None):
            raise wrong("group" if self.group else "", "an n_of_m rule needs either m (latest values) or group")
        if self.m is not None and max([self.n, *(level.n or 0 for level in self.levels)]) > self.m:
            raise wrong("n", f"n cannot be more than m ({self.m})")


class Combined(CommonRule):
    """A condition over several datastreams of one thing."""

    kind: Literal["combined"]
    when: Condition
    """Names are those of the thing's datastreams, or else of their properties."""
    max_age: Ages = Field(default_factory=lambda: {"": 3600 * 1_000_000})
    """How old a value may be, for all or by name; an older one is unknown, and what needs it is not true."""

    def age_of(self, name: str) -> int:
        """How old the value of a name may be, µs."""
        return self.max_age.get(name, self.max_age.get("", 3600 * 1_000_000))

    def _check(self) -> None:
        self._no_selecting_by("mover", "datastream", "property")
        for name in self.max_age:
            if name and name not in self.when.names:
                raise wrong("max_age", f"{name!r} is not in the condition")


Rule = Threshold | Rate | Silence | Geofence | NOfM | Combined
KINDS: dict[str, type[Rule]] = {
    "threshold": Threshold,
    "rate": Rate,
    "silence": Silence,
    "geofence": Geofence,
    "n_of_m": NOfM,
    "combined": Combined,
}
"""Rule kinds by the word in `kind`."""
