"""Fixtures every test may use: a data directory, records (SQLite, and PostgreSQL where one is installed), a private
nats-server."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa
import structlog
from bench.postgres import missing, private_postgres
from sqlalchemy.ext.asyncio import create_async_engine

from thap.kernel.bus import Bus
from thap.kernel.nats import NatsServer
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables

# pytest loads readline, which tells child processes (those of pytest-xdist) a width of 80; tests set their own.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
# How fast inputs are made and tried is this machine's affair: the first text of a fresh checkout builds tables for
# seconds.
hypothesis.settings.register_profile("thap", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("thap")
# Commands print on standard output; what the centre logs must not get between.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)


class _Told:
    """Says which test failed when it fails: a run that is cut later still tells."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and report.failed:
            why = getattr(report.longrepr, "reprcrash", None) or report.longreprtext[-500:]
            reporter.ensure_newline()
            reporter.write_line(f"FAILED {report.nodeid} ({report.when}): {why}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Told(config))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "centre"


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    made = load_settings(data_dir, port=0, mqtt_port=0)
    made.journal.durability = "process"
    made.journal.max_gib = 1.0
    data_dir.mkdir(parents=True)
    return made


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all tables and nothing in them, migrated once; tests copy it, which is much faster."""
    data = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        store = Records.open(load_settings(data))
        await create_tables(store)
        async with store.read() as connection:
            await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        await store.close()

    with ThreadPoolExecutor(1) as thread:  # another event loop may run in this one
        thread.submit(asyncio.run, make()).result()
    return data / "records.sqlite"


@pytest.fixture
async def records(settings: Settings, empty_store: Path) -> AsyncIterator[Records]:
    shutil.copy(empty_store, settings.data / "records.sqlite")
    store = Records.open(settings)
    yield store
    await store.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL on a socket in a temporary folder; the tests are skipped where none is installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with private_postgres(durable=False) as host:
        yield f"postgresql+asyncpg://thap@/postgres?host={host}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Records]:
    """Empty records on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_store"), settings.data / "records.sqlite")
        store = Records.open(settings)
    else:
        store = Records(create_async_engine(request.getfixturevalue("postgres_url")))
        await create_tables(store)
        async with store.write() as connection:
            known = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
            tables = ", ".join(f'"{name}"' for name in known if name != "alembic_version")
            await connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    yield store
    await store.close()


@pytest.fixture
def nats_server(settings: Settings) -> Iterator[NatsServer]:
    server = NatsServer(settings)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(nats_server: NatsServer, settings: Settings) -> AsyncIterator[Bus]:
    connection = await Bus.connect(nats_server.url, "test")
    await connection.ensure_streams(settings.journal)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("THAP_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no shared data at {path} (set THAP_DATA)")
    return path
