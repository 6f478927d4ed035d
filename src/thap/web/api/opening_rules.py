"""/api/v1/opening-rules: which alarms open which incidents, and which incidents rules would have opened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from thap.detect.positions import positions
from thap.detect.records import gather_rules
from thap.detect.ruletext import Problem
from thap.domains.domain import domains
from thap.domains.known_records import known_domains
from thap.kernel.clock import DAY_US, now_us, parse_duration_us, parse_time_us
from thap.kernel.errors import InputError, NotFoundError
from thap.respond.conditions import condition_titles
from thap.respond.incidents.correlate_records import known_conditions, transitions_between
from thap.respond.incidents.opening_text import BUILT_IN, read_opening, read_table, toml_of, unknown_names
from thap.respond.incidents.opening_trial import Trial, try_rules, with_rule
from thap.respond.incidents.records import rule_rows
from thap.respond.incidents.rules import OpeningRule, OpeningRules, packaged, put_rule, remove_rule
from thap.web.api.alarms import RESOURCE, documented
from thap.web.api.rule_shapes import RuleProblem
from thap.web.api.rules import check_writer
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.sight import store_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/opening-rules", tags=["incidents"])
Reader = Annotated[Caller, Depends(require("rule.read"))]
Writer = Annotated[Caller, Depends(require("rule.write"))]
Name = Annotated[str, Path(max_length=64, description="Name of the opening rule.")]
_FILE = "opening.toml"
_LOOKED_AT = 100_000
_SHOWN = 1000
_LARGEST = 256 * 1024
_MOST_PROBLEMS = 200


class OpeningShown(msgspec.Struct, frozen=True, kw_only=True):
    """An opening rule, and where it comes from."""

    rule: OpeningRule
    origin: str
    """`program`, `file` (<data>/opening.toml) or `records`."""
    replaces: bool
    """Whether it stands instead of one of the program."""
    version: int
    """Of the record, 0 where it is in none: what a change starts from."""
    changed: int | None
    """µs."""
    changed_by: str
    toml: str


class OpeningList(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they are asked: the first that fits an alarm is taken."""

    rules: list[OpeningShown]
    problems: list[RuleProblem]
    """Of the file, and of records that cannot be read."""
    domains: list[str]
    """Domains there are."""
    conditions: list[str]
    """Conditions of alarms there are."""


class OpeningChecked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check."""

    ok: bool
    rules: list[OpeningRule]
    problems: list[RuleProblem]
    toml: str
    """The sound rules, as they would be written."""


class OpeningKept(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it is kept now."""

    name: str
    version: int
    enabled: bool


