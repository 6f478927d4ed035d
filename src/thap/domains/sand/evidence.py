"""An evidence pack: all that shows one violation, in one file that can be checked years later without this centre.

    violation.json    what, who, when, where; the rule with its numbers; the licence as it was; versions
    positions.jsonl   the positions as the journal kept them, a line each, each with the SHA-256 of its own text
    track.geojson, track.gpx   the same track for maps and receivers
    map.svg           the picture
    report-vi.pdf, report-en.pdf   for the inspector; signed (PAdES) where a key is configured
    manifest.json     SHA-256 and size of every file above

The pack is known by the SHA-256 of the whole file, which the records keep with who made it and when. What a door
received (an NMEA sentence, a tracker's message) is decoded before it is kept: the positions are what was kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from thap.domains.sand.ledger_records import KeptViolation
from thap.domains.sand.model import Book, Fix
from thap.domains.sand.signing import Signer, check_signatures
from thap.domains.sand.track_picture import draw_track
from thap.kernel.clock import VIETNAM, from_us, iso
from thap.kernel.errors import CorruptError, InputError
from thap.measure.typesetting import Language, set_pdf

__all__ = ["Checked", "Matter", "Pack", "evidence_path", "make_pack", "verify_pack", "words_of"]

_PACKAGE = "thap.domains.sand"
_FORMAT = 1
_LANGUAGES: tuple[Language, ...] = ("vi", "en")
_LARGEST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Matter:
    """What a pack is made of."""

    kept: KeptViolation
    track: Sequence[Fix]
    """Around the violation, from history."""
    book: Book
    licence: Mapping[str, Any] | None = None
    """The entry of the licence, as it is kept."""
    vessel: Mapping[str, Any] | None = None
    """The entry of the vessel; None where it is not in the register."""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By name: value, unit, source, version."""
    by: str = ""
    made: int = 0
    """µs."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack as a file."""

    content: bytes
    sha256: str
    signed: bool
    name: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a pack found."""

    sha256: str
    good: bool
    """Whether every file is what the manifest says, and no signature is broken."""
    violation: Mapping[str, Any]
    made: str
    by: str
    files: Sequence[Mapping[str, Any]]
    """Each with name, sha256 and `good`."""
    problems: Sequence[str]
    signatures: Sequence[Mapping[str, Any]]
    positions: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "sha256": self.sha256,
            "good": self.good,
            "violation": dict(self.violation),
            "made": self.made,
            "by": self.by,
            "files": [dict(one) for one in self.files],
            "problems": list(self.problems),
            "signatures": [dict(one) for one in self.signatures],
            "positions": self.positions,
        }


@cache
def words_of(language: Language) -> dict[str, Any]:
    """The fixed words of documents in a language."""
    text = resources.files(_PACKAGE).joinpath(f"messages/{language}.json").read_text("utf-8")
    words: dict[str, Any] = json.loads(text)
    return words


def evidence_path(data: Path, sha256: str) -> Path:
    """Where a pack is kept in a data directory."""
    return data / "evidence" / sha256[:2] / f"{sha256}.zip"


def make_pack(matter: Matter, signer: Signer | None = None) -> Pack:
    """The pack. Takes a few hundred milliseconds of one core: call it in a thread.

    Raises:
        UnavailableError: the typesetter or the key refused.
    """
    one = matter.kept.violation
    lines = [_position_line(fix) for fix in matter.track]
    files: dict[str, bytes] = {
        "violation.json": _pretty(_violation(matter)),
        "positions.jsonl": "".join(line + "\n" for line in lines).encode(),
        "track.geojson": _pretty(_geojson(matter)),
        "track.gpx": _gpx(matter).encode(),
        "map.svg": draw_track(one, matter.track, matter.book).encode(),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for language in _LANGUAGES:
        pdf = set_pdf(
            _PACKAGE,
            "evidence.typ",
            language,
            f"violation {matter.kept.id}",
            report=_report(matter, language, digests, files["map.svg"].decode()),
            words=words_of(language)["evidence"],
        )
        files[f"report-{language}.pdf"] = signer.sign(pdf, words_of(language)["evidence"]["reason"]) if signer else pdf
    manifest = {
        "format": _FORMAT,
        "violation": matter.kept.as_dict(),
        "made": iso(matter.made),
        "by": matter.by,
        "program": f"thap {package_version('thap')}",
        "signed": signer is not None,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in sorted(files.items())
        },
    }
    files["manifest.json"] = _pretty(manifest)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        moment = from_us(matter.made).timetuple()[:6]
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, moment), content, zipfile.ZIP_DEFLATED)
    body = packed.getvalue()
    begin = from_us(one.begin).astimezone(VIETNAM)
    name = f"{one.kind.value.replace('.', '-')}-{one.vessel}-{begin:%Y%m%d-%H%M}.zip"
    name = "".join(letter for letter in name if letter not in '/\\:"')
    return Pack(body, hashlib.sha256(body).hexdigest(), signer is not None, name)


def _pretty(body: Any) -> bytes:
    return (json.dumps(body, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _canonical(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _position_line(fix: Fix) -> str:
    body = {
        "time_us": fix.time,
        "lon": fix.lon,
        "lat": fix.lat,
        "speed_kn": fix.speed_kn,
        "course_deg": fix.course_deg,
    }
    return _canonical({**body, "sha256": hashlib.sha256(_canonical(body).encode()).hexdigest()})


def _violation(matter: Matter) -> dict[str, Any]:
    one = matter.kept.violation
    return {
        **matter.kept.as_dict(),
        "begin_time": iso(one.begin),
        "end_time": None if one.end is None else iso(one.end),
        "noticed_time": iso(one.noticed),
        "rule": {
            "condition": str(one.kind),
            "parameters": matter.parameters,
            "values_in_force": matter.kept.parameters,
            "register_version": matter.kept.book_version,
        },
        "licence_entry": matter.licence,
        "vessel_entry": matter.vessel,
        "decided_by": [fix.as_dict() for fix in one.positions],
    }


def _geojson(matter: Matter) -> dict[str, Any]:
    one = matter.kept.violation
    features: list[dict[str, Any]] = []
    if len(matter.track) > 1:
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "vessel": one.vessel,
                    "times": [iso(fix.time) for fix in matter.track],
                    "speeds_kn": [fix.speed_kn for fix in matter.track],
                },
                "geometry": {"type": "LineString", "coordinates": [[fix.lon, fix.lat] for fix in matter.track]},
            }
        )
    features.append(
        {
            "type": "Feature",
            "properties": {"violation": str(one.kind), "begin": iso(one.begin), **dict(one.numbers)},
            "geometry": {"type": "Point", "coordinates": [one.lon, one.lat]},
        }
    )
    if matter.licence is not None:
        features.append(
            {
                "type": "Feature",
                "properties": {"licence": matter.licence["number"]},
                "geometry": matter.licence["geometry"],
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _gpx(matter: Matter) -> str:
    one = matter.kept.violation
    import gpxpy.gpx

    document = gpxpy.gpx.GPX()
    document.creator = f"thap {package_version('thap')}"
    track = gpxpy.gpx.GPXTrack(name=f"{one.vessel} {one.kind}")
    segment = gpxpy.gpx.GPXTrackSegment()
    for fix in matter.track:
        point = gpxpy.gpx.GPXTrackPoint(fix.lat, fix.lon, time=datetime.fromtimestamp(fix.time / 1e6, UTC))
        if fix.speed_kn is not None:
            point.comment = f"{fix.speed_kn:.1f} kn"
        segment.points.append(point)
    track.segments.append(segment)
    document.tracks.append(track)
    document.waypoints.append(
        gpxpy.gpx.GPXWaypoint(one.lat, one.lon, time=datetime.fromtimestamp(one.begin / 1e6, UTC), name=str(one.kind))
    )
    return str(document.to_xml(version="1.1"))


# ---- the report


def _moment(time: int | None, language: Language) -> str:
    if time is None:
        return ""
    return from_us(time).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M:%S" if language == "vi" else "%Y-%m-%d %H:%M:%S")


def _amount(value: float, language: Language, digits: int = 0) -> str:
    text = f"{value:,.{digits}f}"
    return text.replace(",", " ").replace(".", ",").replace(" ", ".") if language == "vi" else text


def _report(matter: Matter, language: Language, digests: Mapping[str, str], drawing: str) -> dict[str, Any]:
    one, words = matter.kept.violation, words_of(language)
    fact, vessel, licence = words["evidence"]["facts"], matter.vessel or {}, matter.licence or {}
    length = "" if one.end is None else _amount((one.end - one.begin) / 60e6, language) + " min"
    facts = [
        (fact["vessel"], vessel.get("name") or one.vessel),
        (fact["identity"], one.vessel),
        (fact["owner"], vessel.get("owner", "")),
        (fact["registration"], vessel.get("registration", "")),
        (fact["licence"], licence.get("number", "")),
        (fact["mine"], licence.get("name", "")),
        (fact["holder"], licence.get("holder", "")),
        (fact["hours"], f"{licence['opens']}–{licence['closes']}" if licence else ""),
        (fact["begin"], _moment(one.begin, language)),
        (fact["end"], _moment(one.end, language) or words["evidence"]["goes_on"]),
        (fact["length"], length),
        (fact["noticed"], _moment(one.noticed, language)),
        (fact["place"], f"{one.lat:.6f}, {one.lon:.6f}"),
    ]
    numbers = [
        [words["numbers"].get(name, name), _amount(float(value), language, 1)] for name, value in one.numbers.items()
    ]
    rules = [
        [
            spec["title"][language], f"{_amount(float(matter.kept.parameters.get(name, spec['value'])), language, 2)} "
            f"{spec['unit']}".strip(), spec["source"],
        ]
        for name, spec in matter.parameters.items()
        if name in _DECIDES.get(str(one.kind), ())
    ]  # fmt: skip
    points = [
        [_moment(fix.time, language), f"{fix.lat:.5f}", f"{fix.lon:.5f}", _speed(fix)]
        for fix in _thinned(one.positions or matter.track, 40)
    ]
    return {
        "title": words["kinds"].get(str(one.kind), str(one.kind)),
        "number": matter.kept.id,
        "meaning": words["meanings"].get(str(one.kind), ""),
        "facts": [[name, value] for name, value in facts if value],
        "numbers": numbers,
        "rules": rules,
        "versions": words["evidence"]["versions"].format(
            book=matter.kept.book_version, program=package_version("thap"), positions=len(matter.track)
        ),
        "points": points,
        "files": [[name, digest] for name, digest in digests.items()],
        "map": drawing,
        "made": words["evidence"]["made"].format(time=_moment(matter.made, language), by=matter.by),
    }


_DECIDES = {
    "sand.dredging_outside": ("outside_tolerance_m", "outside_dwell_min", "dredge_speed_kn"),
    "sand.dredging_at_night": ("hours_grace_min", "dredge_dwell_min", "dredge_speed_kn"),
    "sand.dredging_unlisted": ("dredge_dwell_min", "dredge_speed_kn"),
    "sand.dredging_expired": ("dredge_dwell_min", "dredge_speed_kn"),
    "sand.dredging_forbidden": ("zone_dwell_min", "dredge_speed_kn"),
    "sand.dredging_near_bank": ("bank_tolerance_m", "bank_dwell_min"),
    "sand.mine_silent": ("silence_min", "near_m"),
    "sand.unloading_unregistered": ("unregistered_min", "wharf_reach_m", "shore_m"),
    "sand.identity_two_places": ("two_places_turns", "jump_speed_kn", "jump_m"),
    "sand.identity_changed": ("renamed_m",),
}
"""The parameters that each kind of violation goes by."""


def _speed(fix: Fix) -> str:
    return "" if fix.speed_kn is None else f"{fix.speed_kn:.1f}"


def _thinned(fixes: Sequence[Fix], most: int) -> list[Fix]:
    if len(fixes) <= most:
        return list(fixes)
    step = (len(fixes) - 1) / (most - 1)
    return [fixes[round(at * step)] for at in range(most)]


# ---- checking


def verify_pack(content: bytes, name: str) -> Checked:
    """Check a pack: every file against the manifest, every position against its own hash, every signature.

    Raises:
        InputError: it is no evidence pack.
        CorruptError: its manifest cannot be read.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise InputError("this is no evidence pack (not a zip file)", where=name, hint="choose a pack") from None
    with archive:
        infos = {info.filename: info for info in archive.infolist()}
        if "manifest.json" not in infos:
            raise InputError("this is no evidence pack: it has no manifest.json", where=name, hint="choose a pack")
        if sum(info.file_size for info in infos.values()) > _LARGEST:
            raise InputError("it unpacks to more than 256 MiB", where=name, hint="this is no pack of ours")
        files: dict[str, bytes] = {}
        problems: list[str] = []
        for entry in infos:
            try:
                files[entry] = archive.read(entry)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
                problems.append(f"{entry} cannot be read: {error}")
    try:
        manifest: dict[str, Any] = json.loads(files["manifest.json"])
        listed: dict[str, Any] = manifest["files"]
        violation = manifest["violation"]
    except (ValueError, KeyError, TypeError):
        raise CorruptError("its manifest cannot be read", where=name, hint="ask for the pack again") from None
    told = []
    for entry, said in sorted(listed.items()):
        digest = hashlib.sha256(files[entry]).hexdigest() if entry in files else ""
        good = digest == said.get("sha256")
        told.append({"name": entry, "sha256": digest, "good": good})
        if not good:
            problems.append(f"{entry} {'was changed' if entry in files else 'is missing'}")
    more = sorted(files.keys() - listed.keys() - {"manifest.json"})
    problems += [f"{entry} is not in the manifest" for entry in more]
    count, wrong = _check_positions(files.get("positions.jsonl", b""))
    problems += wrong
    signatures = []
    for entry, body in sorted(files.items()):
        if entry.endswith(".pdf"):
            found = check_signatures(body, entry)
            signatures += found
            problems += [f"the signature of {entry} is broken" for one in found if not one["intact"]]
            if manifest.get("signed") and not found:
                problems.append(f"{entry} should be signed and is not")
    return Checked(
        hashlib.sha256(content).hexdigest(), not problems, violation, str(manifest.get("made", "")),
        str(manifest.get("by", "")), told, problems, signatures, count,
    )  # fmt: skip


def _check_positions(content: bytes) -> tuple[int, list[str]]:
    wrong = []
    lines = content.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            body = json.loads(line)
            digest = body.pop("sha256")
        except (ValueError, KeyError, AttributeError, TypeError):
            wrong.append(f"positions.jsonl line {number} cannot be read")
            continue
        if hashlib.sha256(_canonical(body).encode()).hexdigest() != digest:
            wrong.append(f"positions.jsonl line {number} was changed")
    return len(lines), wrong[:10]
