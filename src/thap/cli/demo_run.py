"""A run of the demo province: prepare the centre, send what the world says, write down what is true."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tomlkit

from thap.cli.common import api, api_json, read_run_file
from thap.cli.demo_doors import Doors
from thap.cli.demo_people import prepare_people
from thap.cli.demo_register import prepare_registers
from thap.cli.demo_rice import prepare_rice
from thap.domains.domain import domains
from thap.domains.score import Segment
from thap.domains.world import Truth, World
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, VIETNAM, from_us, now_us, parse_duration_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.settings import Settings
from thap.kernel.simulated import Simulated

__all__ = ["Ledger", "build_world", "prepare", "read_ledger", "run", "scaled_rules"]

STEP_S = 0.25
_SAVE_S = 2.0
_BEGIN_H = 18 + 40 / 60
"""Vietnamese hour at which an accelerated run begins: shortly before dredging must stop for the night."""
_BACK_DAYS = 3


@dataclass
class Ledger:
    """What is known of the runs on one data directory: `demo/truth.json`."""

    seed: int
    start: int
    """Begin of simulated time, µs."""
    until: int
    """Simulated so far, µs."""
    segments: list[Segment] = field(default_factory=list)
    events: list[Truth] = field(default_factory=list)
    """Everything planted that started so far."""

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(
            json.dumps(
                {
                    "seed": self.seed,
                    "start": self.start,
                    "until": self.until,
                    "segments": [asdict(segment) for segment in self.segments],
                    "events": [event.as_dict() for event in self.events],
                },
                ensure_ascii=False,
                indent=1,
            ),
            "utf-8",
        )
        draft.replace(path)


def ledger_path(settings: Settings) -> Path:
    """Where the ledger lies."""
    return settings.data / "demo" / "truth.json"


def read_ledger(settings: Settings) -> Ledger:
    """The ledger of a data directory.

    Raises:
        NotFoundError: no demo ran here.
        InputError: the file cannot be read.
    """
    path = ledger_path(settings)
    try:
        body = json.loads(path.read_text("utf-8"))
        return Ledger(
            body["seed"],
            body["start"],
            body["until"],
            [Segment(**part) for part in body["segments"]],
            [Truth.of(part) for part in body["events"]],
        )
    except FileNotFoundError:
        raise NotFoundError(
            "no demo has run here", where=str(settings.data), hint="`thap up --demo` starts one"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the truth file cannot be read: {error}", where=str(path), hint="remove it and start anew"
        ) from None


def build_world(seed: int, start: int) -> World:
    """The world with what every installed domain adds to it."""
    world = World(seed, start)
    for domain in domains().values():
        if domain.demo is not None:
            domain.demo(world)
    return world


def scaled_rules(text: str, speed: float) -> str:
    """Rules for a run at a speed. Silence goes by the clock of the doors, which an accelerated run does not
    accelerate; its lengths are divided by the speed. All others go by event time and stay as they are."""
    document = tomlkit.parse(text)
    for rule in document.get("rule", []):
        if rule["kind"] != "silence":
            continue
        for table in (rule, *rule.get("levels", [])):
            for key in ("no_data_for", "after", "off_delay"):
                if key in table:
                    table[key] = _shorter(str(table[key]), speed)
    return tomlkit.dumps(document)


def _shorter(length: str, speed: float) -> str:
    return f"{max(1, round(parse_duration_us(length) / speed / 1000))}ms"


def prepare(data: Path, settings: Settings, world: World, speed: float) -> tuple[tuple[str, str], str]:
    """Register everything, people included, install the rules, get credentials: (MQTT user and password, API token).

    Raises:
        ThapError: as the API answers.
    """
    with api(data) as client:
        streams: dict[str, list[dict[str, str]]] = {}
        for series in world.series.values():
            streams.setdefault(series.thing, []).append(
                {"name": series.name, "property": series.observes, "unit": series.unit}
            )
        things = [
            {
                "name": thing.name,
                "title": thing.title,
                "kind": thing.kind,
                "domain": thing.domain,
                "lon": thing.lon,
                "lat": thing.lat,
                "datastreams": streams.get(thing.name, []),
            }
            for thing in world.things.values()
        ]
        movers = [
            {"key": mover.key, "name": mover.name, "kind": mover.kind, "domain": mover.domain}
            for mover in world.movers.values()
        ]
        api_json(client.post("/api/v1/things", json={"things": things, "movers": movers}))
        prepare_people(client)
        prepare_registers(client)
        prepare_rice(client, world)
        secrets = {}
        for name, kind in (("demo-stations", "mqtt"), ("demo-doors", "api")):
            made = client.post("/api/v1/tokens", json={"name": name, "kind": kind, "scopes": ["write"]})
            if made.status_code == ConflictError.status:  # of an earlier run, whose secret nobody has any more
                api_json(client.delete(f"/api/v1/tokens/{name}"))
                made = client.post("/api/v1/tokens", json={"name": name, "kind": kind, "scopes": ["write"]})
            secrets[name] = api_json(made)["secret"]
    install_rules(settings, speed)
    return ("demo-stations", secrets["demo-stations"]), secrets["demo-doors"]


def install_rules(settings: Settings, speed: float) -> None:
    """Write each domain's rules into the rules directory and tell the centre."""
    settings.rules_dir.mkdir(parents=True, exist_ok=True)
    for domain in domains().values():
        if text := domain.rules_text():
            note = f"# Written by the demo{f'; silences are divided by its speed, {speed:g}' if speed != 1 else ''}.\n"
            path = settings.rules_dir / f"demo-{domain.name}.toml"
            draft = path.with_suffix(".draft")
            draft.write_text(note + scaled_rules(text, speed), "utf-8")
            draft.replace(path)
    _announce(settings)


