"""Asking a lake in SQL: strictly reading, within limits, with names instead of numbers at hand.

A statement is parsed by DuckDB itself and its tree walked before it runs: it may read the views below and
nothing else, no file, no other database, no table function but harmless ones. Then it runs on a connection
that is attached read-only and can reach nothing outside the lake's own files, so that either alone would do.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from thap.kernel.clock import iso, to_us
from thap.kernel.errors import DeniedError, InputError, ThapError
from thap.kernel.history import attach
from thap.kernel.history.tables import TABLES
from thap.kernel.settings import Settings

__all__ = ["Answer", "Asker"]

_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat"})
_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?\s+", re.IGNORECASE)
_COMMENT = re.compile(r"\s+|--[^\n]*\n?|/\*.*?\*/", re.DOTALL)
_TIMES = frozenset(
    {
        "created",
        "raised",
        "announced",
        "cleared",
        "acknowledged",
        "shelved_until",
        "changed",
        "time",
        "recorded_at",
        "received",
    }
)
"""Columns of the records that are moments, µs; shown as such."""
_RECORDS = {
    "datastreams": "SELECT d.id AS datastream, d.key, t.name AS thing, d.name, d.property, d.unit, t.kind, t.domain, "
    "t.commune, t.lon, t.lat FROM records.datastreams d JOIN records.things t ON t.id = d.thing_id",
    "movers": "SELECT id AS mover, key, name, kind, domain, properties FROM records.movers",
    "things": "SELECT id AS thing_id, name AS thing, title, kind, domain, lon, lat, commune, properties "
    "FROM records.things",
    "alarms": None,
    "alarm_transitions": None,
}
"""Views of the records; None for all columns as they are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    columns: list[str]
    types: list[str]
    """DuckDB's names."""
    rows: list[tuple[Any, ...]]
    """JSON-able values: times as ISO 8601 UTC, not-a-number as None."""
    truncated: bool
    """Whether there were more rows than the limit."""
    seconds: float

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Asker:
    """A guarded connection to the lake of a centre, and its records where they are SQLite."""

    def __init__(self, settings: Settings) -> None:
        """Open.

        Raises:
            UnavailableError: there is no lake yet.
        """
        self._connection = attach.connect(settings, read_only=True)
        try:
            self._views(settings)
            self._guard(settings)
        except duckdb.Error as error:
            self._connection.close()
            raise attach.translate(error, where=str(settings.lake_dir)) from error

    def close(self) -> None:
        """Close."""
        self._connection.close()

    def _views(self, settings: Settings) -> None:
        sql = self._connection
        for table in TABLES.values():
            sql.execute(f"CREATE VIEW {table.plural} AS SELECT * FROM lake.{table.name}")
        records = settings.data / "records.sqlite"
        if settings.records_url is not None or not records.exists():
            return
        attach.load(sql, "sqlite_scanner")
        sql.execute(f"ATTACH {attach.literal(records)} AS records (TYPE sqlite, READ_ONLY)")
        columns: dict[str, list[tuple[str, str]]] = {}
        for name, column, kind in sql.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = 'records' ORDER BY column_index"
        ).fetchall():
            columns.setdefault(name, []).append((column, kind))
        for view, text in _RECORDS.items():
            if view not in columns:
                continue
            shown = ", ".join(
                f'make_timestamptz("{c}") AS "{c}"' if c in _TIMES and kind == "BIGINT" else f'"{c}"'
                for c, kind in columns[view]
            )
            sql.execute(f"CREATE VIEW {view} AS {text or f'SELECT {shown} FROM records.{view}'}")

    def _guard(self, settings: Settings) -> None:
        sql = self._connection
        sql.execute(
            f"SET allowed_directories=[{attach.literal(f'{attach.data_path(settings)}/')}, "
            f"{attach.literal(f'{settings.lake_dir}/spill/')}]"
        )
        for setting in ("enable_external_access=false", "lock_configuration=true"):
            sql.execute(f"SET {setting}")

    def ask(self, text: str, *, limit: int = 1000, timeout_s: float = 30) -> Answer:
        """Run one reading statement: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.

        Args:
            text: the statement.
            limit: rows to give at most.
            timeout_s: seconds after which it is ended.

        Raises:
            InputError: it is not SQL, names something that does not exist, or took too long; `where` has line
                and column if they are known.
            DeniedError: it does not only read, or reads what is not open to it.
        """
        started = time.perf_counter()
        cursor = self._connection.cursor()
        checked = self._check(cursor, text)
        late = threading.Event()

        def end() -> None:
            late.set()
            cursor.interrupt()

        timer = threading.Timer(timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            cursor.execute(checked)  # what was checked, not what was sent: comments may be read in two ways
            described = cursor.description or []
            rows = cursor.fetchmany(limit + 1)
        except duckdb.Error as error:
            if late.is_set():
                raise InputError(
                    f"the statement took longer than {timeout_s:g} s and was ended",
                    hint="ask for a shorter time or fewer datastreams",
                ) from None
            raise _explained(error) from error
        finally:
            timer.cancel()
            cursor.close()
        return Answer(
            _distinct([str(column[0]) for column in described]),
            [str(column[1]) for column in described],
            [tuple(_plain(value) for value in row) for row in rows[:limit]],
            len(rows) > limit,
            time.perf_counter() - started,
        )

    def _check(self, cursor: duckdb.DuckDBPyConnection, text: str) -> str:
        """The statement to run: the one that was parsed and found harmless."""
        bare = _bare(text)
        explain = _EXPLAIN.match(bare)
        wanted = bare[explain.end() :] if explain else bare
        if not wanted.strip().rstrip(";"):
            raise InputError("there is no statement", hint='write for example "SELECT count(*) FROM observations"')
        found = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [wanted]).fetchone()
        tree: dict[str, Any] = json.loads(found[0]) if found else {"error": True, "error_message": "not SQL"}
        if tree.get("error"):
            if tree.get("error_type") == "parser":
                skipped = len(text.encode()) - len(wanted.encode())
                raise InputError(
                    _first(tree["error_message"]),
                    where=_place(text, skipped + int(tree["position"])) if "position" in tree else None,
                )
            raise DeniedError("only reading is possible here", hint="write SELECT, WITH, DESCRIBE, SHOW or EXPLAIN")
        if len(tree["statements"]) != 1:
            raise DeniedError("only one statement at a time is possible here")
        for node in _nodes(tree):
            kind = node.get("type")
            if kind == "TABLE_FUNCTION":
                name = str(node.get("function", {}).get("function_name", ""))
                if name not in _FUNCTIONS:
                    raise DeniedError(
                        f"the table function {name} is not open to queries",
                        hint="`SHOW TABLES` lists what there is to read",
                    )
            elif kind == "BASE_TABLE" and (node.get("catalog_name") or node.get("schema_name") not in ("", "main")):
                name = ".".join(
                    str(node.get(part)) for part in ("catalog_name", "schema_name", "table_name") if node.get(part)
                )
                raise DeniedError(f"{name} is not open to queries", hint="`SHOW TABLES` lists what there is to read")
        return f"{explain.group().strip()} {wanted}" if explain else wanted


