"""`thap replay`: real files in through a real door."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from thap.cli.common import Data, Json, console, emit, read_run_file
from thap.cli.replay_doors import AisSender, HttpSender, Sent
from thap.cli.replay_items import Item, LogSource, TableSource, open_source
from thap.kernel.clock import iso, now_us, parse_time_us
from thap.kernel.errors import InputError
from thap.kernel.settings import Settings, load_settings
from thap.observe.files import DataFile

__all__ = ["register"]

_SHOWN = 10
_AHEAD_S = 0.1
What = Literal["observations", "positions", "ais"]
Door = Literal["http", "ais"]


@dataclass(slots=True)
class Summary:
    """What became of one file; kept on disk while it lasts, so that a second run goes on."""

    file: str
    rows: int = 0
    """Rows that are done; the file goes on after them."""
    accepted: int = 0
    quarantined: int = 0
    rejected: int = 0
    broken: int = 0
    """Rows or sentences that could not even be read."""
    seconds: float = 0
    finished: int = 0
    """When it came to its end, µs; 0 before."""
    already: bool = False
    """Whether it had been replayed before, so that nothing was done now."""
    last: int = 0
    """Line or row number of the last row that is done."""
    faults: list[dict[str, Any]] = field(default_factory=list)
    """The first refusals: row and reason."""


@dataclass(frozen=True, slots=True)
class Options:
    """How files are replayed."""

    what: What | None
    door: Door | None
    maps: dict[str, str]
    thing: str | None
    start: int | None
    speed: float | None
    batch: int
    limit: int | None
    admit: bool
    restart: bool

    def fingerprint(self, digest: str) -> str:
        """What a replay is known by: the same file with other columns is another replay."""
        parts = [digest, self.what, sorted(self.maps.items()), self.thing, self.start]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def register(app: typer.Typer) -> None:
    """Add the command to the command tree."""
    app.command("replay")(replay)


def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet, NDJSON or NMEA files, packed with gzip or not.")],
    what: Annotated[What | None, typer.Option("--as", help="What the files hold; guessed without.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=1e-6, help="Times real time, by event time; as fast as it goes without.")
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=FIELD",
            help=(
                "What a column is: time, thing, datastream, result, mover, lon, lat, speed_kn, course_deg, year, "
                "week …, or the name of the datastream it is. COLUMN may be a glob. Repeat it."
            ),
        ),
    ] = None,
    door: Annotated[Door | None, typer.Option(help="The door; for AIS logs the AIS door if it is open.")] = None,
    thing: Annotated[str | None, typer.Option(help="Thing or mover of all rows.")] = None,
    start: Annotated[str | None, typer.Option(help="When a log without times begins, ISO 8601.")] = None,
    admit: Annotated[bool, typer.Option("--admit", help="Register names the centre does not know.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=50_000, help="Records in one request.")] = 1000,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many rows; a second run goes on.")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="From the beginning, even if done before.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Send files of records through a door of the running centre, keeping their times.

    A replay that was interrupted goes on where it stopped when the same command is given again. Rows that the door
    refuses are reported, kept as dead letters, and do not stop the rest.
    """
    options = Options(
        what,
        door,
        _maps(map_ or []),
        thing,
        None if start is None else parse_time_us(start),
        speed,
        batch,
        limit,
        admit,
        restart,
    )
    settings = load_settings(data)
    read_run_file(settings)  # before anything else: without a centre there is nothing to do
    errors = Console(stderr=True, highlight=False)
    summaries: list[Summary] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=errors,
        disable=as_json or not errors.is_terminal,
    )
    with bar:
        for path in files:
            task = bar.add_task(escape(path.name), total=1.0, rate="")
            run = _Run(path, options, settings, data, bar, task)
            try:
                summaries.append(run.run())
            except KeyboardInterrupt:
                bar.stop()
                errors.print(f"stopped after row {run.summary.last} of {escape(path.name)}; the same command goes on")
                raise SystemExit(130) from None
    body = {
        "files": [_shown(summary) for summary in summaries],
        **{
            name: sum(getattr(summary, name) for summary in summaries)
            for name in ("rows", "accepted", "quarantined", "rejected", "broken")
        },
    }
    emit(body, as_json, lambda: _print(summaries))


def _maps(texts: list[str]) -> dict[str, str]:
    maps = {}
    for text in texts:
        column, equals, target = text.rpartition("=")
        if not equals or not column.strip() or not target.strip():
            raise InputError(f"{text!r} is no mapping", where="--map", hint="write COLUMN=FIELD, as 'RF(mm)=rain_mm'")
        maps[column.strip()] = target.strip()
    return maps


def _shown(summary: Summary) -> dict[str, Any]:
    body = asdict(summary)
    del body["last"]
    body["rows_per_second"] = round(summary.rows / summary.seconds) if summary.seconds else None
    return body


def _print(summaries: list[Summary]) -> None:
    for summary in summaries:
        name = escape(summary.file)
        if summary.already:
            console.print(
                f"{name}: replayed already at {iso(summary.finished // 10**6 * 10**6)}; --restart does it again",
                highlight=False,
            )
            continue
        console.print(
            f"{name}: {summary.rows:,} rows in {summary.seconds:.1f} s: "
            f"{summary.accepted:,} records accepted, {summary.quarantined:,} in quarantine, "
            f"{summary.rejected:,} refused, {summary.broken:,} could not be read",
            highlight=False,
        )
        for fault in summary.faults:
            console.print(f"  row {fault['row']}: {escape(fault['reason'])}", highlight=False)
        if summary.rejected > len(summary.faults):
            console.print("  … `thap dead-letters list` shows all", highlight=False)
        if summary.quarantined:
            console.print("  `thap quarantine list` shows the unknown names; --admit registers them", highlight=False)


