"""From an MQTT message to the alarm drawn on the console's queue.

Each message raises the alarm of another station. The page notes when the station's row has been drawn: at the second
frame after it is in the document. Both clocks are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from bench.browser import browser, open_console, register_stations
from bench.harness import CentreProcess, centre
from bench.mqtt import MqttSender, mqtt_account

__all__ = ["run"]

WATCH = """
() => {
  window.drawn = {};
  const look = () => {
    for (const row of document.querySelectorAll('[role=row]')) {
      const name = /probe-\\d{5}/.exec(row.textContent)?.[0];
      if (!name || name in window.drawn) continue;
      window.drawn[name] = 0;
      requestAnimationFrame(() => requestAnimationFrame(() => (window.drawn[name] = Date.now())));
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}
"""


def _send(up: CentreProcess, password: str, number: int, per_second: float, sent: dict[str, float]) -> None:
    async def pump() -> None:
        assert up.run is not None
        sender = await MqttSender.connect(up.run.mqtt, "probe", "probe", password)
        began = time.monotonic()
        for i in range(number):
            name = f"probe-{i:05d}"
            sent[name] = time.time() * 1000
            sender.write(f"thap/v1/{name}/level", b"9")
            await sender.acknowledged()
            await asyncio.sleep(max(0.0, began + (i + 1) / per_second - time.monotonic()))

    asyncio.run(pump())


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; `--messages`, `--per-second`, `--durability`."""
    parser = argparse.ArgumentParser(prog="bench pixel")
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--per-second", type=float, default=5)
    parser.add_argument("--durability", default="power")
    given = parser.parse_args(argv)
    with ExitStack() as stack:
        up = stack.enter_context(centre("--durability", given.durability))
        register_stations(up, given.messages)
        password = mqtt_account(up, "probe")
        page = open_console(stack.enter_context(browser()), up)
        page.evaluate(WATCH)
        sent: dict[str, float] = {}
        sending = threading.Thread(target=_send, args=(up, password, given.messages, given.per_second, sent))
        sending.start()
        while sending.is_alive():
            page.wait_for_timeout(200)
        page.wait_for_timeout(3000)
        drawn: dict[str, float] = page.evaluate("window.drawn")
    delays = [drawn[name] - at for name, at in sent.items() if drawn.get(name)]
    p50, p95, p99 = (float(np.percentile(delays, q)) for q in (50, 95, 99))
    return {
        "bench": "pixel",
        "figures": {
            "p50_ms": round(p50),
            "p95_ms": round(p95),
            "p99_ms": round(p99),
            "missed": given.messages - len(delays),
        },
        "input": f"{given.messages} MQTT messages at {given.per_second:g}/s, each raising another station's alarm; "
        f"durability {given.durability}; the desk at 1440 × 900 with map, headless Chromium, software WebGL",
        "peer": None,
    }
