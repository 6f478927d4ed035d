"""`thap query`, as typed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
from tests.kernel.lake_rows import day

from thap.kernel.history import Lake
from thap.kernel.settings import Settings


@pytest.fixture
def filled(settings: Settings) -> Settings:
    lake = Lake.open(settings)
    lake.append({"observation": day(3, 600)}, 1)
    lake.close()
    return settings


def thap(settings: Settings, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thap", "query", *words, "--data", str(settings.data)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


COUNT = "SELECT datastream, count(*) AS n FROM observations GROUP BY 1 ORDER BY 1"


def test_the_answer_is_a_table_json_or_csv(filled: Settings) -> None:
    shown = thap(filled, COUNT)
    assert "datastream" in shown.stdout
    assert "3 rows" in shown.stdout
    assert json.loads(thap(filled, COUNT, "--json").stdout)["rows"] == [{"datastream": n, "n": 200} for n in (1, 2, 3)]
    assert list(csv.reader(io.StringIO(thap(filled, COUNT, "--csv").stdout))) == [
        ["datastream", "n"],
        ["1", "200"],
        ["2", "200"],
        ["3", "200"],
    ]


def test_it_reads_while_the_centre_writes_and_from_stdin(filled: Settings) -> None:
    writer = Lake.open(filled)
    assert json.loads(thap(filled, "-", "--json", stdin=COUNT).stdout)["rows"][0]["n"] == 200
    writer.close()


def test_more_rows_than_the_limit_are_said_to_be_there(filled: Settings) -> None:
    done = thap(filled, "FROM observations", "--csv", "--limit", "2")
    assert len(done.stdout.splitlines()) == 3
    assert "only the first 2 rows" in done.stderr


def test_a_mistake_is_one_line_with_its_place_and_status_1(filled: Settings, settings: Settings) -> None:
    done = thap(filled, "SELECT\n wrong FROM observations")
    assert done.returncode == 1
    assert "line 2, column 2" in done.stderr
    assert "Traceback" not in done.stderr
    body = json.loads(thap(filled, "DELETE FROM observations", "--json").stdout)
    assert body["error"]["code"] == "denied"


def test_without_history_it_says_so(settings: Settings) -> None:
    done = thap(settings, "SELECT 1")
    assert done.returncode == 1
    assert "there is no history yet" in done.stderr