def _announce(settings: Settings) -> None:
    async def tell() -> None:
        bus = await Bus.connect(read_run_file(settings).nats, "thap-demo")
        await bus.announce("centre.live.rules", {"by": "demo"})
        await bus.close()

    asyncio.run(tell())


def open_ledger(settings: Settings, seed: int, speed: float) -> Ledger:
    """The ledger to go on with: that of an earlier run on this directory, or a new one.

    Raises:
        ConflictError: an earlier run had another seed, and its records would contradict those of this one.
    """
    try:
        ledger = read_ledger(settings)
    except NotFoundError:
        start = now_us()
        if speed > 1:
            today = from_us(start).astimezone(VIETNAM)
            midnight = start - ((today.hour * 60 + today.minute) * 60 + today.second) * 1_000_000 - start % 1_000_000
            start = midnight - _BACK_DAYS * DAY_US + round(_BEGIN_H * HOUR_US)
        start -= start % MINUTE_US
        return Ledger(seed, start, start)
    if ledger.seed != seed:
        raise ConflictError(
            f"a demo with seed {ledger.seed} has run here",
            where=str(settings.data),
            hint="name another directory with --data, or that seed with --seed",
        )
    return ledger


def run(settings: Settings, seed: int, speed: float, minutes: float | None, stop: threading.Event) -> Ledger:
    """Simulate until stopped.

    Args:
        settings: of a centre that runs.
        seed: of the world.
        speed: event time in a unit of wall time; once the simulation has caught up with the clock, 1.
        minutes: of wall time to run; None for ever.
        stop: set from outside to end.

    Raises:
        ThapError: the centre is not there, or stays away for more than a minute.
    """
    ledger = open_ledger(settings, seed, speed)
    world = build_world(seed, ledger.start)
    user, token = prepare(settings.data, settings, world, speed)
    centre = read_run_file(settings)
    path = ledger_path(settings)
    with Doors(centre.http, centre.mqtt, centre.ais_tcp, user, token) as doors:
        began = now_us()
        if speed <= 1:
            ledger.until = max(ledger.until, began)
        ledger.segments.append(Segment(began, ledger.until, speed, began))
        saved = 0.0
        while not stop.is_set():
            segment = ledger.segments[-1]
            wall = now_us()
            upto = min(segment.at(wall), wall)
            _send(doors, world, ledger.until, upto)
            ledger.until = upto
            ledger.segments[-1] = replace(segment, until=now_us())
            if segment.speed > 1 and segment.at(wall) >= wall:
                install_rules(settings, 1)
                ledger.segments.append(Segment(wall, wall, 1.0, wall))
            if time.monotonic() - saved >= _SAVE_S:
                ledger.events = world.truth(ledger.start, ledger.until)
                ledger.save(path)
                segment = ledger.segments[-1]
                Simulated(at=now_us(), until=ledger.until, speed=segment.speed).save(settings.data)
                saved = time.monotonic()
            if minutes is not None and now_us() - began >= minutes * MINUTE_US:
                break
            stop.wait(max(0.0, STEP_S - (now_us() - wall) / 1e6))
        ledger.events = world.truth(ledger.start, ledger.until)
        ledger.save(path)
    return ledger


def _send(doors: Doors, world: World, after: int, upto: int) -> None:
    """In slices of an hour at most, so that a run far behind does not send days at once."""
    for begin in range(after, upto, HOUR_US):
        end = min(begin + HOUR_US, upto)
        doors.send_mqtt(world.observations(begin, end, "mqtt"))
        doors.send_http(world.observations(begin, end, "http"))
        doors.send_ais(world.positions(begin, end, "ais"), world)
        doors.send_osmand(world.positions(begin, end, "osmand"))


def describe(ledger: Ledger) -> dict[str, Any]:
    """A run in a few words, for `--json`."""
    certain = sum(event.certain for event in ledger.events)
    return {
        "seed": ledger.seed,
        "start": ledger.start,
        "until": ledger.until,
        "events": len(ledger.events),
        "certain": certain,
    }
