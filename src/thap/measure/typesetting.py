"""PDFs set by typst from a form in a package and plain values."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from thap.kernel.errors import UnavailableError

__all__ = ["Language", "printable", "set_pdf"]

Language = Literal["vi", "en"]
# What no font draws and no text needs: control characters but line breaks and tabs.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")


def set_pdf(package: str, form: str, language: Language, where: str, **values: Any) -> bytes:
    """The PDF (tagged, fonts embedded). Takes some tens of milliseconds of one core: call it in a thread.

    Args:
        package, form: where the form is, a typst file.
        language: of the document; the form's input `language`.
        where: what to call it in the error.
        values: each an input of the form, as JSON.

    Raises:
        UnavailableError: the typesetter refused it; the message says where.
    """
    import typst

    text = resources.files(package).joinpath(form).read_bytes()
    inputs = {name: json.dumps(printable(value), ensure_ascii=False) for name, value in values.items()}
    with tempfile.TemporaryDirectory(prefix="thap-report-") as folder:  # nothing beside it can be read
        path = Path(folder) / "report.typ"
        path.write_bytes(text)
        try:
            return bytes(
                typst.compile(
                    str(path), root=folder, ignore_system_fonts=True, sys_inputs={**inputs, "language": language}
                )
            )
        except (RuntimeError, ValueError) as error:
            raise UnavailableError(f"the report cannot be set: {error}", where=where) from None


def printable(part: Any) -> Any:
    """The same values with what no font draws replaced."""
    if isinstance(part, str):
        return _UNPRINTABLE.sub("\ufffd", part)
    if isinstance(part, dict):
        return {name: printable(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [printable(value) for value in part]
    return part
