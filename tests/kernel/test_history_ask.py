"""SQL over history: useful to ask, impossible to harm."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kernel.lake_rows import MIDNIGHT, day

from thap.kernel.clock import DAY_US
from thap.kernel.errors import DeniedError, InputError, UnavailableError
from thap.kernel.history import Asker, Lake
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables
from thap.observe.registry import register_datastreams, register_movers


async def _register(settings: Settings, numbers: range) -> None:
    records = Records.open(settings)
    await create_tables(records)
    async with records.write() as connection:
        await register_datastreams(connection, [{"key": f"tram-{n}/muc-nuoc", "unit": "m"} for n in numbers])
        await register_movers(connection, [{"key": "mmsi-574000001"}])
    await records.close()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(tmp_path_factory.mktemp("ask"))


@pytest.fixture(scope="module")
def asker(settings: Settings) -> Iterator[Asker]:
    asyncio.run(_register(settings, range(1, 6)))
    lake = Lake.open(settings)
    lake.append({"observation": day(5, 1000)}, 1)
    lake.close()
    made = Asker(settings)
    yield made
    made.close()


def test_names_are_at_hand(asker: Asker) -> None:
    answer = asker.ask(
        "SELECT key, unit, count(*) AS n, min(time) FROM observations JOIN datastreams "
        "USING (datastream) GROUP BY ALL ORDER BY key"
    )
    assert answer.columns == ["key", "unit", "n", 'min("time")']
    assert answer.dicts()[0] == {"key": "tram-1/muc-nuoc", "unit": "m", "n": 200, 'min("time")': "2026-03-10T00:00:00Z"}
    assert len(answer.rows) == 5


def test_every_table_of_the_centre_can_be_read(asker: Asker) -> None:
    names = [row[0] for row in asker.ask("SHOW TABLES").rows]
    assert names == [
        "alarm_transitions",
        "alarms",
        "articles",
        "datastreams",
        "movers",
        "observations",
        "positions",
        "reports",
        "sightings",
        "things",
    ]
    for name in names:
        asker.ask(f"FROM {name}")
        assert asker.ask(f"DESCRIBE {name}").rows
    raised = {row[0]: row[1] for row in asker.ask("DESCRIBE alarms").rows}
    assert raised["raised"] == "TIMESTAMP WITH TIME ZONE"


@pytest.mark.parametrize(
    "sql",
    [
        "WITH t AS (SELECT 1 AS a) SELECT a + 1 FROM t",
        "VALUES (1), (2)",
        "FROM range(3)",
        "SUMMARIZE observations",
        "EXPLAIN SELECT 1",
        "explain analyze SELECT count(*) FROM observations",
        "-- a remark\n/* another */ SELECT 1;",
        "SELECT u FROM (SELECT unnest([1, 2]) AS u)",
        "SELECT 'x' AS \"a;b\"",
        "SHOW ALL TABLES",
    ],
)
def test_reading_statements_pass(asker: Asker, sql: str) -> None:
    assert asker.ask(sql).rows


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO observations SELECT * FROM observations",
        "DELETE FROM observations",
        "DROP VIEW observations",
        "UPDATE observations SET result = 0",
        "CREATE TABLE x AS SELECT 1",
        "ATTACH 'x.db'",
        "DETACH lake",
        "SET threads = 1",
        "COPY (SELECT 1) TO '/tmp/thap-test-out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/thap-test-out.csv'",
        "SELECT 1; DROP VIEW observations",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE SELECT 1; DROP VIEW observations",
        "INSTALL spatial",
        "LOAD spatial",
        "PRAGMA database_list",
        "CALL ducklake_merge_adjacent_files('lake')",
        "CALL ducklake_expire_snapshots('lake')",
        "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
        "FROM read_text('/etc/hostname')",
        "FROM read_csv('/etc/passwd')",
        "FROM glob('/*')",
        "FROM read_blob('x')",
        "FROM sqlite_scan('records.sqlite', 'api_tokens')",
        "FROM sqlite_attach('x')",
        "FROM records.api_tokens",
        "FROM records.main.datastreams",
        "DESCRIBE records.api_tokens",
        "FROM lake.observation",
        "FROM query('SELECT 1')",
        "FROM query_table('records.api_tokens')",
        "FROM __ducklake_metadata_lake.ducklake_snapshot",
        "SELECT (SELECT max(content) FROM read_text('/etc/hostname'))",
        "FROM duckdb_settings()",
        "WITH t AS MATERIALIZED (FROM glob('/*')) FROM t",
        "SELECT * FROM range(1) WHERE 1 IN (FROM sqlite_scan('a', 'b'))",
        "SUMMARIZE records.api_tokens",
        "EXECUTE x",
        "CHECKPOINT",
        "BEGIN",
        "VACUUM",
        "EXPORT DATABASE 'x'",
    ],
)
def test_everything_else_is_denied(asker: Asker, sql: str) -> None:
    with pytest.raises(DeniedError):
        asker.ask(sql)
    assert asker.ask("SELECT count(*) FROM observations").rows == [(1000,)]


def test_even_unguarded_the_connection_reaches_nothing_outside(asker: Asker, settings: Settings) -> None:
    other = settings.data / "other.csv"
    other.write_text("a\n1\n")
    sql = asker._connection
    for attempt in (
        f"FROM read_csv('{other}')",
        f"ATTACH '{settings.data}/x.db'",
        "DELETE FROM lake.observation",
        "SET enable_external_access = true",
        f"COPY (SELECT 1) TO '{settings.data}/y.csv'",
    ):
        with pytest.raises(Exception, match=r"disabled by configuration|read-only|configuration has been locked"):
            sql.execute(attempt)


@pytest.mark.parametrize(
    ("sql", "where", "message"),
    [
        ("SELEC 1", "line 1, column 1", "syntax error"),
        ("SELECT 1 FROM", "line 1, column 14", "end of input"),
        ("-- đồng\nSELECT 1 FORM x y z", "line 2, column 15", "syntax error"),
        ("SELECT\n  nước FROM observations", "line 2, column 3", "nước"),
        ("FROM nowhere", "line 1, column 6", "nowhere"),
        ("SELECT nofunc(1)", "line 1, column 8", "nofunc"),
    ],
)
def test_a_mistake_is_shown_where_it_is(asker: Asker, sql: str, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        asker.ask(sql)
    assert caught.value.where == where


@pytest.mark.parametrize("sql", ["", "   ", "-- only a remark", ";"])
def test_no_statement_is_said_to_be_none(asker: Asker, sql: str) -> None:
    with pytest.raises(InputError, match="there is no statement"):
        asker.ask(sql)


def test_rows_and_time_are_limited(asker: Asker) -> None:
    answer = asker.ask("FROM observations", limit=10)
    assert (len(answer.rows), answer.truncated) == (10, True)
    assert asker.ask("FROM range(10)", limit=10).truncated is False
    with pytest.raises(InputError, match=r"took longer than 0\.2 s"):
        asker.ask("SELECT count(*) FROM range(100000000) a, range(100000) b", timeout_s=0.2)
    assert asker.ask("SELECT 1").rows == [(1,)]


def test_values_are_such_as_json_can_hold(asker: Asker) -> None:
    answer = asker.ask(
        "SELECT 'nan'::DOUBLE a, 'inf'::FLOAT b, 1.5::DECIMAL(4, 2) c, [1, NULL] d, "
        "{'x': DATE '2026-01-02'} e, '\\xAB'::BLOB f, make_timestamptz(0) g, 1 AS c, NULL h, true i"
    )
    assert answer.columns == ["a", "b", "c", "d", "e", "f", "g", "c_2", "h", "i"]
    assert answer.rows == [
        (None, None, 1.5, [1, None], {"x": "2026-01-02"}, "ab", "1970-01-01T00:00:00Z", 1, None, True)
    ]


def test_secrets_of_the_records_are_out_of_reach(asker: Asker, settings: Settings) -> None:
    with sqlite3.connect(settings.data / "records.sqlite") as connection:
        hidden = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    shown = {row[0] for row in asker.ask("SHOW TABLES").rows}
    for name in hidden - shown:
        with pytest.raises((DeniedError, InputError)):
            asker.ask(f'SELECT * FROM "{name}"')


def test_records_written_meanwhile_are_seen(asker: Asker, settings: Settings) -> None:
    lake = Lake.open(settings)
    lake.append({"observation": day(6, 600, MIDNIGHT + DAY_US)}, 2)
    lake.close()
    asyncio.run(_register(settings, range(6, 7)))
    assert asker.ask("SELECT count(*) FROM observations").rows == [(1600,)]
    assert asker.ask("SELECT count(*) FROM datastreams").rows == [(6,)]


def test_where_nothing_was_written_yet_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no history yet"):
        Asker(load_settings(tmp_path))


@pytest.mark.parametrize(
    "hidden", ["SELECT * FROM records.tokens", "COPY (SELECT 1) TO 'evil.parquet'", "DROP VIEW observations"]
)
def test_a_comment_that_is_read_in_two_ways_hides_nothing(asker: Asker, hidden: str) -> None:
    assert asker.ask(f"/* /* */ SELECT 1 AS one -- */ {hidden}").dicts() == [{"one": 1}]
    assert asker.ask("DESCRIBE observations").rows
