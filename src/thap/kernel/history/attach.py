"""Opening a lake: DuckDB with its extensions, the catalogue, the write lock, and what its errors mean."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import importlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import duckdb

from thap.kernel.errors import (
    BusyError,
    CorruptError,
    DiskFullError,
    InputError,
    SettingsError,
    ThapError,
    UnavailableError,
)
from thap.kernel.history.tables import PROGRESS
from thap.kernel.settings import Settings

__all__ = [
    "WriteLock",
    "catalogue_file",
    "clear_spill",
    "connect",
    "data_path",
    "files_in",
    "literal",
    "load",
    "sync_files",
    "tables",
    "translate",
]

_NO_ROOM = ("no space left", "disk full", "disk is full", "disk quota exceeded", "file too large")
_MANY = 64
"""From so many files on, one call for the whole file system is faster than one for each."""
_LOST = ("database is locked", "transaction conflict")


def literal(text: object) -> str:
    """A value as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def data_path(settings: Settings) -> Path:
    """The folder of the Parquet files."""
    return settings.lake_dir / "data"


def catalogue_file(settings: Settings) -> Path:
    """The catalogue, where it is SQLite."""
    return settings.lake_dir / "catalogue.sqlite"


def load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension from its signed wheel; nothing is downloaded."""
    try:
        package = importlib.import_module(f"duckdb_extension_{name}")
    except ModuleNotFoundError:
        wheel = f"duckdb-extension-{name.replace('_', '-')}"
        raise SettingsError(
            f"the DuckDB extension {name} is not installed", hint=f"pip install {wheel}=={duckdb.__version__}"
        ) from None
    found = next(Path(package.__path__[0]).rglob(f"{name}.duckdb_extension"))
    connection.execute(f"LOAD {literal(found)}")


def connect(settings: Settings, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A DuckDB instance with the lake attached as `lake`; in SQL all times are UTC.

    Raises:
        UnavailableError: read-only, and there is no lake yet.
        ThapError: the catalogue cannot be opened, or an extension is missing.
    """
    if read_only and settings.history.catalogue is None and not catalogue_file(settings).exists():
        raise _nothing_yet(settings)
    lake = settings.lake_dir
    spill = lake / "spill"
    with contextlib.suppress(OSError):  # a reader may have no right to write there: then it does not spill
        spill.mkdir(exist_ok=True)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{settings.history.memory_mib}MiB",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    try:
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SET python_enable_replacements=false")
        connection.execute(f"SET temp_directory={literal(spill / str(os.getpid()))}")
        load(connection, "ducklake")
        catalogue = settings.history.catalogue
        load(connection, "sqlite_scanner" if catalogue is None else "postgres_scanner")
        # The data directory may have been moved since.
        options = [f"DATA_PATH {literal(f'{data_path(settings)}/')}", "OVERRIDE_DATA_PATH true"]
        if read_only:
            options.append("READ_ONLY")
        else:
            connection.execute("SET preserve_insertion_order=false")
            connection.execute("SET enable_external_file_cache=false")  # what it wrote it seldom reads
            options.append(f"DATA_INLINING_ROW_LIMIT {settings.history.inline_rows}")
            if catalogue is None:
                _prepare_catalogue(catalogue_file(settings))
        target = f"ducklake:sqlite:{catalogue_file(settings)}" if catalogue is None else f"ducklake:{catalogue}"
        connection.execute(f"ATTACH {literal(target)} AS lake ({', '.join(options)})")
        if read_only and PROGRESS not in tables(connection):
            raise _nothing_yet(settings)
    except (duckdb.Error, sqlite3.Error) as error:
        connection.close()
        raise translate(error, where=str(lake)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The names of the tables the attached lake has."""
    return {
        row[0]
        for row in connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'").fetchall()
    }


def _nothing_yet(settings: Settings) -> UnavailableError:
    return UnavailableError(
        "there is no history yet", where=str(settings.lake_dir), hint="`thap up` begins it with the first record"
    )


def _prepare_catalogue(path: Path) -> None:
    """Make the catalogue file a write-ahead one, so that readers in other processes never wait."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def translate(error: Exception, *, where: str | None = None) -> ThapError:
    """What an error of DuckDB means to the centre."""
    text = str(error)
    low = text.lower()
    if any(sign in low for sign in _NO_ROOM):
        return DiskFullError("no room to write history", where=where, hint="free disk space")
    if any(sign in low for sign in _LOST):
        return BusyError("somebody else is writing to the lake", where=where, hint="try again in a moment")
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(
        error, duckdb.ConstraintException | duckdb.ConversionException | duckdb.DataError | duckdb.OutOfRangeException
    ):
        return InputError(first, where=where)
    return CorruptError(f"history: {first}", where=where)


class WriteLock:
    """The right to write to a lake: one process has it; the system takes it back when that process ends."""

    def __init__(self, lake: Path) -> None:
        lake.mkdir(parents=True, exist_ok=True)
        self._file = os.open(lake / "write.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            os.close(self._file)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise BusyError(
                f"process {holder or '?'} writes to this lake",
                where=str(lake),
                hint="stop the other centre, or choose another --data directory",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give it back."""
        os.close(self._file)


def clear_spill(lake: Path) -> None:
    """Remove what ended processes had spilled to disk."""
    spill = lake / "spill"
    for folder in spill.iterdir() if spill.is_dir() else ():
        if re.fullmatch(r"\d+", folder.name) and not Path(f"/proc/{folder.name}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def files_in(folders: Iterable[Path]) -> set[Path]:
    """The files in these folders; a folder that does not exist has none."""
    found: set[Path] = set()
    for folder in folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            found.update(Path(entry.path) for entry in entries if entry.name.endswith(".parquet"))
    return found


def sync_files(files: Iterable[Path], root: Path) -> None:
    """Bring files, their folders, and the folders above them up to `root`, to the disk itself."""
    folders: set[Path] = set()
    found = list(files)
    for file in found:
        folder = file.parent
        while folder not in folders and folder != root.parent:
            folders.add(folder)
            folder = folder.parent
    paths = [*found, *folders]
    if len(paths) > _MANY and _sync_all(root):
        return
    for path in paths:
        _sync(path)


def _sync_all(root: Path) -> bool:
    """Bring everything of the file system that holds `root` to the disk, where the system can."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except AttributeError:
        return False
    handle = os.open(root, os.O_RDONLY)
    try:
        return int(syncfs(handle)) == 0
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
