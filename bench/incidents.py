"""Alarms become correlated incidents, with the tasks, timers and notices that hang on them.

The alarm book has raised alarms of many sources in all communes; the opener follows them with the followers a centre
has (`default_followers`): looks up what each belongs to, joins it or opens an incident, makes tasks and timers, begins
escalation, all in the transaction that moves its offset. Timed is the opener alone, from the first alarm to the last.

Half of the alarms open an incident, half join one, unless `--join` says otherwise. `--open` incidents are open before:
in the same domains and communes and with a latest alarm within the window, but of other causes.

Peer: Alerta, as measured by its maintainer on another machine (61.5 alerts/s, without tasks and timers).

Options: --alarms 3000, --open 100000, --join 0.5, --database sqlite|postgresql|both, --durability power|process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bench.postgres import missing, private_postgres
from thap.detect.detector import Action, Change, Severity
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.records import Records, metadata
from thap.kernel.settings import Settings, load_settings
from thap.kernel.store import open_store
from thap.kernel.tables import create_tables
from thap.kernel.units import communes
from thap.respond.book import AlarmBook
from thap.respond.incidents.followers import default_followers
from thap.respond.incidents.opening import Opener
from thap.respond.incidents.records import cell_of, incident_events, incidents

__all__ = ["run"]

_DOMAINS = ("water", "sand", "traffic", "rice")
_CONDITIONS = ("high", "rising", "silent", "crossed")
_CHUNK = 1000


def changes(count: int, join: float, rng: random.Random) -> list[Change]:
    """Raised alarms: a source of its own each, places and conditions drawn so that about `join` of them share."""
    groups = max(1, round(count * (1 - join)))
    units, moment = communes(), now_us() - HOUR_US // 2
    made = []
    for number in range(count):
        group = number if number < groups else rng.randrange(groups)
        unit = units[group % len(units)]
        domain = _DOMAINS[group % len(_DOMAINS)]
        # The cause is the condition: a group is one condition in one commune.
        condition = f"{domain}.{_CONDITIONS[group % len(_CONDITIONS)]}-{group // len(units)}"
        made.append(
            Change(
                f"tram-{number:06d}/muc",
                condition,
                Action.RAISE,
                Severity.HIGH if number % 5 else Severity.CRITICAL,
                moment + number,
                1,
                moment + number,
                1.8,
                domain,
                lon=unit.lon,
                lat=unit.lat,
                commune=unit.code,
                evidence={"limit": 1.7},
            )
        )
    rng.shuffle(made)
    return made


def _open_before(count: int, rng: random.Random) -> Iterator[list[dict[str, Any]]]:
    units, now = communes(), now_us()
    for start in range(0, count, _CHUNK):
        rows = []
        for number in range(start, min(start + _CHUNK, count)):
            unit, domain = rng.choice(units), rng.choice(_DOMAINS)
            rows.append(
                {
                    **{"title": f"Sự cố {number}", "description": "", "domain": domain, "severity": 3, "state": "open"},
                    **{"unit": unit.code, "commune": unit.code, "lon": unit.lon, "lat": unit.lat, "owner": ""},
                    **{"opened": now - HOUR_US, "opened_by": "", "origin": "alarm", "acknowledged": None},
                    **{"cause": f"{domain}.{rng.choice(_CONDITIONS)}-before-{number % 50}", "acknowledged_by": ""},
                    **{"resolved": None, "closed": None, "reopened": 0, "merged_into": None, "version": 1},
                    **{"changed": now - HOUR_US, "due": None, "began": now - HOUR_US, "latest": now - HOUR_US // 2},
                    **{"place": f"c:{unit.code}", "cell": cell_of(unit.lon, unit.lat), "events": 1},
                }
            )
        yield rows


def _settings(data: Path, durability: str) -> Settings:
    settings = load_settings(data)
    settings.journal.durability = "power" if durability == "power" else "process"
    return settings


async def _measure(records: Records, alarms: int, before: int, join: float) -> dict[str, Any]:
    rng = random.Random(11)
    await create_tables(records)
    for rows in _open_before(before, rng):
        async with records.write() as connection:
            await connection.execute(sa.insert(incidents), rows)
    if before and not records.is_sqlite:
        async with records.write() as connection:
            await connection.execute(sa.text("ANALYZE incidents"))
    book, store = AlarmBook(records), open_store(records)
    raised = changes(alarms, join, rng)
    for start in range(0, len(raised), _CHUNK):
        await book.apply(raised[start : start + _CHUNK])
    opener = Opener(records, store)
    waits = []
    began = time.perf_counter()
    while await opener.behind():
        step = time.perf_counter()
        await opener.step()
        waits.append(time.perf_counter() - step)
    lasted = time.perf_counter() - began
    figures: dict[str, Any] = {"per_second": round(alarms / lasted)}
    async with records.read() as connection:
        opened = int(await connection.scalar(sa.select(sa.func.count()).select_from(incidents)) or 0) - before
        joined = sa.select(sa.func.count()).select_from(incident_events).where(incident_events.c.action == "join")
        figures["opened"] = opened
        figures["joined"] = int(await connection.scalar(joined) or 0)
        for name in ("tasks", "timers", "escalations"):
            if name in metadata.tables:
                counted = sa.select(sa.func.count()).select_from(metadata.tables[name])
                figures[name] = int(await connection.scalar(counted) or 0)
    figures["batch_p50_ms"] = round(sorted(waits)[len(waits) // 2] * 1000, 1)
    figures["batch_max_ms"] = round(max(waits) * 1000, 1)
    await book.close()
    await store.close()
    await records.close()
    return figures


@contextlib.contextmanager
def _records(database: str, durability: str) -> Iterator[Records]:
    with contextlib.ExitStack() as stack:
        if database == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="thap-bench-incidents-"))
            yield Records.open(_settings(Path(folder) / "centre", durability))
        else:
            host = stack.enter_context(private_postgres(durable=durability == "power"))
            yield Records(create_async_engine(f"postgresql+asyncpg://thap@/postgres?host={host}"))


def run(argv: list[str]) -> dict[str, Any]:
    """Measure on each database: with nothing open before, then with much."""
    parser = argparse.ArgumentParser(prog="python -m bench incidents")
    parser.add_argument("--alarms", type=int, default=3000)
    parser.add_argument("--open", type=int, default=100_000)
    parser.add_argument("--join", type=float, default=0.5)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    options = parser.parse_args(argv)
    figures: dict[str, Any] = {}
    chosen = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    for database in chosen:
        if database == "postgresql" and missing():
            continue
        for before in dict.fromkeys((0, options.open)):
            with _records(database, options.durability) as records:
                one = asyncio.run(_measure(records, options.alarms, before, options.join))
            crowded = "crowded_" if before else ""
            figures |= {f"{crowded}{name}_{database}": value for name, value in one.items()}
    names = ", ".join(f"{follow.__module__}" for follow in default_followers())
    return {
        "bench": "incidents",
        "figures": figures,
        "input": f"{options.alarms} raised alarms in {len(_DOMAINS)} domains and {len(communes())} communes, "
        f"{options.join:.0%} of which join another's incident; followers {names}; survives {options.durability} loss; "
        f"crowded: {options.open} incidents open before",
        "peer": {"name": "Alerta, its maintainer's measurement on another machine", "alerts_per_second": 61.5},
    }
