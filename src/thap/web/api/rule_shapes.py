"""What /api/v1/rules and /backtests answer, for the API's description. Moments are ISO 8601 where they are text."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Backtest", "Checked", "Kept", "RuleKinds", "RuleList", "RuleShown", "Versions", "Written"]


class Both(msgspec.Struct, frozen=True):
    """A text in both languages."""

    vi: str
    en: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a rule in the records."""

    version: int
    enabled: bool
    changed: str
    changed_by: str


class RuleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is."""

    name: str
    kind: str
    title: Both
    domain: str
    severity: str
    enabled: bool
    source: str
    version: str
    """The author's own, not the record's."""
    watches: str
    """observation or position."""
    sources: int
    """How many sources it watches now."""
    fingerprint: str
    """Changes with anything that changes its judgement."""


class RaiseCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How often its alarms were raised, of those the caller may see."""

    day: int
    month: int


class RuleShown(RuleSummary, frozen=True, kw_only=True):
    """A rule with its text."""

    origin: str
    """`records`, or the path of its file."""
    body: str
    record: Kept | None
    """None for a rule in a file."""
    raised: RaiseCounts


class RuleProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake, with its place."""

    file: str
    line: int
    column: int
    rule: str
    field: str
    """Dotted, as levels.0.above; empty for the rule as a whole."""
    message: str
    hint: str = ""


class RuleList(msgspec.Struct, frozen=True, kw_only=True):
    """All rules by name, and what is wrong with those that cannot be read."""

    rules: list[RuleShown]
    problems: list[RuleProblem]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check."""

    ok: bool
    rules: list[RuleSummary]
    problems: list[RuleProblem]
    tables: list[dict[str, Any]]
    """Each [[rule]] as it is written, sound or not; none where the text is no TOML."""


class Written(Checked, frozen=True, kw_only=True):
    """A text that says what the form says, checked."""

    body: str


class RuleKind(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of rule may say."""

    title: Both
    help: Both
    ways: list[str]
    """Fields of which exactly one carries the limit."""
    level_way: str
    """The field of a level that carries its limit; empty: the way chosen."""
    schema: dict[str, Any]
    """JSON Schema; `x-title`, `x-help` and `x-unit` beside each field."""


class RuleKinds(msgspec.Struct, frozen=True, kw_only=True):
    """By the word in `kind`."""

    kinds: dict[str, RuleKind]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest that was run before; times µs."""

    since: int
    until: int
    rows: int
    alarms: int
    ran: int
    by: str


class Armed(msgspec.Struct, frozen=True, kw_only=True):
    """How a version was put in force: after which backtest, or why without."""

    backtest: Tried | None
    reason: str


class VersionShown(Kept, frozen=True, kw_only=True):
    """A version with its text."""

    body: str
    armed: Armed | None
    """None: it was not put in force, or before this was noted."""


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    versions: list[VersionShown]


class WouldStep(msgspec.Struct, frozen=True, kw_only=True):
    """A change of severity."""

    action: str
    severity: str
    time: str


class WouldAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that would have been raised."""

    source: str
    condition: str
    severity: str
    first_severity: str
    raised: str
    cleared: str | None
    duration_s: float
    value: float | None
    peak: float | None
    lon: float | None
    lat: float | None
    steps: list[WouldStep]
    evidence: dict[str, Any]


class RealAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that was raised. Times µs."""

    alarm: int
    source: str
    condition: str
    severity: int
    raised: int
    cleared: int | None


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """What rules would have done."""

    since: str
    until: str
    rows: int
    late: int
    duplicates: int
    watched: int
    count: int
    per_rule: dict[str, int]
    per_day: dict[str, dict[str, int]]
    alarms: list[WouldAlarm]
    faults: dict[str, int]
    problems: dict[str, str]
    fingerprints: dict[str, str]
    """Of the rules tried, by name."""
    really: list[RealAlarm]
    """What rules of these names did raise in that time."""
