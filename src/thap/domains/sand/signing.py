"""Signing the PDF of an evidence pack (PAdES) with a key of a PKCS#12 file, and checking such signatures."""

from __future__ import annotations

import io
import os
from typing import Any

from thap.kernel.errors import SettingsError, UnavailableError
from thap.kernel.settings import Settings

__all__ = ["Signer", "check_signatures", "signer_of"]


class Signer:
    """A key with its certificate.

    Args:
        signer: of pyHanko.
    """

    def __init__(self, signer: Any) -> None:
        self._signer = signer

    def sign(self, pdf: bytes, reason: str) -> bytes:
        """The PDF with an invisible signature (SHA-256, PAdES baseline B).

        Raises:
            UnavailableError: the signing failed.
        """
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
        from pyhanko.sign import fields, signers

        meta = signers.PdfSignatureMetadata(
            field_name="Thap", md_algorithm="sha256", reason=reason, subfilter=fields.SigSeedSubFilter.PADES
        )
        try:
            done = signers.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(pdf)), meta, self._signer)
        except Exception as error:  # of many libraries below
            raise UnavailableError(
                f"the report cannot be signed: {error}", where="evidence.key", hint="see whether the key fits"
            ) from None
        return bytes(done.getvalue())


def signer_of(settings: Settings) -> Signer | None:
    """The signer that the settings name; None for none.

    Raises:
        SettingsError: its file or its passphrase does not fit.
    """
    path = settings.evidence.key
    if path is None:
        return None
    from pyhanko.sign.signers import SimpleSigner

    path = path if path.is_absolute() else settings.data / path
    name = settings.evidence.passphrase_env
    passphrase = os.environ.get(name, "")
    if not path.is_file():
        raise SettingsError("there is no such file", where=f"evidence.key = {path}", hint="name a PKCS#12 file")
    made = SimpleSigner.load_pkcs12(str(path), passphrase=passphrase.encode() or None)  # type: ignore[no-untyped-call]
    if made is None:
        raise SettingsError(
            "the key cannot be opened", where="evidence.key", hint=f"put its passphrase into the environment as {name}"
        )
    return Signer(made)


def check_signatures(pdf: bytes, name: str) -> list[dict[str, Any]]:
    """Who signed a PDF, and whether it is still what was signed. Whether the signer is to be trusted is for people: a
    chain to a root is not asked for."""
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    found = []
    try:
        reader = PdfFileReader(io.BytesIO(pdf), strict=False)
        for signature in reader.embedded_signatures:
            context = ValidationContext(trust_roots=[signature.signer_cert], allow_fetching=False)
            status = validate_pdf_signature(signature, context)
            found.append(
                {
                    "file": name,
                    "signer": signature.signer_cert.subject.human_friendly,
                    "serial": str(signature.signer_cert.serial_number),
                    "time": str(signature.self_reported_timestamp or ""),
                    "intact": bool(status.intact and status.valid),
                }
            )
    except Exception as error:  # a broken PDF breaks many libraries in many ways
        unread = {"file": name, "signer": "", "serial": "", "time": "", "intact": False}
        found.append({**unread, "problem": str(error)[:200]})
    return found
