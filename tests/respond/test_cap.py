"""CAP documents: our rules against the standard's schema, reading and writing, refusing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import shapely
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.respond.warning_world import CAO_LANH, draft

from thap.kernel.clock import DAY_US, HOUR_US, SECOND_US, now_us
from thap.kernel.errors import InputError, SettingsError
from thap.kernel.units import communes
from thap.respond.warnings import cap
from thap.respond.warnings.areas import commune_areas, drawn_areas, ring_of
from thap.respond.warnings.cap import Alert, Area, Circle, Info, Named, Reference, Resource
from thap.respond.warnings.compose import Draft, Heading, cancelling, compose, from_incident, problems, updating
from thap.respond.warnings.document import parse, read, to_bytes, write
from thap.respond.warnings.schema import NAMESPACE, faults, faults_by_file
from thap.respond.warnings.signing import Signer, open_signer, sign, verify

NOW = now_us() // SECOND_US * SECOND_US


@pytest.fixture(scope="session")
def xsd(shared_data: Path) -> Path:
    return shared_data / "cap" / "CAP-v1.2.xsd"


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return open_signer(tmp_path_factory.mktemp("key"), "thap-82")


# Values a document may have. Times are whole seconds of years with four digits.
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
words = texts.filter(lambda text: bool(text.strip()))
names = st.from_regex(r"[A-Za-z0-9.:@_-]{1,30}", fullmatch=True)
times = st.integers(0, 9_000_000_000).map(lambda s: s * SECOND_US)
maybe = st.none() | times
lons = st.integers(-18_000_000, 18_000_000).map(lambda n: n / 100_000)
lats = st.integers(-9_000_000, 9_000_000).map(lambda n: n / 100_000)
points = st.tuples(lons, lats)
rings = st.lists(points, min_size=3, max_size=8).map(lambda ring: (*ring, ring[0]))
circles = st.builds(Circle, lons, lats, st.floats(0, 4000).map(lambda x: round(x, 6)))
named = st.lists(st.builds(Named, texts, texts), max_size=2).map(tuple)
heights = st.none() | st.integers(-(10**8), 10**8).map(lambda n: n / 1000)
areas = st.builds(
    Area,
    description=texts,
    polygons=st.lists(rings, max_size=2).map(tuple),
    circles=st.lists(circles, max_size=2).map(tuple),
    geocodes=named,
    altitude=heights,
    ceiling=heights,
)
resources = st.builds(
    Resource,
    description=texts,
    mime_type=texts,
    size=st.none() | st.integers(0, 10**12),
    deref_uri=texts,
    digest=texts,
)


def some(values: tuple[str, ...], least: int = 0) -> Any:
    return st.lists(st.sampled_from(values), min_size=least, max_size=3).map(tuple)


infos = st.builds(
    Info,
    language=st.sampled_from(["vi-VN", "en-US", "km"]),
    categories=some(cap.CATEGORIES, 1),
    event=texts,
    responses=some(cap.RESPONSES),
    urgency=st.sampled_from(cap.URGENCIES),
    severity=st.sampled_from(cap.SEVERITIES),
    certainty=st.sampled_from(cap.CERTAINTIES),
    audience=texts,
    event_codes=named,
    effective=maybe,
    onset=maybe,
    expires=maybe,
    sender_name=texts,
    headline=texts,
    description=texts,
    instruction=texts,
    contact=texts,
    parameters=named,
    resources=st.lists(resources, max_size=2).map(tuple),
    areas=st.lists(areas, max_size=2).map(tuple),
)
alerts = st.builds(
    Alert,
    identifier=names,
    sender=names,
    sent=times,
    status=st.sampled_from(cap.STATUSES),
    message_type=st.sampled_from(cap.MESSAGE_TYPES),
    source=texts,
    scope=st.sampled_from(cap.SCOPES),
    restriction=texts,
    addresses=st.lists(names, max_size=3).map(tuple),
    codes=st.lists(texts, max_size=2).map(tuple),
    note=texts,
    references=st.lists(st.builds(Reference, names, names, times), max_size=3).map(tuple),
    incidents=st.lists(names | st.just("lũ 2026"), max_size=2).map(tuple),
    infos=st.lists(infos, max_size=2).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(alerts)
def test_what_is_written_is_read_again_as_it_was(alert: Alert) -> None:
    once = read(parse(to_bytes(write(alert)), "document"), "document")
    assert once == alert
    assert to_bytes(write(once)) == to_bytes(write(alert))


@settings(max_examples=60, deadline=None)
@given(alerts)
def test_whatever_is_written_keeps_to_the_schema(xsd: Path, alert: Alert) -> None:
    root = write(alert)
    assert faults(root) == [] == faults_by_file(root, xsd)


def test_the_examples_of_the_standard_are_right_and_keep_their_meaning(shared_data: Path, xsd: Path) -> None:
    for path in sorted((shared_data / "cap").glob("example*.xml")):
        root = parse(path.read_bytes(), path.name)
        assert faults(root) == [], path.name
        alert = read(root, path.name)
        again = parse(to_bytes(write(alert)), path.name)
        assert read(again, path.name) == alert and faults_by_file(again, xsd) == []


# Our table of the schema's rules against the schema itself, on documents broken at random.

VALUES = (
    "",
    " ",
    "x",
    "Actual",
    "actual",
    " Actual",
    "Public",
    "Unknown",
    "Met",
    "None",
    "vi",
    "vi-VN",
    "vi_VN",
    "1",
    "-1.5",
    "1e5",
    ".5",
    "2026-11-22T08:00:00+07:00",
    " 2026-11-22T08:00:00+07:00\n",
    "2026-11-22T08:00:00Z",
    "2026-11-22T08:00:00,07:00",
    "2026-02-30T08:00:00+07:00",
    "2026-11-22T24:00:00+07:00",
    "2026-11-22T24:00:01+07:00",
    "2026-11-22T08:00:00-14:00",
    "2026-11-22T08:00:00-14:01",
    "2026-11-22T08:60:00-10:00",
    "0000-11-22T08:00:00-10:00",
)


def _break(root: etree._Element, chance: random.Random) -> None:
    elements = [one for one in root.iter() if isinstance(one.tag, str)]
    one = chance.choice(elements)
    parent = one.getparent()
    what = chance.randrange(9)
    if what == 0 and parent is not None:
        parent.remove(one)
    elif what == 1 and parent is not None:
        parent.insert(chance.randrange(len(parent) + 1), etree.fromstring(etree.tostring(one)))
    elif what == 2 and parent is not None:
        parent.insert(chance.randrange(len(parent)), one)
    elif what == 3:
        one.text = chance.choice(VALUES)
    elif what == 4:
        one.tag = f"{{{NAMESPACE}}}{etree.QName(chance.choice(elements)).localname}"
    elif what == 5:
        one.set(chance.choice(["id", "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"]), "a b")
    elif what == 6:
        one.tail = chance.choice(["\n", "text", "\u00a0"])
    elif what == 7:
        one.insert(0, chance.choice([etree.Comment("x"), etree.Element("{urn:other}a"), etree.Element("value")]))
    else:
        spaces = ("http://www.w3.org/2000/09/xmldsig#", "urn:other")
        root.append(etree.Element(f"{{{chance.choice(spaces)}}}Thing"))


@cache
def _whole() -> bytes:
    said = Info(
        categories=("Met",),
        event="x",
        responses=("None",),
        event_codes=(Named("a", "b"),),
        effective=NOW,
        onset=NOW,
        expires=NOW,
        headline="x",
        parameters=(Named("a", "b"), Named("a", "")),
        resources=(Resource(description="x", mime_type="a/b", size=3),),
        areas=(Area(description="x", circles=(Circle(1, 2, 3),), geocodes=(Named("a", "b"),), altitude=1.5),),
    )
    alert = Alert(identifier="a", sender="b", sent=NOW, note="x", codes=("y",), infos=(said, said))
    return to_bytes(write(alert))


def test_our_rules_and_the_schema_judge_three_thousand_broken_documents_alike(xsd: Path) -> None:
    chance, verdicts = random.Random(82), {True: 0, False: 0}
    for _ in range(3000):
        root = parse(_whole(), "document")
        for _ in range(chance.choice((1, 1, 2, 3))):
            _break(root, chance)
        ours, theirs = faults(root), faults_by_file(root, xsd)
        assert bool(ours) == bool(theirs), (ours, theirs, etree.tostring(root).decode())
        verdicts[bool(ours)] += 1
    assert min(verdicts.values()) > 300, "both verdicts were tried"


# What the composer makes.

both = st.fixed_dictionaries({"vi": words.map(lambda t: t[:150]), "en": words.map(lambda t: t[:150])})
line = st.from_regex(r"[A-Za-z0-9 .,&<>'\"đĐưƯạ-]{0,100}[A-Za-zđ]", fullmatch=True)
lines = st.fixed_dictionaries({"vi": line, "en": line})
corners = st.tuples(
    st.integers(10_490, 10_690).map(lambda n: n / 100), st.integers(920, 1080).map(lambda n: n / 100)
).map(list)
polygons = st.lists(st.lists(corners, min_size=3, max_size=6, unique_by=tuple), max_size=2)
drafts = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["Actual", "Exercise", "Test"]),
        "categories": st.lists(st.sampled_from(cap.CATEGORIES), min_size=1, max_size=3),
        "event": lines,
        "responses": st.lists(st.sampled_from(cap.RESPONSES), max_size=3),
        "urgency": st.sampled_from(cap.URGENCIES[:4]),
        "severity": st.sampled_from(cap.SEVERITIES[:4]),
        "certainty": st.sampled_from(cap.CERTAINTIES[:4]),
        "onset": st.none() | st.integers(NOW, NOW + HOUR_US),
        "expires": st.integers(NOW + 2 * HOUR_US, NOW + 30 * DAY_US),
        "headline": lines,
        "description": both,
        "instruction": both,
        "web": st.sampled_from(["", "https://ioc.example/canh-bao?a=1&b=2"]),
        "contact": line,
        "note": line,
        "communes": st.lists(st.sampled_from([unit.code for unit in communes()] + ["82"]), max_size=4),
        "polygons": polygons,
    }
)


def _submittable(said: dict[str, Any], kind: str) -> Draft | None:
    try:
        made = Draft.model_validate(said)
    except ValueError:
        return None
    return None if problems(made, kind, NOW) else made


@settings(max_examples=80, deadline=None)
@given(drafts, st.sampled_from(["Alert", "Update", "Cancel"]), st.booleans())
def test_every_document_the_composer_can_make_is_valid_and_keeps_what_was_written(
    xsd: Path, signer: Signer, said: dict[str, Any], kind: Any, outlined: bool
) -> None:
    made = _submittable(said, kind)
    assume(made is not None)
    assert made is not None
    references = (Reference("thap-82", "thap-82.1", NOW - HOUR_US),) if kind != "Alert" else ()
    heading = Heading(
        identifier="thap-82.2", sender="thap-82", sender_name={}, sent=NOW, message_type=kind, references=references
    )
    alert = compose(made, heading, _outlines() if outlined else {})
    root = sign(write(alert), signer)
    assert faults(root) == [] == faults_by_file(root, xsd)
    again = parse(to_bytes(root), "document")
    assert read(again, "document") == alert and verify(again).state == "valid"
    for info, language in zip(alert.infos, ("vi", "en"), strict=True):
        assert info.headline.endswith(made.headline.of(language))  # type: ignore[arg-type]
        assert info.areas and all(area.polygons or area.circles for area in info.areas)


@cache
def _outlines() -> dict[str, Any]:
    """Rough outlines with a hole and an island, for half of the communes."""
    made = {}
    for unit in communes()[::2]:
        round_one = shapely.Point(unit.lon, unit.lat).buffer(0.03, quad_segs=100)
        hole = shapely.Point(unit.lon, unit.lat).buffer(0.01)
        island = shapely.Point(unit.lon + 0.05, unit.lat).buffer(0.005)
        made[unit.code] = shapely.union_all([round_one.difference(hole), island])
    return made


def test_an_outline_made_simple_still_covers_the_commune() -> None:
    shapes = _outlines()
    for code in (communes()[0].code, "82"):
        [area] = commune_areas([code], shapes, "vi")
        assert all(4 <= len(ring) <= 210 and ring[0] == ring[-1] for ring in area.polygons)
        covered = shapely.union_all([shapely.Polygon(ring) for ring in area.polygons])
        meant = shapes[code] if code in shapes else shapely.union_all(list(shapes.values()))
        assert meant.difference(covered).area == 0


def test_a_drawn_area_is_named_after_what_it_touches() -> None:
    unit = next(one for one in communes() if one.code == CAO_LANH)
    square = [[unit.lon + x, unit.lat + y] for x, y in ((-0.01, -0.01), (0.01, -0.01), (0.01, 0.01), (-0.01, 0.01))]
    shapes = {CAO_LANH: shapely.Point(unit.lon, unit.lat).buffer(0.03)}
    [area] = drawn_areas([ring_of(square, "polygons.0")], shapes, "en")
    assert "Cao Lãnh ward" in area.description and not area.geocodes
    [nowhere] = drawn_areas([ring_of([[103, 20], [103.1, 20], [103.1, 20.1]], "x")], shapes, "vi")
    assert nowhere.description == "Khu vực khoanh vẽ"


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[105, 10], [106, 10]], "three corners"),
        ([[105, 10], [106, 11], [106, 10], [105, 11]], "not valid"),
        ([[10, 105], [11, 105], [11, 106]], "not lie in Việt Nam"),
        ([[105, 10], [105, 10], [105, 10], [105, 10]], "not valid"),
        ([[float("nan"), 10], [106, 10], [106, 11]], "not lie in Việt Nam"),
    ],
)
def test_a_polygon_that_is_none_is_told(points: list[list[float]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ring_of(points, "polygons.0")


def test_an_incident_gives_a_draft_that_lacks_what_only_a_person_knows() -> None:
    incident = {"title": "Ngập đường", "domain": "water", "severity": 4, "commune": CAO_LANH, "description": "0,4 m"}
    made = from_incident(incident, NOW)
    assert made.severity == "Extreme" and made.communes == [CAO_LANH] and "Met" in made.categories
    assert "Cao Lãnh" in made.headline.vi and made.headline.en.endswith("Cao Lãnh ward")
    assert problems(made, "Alert", NOW) == ["description.en: is empty"]
    bare = from_incident({"commune": "99999", "domain": "?"}, NOW)
    assert bare.communes == [] and bare.headline.en == "Emergency warning"
    cancelled = cancelling(made, NOW)
    assert cancelled.responses == ["AllClear"] and problems(cancelled, "Cancel", NOW)[0].startswith("note")
    assert updating(made) == made


@pytest.mark.parametrize("text", ["a\x00b", "a\x0bb", "\ud800", "\ufffe"])
def test_what_xml_cannot_carry_is_refused_where_it_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"XML|unicode|surrogate"):
        draft(contact=text)
    with pytest.raises(InputError, match="XML"):
        write(Alert(identifier="a", sender="b", sent=NOW, note=text))


# Reading what is not as it should be.


def test_small_slips_of_others_do_not_lose_a_warning() -> None:
    body = to_bytes(write(Alert(identifier="a", sender="b", sent=NOW, infos=(Info(event="lũ"),))))
    for before, after in (
        (b"cap:1.2", b"cap:1.1"),
        (b"+07:00</sent>", b".5Z</sent>"),
        (b"<severity>Unknown", b"<severity>SEVERE!"),
        (b"<category>Other</category>", b""),
        (b"<status>Actual</status>", b""),
    ):
        assert before in body
        root = parse(body.replace(before, after), "document")
        assert faults(root), "it is wrong"
        assert read(root, "document").infos[0].event == "lũ"


def test_references_and_areas_that_cannot_be_read_are_left_out() -> None:
    body = to_bytes(write(Alert(identifier="a", sender="b", sent=NOW, infos=(Info(areas=(Area(description="x"),)),))))
    area = b"<areaDesc>x</areaDesc>"
    broken = (
        b"<polygon>1,2 3</polygon><polygon>1,2 3,4 1,2</polygon><polygon>99,9 1,1 2,2 99,9</polygon><circle>a</circle>"
    )
    root = parse(
        body.replace(area, area + broken).replace(b"</scope>", b"</scope><references>a b,c d,e,f</references>"), "x"
    )
    alert = read(root, "x")
    assert alert.references == () and alert.infos[0].areas == (Area(description="x"),)


# Signatures.


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = open_signer(tmp_path / "run", "thap-82")
    for path in (tmp_path / "run").glob("*.pem"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert open_signer(tmp_path / "run", "other").fingerprint == first.fingerprint
    assert isinstance(first.key, rsa.RSAPrivateKey) and first.key.key_size >= 2048


def test_after_a_crash_between_key_and_certificate_the_key_is_kept(tmp_path: Path) -> None:
    first = open_signer(tmp_path, "thap-82")
    (tmp_path / "warnings.crt.pem").unlink()
    again = open_signer(tmp_path, "thap-82")
    assert again.fingerprint != first.fingerprint and again.key.public_key() == first.key.public_key()


def _files(folder: Path, key: Any, name: str, issuer: Signer | None = None) -> tuple[Path, Path]:
    """A key and its certificate as a centre might be given them."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.now(UTC) - timedelta(days=2))
        .not_valid_after(datetime.now(UTC) + timedelta(days=2))
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    key_path, certificate_path = folder / f"{name}.key", folder / f"{name}.crt"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_path.write_bytes(key.private_bytes(*form))
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key_path, certificate_path


