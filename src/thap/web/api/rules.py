"""/api/v1/rules and /backtests: what is watched for, and what a rule would have done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response, StreamingResponse

from thap.detect.arming import armed_detail, arming_notes, backtest_entries
from thap.detect.backtest import BacktestReport, run_over_history, watched_by
from thap.detect.places import area_resolver
from thap.detect.records import (
    Gathered,
    Listed,
    StoredRule,
    gather_rules,
    put_rule,
    rule_history,
    switch_rule,
)
from thap.detect.ruleform import rule_tables, written
from thap.detect.rules import Rule
from thap.detect.ruleschema import rule_schema
from thap.detect.ruletext import parse_rules, read_rules
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import DAY_US, iso, now_us, parse_time_us
from thap.kernel.errors import BusyError, DeniedError, InputError, ThapError
from thap.observe.registry import Registry, load_registry
from thap.respond.records import raise_counts, raised_between
from thap.web.answers import JsonAnswer, to_json
from thap.web.api.alarms import RESOURCE, documented
from thap.web.api.rule_shapes import Backtest, Checked, Kept, RuleKinds, RuleList, RuleShown, Versions, Written
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.sight import sight_of

__all__ = ["check_writer", "router"]

router = APIRouter(prefix="/api/v1", tags=["rules"])
Reader = Annotated[Caller, Depends(require("rule.read"))]
Writer = Annotated[Caller, Depends(require("rule.write"))]
Operator = Annotated[Caller, Depends(require("operate"))]
Name = Annotated[str, Path(max_length=64, description="Name of the rule.")]
_TEXT = Field(max_length=1_000_000, description="TOML with [[rule]] tables.")


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RuleBody(_Given):
    """A rule to keep."""

    body: str = Field(max_length=100_000, description="TOML with one [[rule]].")
    version: int | None = Field(
        None,
        ge=0,
        description="Version of the record that was read, 0 for a new rule; without it, whatever is there is replaced.",
    )
    enabled: bool | None = Field(None, description="Whether it shall be in force; by default as the body says.")
    reason: str = Field("", max_length=500, description="Why it is put in force, where no backtest of it was run.")


class VersionBody(_Given):
    """Which version a change starts from."""

    version: int | None = Field(None, ge=0)
    reason: str = Field("", max_length=500, description="Why it is put in force, where no backtest of it was run.")


class RulesText(_Given):
    """Rules to check."""

    body: str = _TEXT


class FormBody(_Given):
    """What a form says, and the text it shall be written into."""

    body: str = _TEXT
    rule: dict[str, Any] = Field(description="The fields of one rule; null takes one away.")


class BacktestBody(_Given):
    """What to try, over which time."""

    rules: list[str] = Field(default_factory=list, max_length=200, description="Names of rules of this centre.")
    body: str | None = Field(None, max_length=1_000_000, description="Or TOML with rules that are not kept yet.")
    since: str = Field(description="ISO 8601.")
    until: str | None = Field(None, description="ISO 8601; now, if not given.")
    limit: int = Field(1000, ge=0, le=100_000, description="How many alarms to list at most.")


def _rule(listed: Listed, registry: Registry, raised: dict[str, tuple[int, int]]) -> dict[str, Any]:
    month, day = raised.get(listed.rule.name, (0, 0))
    return {
        **_summary(listed.rule, registry),
        "origin": listed.origin,
        "body": listed.body,
        "record": None if listed.stored is None else _stored(listed.stored),
        "raised": {"day": day, "month": month},
    }


def _summary(rule: Rule, registry: Registry) -> dict[str, Any]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "title": {"vi": rule.title.vi, "en": rule.title.en},
        "domain": rule.domain,
        "severity": rule.severity.name.lower(),
        "enabled": rule.enabled,
        "source": rule.source,
        "version": rule.version,
        "watches": str(rule.watches),
        "sources": sum(len(found) for found in watched_by([rule], registry).values()),
        "fingerprint": rule.fingerprint,
    }


def _stored(stored: StoredRule) -> dict[str, Any]:
    return {
        "version": stored.version,
        "enabled": stored.enabled,
        "changed": iso(stored.changed),
        "changed_by": stored.changed_by,
    }


async def check_writer(centre: Centre, caller: Caller) -> None:
    """Pass whoever may write rules in the whole province and all domains: what a rule watches knows no units.

    Raises:
        DeniedError: their role holds in a part only.
    """
    if not (await policy_of(centre).current()).may(caller.who, "rule.write"):
        raise DeniedError(
            f"{caller.name} may not change rules",
            where="rule.write",
            hint="it takes a role in the whole province and all domains, for a rule may watch anything",
        )


async def _gather(centre: Centre) -> tuple[Gathered, Registry]:
    async with centre.records.read() as connection:
        return await gather_rules(centre.settings, connection), await load_registry(connection)


async def _raised(centre: Centre, caller: Caller) -> dict[str, tuple[int, int]]:
    within = (await policy_of(centre).current()).where(caller.who, "alarm.read", RESOURCE)
    now = now_us()
    async with centre.records.read() as connection:
        return await raise_counts(connection, now - 30 * DAY_US, now - DAY_US, within)


async def _announce(centre: Centre, name: str, by: str) -> None:
    await centre.bus.announce("centre.live.rules", {"rule": name, "by": by})


@router.get("/rules", summary="All rules, in force or not", response_class=Response, responses=documented(RuleList))
async def get_rules(centre: CentreDep, caller: Reader) -> JsonAnswer:
    """Rules of the records and of files, with how many sources each watches and how often it raised alarms in the
    last day and the last 30 days; and what is wrong with others."""
    gathered, registry = await _gather(centre)
    raised = await _raised(centre, caller)
    return JsonAnswer(
        {
            "rules": [_rule(listed, registry, raised) for listed in gathered.rules],
            "problems": [problem.as_dict() for problem in gathered.problems],
        }
    )


@router.get("/rules/schema", summary="What rules may say", response_class=Response, responses=documented(RuleKinds))
async def get_schema(_caller: Reader) -> JsonAnswer:
    """JSON Schema of each kind of rule, with titles, help and units in both languages: what forms are made from."""
    return JsonAnswer({"kinds": rule_schema()})


def _checked(text: str, registry: Registry) -> dict[str, Any]:
    parsed = parse_rules(text, "rule")
    return {
        "ok": not parsed.problems,
        "rules": [_summary(rule, registry) for rule in parsed.rules],
        "problems": [problem.as_dict() for problem in parsed.problems],
        "tables": rule_tables(text),
    }


@router.post(
    "/rules/check",
    summary="Check rules without keeping them",
    response_class=Response,
    responses=documented(Checked),
)
async def check_rules(body: RulesText, centre: CentreDep, _caller: Reader) -> JsonAnswer:
    """Every mistake with line and column, and how many sources each sound rule would watch."""
    async with centre.records.read() as connection:
        registry = await load_registry(connection)
    return JsonAnswer(await asyncio.to_thread(_checked, body.body, registry))


@router.post(
    "/rules/write", summary="Write a form's rule as text", response_class=Response, responses=documented(Written)
)
async def write_rule(body: FormBody, centre: CentreDep, _caller: Reader) -> JsonAnswer:
    """The text with its one rule made to say what the form says, comments and order staying; and its check."""
    async with centre.records.read() as connection:
        registry = await load_registry(connection)
    text = await asyncio.to_thread(written, body.body, body.rule)
    return JsonAnswer({"body": text, **await asyncio.to_thread(_checked, text, registry)})


@router.get("/rules/{name}", summary="One rule", response_class=Response, responses=documented(RuleShown))
async def get_rule(name: Name, centre: CentreDep, caller: Reader) -> JsonAnswer:
    """With its TOML and, if it is in the records, the version to name in a change."""
    gathered, registry = await _gather(centre)
    return JsonAnswer(_rule(gathered.find(name), registry, await _raised(centre, caller)))


@router.put(
    "/rules/{name}", summary="Keep a rule, as a new version", response_class=Response, responses=documented(Kept)
)
async def replace_rule(name: Name, body: RuleBody, centre: CentreDep, caller: Writer) -> JsonAnswer:
    """In force at once, if it is enabled. A version that is not the latest is refused (409). Whether a backtest of just
    this rule was run, or the reason given, is kept with a version put in force."""
    await check_writer(centre, caller)
    found = read_rules(body.body, "rule")
    if len(found) == 1 and found[0].name != name:
        raise InputError(
            f"the rule in the body is called {found[0].name!r}", where="body `name`", hint="name it as in the address"
        )
    async with centre.records.write() as connection:
        stored = await put_rule(connection, body.body, caller.name, expected=body.version, enabled=body.enabled)
        await _note(connection, "rule.put", stored, found[0], body.reason, caller)
    await _announce(centre, name, caller.name)
    return JsonAnswer(_stored(stored))


async def _note(
    connection: AsyncConnection, action: str, stored: StoredRule, rule: Rule, reason: str, caller: Caller
) -> None:
    told: dict[str, Any] = {"version": stored.version}
    if stored.enabled:
        told |= await armed_detail(connection, rule, reason)
    await append_async(connection, [Entry(caller.who, action, f"rule:{stored.name}", told, caller.address)])


@router.post("/rules/{name}/enable", summary="Put a rule in force", response_class=Response, responses=documented(Kept))
async def enable_rule(name: Name, body: VersionBody, centre: CentreDep, caller: Writer) -> JsonAnswer:
    """Only rules in the records; one in a file is enabled there. Whether a backtest of just this rule was run, or the
    reason given, is kept with it."""
    return await _switch(centre, name, body, caller, True)


@router.post(
    "/rules/{name}/disable", summary="Put a rule out of force", response_class=Response, responses=documented(Kept)
)
async def disable_rule(name: Name, body: VersionBody, centre: CentreDep, caller: Writer) -> JsonAnswer:
    """Its active alarms clear."""
    return await _switch(centre, name, body, caller, False)


async def _switch(centre: Centre, name: str, body: VersionBody, caller: Caller, enabled: bool) -> JsonAnswer:
    await check_writer(centre, caller)
    async with centre.records.write() as connection:
        stored = await switch_rule(centre.settings, connection, name, enabled, caller.name, expected=body.version)
        action = "rule.enable" if enabled else "rule.disable"
        await _note(connection, action, stored, read_rules(stored.body, "rule")[0], body.reason, caller)
    await _announce(centre, name, caller.name)
    return JsonAnswer(_stored(stored))


@router.get(
    "/rules/{name}/history",
    summary="Every version of a rule",
    response_class=Response,
    responses=documented(Versions),
)
async def get_history(name: Name, centre: CentreDep, _caller: Reader) -> JsonAnswer:
    """Newest first, with who changed it and when, and how it was put in force."""
    async with centre.records.read() as connection:
        versions = await rule_history(connection, name)
        notes = await arming_notes(connection, name)
    shown = [{**_stored(one), "body": one.body, "armed": notes.get(one.version)} for one in versions]
    return JsonAnswer({"versions": shown})


# ---- backtests


class _StoppedError(Exception):
    """Whoever asked for a backtest has gone."""


@dataclass
class _Run:
    """A backtest at work."""

    centre: Centre
    caller: Caller
    rules: list[Rule]
    since: int
    until: int
    limit: int
    time: int = 0
    rows: int = 0
    stopped: bool = False

    def _told(self, time: int, rows: int) -> None:
        if self.stopped:
            raise _StoppedError
        self.time, self.rows = time, rows

    async def work(self) -> dict[str, Any]:
        """Run it to the end, with what was really raised beside it.

        Raises:
            BusyError: another one runs in this process.
        """
        centre = self.centre
        turn: asyncio.Lock = centre.parts.setdefault("backtest", asyncio.Lock())
        if turn.locked():
            raise BusyError("another backtest is running", hint="wait for it to end")
        async with turn:
            async with centre.records.read() as connection:
                registry, resolver = await load_registry(connection), await area_resolver(connection)
            report: BacktestReport = await asyncio.to_thread(
                run_over_history,
                centre.settings,
                self.rules,
                registry,
                self.since,
                self.until,
                resolve_area=resolver,
                progress=self._told,
            )
        names = [rule.name for rule in self.rules]
        async with centre.records.read() as connection:
            really = await raised_between(connection, names, self.since, self.until, self.limit)
        async with centre.records.write() as connection:
            who, address = self.caller.who, self.caller.address
            await append_async(connection, backtest_entries(self.rules, self.since, self.until, report, who, address))
        fingerprints = {rule.name: rule.fingerprint for rule in self.rules}
        return {**report.as_dict(self.limit), "fingerprints": fingerprints, "really": really}


async def _asked(centre: Centre, caller: Caller, body: BacktestBody) -> _Run:
    (await sight_of(centre, caller)).check_whole("history.read", "a backtest runs over all of history")
    since = parse_time_us(body.since)
    until = now_us() if body.until is None else parse_time_us(body.until)
    if bool(body.rules) == (body.body is not None):
        raise InputError("give either rules or body")
    if body.body is None:
        gathered, _registry = await _gather(centre)
        rules = [gathered.find(name).rule for name in body.rules]
    else:
        rules = read_rules(body.body, "rule")
    return _Run(centre, caller, rules, since, until, body.limit)


@router.post(
    "/backtests", summary="What rules would have done", response_class=Response, responses=documented(Backtest)
)
async def post_backtest(body: BacktestBody, centre: CentreDep, caller: Operator) -> JsonAnswer:
    """Runs the rules over history, enabled or not, and lists the alarms they would have raised. One at a time."""
    return JsonAnswer(await (await _asked(centre, caller, body)).work())


@router.post(
    "/backtests/run",
    summary="The same, with progress",
    response_class=Response,
    responses={200: {"description": "Lines of JSON.", "content": {"application/x-ndjson": {}}}},
)
async def run_backtest(body: BacktestBody, centre: CentreDep, caller: Operator) -> StreamingResponse:
    """Lines of JSON, some a second: `{"progress": {"share", "time", "rows"}}`, at the end one `{"report": …}` or
    `{"error": …}`. Whoever closes the connection stops it."""
    run = await _asked(centre, caller, body)
    headers = {"Content-Encoding": "identity", "X-Accel-Buffering": "no"}  # compressed, lines would come too late
    return StreamingResponse(_lines(run), media_type="application/x-ndjson", headers=headers)


async def _lines(run: _Run) -> AsyncIterator[bytes]:
    task = asyncio.create_task(run.work())
    try:
        while not task.done():
            share = (run.time - run.since) / max(run.until - run.since, 1) if run.time else 0.0
            told = {"share": min(max(share, 0.0), 1.0), "time": run.time or run.since, "rows": run.rows}
            yield to_json({"progress": told}) + b"\n"
            await asyncio.wait([task], timeout=0.25)
        try:
            yield to_json({"report": task.result()}) + b"\n"
        except ThapError as error:
            yield to_json({"error": error.as_dict()}) + b"\n"
    finally:
        run.stopped = True
        task.add_done_callback(_heard)


def _heard(task: asyncio.Task[dict[str, Any]]) -> None:
    """Take note of how it ended, so that nothing is logged about an exception nobody asked for."""
    if not task.cancelled():
        task.exception()
