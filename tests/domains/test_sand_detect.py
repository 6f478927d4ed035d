"""`thap sand detect`, books of files, quantities, and the detector of the live centre."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sand_tracks import BARGE, DREDGER, KX, KY, LAT, LON, MIDNIGHT, PARAMETERS, STRANGER, Track, book
from typer.testing import CliRunner

from thap.cli.app import build
from thap.detect.detector import Action
from thap.domains.sand.books import book_of_files
from thap.domains.sand.detectors import SandWatch
from thap.domains.sand.files import read_positions
from thap.domains.sand.found import read_found
from thap.domains.sand.model import Book, Kind, Stay, StayKind, Trip, Violation
from thap.domains.sand.offline import detect
from thap.domains.sand.quantity import over_quantity
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, iso
from thap.kernel.errors import InputError
from thap.observe.kinds import PositionBatch
from thap.observe.registry import MoverInfo, Registry


def licences(folder: Path, **properties: Any) -> Path:
    ring = [[LON - 0.0018, LAT - 0.0018], [LON + 0.0018, LAT - 0.0018], [LON + 0.0018, LAT + 0.0018],
            [LON - 0.0018, LAT + 0.0018], [LON - 0.0018, LAT - 0.0018]]  # fmt: skip
    feature = {
        "type": "Feature",
        "properties": {"number": "12/GP", "vessels": [574000001], **properties},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    wharf = {
        "type": "Feature",
        "properties": {"name": "Bến 1", "kind": "wharf"},
        "geometry": {"type": "Polygon", "coordinates": [[[x + 0.03, y] for x, y in ring]]},
    }
    path = folder / "licences.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, wharf]}), "utf-8")
    return path


def positions(folder: Path, *tracks: Track, name: str = "tracks.csv") -> Path:
    rows = sorted((at, track.key, x, y, sog) for track in tracks for at, x, y, sog in track.rows)
    lines = ["BaseDateTime,MMSI,LAT,LON,SOG"]
    for at, key, x, y, sog in rows:
        moment = iso(MIDNIGHT + round(at) * SECOND_US)
        lines.append(f"{moment},{int(key[5:])},{LAT + y / KY:.6f},{LON + x / KX:.6f},{sog}")
    path = folder / name
    text = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def thap(*words: str | Path) -> tuple[int, Any]:
    done = CliRunner().invoke(build("sand"), [str(word) for word in words])
    if isinstance(done.exception, InputError):
        return 1, done.exception
    return done.exit_code, json.loads(done.stdout) if done.exit_code == 0 else done.output


@pytest.mark.parametrize("name", ["tracks.csv", "tracks.csv.gz"])
def test_a_file_leads_to_stays_trips_and_violations(tmp_path: Path, name: str) -> None:
    stranger = Track(STRANGER, 8).still(5, 2000, 0).go(100, 0).work(40, 0, 0).go(2000, 0)
    file = positions(tmp_path, stranger, Track(DREDGER, 8).work(60, 80, 80), name=name)
    status, body = thap("sand", "detect", file, "--licences", licences(tmp_path), "--json")
    assert status == 0
    assert {"stays", "trips", "violations", "dropped", "left_out"} <= body.keys()
    [violation] = body["violations"]
    assert (violation["kind"], violation["mmsi"], violation["licence"]) == (
        "sand.dredging_unlisted", 574000003, "12/GP",
    )  # fmt: skip
    assert len(violation["positions"]) > 10
    assert {stay["kind"] for stay in body["stays"] if stay["licence"]} == {"dredging"}


def test_what_a_licence_says_in_vietnamese_counts(tmp_path: Path) -> None:
    track = Track(DREDGER, 9.5).still(5, 2000, 0).go(100, 0).work(60, 0, 0).go(2000, 0)
    path = licences(tmp_path, **{"giờ khai thác": "05:00-10:00"})
    _, body = thap("sand", "detect", positions(tmp_path, track), "--licences", path, "--json")
    assert [one["kind"] for one in body["violations"]] == ["sand.dredging_at_night"]


def test_rows_that_cannot_be_read_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = positions(tmp_path, Track(DREDGER, 8).work(40, 0, 0))
    text = file.read_text().splitlines()
    text[3:3] = ["yesterday,574000001,10.4,105.6,0.1", "2026-11-20T01:00:00Z,574000001,95,105.6,0.1", "half,a,row"]
    file.write_text("\n".join(text))
    read = read_positions(file)
    assert len(read) == 80 and sum(read.left.values()) == 3
    assert {line for line, _ in read.faults} == {4, 5, 6}


def test_files_that_hold_nothing_are_refused_with_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "empty" in str(thap("sand", "detect", empty, "--licences", licences(tmp_path))[1])
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    assert "no column tells" in str(thap("sand", "detect", other, "--licences", licences(tmp_path))[1])
    broken = tmp_path / "broken.geojson"
    broken.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError):
        book_of_files(broken)
    with pytest.raises(InputError):
        book_of_files(tmp_path / "absent.geojson")


def test_one_file_may_hold_licences_and_wharves_and_a_licence_goes_by_its_name(tmp_path: Path) -> None:
    found, left = book_of_files(licences(tmp_path, number="", name="Mỏ Tân Thuận"))
    assert [one.number for one in found.licences] == ["Mỏ Tân Thuận"] and left == []
    assert [one.name for one in found.wharves] == ["Bến 1"]
    assert found.licences[0].vessels == {DREDGER}


def test_real_ships_off_denmark_are_not_called_dredgers_unless_they_dredge(shared_data: Path) -> None:
    file = read_positions(shared_data / "vessels" / "danish_ais_20221101_50k.csv.gz")
    report = detect(file, Book(), PARAMETERS)
    said = {stay.vessel for stay in report.stays if stay.kind is StayKind.DREDGING}
    assert said == {"mmsi-000000023", "mmsi-000000041"}  # the third dredger lies in port
    assert report.violations == []


def test_quantities_over_a_licence_are_told_once_for_each_period() -> None:
    def trip(hour: float) -> Trip:
        end = MIDNIGHT + round(hour * HOUR_US)
        return Trip(BARGE, 1, end - HOUR_US, end, end + HOUR_US, end + 2 * HOUR_US, 2, LON, LAT, DREDGER, 300.0)

    what = book()
    assert over_quantity([trip(6)], what, 1.0) == []
    found = over_quantity([trip(12), trip(6), trip(9), trip(30)], what, 1.0)
    assert [(one.kind, one.detail["period"]) for one in found] == [(Kind.OVER_DAY, "2026-11-20")]
    assert found[0].numbers == {"taken_m3": 900.0, "limit_m3": 500.0}
    total = over_quantity([trip(6)], what, 1.0, {1: 9_800.0})
    assert [one.kind for one in total] == [Kind.OVER_TOTAL]
    assert over_quantity([trip(6), trip(8)], what, 0.8) == []


def test_the_detector_of_the_live_centre_raises_clears_and_keeps_its_state() -> None:
    track = Track(DREDGER, 8).still(5, 2000, 0).go(500, 0).work(45, 400, 0).go(3000, 0).still(12, 3000, 0)
    registry = Registry(
        (), (MoverInfo(7, DREDGER, "", "dredger", "sand", {}), MoverInfo(8, "bus-1", "", "bus", "traffic", {}))
    )
    rows = len(track.rows)
    time = np.array([MIDNIGHT + round(row[0]) * SECOND_US for row in track.rows])
    batch = PositionBatch(
        np.where(np.arange(rows) % 9 == 8, 8, 7).astype(np.int32),
        time,
        LON + np.array([row[1] for row in track.rows]) / KX,
        LAT + np.array([row[2] for row in track.rows]) / KY,
        np.array([row[3] for row in track.rows], np.float32),
        np.full(rows, np.nan, np.float32),
        time,
        np.arange(1, rows + 1),
    )
    whole = SandWatch(book(), PARAMETERS)
    whole.bind(registry)
    findings = whole.update(batch).findings
    changes, again = [], []
    watch = SandWatch(book(), PARAMETERS)
    watch.bind(registry)
    for begin in range(0, rows, 17):
        outcome = watch.update(batch.take(np.arange(begin, min(begin + 17, rows))))
        changes += outcome.changes
        again += outcome.findings
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(watch.dump()))
        watch = SandWatch(book(), PARAMETERS)
        watch.bind(registry)
        watch.load(state)
    assert [(one.action, one.condition, one.source) for one in changes] == [
        (Action.RAISE, "sand.dredging_outside", DREDGER),
        (Action.CLEAR, "sand.dredging_outside", DREDGER),
    ]
    assert changes[0].evidence["licence"] == "12/GP-UBND" and changes[0].evidence["distance_m"] > 150
    assert watch.tick(int(time[-1]) + DAY_US).changes == []
    assert again == findings  # to the byte: what is found again is known by its content
    assert [one.what for one in findings].count("violation") == 2
    found = [read_found(msgspec.msgpack.encode([(one.what, msgspec.Raw(one.payload))]))[0] for one in findings]
    end, clock = next(
        (one.one.end, one.clock) for one in found if isinstance(one.one, Stay) and one.one.kind is StayKind.DREDGING
    )
    assert end <= clock < end + 30 * MINUTE_US and clock % MINUTE_US == 0
    violation = next(one for one in found if isinstance(one.one, Violation))
    assert violation.parameters == PARAMETERS and violation.book_version == book().version
