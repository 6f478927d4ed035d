"""/api/v1/rules and /backtests: what is watched for, and what a rule would have done."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from thap.detect.backtest import run_over_history, watched_by
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
from thap.detect.rules import Rule
from thap.detect.ruletext import parse_rules, read_rules
from thap.kernel.clock import iso, now_us, parse_time_us
from thap.kernel.errors import BusyError, InputError
from thap.observe.registry import Registry, load_registry
from thap.web.answers import JsonAnswer
from thap.web.deps import Caller, CallerDep, Centre, CentreDep, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["rules"])
Admin = Annotated[Caller, Depends(require("admin"))]
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


class VersionBody(_Given):
    """Which version a change starts from."""

    version: int | None = Field(None, ge=0)


class RulesText(_Given):
    """Rules to check."""

    body: str = _TEXT


class BacktestBody(_Given):
    """What to try, over which time."""

    rules: list[str] = Field(default_factory=list, max_length=200, description="Names of rules of this centre.")
    body: str | None = Field(None, max_length=1_000_000, description="Or TOML with rules that are not kept yet.")
    since: str = Field(description="ISO 8601.")
    until: str | None = Field(None, description="ISO 8601; now, if not given.")
    limit: int = Field(1000, ge=0, le=100_000, description="How many alarms to list at most.")


def _rule(listed: Listed, registry: Registry) -> dict[str, Any]:
    return {
        **_summary(listed.rule, registry),
        "origin": listed.origin,
        "body": listed.body,
        "record": None if listed.stored is None else _stored(listed.stored),
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
    }


def _stored(stored: StoredRule) -> dict[str, Any]:
    return {
        "version": stored.version,
        "enabled": stored.enabled,
        "changed": iso(stored.changed),
        "changed_by": stored.changed_by,
    }


async def _gather(centre: Centre) -> tuple[Gathered, Registry]:
    async with centre.records.read() as connection:
        return await gather_rules(centre.settings, connection), await load_registry(connection)


async def _announce(centre: Centre, name: str, by: str) -> None:
    await centre.bus.announce("centre.live.rules", {"rule": name, "by": by})


@router.get("/rules", summary="All rules, in force or not")
async def get_rules(centre: CentreDep, _caller: CallerDep) -> JsonAnswer:
    """Rules of the records and of files, with how many sources each watches; and what is wrong with others."""
    gathered, registry = await _gather(centre)
    return JsonAnswer(
        {
            "rules": [_rule(listed, registry) for listed in gathered.rules],
            "problems": [problem.as_dict() for problem in gathered.problems],
        }
    )


@router.post("/rules/check", summary="Check rules without keeping them")
async def check_rules(body: RulesText, centre: CentreDep, _caller: CallerDep) -> JsonAnswer:
    """Every mistake with line and column, and how many sources each sound rule would watch."""
    async with centre.records.read() as connection:
        registry = await load_registry(connection)
    parsed = parse_rules(body.body, "rule")
    return JsonAnswer(
        {
            "ok": not parsed.problems,
            "rules": [_summary(rule, registry) for rule in parsed.rules],
            "problems": [problem.as_dict() for problem in parsed.problems],
        }
    )


@router.get("/rules/{name}", summary="One rule")
async def get_rule(name: Name, centre: CentreDep, _caller: CallerDep) -> JsonAnswer:
    """With its TOML and, if it is in the records, the version to name in a change."""
    gathered, registry = await _gather(centre)
    return JsonAnswer(_rule(gathered.find(name), registry))


@router.put("/rules/{name}", summary="Keep a rule, as a new version")
async def replace_rule(name: Name, body: RuleBody, centre: CentreDep, caller: Admin) -> JsonAnswer:
    """In force at once, if it is enabled. A version that is not the latest is refused (409)."""
    found = read_rules(body.body, "rule")
    if len(found) == 1 and found[0].name != name:
        raise InputError(
            f"the rule in the body is called {found[0].name!r}", where="body `name`", hint="name it as in the address"
        )
    async with centre.records.write() as connection:
        stored = await put_rule(connection, body.body, caller.name, expected=body.version)
    await _announce(centre, name, caller.name)
    return JsonAnswer(_stored(stored))


@router.post("/rules/{name}/enable", summary="Put a rule in force")
async def enable_rule(name: Name, body: VersionBody, centre: CentreDep, caller: Admin) -> JsonAnswer:
    """Only rules in the records; one in a file is enabled there."""
    return await _switch(centre, name, body, caller, True)


@router.post("/rules/{name}/disable", summary="Put a rule out of force")
async def disable_rule(name: Name, body: VersionBody, centre: CentreDep, caller: Admin) -> JsonAnswer:
    """Its active alarms clear."""
    return await _switch(centre, name, body, caller, False)


async def _switch(centre: Centre, name: str, body: VersionBody, caller: Caller, enabled: bool) -> JsonAnswer:
    async with centre.records.write() as connection:
        stored = await switch_rule(centre.settings, connection, name, enabled, caller.name, expected=body.version)
    await _announce(centre, name, caller.name)
    return JsonAnswer(_stored(stored))


@router.get("/rules/{name}/history", summary="Every version of a rule")
async def get_history(name: Name, centre: CentreDep, _caller: CallerDep) -> JsonAnswer:
    """Newest first, with who changed it and when."""
    async with centre.records.read() as connection:
        versions = await rule_history(connection, name)
    return JsonAnswer({"versions": [{**_stored(version), "body": version.body} for version in versions]})


@router.post("/backtests", summary="What rules would have done")
async def post_backtest(body: BacktestBody, centre: CentreDep, _caller: Operator) -> JsonAnswer:
    """Runs the rules over history, enabled or not, and lists the alarms they would have raised. One at a time."""
    since = parse_time_us(body.since)
    until = now_us() if body.until is None else parse_time_us(body.until)
    if bool(body.rules) == (body.body is not None):
        raise InputError("give either rules or body")
    gathered, registry = await _gather(centre)
    rules = [gathered.find(name).rule for name in body.rules] if body.body is None else read_rules(body.body, "rule")
    async with centre.records.read() as connection:
        resolver = await area_resolver(connection)
    turn: asyncio.Lock = centre.parts.setdefault("backtest", asyncio.Lock())
    if turn.locked():
        raise BusyError("another backtest is running", hint="wait for it to end")
    async with turn:
        report = await asyncio.to_thread(
            run_over_history, centre.settings, rules, registry, since, until, resolve_area=resolver
        )
    return JsonAnswer(report.as_dict(body.limit))
