"""Pages of two million incidents as officials of communes see them: the policy's condition, keyset, total.

A store is filled with incidents over ten years in the 102 communes (the largest has about three times as many as
the smallest); half are the commune's own, the rest a department's or the province's in that commune. Then officials
of communes drawn at random each ask for a page of 100 and its total, half of them the newest page, half one
somewhere in the past. Counted is what the API does for it: the policy's condition, both statements, rows made JSON.
Apart from that, for the same scopes: the newest page of what is not done yet, and the counts by state.

Peer: the same question as one statement over both columns, (unit = ? OR commune = ?) ORDER BY opened, in the
same store, for the newest pages of the same communes.

Options: --rows 2000000, --pages 400, --keep DIR (fill once, ask often), --store sqlite|postgresql.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.postgres import missing, private_postgres
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.policy import Grant, Policy, Who, seed
from thap.kernel.records import Records
from thap.kernel.settings import load_settings
from thap.kernel.tables import create_tables
from thap.kernel.units import communes
from thap.respond.incidents.listing import (
    IncidentFilter,
    count_incidents,
    counts_of,
    cursor_at,
    list_rows,
    scope_of,
)
from thap.respond.incidents.records import incident_of, incidents

__all__ = ["run"]

_DOMAINS = ("sand", "traffic", "rice", "water", "fire", "press")
_STATES = (
    ("open", 0.002),
    ("acknowledged", 0.002),
    ("in_progress", 0.005),
    ("waiting", 0.002),
    ("resolved", 0.005),
    ("closed", 0.93),
    ("rejected", 0.03),
    ("merged", 0.024),
)
_PAGE = 100
_CHUNK = 20_000
_EVERYTHING = IncidentFilter()
_LIVE = IncidentFilter(states=frozenset(("open", "acknowledged", "in_progress", "waiting")))


def _rows(count: int, seed_: int = 20) -> Iterator[dict[str, Any]]:
    rng = random.Random(seed_)
    codes = [commune.code for commune in communes()]
    weights = [1 / (rank + 1) ** 0.5 for rank in range(len(codes))]
    rng.shuffle(weights)
    span = 3650 * DAY_US
    begin, step = now_us() - span, span / count
    names, shares = zip(*_STATES, strict=True)
    for number in range(count):
        commune = rng.choices(codes, weights)[0] if number % 4 == 0 else codes[rng.randrange(len(codes))]
        draw = rng.random()
        unit = commune if draw < 0.5 else f"so-{rng.randrange(12)}" if draw < 0.9 else ""
        opened = int(begin + number * step + rng.random() * step)
        state = rng.choices(names, shares)[0]
        done = opened + DAY_US if state in ("closed", "rejected", "resolved") else None
        yield {
            "title": f"Sự cố {number} tại {commune}",
            "description": "Nhiều nguồn báo cùng một việc; tổ trực đã xem ảnh và vị trí. " * 2,
            "domain": _DOMAINS[rng.randrange(len(_DOMAINS))],
            "severity": rng.randrange(1, 5),
            "state": state,
            "unit": unit,
            "commune": commune,
            "lon": 105.3 + rng.random(),
            "lat": 10.1 + rng.random() * 0.7,
            "opened": opened,
            "changed": opened + DAY_US,
            "origin": "alarm",
            "resolved": done,
            "closed": done if state == "closed" else None,
        }


def _blank() -> dict[str, Any]:
    """A value for every column that the rows above do not give."""
    blank: dict[str, Any] = {}
    for column in incidents.columns:
        if column.name != "id":
            text = isinstance(column.type, sa.String | sa.Text)
            blank[column.name] = None if column.nullable else "" if text else 1
    return blank


async def _fill(records: Records, count: int) -> None:
    await create_tables(records)
    async with records.write() as connection:
        await seed(connection)
    blank = _blank()
    part: list[dict[str, Any]] = []
    if records.is_sqlite:
        names = list(blank)
        raw = sqlite3.connect(str(records.engine.url.database))
        raw.execute("PRAGMA synchronous=OFF")
        statement = f"INSERT INTO incidents ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        with raw:
            raw.executemany(statement, ([{**blank, **row}[name] for name in names] for row in _rows(count)))
        raw.close()
    else:
        async with records.write() as connection:
            for row in _rows(count):
                part.append({**blank, **row})
                if len(part) == _CHUNK:
                    await connection.execute(sa.insert(incidents), part)
                    part = []
            if part:
                await connection.execute(sa.insert(incidents), part)
            await connection.execute(sa.text("ANALYZE incidents"))


def _official(code: str) -> Who:
    return Who(
        name=f"xa-{code}",
        kind="person",
        person_id=1,
        unit=code,
        grants=(Grant(role="commune_official", unit=code),),
        clearances=frozenset(),
        language="vi",
    )


async def _ask(
    connection: AsyncConnection, policy: Policy, who: Who, after: str | None, chosen: IncidentFilter = _EVERYTHING
) -> tuple[int, int, int]:
    """One page and its total, as the API makes them; (rows, bytes, total)."""
    scope = scope_of(policy, who)
    rows, following = await list_rows(connection, scope, chosen, limit=_PAGE, after=after)
    total = await count_incidents(connection, scope, chosen)
    body = msgspec.json.encode({"items": [incident_of(row) for row in rows], "total": total, "next": following})
    return len(rows), len(body), total


async def _naive(connection: AsyncConnection, code: str) -> None:
    mine = sa.or_(incidents.c.unit == code, incidents.c.commune == code)
    order = (incidents.c.opened.desc(), incidents.c.id.desc())
    (await connection.execute(sa.select(incidents).where(mine).order_by(*order).limit(_PAGE))).all()
    await connection.scalar(sa.select(sa.func.count()).select_from(incidents).where(mine))


async def _measure(records: Records, pages: int) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = random.Random(4)
    codes = [commune.code for commune in communes()]
    newest: list[float] = []
    deep: list[float] = []
    live: list[float] = []
    counted: list[float] = []
    naive: list[float] = []
    totals: list[int] = []
    async with records.read() as connection:
        policy = await Policy.load(connection)
        first, last, count = (
            await connection.execute(
                sa.select(sa.func.min(incidents.c.opened), sa.func.max(incidents.c.opened), sa.func.count())
            )
        ).one()
    for number in range(pages):
        code = rng.choice(codes)
        after = None if number % 2 == 0 else cursor_at("-opened", rng.randrange(first, last), 2**62)
        async with records.read() as connection:
            began = time.perf_counter()
            rows, _, total = await _ask(connection, policy, _official(code), after)
            took = (time.perf_counter() - began) * 1000
        if rows == 0 or total < rows:
            raise RuntimeError(f"the page of {code} has {rows} rows of {total}")
        (newest if after is None else deep).append(took)
        totals.append(total)
        if number % 4 == 0:
            async with records.read() as connection:
                began = time.perf_counter()
                await _ask(connection, policy, _official(code), None, _LIVE)
                live.append((time.perf_counter() - began) * 1000)
                began = time.perf_counter()
                await counts_of(connection, scope_of(policy, _official(code)), _EVERYTHING, "state")
                counted.append((time.perf_counter() - began) * 1000)
        if number % 20 == 0:
            async with records.read() as connection:
                began = time.perf_counter()
                await _naive(connection, code)
                naive.append((time.perf_counter() - began) * 1000)
    every = sorted(newest + deep)
    return (
        {
            "p95_ms": _at(every, 95),
            "p50_ms": _at(every, 50),
            "max_ms": round(every[-1], 2),
            "newest_p95_ms": _at(sorted(newest), 95),
            "deep_p95_ms": _at(sorted(deep), 95),
            "live_p95_ms": _at(sorted(live), 95),
            "counts_p95_ms": _at(sorted(counted), 95),
            "pages": pages,
            "incidents": count,
            "largest_scope": max(totals),
            "median_scope": sorted(totals)[len(totals) // 2],
        },
        {"name": "one statement with OR", "p95_ms": _at(sorted(naive), 95), "p50_ms": _at(sorted(naive), 50)},
    )


def _at(values: list[float], percent: int) -> float:
    return round(values[min(len(values) - 1, len(values) * percent // 100)], 2)


async def _main(options: argparse.Namespace, folder: Path, url: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = load_settings(folder / "centre")
    records = Records(create_async_engine(url)) if url else Records.open(settings)
    try:
        if url or not (folder / "filled").exists():
            await _fill(records, options.rows)
            (folder / "filled").touch()
        return await _measure(records, options.pages)
    finally:
        await records.close()


def run(argv: list[str]) -> dict[str, Any]:
    """Fill a store and ask."""
    parser = argparse.ArgumentParser(prog="python -m bench incident_page")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thap-bench-page-")))
        folder.mkdir(parents=True, exist_ok=True)
        url = None
        if options.store == "postgresql":
            reason = missing()
            if reason:
                raise SystemExit(reason)
            host = stack.enter_context(private_postgres(durable=False))
            url = f"postgresql+asyncpg://thap@/postgres?host={host}"
        figures, peer = asyncio.run(_main(options, folder, url))
    return {
        "bench": "incident_page",
        "figures": figures,
        "input": f"{options.rows} made incidents of ten years in 102 communes, {options.store}",
        "peer": peer,
    }
