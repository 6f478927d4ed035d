"""`thap watch`: the centre in a terminal, live."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Footer, Input, Static

from thap.cli.common import Data, Json, console, emit, read_run_file, run_async
from thap.cli.feed import Feed
from thap.kernel.clock import VIETNAM, from_us
from thap.kernel.errors import InputError, ThapError
from thap.kernel.places import fold
from thap.kernel.settings import load_settings

__all__ = ["Watch", "register"]

_BARS = " ▁▂▃▄▅▆▇█"
_SEVERITY = {1: ("low", "cyan"), 2: ("medium", "yellow"), 3: ("high", "dark_orange"), 4: ("critical", "bold red")}
_STATE = {"unacknowledged": "● new", "acknowledged": "○ acknowledged", "returned_unacknowledged": "◌ returned"}
_STALE_S = 4.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", help="Watch stages, doors and alarms live in the terminal.")(watch)


def watch(
    data: Data = None,
    once: Annotated[bool, typer.Option("--once", help="Print the state once and end.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Draw the view into this file after a few seconds, and end.")] = None,
    as_json: Json = False,
) -> None:
    """The centre in a terminal. Keys: q quit, a acknowledge, p pause, / filter."""
    read_run_file(load_settings(data))
    feed = Feed(data)
    if once or as_json:
        run_async(feed.once)
        body = {"system": feed.system, "alarms": list(feed.alarms.values())}
        emit(body, as_json, lambda: _print(feed))
    elif svg is not None:
        svg.write_text(run_async(lambda: _draw(feed)), "utf-8")
        console.print(f"drawn into {escape(str(svg))}", highlight=False)
    elif not console.is_terminal:
        raise InputError("the view needs a terminal", hint="use --once, or --once --json in scripts")
    else:
        Watch(feed).run()


def _print(feed: Feed) -> None:
    console.print(stages(feed), overview(feed), sep="\n")
    table = Table(*_COLUMNS, box=None)
    for alarm in list(feed.alarms.values())[:20]:
        table.add_row(*_cells(alarm))
    console.print(table if feed.alarms else "No open alarms.")


async def _draw(feed: Feed) -> str:
    """The view as SVG, without the web fonts that the library asks browsers to load."""
    app = Watch(feed)
    async with app.run_test(size=(100, 28)) as pilot:
        for _ in range(50):
            await pilot.pause(0.1)
        drawn = app.export_screenshot(title="thap watch")
    return re.sub(r"@font-face\s*{[^}]*}", "", drawn)


# ---- what is shown

_COLUMNS = ("raised", "severity", "state", "source", "condition", "value")


def spark(rates: Iterable[float], width: int = 30) -> str:
    """Rates as bars, the newest at the right; the highest is full."""
    shown = list(rates)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[round(rate / top * 8)] for rate in shown)


def stages(feed: Feed) -> Table:
    """Each stage with how far it is behind and how fast it goes."""
    table = Table("stage", box=None, padding=(0, 1), expand=True, header_style="bold")
    for name in ("behind", "per second"):
        table.add_column(name, justify="right", no_wrap=True, min_width=10)
    table.add_column("last minute", no_wrap=True, ratio=1)
    table.add_column("total", justify="right", no_wrap=True, min_width=12)
    for role in (feed.system or {}).get("roles", []):
        for stage, figures in role["stages"].items():
            lag = int(figures.get("lag", 0))
            style = "" if role["fresh"] else "dim"
            behind = f"{lag:,}" if role["fresh"] else f"silent {role['age_s']:.0f} s"
            table.add_row(
                Text(stage, style=style),
                Text(behind, style="yellow" if lag > 1000 or not role["fresh"] else style),
                f"{figures.get('rate', 0):,.0f}",
                Text(spark(feed.rates[role["role"], stage]), style="green"),
                f"{int(figures.get('total', 0)):,}",
            )
    return table


def overview(feed: Feed) -> Text:
    """Doors, disk and what waits for a person."""
    text = Text()
    if feed.system is None:
        return text
    doors: dict[str, dict[str, int]] = {}
    for role in feed.system["roles"]:
        if role["role"] == "gateway":
            for name, number in role["counters"].items():
                door, _, what = name.partition(".")
                doors.setdefault(door, {})[what] = int(number)
    text.append("doors  ", "bold")
    said = []
    for door, counts in doors.items():
        rest = ", ".join(
            f"{number:,} {what.replace('_', ' ')}" for what, number in counts.items() if what != "accepted" and number
        )
        said.append(f"{door} {counts.get('accepted', 0):,}" + (f" ({rest})" if rest else ""))
    text.append(" · ".join(said) or "nothing has come in yet")
    disk, journal, waiting = feed.system["disk"], feed.system["journal"], feed.system["waiting"]
    text.append("\ndisk   ", "bold")
    text.append(f"{disk['free'] / 2**30:,.1f} GiB free", "red" if disk["free"] < disk["reserve"] else "")
    text.append(f" · journal {(journal['bytes'] or 0) / 2**20:,.1f} MiB")
    latest = feed.system["latest"]
    text.append(f" · {latest['observation']:,} series, {latest['position']:,} movers live")
    text.append("\nwaits  ", "bold")
    for name, count in (("names in quarantine", waiting["quarantine"]), ("dead letters", waiting["dead_letters"])):
        text.append(f"{count or 0:,} {name}   ", "yellow" if count else "")
    return text


def status(feed: Feed, paused: bool, wanted: str) -> Text:
    """The first line: where, and whether what is shown is true now."""
    text = Text()
    text.append(" Tháp ", "bold reverse")
    text.append(f" {feed.address.removeprefix('http://')}  ")
    if feed.system is None:
        text.append("○ connecting" + (f": {feed.trouble}" if feed.trouble else ""), "yellow")
    elif feed.age_s > _STALE_S:
        text.append(f"○ not connected: what is shown is {feed.age_s:.0f} s old", "bold red")
    elif not feed.streaming:
        text.append("◐ alarms are not live", "yellow")
    else:
        text.append("● live", "green")
    if paused:
        text.append("  ‖ paused", "bold yellow")
    if wanted:
        text.append(f"  filter: {wanted}", "cyan")
    return text


def _cells(alarm: dict[str, Any]) -> tuple[Text, ...]:
    word, style = _SEVERITY.get(alarm["severity"], (str(alarm["severity"]), ""))
    raised = from_us(alarm["raised"]).astimezone(VIETNAM).strftime("%d/%m %H:%M:%S")
    value = "" if alarm["value"] is None else f"{alarm['value']:g}"
    dim = "" if alarm["state"] == "unacknowledged" else "dim"
    return (
        Text(raised, dim),
        Text(word, style),
        Text(_STATE.get(alarm["state"], alarm["state"]), dim),
        Text(alarm["source"]),
        Text(alarm["condition"], dim),
        Text(value, justify="right"),
    )


class Watch(App[None]):
    """The view. It shows what its feed knows, and says how old that is."""

    CSS = """
    Screen { layout: vertical; }
    #status { height: 1; }
    #stages { height: auto; max-height: 7; }
    #overview { height: auto; max-height: 5; padding: 0 1; }
    #title { height: 1; padding: 0 1; text-style: bold; background: $panel; }
    #alarms { height: 1fr; }
    #empty { height: 1fr; content-align: center middle; color: $text-muted; display: none; }
    #filter { display: none; height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("a", "acknowledge", "Acknowledge"),
        Binding("p", "pause", "Pause"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "unfilter", "All", show=False),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.paused = False
        self.wanted = ""
        self._dirty = True

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(id="status")
            yield Static(id="stages")
            yield Static(id="overview")
            yield Static("Alarms", id="title")
            yield DataTable(id="alarms", cursor_type="row", zebra_stripes=True)
            yield Static("No open alarms.", id="empty")
            yield Input(placeholder="part of a source or condition; Enter keeps, Esc clears", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name in _COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self.feed.changed = self._mark
        self.set_interval(0.2, self._refresh)
        self.set_interval(1.0, self._mark)
        self._listen()

    def _mark(self) -> None:
        self._dirty = True

    @work(exclusive=True)
    async def _listen(self) -> None:
        await self.feed.run()

    def _refresh(self) -> None:
        if not self._dirty or not self.query("#status"):  # while it ends the timer outlives what it draws
            return
        self._dirty = False
        self.query_one("#status", Static).update(status(self.feed, self.paused, self.wanted))
        if self.paused:
            return
        self.query_one("#stages", Static).update(stages(self.feed))
        self.query_one("#overview", Static).update(overview(self.feed))
        self._show_alarms()

    def _show_alarms(self) -> None:
        wanted = fold(self.wanted)
        shown = {
            str(number): alarm
            for number, alarm in self.feed.alarms.items()
            if not wanted or wanted in fold(f"{alarm['source']} {alarm['condition']}")
        }
        table = self.query_one(DataTable)
        selected = self._selected()
        table.clear()
        for number, alarm in list(shown.items())[:500]:
            table.add_row(*_cells(alarm), key=number)
        if selected in shown:
            table.move_cursor(row=list(shown).index(selected))
        total, new = len(shown), sum(alarm["state"] == "unacknowledged" for alarm in shown.values())
        self.query_one("#title", Static).update(f"Alarms: {total:,} open, {new:,} new")
        empty = self.query_one("#empty", Static)
        if self.feed.system is None:
            empty.update("Nothing heard yet.")
        else:
            empty.update("No open alarm fits the filter." if wanted and self.feed.alarms else "No open alarms.")
        table.display, empty.display = bool(shown), not shown

    def _selected(self) -> str:
        table = self.query_one(DataTable)
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    @work
    async def action_acknowledge(self) -> None:
        """Acknowledge the alarm under the cursor."""
        selected = self._selected()
        if not selected:
            self.notify("there is no alarm to acknowledge", severity="warning")
            return
        try:
            await self.feed.acknowledge(int(selected))
        except ThapError as error:
            self.notify(str(error), severity="error")
        except OSError as error:
            self.notify(f"the centre does not answer: {error}", severity="error")

    def action_pause(self) -> None:
        """Keep what is shown, or go on."""
        self.paused = not self.paused
        self._mark()

    def action_filter(self) -> None:
        """Ask for a filter."""
        asked = self.query_one("#filter", Input)
        asked.display = True
        asked.value = self.wanted
        asked.focus()

    def action_unfilter(self) -> None:
        """Show all alarms again."""
        self.wanted = ""
        self._close_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.wanted = event.value.strip()
        self._mark()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        asked = self.query_one("#filter", Input)
        asked.display = False
        self.query_one(DataTable).focus()
        self._mark()