def test_a_configured_key_signs_and_who_issued_its_certificate_vouches(
    tmp_path: Path, signer: Signer, xsd: Path
) -> None:
    own = open_signer(tmp_path, "", *_files(tmp_path, ec.generate_private_key(ec.SECP256R1()), "tinh", signer))
    root = sign(write(Alert(identifier="a", sender="b", sent=NOW)), own)
    assert faults_by_file(root, xsd) == []
    again = parse(to_bytes(root), "x")
    assert verify(again).state == "valid" and verify(again, [signer.certificate]).state == "trusted"
    later = verify(again, at=datetime.now(UTC) + timedelta(days=3))
    assert later.state == "broken" and "valid" in later.reason


def test_a_key_that_is_weak_or_another_s_is_refused(tmp_path: Path) -> None:
    weak = _files(tmp_path, rsa.generate_private_key(public_exponent=65537, key_size=1024), "weak")
    good = _files(tmp_path, ec.generate_private_key(ec.SECP256R1()), "good")
    for key, certificate, words in (
        (*weak, "2048"),
        (good[0], weak[1], "another key"),
        (good[0], None, "belong together"),
        (tmp_path / "none", good[1], "cannot be read"),
        (good[1], good[1], "cannot be read"),
    ):
        with pytest.raises(SettingsError, match=words):
            open_signer(tmp_path, "", key, certificate)


