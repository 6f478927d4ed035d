"""The 10,000 datastreams and 100 rules that benchmarks run under."""

from __future__ import annotations

import asyncio
import time

from bench.harness import CentreProcess
from thap.kernel.bus import Bus

__all__ = ["install_rules", "put_rule", "register_datastreams"]

# What a province would have most of: limits with deadbands and delays, silence, rates, votes. Every series is
# watched by at least one rule; limits lie so that a few series in a thousand cross them now and then.
_KINDS = (
    'kind = "threshold"\nabove = {high}\ndeadband = 0.05\nlevels = [{{ severity = "critical", above = {higher} }}]',
    'kind = "threshold"\noutside = [0.3, {high}]\ndeadband = 0.05\non_delay = "30s"\noff_delay = "30s"',
    'kind = "silence"\nno_data_for = "15m"',
    'kind = "rate"\nrise = 1.0\nwindow = "15m"',
    'kind = "n_of_m"\nabove = {high}\nn = 3\nm = 5',
)


def register_datastreams(up: CentreProcess, number: int) -> None:
    """Register `tram-00000/level` and so on."""
    with up.client() as client:
        for start in range(0, number, 2000):
            things = [
                {
                    "name": f"tram-{i:05d}",
                    "domain": "water",
                    "datastreams": [{"name": "level", "property": "water_level", "unit": "m"}],
                }
                for i in range(start, min(start + 2000, number))
            ]
            client.post("/api/v1/things", json={"things": things}).raise_for_status()


def install_rules(up: CentreProcess, number: int) -> int:
    """Put `number` rules in force, of five kinds; each watches the hundredth of the series that end in its number."""
    tables = []
    for i in range(number):
        body = _KINDS[i % len(_KINDS)].format(high=2.5 + i % 7 * 0.02, higher=2.6 + i % 7 * 0.02)
        tables.append(
            f'[[rule]]\nname = "bench.{i:03d}"\ntitle = {{ vi = "Luật {i}", en = "Rule {i}" }}\nseverity = "medium"\n'
            f'select = {{ datastream = "tram-???{i % 100:02d}/level" }}\n{body}\n'
        )
    _install(up, "bench.toml", "\n".join(tables), number)
    return number


def put_rule(up: CentreProcess, toml: str) -> None:
    """Put one more rule in force."""
    _install(up, "bench-more.toml", toml, 1)


def _install(up: CentreProcess, name: str, text: str, number: int) -> None:
    before = int(up.stages()["detect"]["rules"])
    folder = up.data / "rules"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")

    async def tell() -> None:
        assert up.run is not None
        bus = await Bus.connect(up.run.nats, "bench")
        await bus.announce("centre.live.rules", {"by": "bench"})
        await bus.close()

    asyncio.run(tell())
    deadline = time.monotonic() + 30
    while int(up.stages()["detect"]["rules"]) < before + number:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the rules of {name} did not come into force")
        time.sleep(0.2)
