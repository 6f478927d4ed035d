"""What the detector of the live centre finds, as it goes to the part that keeps it: written here, and read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from thap.detect.detector import Finding
from thap.detect.findings import read_findings
from thap.domains.sand.model import Stay, Trip, Violation

__all__ = ["Found", "finding_of", "read_found"]

_KINDS: dict[str, type[Stay | Trip | Violation]] = {"stay": Stay, "trip": Trip, "violation": Violation}
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """A stay, a trip or a violation, and by what it was judged."""

    one: Stay | Trip | Violation
    clock: int
    """Of the stream of positions when it was found: event time, µs, whole minutes."""
    book_version: int
    """Of the register that it was judged by."""
    parameters: Mapping[str, float]
    """That it was judged by; told with violations only."""


def finding_of(found: Found) -> Finding:
    """As detectors hand it on."""
    what = _NAMES[type(found.one)]
    parameters = dict(found.parameters) if what == "violation" else {}
    body = msgspec.msgpack.encode((found.clock, found.book_version, parameters, found.one))
    return Finding("sand", what, body)


def read_found(payload: bytes) -> list[Found]:
    """What one message of the stream of findings holds, in order.

    Raises:
        ValueError: it is no such message, or its findings are none of this domain.
    """
    found = []
    for what, body in read_findings(payload):
        decoder = _DECODERS.get(what)
        if decoder is None:
            raise ValueError(f"a finding that is {what!r}")
        try:
            clock, version, parameters, one = decoder.decode(body)
        except msgspec.DecodeError as error:
            raise ValueError(f"{what}: {error}") from None
        found.append(Found(one, clock, version, parameters))
    return found


_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    name: msgspec.msgpack.Decoder(tuple[int, int, dict[str, float], kind])  # type: ignore[valid-type]
    for name, kind in _KINDS.items()
}
