"""An alarm book on real SQLite, and on a real PostgreSQL where Debian's server is installed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from thap.detect.detector import Action, Change, Severity
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.tables import create_tables
from thap.respond.book import AlarmBook

MakeChange = Callable[..., Change]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL on a socket in a temporary folder; the tests are skipped where none is installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (str(programs[-1]) if programs else None)
    if found is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    if importlib.util.find_spec("asyncpg") is None:
        pytest.skip("asyncpg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="thap-pg-"))
    bin_dir, cluster = Path(found).resolve().parent, folder / "cluster"
    as_whom: dict[str, Any] = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("running as root, and there is no user postgres to run the server as")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder.chmod(0o755)

    def call(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **as_whom)

    call(str(bin_dir / "initdb"), "-D", str(cluster), "-U", "thap", "-A", "trust", "-E", "UTF8", "--no-sync")
    call(str(bin_dir / "pg_ctl"), "-D", str(cluster), "-w", "-o",
         f"-k {folder} -c listen_addresses='' -c fsync=off", "-l", str(folder / "log"), "start")
    yield f"postgresql+asyncpg://thap@/postgres?host={folder}"
    call(str(bin_dir / "pg_ctl"), "-D", str(cluster), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Records]:
    """Records on SQLite, then on PostgreSQL."""
    if request.param == "sqlite":
        store = Records.open(settings)
        await create_tables(store)
    else:
        store = Records(create_async_engine(request.getfixturevalue("postgres_url")))
        await create_tables(store)
        async with store.write() as connection:
            await connection.execute(sa.text("TRUNCATE alarm_transitions, alarms, offsets RESTART IDENTITY"))
    yield store
    await store.close()


@pytest.fixture
async def book(either: Records) -> AsyncIterator[AlarmBook]:
    opened = AlarmBook(either)
    yield opened
    await opened.close()


@pytest.fixture
def change() -> MakeChange:
    """A change with everything filled in that a test does not care about."""
    def make(action: Action | str = "raise", source: str = "my-thuan/level", condition: str = "water.high",
             severity: int = 2, time: int = 1_000_000, seq: int = 1, **more: Any) -> Change:
        return Change(source, condition, Action(action), Severity(severity), time, seq, **more)

    return make
