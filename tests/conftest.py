"""Fixtures every test may use: a data directory, records, and a private nats-server."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from thap.kernel.bus import Bus
from thap.kernel.nats import NatsServer
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.tables import create_tables

# Commands print on standard output; what the centre logs must not get between.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)


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


@pytest.fixture
async def records(settings: Settings) -> AsyncIterator[Records]:
    store = Records.open(settings)
    await create_tables(store)
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
