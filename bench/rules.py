"""The 10,000 datastreams and 100 rules that benchmarks run under."""

from __future__ import annotations

from bench.harness import CentreProcess

__all__ = ["install_rules", "register_datastreams"]


def register_datastreams(up: CentreProcess, number: int) -> None:
    """Register `tram-00000/level` and so on."""
    with up.client() as client:
        for start in range(0, number, 2000):
            things = [{"name": f"tram-{i:05d}", "domain": "water", "datastreams": [
                {"name": "level", "property": "water_level", "unit": "m"}]}
                for i in range(start, min(start + 2000, number))]
            answer = client.post("/api/v1/things", json={"things": things})
            answer.raise_for_status()