class _Run:
    """One file on its way."""

    def __init__(
        self, path: Path, options: Options, settings: Settings, data: Path | None, bar: Progress, task: TaskID
    ) -> None:
        self._path, self._options, self._settings, self._data = path, options, settings, data
        self._bar, self._task = bar, task
        self._state = Path()
        self._begun = time.monotonic()
        self._seconds_before = 0.0
        self._rows_before = 0
        self.summary = Summary(str(path))

    def run(self) -> Summary:
        """Send the file, or its rest."""
        options = self._options
        with ExitStack() as stack:
            file = stack.enter_context(DataFile(self._path))
            source = open_source(file, options.what, options.maps, options.thing, options.start)
            self._state = self._settings.data / "replay" / f"{options.fingerprint(file.digest())}.json"
            self._restore()
            if self.summary.finished:
                self.summary.already = True
                self._bar.update(self._task, completed=1.0, rate="done before")
                return self.summary
            sender = self._sender(source)
            stack.callback(sender.close)
            ended = self._send_all(file, source, sender)
            self.summary.broken = source.broken
            if ended:
                self.summary.finished = now_us()
            self._keep()
        return self.summary

    def _sender(self, source: TableSource | LogSource) -> HttpSender | AisSender:
        run = read_run_file(self._settings)
        wanted = self._options.door
        if wanted == "ais" and not isinstance(source, LogSource):
            raise InputError("only NMEA logs go through the AIS door", where=str(self._path), hint="leave --door out")
        if wanted == "ais" and not run.ais_tcp:
            raise InputError(
                "the AIS door does not listen", where="--door ais", hint="set doors.ais.tcp_port, or leave --door out"
            )
        if isinstance(source, LogSource) and run.ais_tcp and wanted != "http":
            host = self._settings.host if self._settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
            return AisSender(run, host)
        return HttpSender(self._data, source, admit=self._options.admit, say=self._say)

    def _say(self, text: str) -> None:
        self._bar.update(self._task, rate=escape(text))

    def _send_all(self, file: DataFile, source: TableSource | LogSource, sender: HttpSender | AisSender) -> bool:
        """Send batch after batch; whether the end was reached."""
        options, last = self._options, self.summary.last
        by_sentence = isinstance(sender, AisSender)
        waiting: list[Item] = []
        size = 0
        taken = 0
        pace = _Pace(options.speed)
        for item in source:
            if item.row <= last:
                continue
            if options.limit is not None and taken == options.limit:
                self._flush(waiting, sender, file)
                return False
            if pace.ahead(item.time) > _AHEAD_S:
                self._flush(waiting, sender, file)
                waiting, size = [], 0
                pace.wait(item.time)
            waiting.append(item)
            taken += 1
            size += 1 if by_sentence else len(item.records)
            # A message is not torn apart: the door would not see its parts on one connection after a restart.
            if (size >= options.batch or len(waiting) >= 50 * options.batch) and (
                item.whole or size >= 2 * options.batch
            ):
                self._flush(waiting, sender, file)
                waiting, size = [], 0
        self._flush(waiting, sender, file)
        return True

    def _flush(self, items: list[Item], sender: HttpSender | AisSender, file: DataFile) -> None:
        if not items:
            return
        sent: Sent = sender.send(items)
        summary = self.summary
        summary.rows += len(items)
        summary.last = items[-1].row
        summary.accepted += sent.accepted
        summary.quarantined += sent.quarantined
        summary.rejected += len(sent.rejected)
        room = _SHOWN - len(summary.faults)
        summary.faults += [{"row": row, "reason": reason} for row, reason in sent.rejected[: max(0, room)]]
        summary.seconds = round(self._seconds_before + time.monotonic() - self._begun, 3)
        self._keep()
        rate = (summary.rows - self._rows_before) / max(1e-6, time.monotonic() - self._begun)
        self._bar.update(self._task, completed=file.progress, rate=f"{rate:,.0f} rows/s")

    def _restore(self) -> None:
        """What an earlier run of the same file left, unless it shall not count."""
        if self._options.restart or not self._state.exists():
            return
        try:
            self.summary = Summary(**{**json.loads(self._state.read_text("utf-8")), "file": str(self._path)})
        except (OSError, ValueError, TypeError):
            return  # half a state is as good as none: records sent twice collapse
        self._seconds_before, self._rows_before = self.summary.seconds, self.summary.rows

    def _keep(self) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        beside = self._state.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(asdict(self.summary)), "utf-8")
        beside.replace(self._state)


class _Pace:
    """Holds rows back until their event time has come, at `speed` times real time."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._event: int | None = None
        self._wall = 0.0

    def ahead(self, moment: int | None) -> float:
        """By how many seconds a row comes too early."""
        if self._speed is None or moment is None:
            return 0.0
        if self._event is None:
            self._event, self._wall = moment, time.monotonic()
        return self._wall + (moment - self._event) / 1e6 / self._speed - time.monotonic()

    def wait(self, moment: int | None) -> None:
        """Until its time has come."""
        while (seconds := self.ahead(moment)) > 0:
            time.sleep(min(seconds, 1.0))