def _bare(text: str) -> str:
    """Without the comments and blanks it begins with."""
    at = 0
    while (skipped := _COMMENT.match(text, at)) and skipped.end() > at:
        at = skipped.end()
    return text[at:]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def _explained(error: duckdb.Error) -> ThapError:
    """What DuckDB says about a statement, with the place it points at."""
    text = str(error).partition(": ")[2] or str(error)
    if isinstance(error, duckdb.PermissionException):
        return DeniedError(_first(text))
    if isinstance(error, duckdb.OutOfMemoryException):
        return InputError(
            "the statement needs more memory than history may use", hint="ask for less, or raise history.memory_mib"
        )
    message, _, place = text.partition("\nLINE ")
    where = None
    pointed = re.fullmatch(r"(\d+): (.*)\n( *)\^\s*", place)
    if pointed:
        number, line, blanks = pointed.groups()
        column = len(blanks) - len(number) - len("LINE : ") + 1
        where = f"line {number}" if line.startswith("...") else f"line {number}, column {column}"
    return InputError(_first(message), where=where)


def _first(message: str) -> str:
    """A message on one line, what it adds in brackets."""
    lines = [line.strip().rstrip("!.") for line in message.splitlines() if line.strip()]
    return lines[0] + (f" ({'; '.join(lines[1:])})" if lines[1:] else "") if lines else "not SQL"


def _place(text: str, position: int) -> str:
    """Line and column of a byte position."""
    before = text.encode()[:position].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _distinct(names: list[str]) -> list[str]:
    """Names told apart where two are the same."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return made


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return iso(to_us(value))
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value.hex() if isinstance(value, bytes) else str(value)