def test_every_change_to_a_signed_document_shows(signer: Signer) -> None:
    said = Info(event="lũ", headline="x", areas=(Area(description="x", circles=(Circle(105, 10, 5),)),))
    body = to_bytes(sign(write(Alert(identifier="a", sender="b", sent=NOW, infos=(said,))), signer))
    assert verify(parse(body, "x")).state == "valid"
    for before, after in (
        ("lũ".encode(), b"x"),
        (b"10,105 5", b"10,105 50"),
        (b"<msgType>Alert", b"<msgType>Cancel"),
        (b"</scope>", b"</scope><note>x</note>"),
        (b'URI=""', b'URI="#a"'),
        (b"rsa-sha256", b"rsa-sha1"),
        (b"X509Certificate>", b"X509Cert>"),
    ):
        assert before in body, before
        assert verify(parse(body.replace(before, after), "x")).state == "broken", before


def test_a_signature_wrapped_around_another_document_is_worth_nothing(signer: Signer) -> None:
    signed = sign(write(Alert(identifier="a", sender="b", sent=NOW)), signer)
    other = write(Alert(identifier="forged", sender="b", sent=NOW))
    other.append(signed)
    assert verify(parse(to_bytes(other), "x")).state == "none"
    other = write(Alert(identifier="forged", sender="b", sent=NOW))
    other.append(signed[-1])
    other[-1].append(write(Alert(identifier="a", sender="b", sent=NOW)))
    assert verify(parse(to_bytes(other), "x")).state == "broken"
