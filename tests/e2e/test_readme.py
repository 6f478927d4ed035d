"""Every command block of the README runs, as written, against a real centre."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from bench.harness import centre
from tests.observe.camera_world import film

from thap.observe.nmea import checksum

README = Path(__file__).parents[2] / "README.md"
BODIES = ("AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0", "AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0")
SENTENCES = "".join(
    f"\\{tag}*{checksum(tag.encode()):02X}\\!{body}*{checksum(body.encode()):02X}\n"
    for tag, body in zip(("c:1795334400", "c:1795334410"), BODIES, strict=True)
)
RULE = """
[[rule]]
name = "readme.high"
kind = "threshold"
title = { vi = "Cao", en = "High" }
severity = "low"
select = { thing = "my-station" }
above = 1.0
"""
INTERACTIVE = ("thap watch", "make ")


def _blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_readme_opens_with_the_two_commands() -> None:
    first = _blocks()[0].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make run", "make test"]


def _write_files(here: Path) -> None:
    """What the commands read."""
    here.mkdir()
    (here / "ais.log.gz").write_bytes(gzip.compress(SENTENCES.encode()))
    (here / "positions.csv").write_text(
        "time,mover,lon,lat\n2026-11-01T00:00:00Z,ghe-1,105.6,10.4\n2026-11-01T00:00:30Z,ghe-1,105.61,10.41\n", "utf-8"
    )
    (here / "my-rules.toml").write_text(RULE, "utf-8")
    corners = [[105.59, 10.40], [105.62, 10.40], [105.62, 10.42], [105.59, 10.42], [105.59, 10.40]]
    mine = {
        "type": "Feature",
        "properties": {"number": "01/GP", "holder": "X", "valid_from": "2026-01-01", "valid_to": "2027-01-01"},
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
    (here / "licences.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [mine]}), "utf-8")
    weeks = [(year, week) for year in range(2000, 2005) for week in range(1, 53)]
    (here / "counts.csv").write_text(
        "Observation Year,Standard Week,Pest Value,Collection Type,PEST NAME,Location\n"
        + "".join(
            f"{y},{w},{(w * 7919 + y) % 97},Number/week(Light trap),Brownplanthopper,Maruteru\n" for y, w in weeks
        ),
        "utf-8",
    )
    days = [date(2026, 4, 1) + timedelta(days=number) for number in range(90)]
    (here / "temperatures.csv").write_text("date,temperature\n" + "".join(f"{day},28\n" for day in days), "utf-8")
    steps = range(7 * 288)
    speeds = [f"{60 - 20 * (at % 288 in range(84, 108)) + at % 5},{62 + at % 7}\n" for at in steps]
    (here / "speeds.csv").write_text("a,b\n" + "".join(speeds), "utf-8")
    film(here / "clip.mp4", seconds=1)


def test_every_block_of_the_readme_runs(tmp_path: Path) -> None:
    here = tmp_path / "here"
    _write_files(here)
    with centre("--durability", "process", data=tmp_path / "centre") as up:
        assert up.run is not None
        env = {
            **os.environ,
            "THAP_HOME": str(up.data),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        ran = 0
        for block in _blocks()[1:]:
            lines = [line for line in block.splitlines() if not line.startswith((*INTERACTIVE, "export PATH"))]
            script = "set -e\n" + "\n".join(lines).replace("http://127.0.0.1:8000", up.run.http)
            done = subprocess.run(
                ["bash", "-c", script], cwd=here, env=env, capture_output=True, text=True, timeout=120, check=False
            )
            if done.returncode:
                pytest.fail(f"{script}\n{done.stdout}\n{done.stderr}")
            ran += len(lines)
        assert ran >= 10
        sql = (
            "SELECT count(*) AS n FROM observations JOIN datastreams USING (datastream) WHERE key = 'my-station/level'"
        )
        deadline = time.monotonic() + 30
        while int(up.query(sql)[0]["n"]) != 1:  # released from quarantine, and in history
            assert time.monotonic() < deadline
