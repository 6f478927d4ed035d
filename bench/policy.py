"""Does a filtered list say of every record what the single answer says of it?

1,000 random triples (person, action, record): people with up to four grants in units, domains and time, restrictions
of things, domains and units, clearances; records of every unit and domain, with empty and missing values. For each
triple the record is asked for in SQL, through the list filter, and decided alone. A difference is a record that the
list shows and the check refuses, or the other way round. Runs on SQLite, and on PostgreSQL where there is one.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.policy_cases import TABLE, make_action, make_policy, make_records, make_who, subject_of
from bench.postgres import missing, private_postgres
from thap.kernel.policy import Resource

_TRIPLES = 1000
_RECORDS = 500
_SEED = 20261122
_C = TABLE.c
_RESOURCE = Resource((_C.unit, _C.commune), _C.domain, _C.thing)


async def _compare(engine: AsyncEngine) -> dict[str, float]:
    dice = random.Random(_SEED)
    records = make_records(dice, _RECORDS)
    differences = shown = 0
    filtering = deciding = 0.0
    async with engine.begin() as connection:
        await connection.run_sync(TABLE.create)
        await connection.execute(sa.insert(TABLE), records)
        for _ in range(_TRIPLES):
            policy, who, row = make_policy(dice), make_who(dice), dice.choice(records)
            action = make_action(dice, who)
            began = time.perf_counter()
            where = policy.where(who, action, _RESOURCE)
            listed = await connection.scalar(sa.select(_C.id).where(where, _C.id == row["id"])) is not None
            filtering += time.perf_counter() - began
            began = time.perf_counter()
            allowed = policy.decide(who, action, subject_of(row)).allowed
            deciding += time.perf_counter() - began
            differences += listed != allowed
            shown += allowed
        await connection.run_sync(TABLE.drop)
    await engine.dispose()
    return {
        "differences": differences,
        "allowed": shown,
        "filter_ms": round(filtering / _TRIPLES * 1000, 3),
        "decide_us": round(deciding / _TRIPLES * 1_000_000, 1),
    }


def run(_options: list[str]) -> dict[str, Any]:
    """Compare on each database there is."""
    sqlite = asyncio.run(_compare(create_async_engine("sqlite+aiosqlite://")))
    databases, differences = ["SQLite"], sqlite["differences"]
    figures: dict[str, Any] = {}
    if not missing():
        with private_postgres(durable=False) as host:
            url = f"postgresql+asyncpg://thap@/postgres?host={host}"
            postgres = asyncio.run(_compare(create_async_engine(url)))
        databases.append("PostgreSQL")
        differences += postgres["differences"]
        figures["filter_ms_postgresql"] = postgres["filter_ms"]
    return {
        "bench": "policy",
        "figures": {
            "differences": differences,
            "allowed": sqlite["allowed"],
            "filter_ms_sqlite": sqlite["filter_ms"],
            "decide_us": sqlite["decide_us"],
            **figures,
        },
        "input": f"{_TRIPLES} random triples among {_RECORDS} records on {' and '.join(databases)}, seed {_SEED}",
        "peer": None,
    }