class OpeningGone(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was taken out of the records."""

    name: str
    stands: str
    """What stands now under its name: `program`, `file`, or nothing (empty)."""


class _Given(BaseModel):
    """A rule as its fields or as TOML; give one of them."""

    model_config = ConfigDict(extra="forbid")

    rule: dict[str, Any] | None = Field(None, description="The fields of one rule.")
    body: str | None = Field(None, description="Or TOML with [[rule]], at most 256 KiB.")

    def read(self) -> tuple[list[OpeningRule], list[Problem]]:
        """The sound rules, and what is wrong with others."""
        if (self.rule is None) == (self.body is None):
            raise InputError("give either rule or body", where="body")
        if len(msgspec.json.encode(self.body or self.rule)) > _LARGEST:
            raise InputError(
                f"more than {_LARGEST >> 10} KiB is too large for opening rules",
                where="rule" if self.body is None else "body",
                hint="check them in parts",
            )
        if self.body is not None:
            return read_opening(self.body)
        made, problems = read_table(self.rule or {})
        return ([] if made is None else [made]), problems


class OpeningBody(_Given):
    """A rule to keep."""

    version: int | None = Field(
        None, ge=0, description="Version of the record that was read, 0 for none; without it, whatever is there."
    )


class TrialBody(_Given):
    """What to try, over which time; without a rule, those in force."""

    since: str = Field("7d", max_length=40, description="Length of time before `until`, as 7d, or ISO 8601.")
    until: str | None = Field(None, max_length=40, description="ISO 8601; now, if not given.")


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _problem(one: Problem) -> RuleProblem:
    return RuleProblem(**{"hint": "", **one.as_dict()})


async def _names(centre: Centre) -> tuple[frozenset[str], frozenset[str]]:
    """Domains and conditions there are."""
    async with centre.records.read() as connection:
        conditions = await known_conditions(connection)
        gathered = await gather_rules(centre.settings, connection)
        known = await known_domains(connection)
    for one in domains().values():
        for detector in one.detectors:
            conditions |= set(detector.conditions) or {str(getattr(detector, "condition", ""))} - {""}
    return known, frozenset(conditions | BUILT_IN | {listed.rule.name for listed in gathered.rules})


def _read_file(centre: Centre) -> tuple[list[OpeningRule], list[Problem]]:
    path = centre.settings.data / _FILE
    try:
        return read_opening(path.read_text("utf-8"), _FILE) if path.is_file() else ([], [])
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(_FILE, 1, 1, "", "", f"cannot be read: {error}")]


async def _gather(centre: Centre) -> tuple[OpeningRules, list[OpeningShown], list[Problem]]:
    """All in the order in which they are asked."""
    async with centre.records.read() as connection:
        rows = {row["name"]: row for row in await rule_rows(connection)}
    found = await asyncio.to_thread(OpeningRules.gather, centre.settings.data / _FILE, rows.values())
    of_file, problems = await asyncio.to_thread(_read_file, centre)
    in_file = set() if problems else {rule.name for rule in of_file}  # one mistake, and the file is left out
    ours = {rule.name for rule in packaged()}
    shown = []
    for rule in found.rules:
        row = rows.get(rule.name)
        shown.append(
            OpeningShown(
                rule=rule,
                origin="records" if row else "file" if rule.name in in_file else "program",
                replaces=rule.name in ours and (row is not None or rule.name in in_file),
                version=row["version"] if row else 0,
                changed=row["changed"] if row else None,
                changed_by=row["changed_by"] if row else "",
                toml=toml_of([rule]),
            )
        )
    lost = rows.keys() - {rule.name for rule in found.rules}
    problems += [Problem("records", 1, 1, name, "", "this rule cannot be read", "put it anew") for name in sorted(lost)]
    return found, shown, problems


@router.get("", summary="All opening rules", response_class=Response, responses=documented(OpeningList))
async def read_opening_rules(centre: CentreDep, _caller: Reader) -> Response:
    """In the order in which they are asked, with where each comes from; and what is wrong with others."""
    _, shown, problems = await _gather(centre)
    known, conditions = await _names(centre)
    for one in shown:
        if one.origin != "program":
            problems += unknown_names(one.rule, known, conditions, one.origin)
    told = [_problem(one) for one in problems]
    return _json(OpeningList(rules=shown, problems=told, domains=sorted(known), conditions=sorted(conditions)))


async def _checked(centre: Centre, body: _Given) -> tuple[list[OpeningRule], list[Problem]]:
    known, conditions = await _names(centre)
    return await asyncio.to_thread(_judge, body, known, conditions)


def _judge(body: _Given, known: frozenset[str], conditions: frozenset[str]) -> tuple[list[OpeningRule], list[Problem]]:
    rules, problems = body.read()
    found = None if body.body is None else positions(body.body)
    strange: list[Problem] = []
    for number, rule in enumerate(rules):
        root = () if body.body is None else ("rule", number)
        strange += unknown_names(rule, known, conditions, "rule", found, root)
        if len(strange) > _MOST_PROBLEMS:
            break
    wrong = {problem.rule for problem in strange}
    return [rule for rule in rules if rule.name not in wrong], problems + strange


@router.post(
    "/check",
    summary="Check opening rules without keeping them",
    response_class=Response,
    responses=documented(OpeningChecked),
)
async def check_opening_rules(body: _Given, centre: CentreDep, _caller: Reader) -> Response:
    """Every mistake with line, column and field: also domains and conditions that nobody knows."""
    rules, problems = await _checked(centre, body)
    told = [_problem(one) for one in problems[:_MOST_PROBLEMS]]
    toml = await asyncio.to_thread(toml_of, rules) if rules else ""
    return _json(OpeningChecked(ok=not problems, rules=rules, problems=told, toml=toml))


@router.post(
    "/test",
    summary="Which incidents rules would have opened",
    response_class=Response,
    responses=documented(Trial),
)
async def test_opening_rules(body: TrialBody, centre: CentreDep, caller: Reader) -> Response:
    """From the alarms of a time that the caller may see, as if none had been resolved in between. With a rule, it is
    put among those in force, and its incidents are listed. Nothing is changed."""
    until = now_us() if body.until is None else parse_time_us(body.until)
    since = _moment(body.since, until)
    if not until - 90 * DAY_US <= since < until:
        raise InputError("a trial looks at up to 90 days", where="since")
    rule = None
    if body.rule is not None or body.body is not None:
        rules, problems = await _checked(centre, body)
        if problems:
            raise problems[0].error()
        if len(rules) != 1:
            raise InputError("try one rule at a time", where="body")
        rule = msgspec.structs.replace(rules[0], enabled=True)
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "alarm.read", RESOURCE)
    in_force, _, _ = await _gather(centre)
    async with centre.records.read() as connection:
        rows = await transitions_between(connection, since, until, _LOOKED_AT, within)
        gathered = await gather_rules(centre.settings, connection)
    of_rules = {one.rule.name: {"vi": one.rule.title.vi, "en": one.rule.title.en} for one in gathered.rules}
    titles = {**condition_titles(), **of_rules}
    return _json(await asyncio.to_thread(_try, in_force, rule, rows, titles, since, until))


def _try(
    in_force: OpeningRules,
    rule: OpeningRule | None,
    rows: list[dict[str, Any]],
    titles: Mapping[str, Mapping[str, str]],
    since: int,
    until: int,
) -> Trial:
    now, unopened = try_rules(in_force, rows, titles)
    then = now
    if rule is not None:
        then, unopened = try_rules(with_rule(in_force, rule), rows, titles)
    mine = [one for one in then if rule is None or one.rule == rule.name][::-1]
    return Trial(
        since=since,
        until=until,
        transitions=len(rows),
        complete=len(rows) < _LOOKED_AT,
        incidents=mine[:_SHOWN],
        count=len(mine),
        now=len(now),
        then=len(then),
        unopened=unopened,
    )


def _moment(text: str, base: int) -> int:
    try:
        return base - parse_duration_us(text)
    except InputError:
        return parse_time_us(text)


@router.get("/{name}", summary="One opening rule", response_class=Response, responses=documented(OpeningShown))
async def read_opening_rule(name: Name, centre: CentreDep, _caller: Reader) -> Response:
    for one in (await _gather(centre))[1]:
        if one.rule.name == name:
            return _json(one)
    raise NotFoundError(f"no opening rule is called {name!r}", hint="`thap incidents rules list` shows them")


@router.put("/{name}", summary="Keep an opening rule", response_class=Response, responses=documented(OpeningKept))
async def put_opening_rule(name: Name, body: OpeningBody, centre: CentreDep, caller: Writer) -> Response:
    """It holds from now on, instead of one of the same name in the file or of the program. A version that is not the
    latest is refused (409); so is what names a domain or condition that nobody knows."""
    await check_writer(centre, caller)
    rules, problems = await _checked(centre, body)
    if problems:
        raise problems[0].error()
    if len(rules) != 1 or rules[0].name != name:
        raise InputError("the body holds one rule, of the name in the address", where="name")
    rule = rules[0]
    version = await store_of(centre).transact(lambda tx: put_rule(tx, rule, caller.name, body.version))
    await centre.bus.announce("centre.live.rules", {"opening": name, "by": caller.name})
    return _json(OpeningKept(name=name, version=version, enabled=rule.enabled))


@router.delete(
    "/{name}",
    summary="Take an opening rule out of the records",
    response_class=Response,
    responses=documented(OpeningGone),
)
async def delete_opening_rule(name: Name, centre: CentreDep, caller: Writer) -> Response:
    """One of the same name in the file or of the program stands again."""
    await check_writer(centre, caller)
    await store_of(centre).transact(lambda tx: remove_rule(tx, name, caller.name))
    await centre.bus.announce("centre.live.rules", {"opening": name, "by": caller.name})
    stands = next((one.origin for one in (await _gather(centre))[1] if one.rule.name == name), "")
    return _json(OpeningGone(name=name, stands=stands))
