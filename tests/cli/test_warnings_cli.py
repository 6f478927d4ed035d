"""`thap warnings check`: documents are judged without a centre."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thap.cli.app import build
from thap.kernel.clock import now_us
from thap.respond.warnings.cap import Alert, Info
from thap.respond.warnings.document import to_bytes, write
from thap.respond.warnings.signing import open_signer, sign

SAID = Alert(identifier="a.1", sender="b", sent=now_us(), infos=(Info(event="lũ"),))


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "signed.xml"
    path.write_bytes(to_bytes(sign(write(SAID), open_signer(tmp_path / "run", "thap-82"))))
    return path


def _check(*paths: Path, as_json: bool = True) -> tuple[int, str]:
    arguments = ["warnings", "check", *map(str, paths), *(["--json"] if as_json else [])]
    done = CliRunner().invoke(build("warnings"), arguments)
    return done.exit_code, done.output


def test_right_documents_are_told_with_their_signature(signed: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.xml"
    plain.write_bytes(to_bytes(write(SAID)))
    code, output = _check(signed, plain)
    assert code == 0
    found = json.loads(output)
    assert [(one["valid"], one["signature"]) for one in found] == [(True, "valid"), (True, "none")]
    assert found[0]["signer"] == "CN=thap-82" and found[0]["identifier"] == "a.1"


def test_one_that_is_wrong_ends_with_status_one_and_the_others_are_told(signed: Path, tmp_path: Path) -> None:
    forged, broken, empty = tmp_path / "forged.xml", tmp_path / "broken.xml", tmp_path / "empty.xml"
    forged.write_bytes(signed.read_bytes().replace("lũ".encode(), b"x"))
    broken.write_bytes(signed.read_bytes().replace(b"Public", b"Secret"))
    empty.write_bytes(b"")
    code, output = _check(signed, forged, broken, empty, as_json=False)
    assert code == 1
    plain = " ".join(output.split())
    assert "signature: broken" in plain and "'Secret' is not one of" in plain and "the document is empty" in plain
    assert json.loads(_check(forged)[1])[0]["valid"] is True
    assert _check(forged)[0] == 1
