"""Signing CAP documents (XML signature, enveloped), and what can be said of the signatures of others.

The key is the configured one, or is made at first use in the centre's run folder together with a certificate signed
by itself, so that a warning is never unsigned. Who wants to trust it is given the certificate by another way.

RSA ≥ 2048 or ECDSA P-256 with SHA-256. Source: Việt Nam's draft annex to TT 15/2025 (facts.md §5, H/M); W3C XML
Signature 1.1.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from thap.kernel.errors import SettingsError
from thap.respond.warnings.schema import SIGNATURE

__all__ = ["Signer", "Verdict", "open_signer", "read_certificates", "sign", "verify"]

KEY_FILE, CERTIFICATE_FILE = "warnings.key.pem", "warnings.crt.pem"
_LIFE = timedelta(days=10 * 365)
_METHODS = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate, to be given to those who check."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a document's signature is worth."""

    state: Literal["none", "broken", "valid", "trusted"]
    """`valid`: the document is what was signed, by a key nobody here vouches for; `trusted`: somebody does."""
    signer: str = ""
    """Subject of the certificate."""
    fingerprint: str = ""
    reason: str = ""
    """Why it is broken."""


def open_signer(run_dir: Path, name: str, key: Path | None = None, certificate: Path | None = None) -> Signer:
    """The centre's key and certificate.

    Args:
        run_dir: where they are made, with mode 0600, if none are configured and none are there.
        name: subject of a certificate that is made.
        key: PEM file of a configured key, without passphrase.
        certificate: PEM file of its certificate.

    Raises:
        SettingsError: a file cannot be read, the two do not belong together, or the key is too weak.
    """
    if key is None and certificate is None:
        key, certificate = _made(run_dir, name)
    if key is None or certificate is None:
        raise SettingsError("`warnings.key` and `warnings.certificate` belong together", hint="set both, or neither")
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"the key of warnings cannot be read: {error}", where=f"{key}, {certificate}") from None
    if not isinstance(loaded, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)) or _weak(loaded):
        raise SettingsError("the key is neither RSA of 2048 bits or more nor ECDSA P-256", where=str(key))
    if loaded.public_key() != found.public_key():
        raise SettingsError("the certificate belongs to another key", where=str(certificate))
    return Signer(loaded, found)


def _weak(key: Key) -> bool:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.key_size < 2048
    return not isinstance(key.curve, ec.SECP256R1)


def _made(run_dir: Path, name: str) -> tuple[Path, Path]:
    """Both files, made if they are not there: by one process, whole or not at all."""
    key_path, certificate_path = run_dir / KEY_FILE, run_dir / CERTIFICATE_FILE
    if key_path.exists() and certificate_path.exists():
        return key_path, certificate_path
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (run_dir / "warnings.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not key_path.exists():
            made = rsa.generate_private_key(public_exponent=65537, key_size=3072)
            body = made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write(key_path, body)
        if not certificate_path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
            assert isinstance(key, rsa.RSAPrivateKey)
            _write(certificate_path, _self_signed(key, name).public_bytes(serialization.Encoding.PEM))
    return key_path, certificate_path


def _write(path: Path, body: bytes) -> None:
    passing = path.with_suffix(f".{os.getpid()}")
    passing.unlink(missing_ok=True)
    with open(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    passing.rename(path)


def _self_signed(key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
        .sign(key, hashes.SHA256())
    )


_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def sign(root: etree._Element, signer: Signer) -> etree._Element:
    """The document with an enveloped signature as its last element; the one given is left as it is."""
    method = SignatureMethod.RSA_SHA256 if isinstance(signer.key, rsa.RSAPrivateKey) else SignatureMethod.ECDSA_SHA256
    made = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=method,
        digest_algorithm=DigestAlgorithm.SHA256,
    )
    return made.sign(root, key=signer.key, cert=[signer.certificate])


def read_certificates(paths: Sequence[Path]) -> list[x509.Certificate]:
    """The certificates in PEM files.

    Raises:
        SettingsError: one cannot be read.
    """
    found: list[x509.Certificate] = []
    for path in paths:
        try:
            found += x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"the certificate cannot be read: {error}", where=str(path)) from None
    return found


def verify(root: etree._Element, trusted: Sequence[x509.Certificate] = (), at: datetime | None = None) -> Verdict:
    """What the signature of a document is worth. Nothing it contains makes this raise.

    Args:
        root: the alert.
        trusted: certificates of signers, or of those who issued theirs.
        at: for when the certificate must be in force; by default now.
    """
    signatures = root.findall(f"{{{SIGNATURE}}}Signature")
    if not signatures:
        return Verdict("none")
    signer = fingerprint = ""
    try:
        if len(signatures) > 1:
            raise ValueError("it has more than one signature")
        references = signatures[0].findall(f".//{{{SIGNATURE}}}SignedInfo/{{{SIGNATURE}}}Reference")
        if [reference.get("URI") for reference in references] != [""]:
            raise ValueError("it does not cover the whole document")
        text = signatures[0].findtext(f".//{{{SIGNATURE}}}X509Certificate")
        if not text:
            raise ValueError("it does not carry its certificate")
        body = f"-----BEGIN CERTIFICATE-----\n{text.strip()}\n-----END CERTIFICATE-----\n"
        certificate = x509.load_pem_x509_certificate(body.encode())
        signer = certificate.subject.rfc4514_string()[:300]
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        config = SignatureConfiguration(
            location="./", signature_methods=_METHODS, digest_algorithms=_DIGESTS, verification_time=at
        )
        XMLVerifier().verify(root, x509_cert=certificate, expect_config=config)
    except (SignXMLException, ValueError, TypeError, KeyError, AttributeError, etree.LxmlError) as error:
        return Verdict("broken", signer, fingerprint, str(error)[:300] or type(error).__name__)
    return Verdict("trusted" if _vouched(certificate, trusted) else "valid", signer, fingerprint)


def _vouched(certificate: x509.Certificate, trusted: Sequence[x509.Certificate]) -> bool:
    for one in trusted:
        if one == certificate:
            return True
        try:
            certificate.verify_directly_issued_by(one)
        except Exception:  # of many kinds; whatever it is, this one does not vouch
            continue
        return True
    return False
