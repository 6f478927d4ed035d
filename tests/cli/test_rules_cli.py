"""`thap rules` and `thap backtest`, as typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from thap.cli.app import build
from thap.cli.backtest import moment
from thap.kernel.clock import DAY_US, HOUR_US, now_us, parse_time_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError, RuleError, ThapError, UnavailableError
from thap.kernel.history import TABLES, Lake
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tables import create_tables
from thap.observe.registry import register_datastreams

RULE = """
[[rule]]
name = "water.high"
kind = "threshold"
title = { vi = "Nước cao", en = "High water" }
select = { property = "water_level" }
above = 2.0
severity = "high"
"""


def thap(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(build(), [*words, "--data", str(settings.data)], catch_exceptions=True)


def good(settings: Settings, *words: str) -> dict[str, object]:
    result = thap(settings, *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    body: dict[str, object] = json.loads(result.stdout)
    return body


def bad(settings: Settings, *words: str) -> ThapError:
    error = thap(settings, *words).exception
    assert isinstance(error, ThapError), error
    return error


@pytest.fixture
def centre(settings: Settings, tmp_path: Path) -> Settings:
    """Records with one datastream."""

    async def make() -> None:
        records = Records.open(settings)
        await create_tables(records)
        async with records.write() as connection:
            await register_datastreams(connection, [{"key": "tram/level", "property": "water_level"}])
        await records.close()

    asyncio.run(make())
    (tmp_path / "rules.toml").write_text(RULE)
    return settings


def test_a_rule_is_added_shown_switched_and_its_versions_are_listed(centre: Settings, tmp_path: Path) -> None:
    good(centre, "rules", "add", str(tmp_path / "rules.toml"))
    listed = good(centre, "rules", "list")["rules"]
    assert isinstance(listed, list)
    assert [(rule["name"], rule["enabled"], rule["version"], rule["sources"]) for rule in listed] == [
        ("water.high", True, 1, 1)
    ]
    good(centre, "rules", "disable", "water.high")
    assert "out of force" in thap(centre, "rules", "show", "water.high").stdout
    good(centre, "rules", "enable", "water.high")
    versions = good(centre, "rules", "history", "water.high")["versions"]
    assert isinstance(versions, list)
    assert [(one["version"], one["enabled"]) for one in versions] == [(3, True), (2, False), (1, True)]
    for words in (["rules", "list"], ["rules", "history", "water.high"], ["rules", "examples"]):
        assert thap(centre, *words).exit_code == 0 or words[-1] == "examples"


def test_a_mistake_is_shown_at_its_place_and_nothing_is_kept(centre: Settings, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(RULE + RULE.replace("water.high", "other").replace("above", "abvoe"))
    result = thap(centre, "rules", "check", str(path))
    assert result.exit_code == 1
    assert f"{path}:15:1" in result.stdout.replace("\n", "")
    assert "did you mean `above`?" in result.stdout
    assert isinstance(bad(centre, "rules", "add", str(path)), RuleError)
    assert good(centre, "rules", "list")["rules"] == []


def test_a_file_can_be_checked_without_a_centre(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULE)
    body = good(settings, "rules", "check", str(tmp_path / "rules.toml"))
    assert body == {"ok": True, "rules": [{"name": "water.high", "kind": "threshold", "sources": None}], "problems": []}


def test_what_cannot_be_done_is_said(centre: Settings, tmp_path: Path) -> None:
    assert isinstance(bad(centre, "rules", "show", "nobody"), NotFoundError)
    assert isinstance(bad(centre, "rules", "enable", "nobody"), NotFoundError)
    assert isinstance(bad(centre, "rules", "check", str(tmp_path / "none.toml")), InputError)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    assert isinstance(bad(centre, "rules", "check", str(tmp_path / "bytes.toml")), InputError)
    (tmp_path / "empty.toml").write_text("")
    assert isinstance(bad(centre, "rules", "add", str(tmp_path / "empty.toml")), RuleError)
    assert isinstance(bad(centre, "rules", "reload"), UnavailableError)
    centre.rules_dir.mkdir()
    (centre.rules_dir / "a.toml").write_text(RULE)
    assert isinstance(bad(centre, "rules", "disable", "water.high"), ConflictError)


def test_an_example_can_be_printed_and_added(centre: Settings, tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["rules", "examples", "water"])
    (tmp_path / "water.toml").write_text(result.stdout)
    assert thap(centre, "rules", "add", str(tmp_path / "water.toml")).exit_code == 0
    assert CliRunner().invoke(build(), ["rules", "examples", "nothing"]).exit_code == 1


def test_a_backtest_needs_history_and_says_so(centre: Settings, tmp_path: Path) -> None:
    good(centre, "rules", "add", str(tmp_path / "rules.toml"))
    assert isinstance(bad(centre, "backtest", "water.high", "--since", "30d"), UnavailableError)
    Lake.open(centre).close()
    error = bad(centre, "backtest", "water.high", "--since", "30d")
    assert isinstance(error, NotFoundError)
    assert "history has nothing" in str(error)
    assert isinstance(bad(centre, "backtest", "nobody", "--since", "30d"), NotFoundError)
    assert isinstance(bad(centre, "backtest", "water.high", "--since", "yesterday"), InputError)


def test_a_backtest_lists_what_would_have_been_raised(centre: Settings, tmp_path: Path) -> None:
    start = now_us() // HOUR_US * HOUR_US - 3 * DAY_US
    hours = np.arange(72)
    time = pa.array((start + hours * HOUR_US).view("datetime64[us]")).cast(pa.timestamp("us", "UTC"))
    schema = TABLES["observation"].schema
    lake = Lake.open(centre)
    lake.append(
        {
            "observation": pa.table(
                {
                    "datastream": pa.array(np.ones(72, np.int32)),
                    "time": time,
                    "result": pa.array(np.where(hours % 24 == 5, 2.5, 1.0)),
                    "received": time,
                },
                schema=schema,
            )
        },
        1,
    )
    lake.close()
    path = tmp_path / "rules.toml"
    body = good(centre, "backtest", str(path), "--since", "30d")
    assert (body["count"], body["rows"]) == (3, 72)
    assert good(centre, "backtest", "water.high", "--file", str(path), "--since", "30d", "--until", "1d")["count"] == 2
    good(centre, "rules", "add", str(path))
    shown = thap(centre, "backtest", "water.high", "--since", "30d", "--limit", "1").stdout
    assert "tram/level" in shown
    assert "and 2 more" in shown
    assert "3 alarms, 72 rows" in " ".join(shown.split())
    assert isinstance(bad(centre, "backtest", "nobody", "--file", str(path), "--since", "30d"), NotFoundError)


def test_a_moment_is_a_time_or_how_long_ago() -> None:
    now = parse_time_us("2026-05-01T00:00:00Z")
    assert moment("1d", now) == now - DAY_US
    assert moment("2026-04-30T00:00:00Z", now) == now - DAY_US
    with pytest.raises(InputError, match="not a time"):
        moment("soon", now)
