"""Evidence packs: whole when untouched, told apart when changed, signed where a key is configured."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import gpxpy
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from thap.domains.domain import domain
from thap.domains.parameters import shipped_parameters
from thap.domains.sand.entries import read_entry
from thap.domains.sand.evidence import Matter, Pack, make_pack, verify_pack, words_of
from thap.domains.sand.ledger_records import KeptViolation
from thap.domains.sand.model import Fix, Kind, Violation
from thap.domains.sand.records import book_of
from thap.domains.sand.signing import signer_of
from thap.kernel.clock import MINUTE_US
from thap.kernel.errors import CorruptError, InputError, SettingsError
from thap.kernel.settings import Settings

BEGIN = 1_796_000_000_000_000
RING = [
    [105.60375, 10.45783],
    [105.60616, 10.45346],
    [105.60856, 10.44909],
    [105.60663, 10.44806],
    [105.60375, 10.45783],
]
LICENCE = {
    "number": "1/GP",
    "name": "Mỏ Một",
    "holder": "Đơn vị A",
    "geometry": {"type": "Polygon", "coordinates": [RING]},
}


def matter() -> Matter:
    track = [Fix(BEGIN + at * MINUTE_US, 105.61 + at / 1e5, 10.46, 0.5 + at / 100) for at in range(40)]
    violation = Violation(
        Kind.OUTSIDE, "mmsi-574000101", BEGIN + 5 * MINUTE_US, BEGIN + 30 * MINUTE_US, BEGIN + 15 * MINUTE_US, 105.6101,
        10.46, 1, {"distance_m": 312.0, "tolerance_m": 30.0}, {"licence": "1/GP"}, tuple(track[5:15]),
    )  # fmt: skip
    entry = read_entry("licence", LICENCE)
    parameters = {
        name: {"title": dict(one.title), "value": one.value, "unit": one.unit, "source": one.source, "version": 0}
        for name, one in shipped_parameters(domain("sand")).known.items()
    }
    values = {name: float(one["value"]) for name, one in parameters.items()}
    return Matter(
        KeptViolation(12, violation, "", 3, values), track, book_of([(1, entry)]),
        entry.model_dump(mode="json"), {"name": "Tàu Một", "owner": "Chủ tàu", "registration": "ĐT-1"}, parameters,
        "truc-ban", BEGIN + 60 * MINUTE_US,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pack() -> Pack:
    return make_pack(matter())


def rewritten(pack: Pack, **changes: bytes | None) -> bytes:
    """The pack with files replaced, added, or (None) left out; `_` stands for a dot."""
    files = {name.replace("__", "."): content for name, content in changes.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pack.content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = files.pop(name, old.read(name)) if name in files else old.read(name)
            if content is not None:
                new.writestr(name, content)
        for name, content in files.items():
            new.writestr(name, content or b"")
    return made.getvalue()


def test_a_pack_is_whole_and_holds_the_track_in_every_form(pack: Pack) -> None:
    checked = verify_pack(pack.content, "pack.zip")
    assert checked.good and checked.positions == 40 and checked.sha256 == pack.sha256 and not checked.signatures
    with zipfile.ZipFile(io.BytesIO(pack.content)) as archive:
        track = json.loads(archive.read("track.geojson"))["features"][0]
        gpx = gpxpy.parse(archive.read("track.gpx").decode())
        said = json.loads(archive.read("violation.json"))
        drawing = archive.read("map.svg").decode()
    points = gpx.tracks[0].segments[0].points
    assert len(points) == len(track["geometry"]["coordinates"]) == 40
    assert points[0].time is not None and points[0].time.timestamp() == BEGIN / 1e6
    assert said["rule"]["register_version"] == 3 and said["licence_entry"]["number"] == "1/GP"
    assert said["rule"]["parameters"]["outside_tolerance_m"]["source"]
    assert drawing.count('r="3"') == 10


def test_the_same_matter_makes_the_same_data_files(pack: Pack) -> None:
    with (
        zipfile.ZipFile(io.BytesIO(pack.content)) as one,
        zipfile.ZipFile(io.BytesIO(make_pack(matter()).content)) as two,
    ):
        for name in ("violation.json", "positions.jsonl", "track.geojson", "track.gpx", "map.svg"):
            assert one.read(name) == two.read(name)


def test_whatever_is_changed_is_named(pack: Pack) -> None:
    with zipfile.ZipFile(io.BytesIO(pack.content)) as archive:
        lines = archive.read("positions.jsonl").decode().splitlines()
    lines[7] = lines[7].replace("105.61007", "105.62007")
    changed = verify_pack(rewritten(pack, positions__jsonl="\n".join(lines).encode()), "p")
    assert not changed.good and "positions.jsonl was changed" in changed.problems
    assert any("line 8" in problem for problem in changed.problems)
    assert "map.svg is missing" in verify_pack(rewritten(pack, map__svg=None), "p").problems
    assert "more.txt is not in the manifest" in verify_pack(rewritten(pack, more__txt=b"x"), "p").problems
    with pytest.raises(CorruptError):
        verify_pack(rewritten(pack, manifest__json=b"{"), "p")
    with pytest.raises(InputError):
        verify_pack(b"no zip", "p")
    with pytest.raises(InputError, match="no manifest"):
        verify_pack(rewritten(pack, manifest__json=None), "p")


def key_file(folder: Path, passphrase: bytes) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trung tâm thử")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(77)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        .add_extension(usage, True).sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "key.p12"
    kept = serialization.BestAvailableEncryption(passphrase)
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"thap", key, certificate, None, kept))
    return path


def test_with_a_key_the_report_is_signed_and_a_changed_one_is_seen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signer_of(settings) is None
    settings.evidence.key = key_file(settings.data, b"bi mat")
    with pytest.raises(SettingsError, match="cannot be opened"):
        signer_of(settings)
    monkeypatch.setenv("THAP_EVIDENCE_PASSPHRASE", "bi mat")
    signer = signer_of(settings)
    assert signer is not None
    signed = make_pack(matter(), signer)
    checked = verify_pack(signed.content, "p")
    assert checked.good and signed.signed
    assert {(one["file"], one["serial"], one["intact"]) for one in checked.signatures} == {
        ("report-vi.pdf", "77", True), ("report-en.pdf", "77", True),
    }  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(signed.content)) as archive:
        report = bytearray(archive.read("report-vi.pdf"))
    at = report.index(b"/Type")
    report[at + 1 : at + 5] = b"Tipe"
    broken = verify_pack(rewritten(signed, **{"report-vi__pdf": bytes(report)}), "p")
    assert not broken.good and "report-vi.pdf was changed" in broken.problems
    settings.evidence.key = Path("nowhere.p12")
    with pytest.raises(SettingsError, match="no such file"):
        signer_of(settings)


def test_every_kind_has_its_words_in_both_languages() -> None:
    vi, en = words_of("vi"), words_of("en")
    assert set(vi["kinds"]) == set(en["kinds"]) == {str(kind) for kind in Kind}
    assert set(vi["meanings"]) == set(en["meanings"]) and set(vi["numbers"]) == set(en["numbers"])
