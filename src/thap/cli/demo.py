"""`thap demo`: a simulated province, and how well the centre's alarms agree with what was planted in it."""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli import demo_run
from thap.cli.common import Data, Json, console, emit, open_records, run_async
from thap.domains.domain import domains
from thap.domains.offline import gather
from thap.domains.score import Raised, Score, compare, event_time
from thap.kernel.clock import MINUTE_US, SECOND_US, iso
from thap.kernel.settings import Settings, load_settings
from thap.respond.alarm import EventFilter
from thap.respond.records import events_after

__all__ = ["register", "score_of"]

demo = typer.Typer(no_args_is_help=True, help="A simulated Đồng Tháp with planted events, and the score of its alarms.")
_TOLERANCE_US = 5 * MINUTE_US
_GRACE_US = 5 * SECOND_US
_PAGE = 5000


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(demo, name="demo")


@demo.command("run")
def run_(
    seed: Annotated[int, typer.Option(min=0, help="Decides everything that happens.")] = 1,
    speed: Annotated[
        float,
        typer.Option(
            min=1,
            max=3600,
            help="How many times faster than real it runs, from "
            "three days ago until it has caught up; 1 runs with the clock.",
        ),
    ] = 60.0,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Minutes to run; for ever if not given.")] = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Simulate the province through the doors of the running centre. `thap up --demo` starts this."""
    settings = load_settings(data)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ledger = demo_run.run(settings, seed, speed, minutes, stop)
    body = demo_run.describe(ledger)
    emit(
        body,
        as_json,
        lambda: console.print(
            f"Simulated {iso(ledger.start)} to {iso(ledger.until)}: {body['events']} events planted."
        ),
    )


@demo.command("events")
def events(
    ahead: Annotated[float, typer.Option(min=0, help="Also those of so many simulated hours to come.")] = 0.0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List what was planted so far."""
    ledger = demo_run.read_ledger(load_settings(data))
    world = demo_run.build_world(ledger.seed, ledger.start)
    planted = world.truth(ledger.start, ledger.until + round(ahead * 60) * MINUTE_US)

    def text() -> None:
        table = Table("start", "minutes", "condition", "source", "severity", "what")
        for event in planted:
            table.add_row(
                iso(event.start),
                f"{(event.end - event.start) / MINUTE_US:.0f}",
                event.condition,
                escape(event.source),
                event.severity.name.lower(),
                event.note + ("" if event.certain else " (near the limit)"),
            )
        console.print(table)

    emit([event.as_dict() for event in planted], as_json, text)


@demo.command("score")
def score(
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="Minutes of simulated time by which an alarm may miss "
            "an event; to it comes what three seconds of the run last.",
        ),
    ] = 5.0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Compare the alarms so far with the truth: precision, recall, delay."""
    settings = load_settings(data)
    result, ledger = run_async(lambda: score_of(settings, round(tolerance * MINUTE_US)))
    body = {
        **result.as_dict(),
        "seed": ledger.seed,
        "from": iso(ledger.start),
        "until": iso(ledger.until),
        "speed": ledger.segments[-1].speed if ledger.segments else None,
    }

    def text() -> None:
        def shown(value: float | None, unit: str = "") -> str:
            return "–" if value is None else f"{value:g}{unit}"

        console.print(f"Simulated {body['from']} to {body['until']}, seed {ledger.seed}, at {body['speed']:g}×")
        table = Table("precision", "recall", "delay p50", "delay p95", "events", "alarms", "right severity")
        table.add_row(
            shown(body["precision"]),
            shown(body["recall"]),
            shown(body["delay_p50_s"], " s"),
            shown(body["delay_p95_s"], " s"),
            str(body["events"]),
            str(body["alarms"]),
            shown(body["severity_right"]),
        )
        console.print(table)
        for kind in ("missed", "false"):
            for one in body[kind][:20]:
                console.print(f"[yellow]{kind}[/] {one['condition']} {escape(one['source'])} {one['start']}")

    emit(body, as_json, text)


async def score_of(settings: Settings, tolerance: int = _TOLERANCE_US) -> tuple[Score, demo_run.Ledger]:
    """The score of the demo on a data directory, from the alarm transitions in its records.

    Args:
        settings: of the centre, running or not.
        tolerance: µs of event time; what three seconds of the run last is added.

    Raises:
        NotFoundError: no demo ran here.
    """
    ledger = demo_run.read_ledger(settings)
    speed = max((segment.speed for segment in ledger.segments), default=1.0)
    conditions = {name for domain in domains().values() for name in domain.read_rules()}
    for made in (make for domain in domains().values() for make in domain.detectors):
        conditions |= {made.condition, *made.conditions}
    world = demo_run.build_world(ledger.seed, ledger.start)
    own = {*world.things, *world.series, *world.movers}
    alarms = [
        alarm
        for alarm in await _alarms(settings, ledger)
        # Of what else was connected to this centre the truth knows nothing.
        if alarm.condition in conditions and (alarm.source in own or alarm.source.startswith(("rule:", "commune:")))
    ]
    slack = tolerance + round(3 * SECOND_US * speed)
    return compare(ledger.events, alarms, ledger.start, ledger.until, slack), ledger


async def _alarms(settings: Settings, ledger: demo_run.Ledger) -> list[Raised]:
    """The alarms of the time in which the demo ran, by event time."""
    records = open_records(settings)
    steps: list[tuple[int, str, str, str, int]] = []
    try:
        async with records.read() as connection:
            last = 0
            while page := await events_after(connection, last, _PAGE, EventFilter()):
                last = page[-1].id
                for event in page:
                    at: Any = event_time(ledger.segments, event.recorded_at, _GRACE_US)
                    if at is not None:
                        steps.append((at, event.source, event.condition, event.action, event.severity))
    finally:
        await records.close()
    return gather(steps)
