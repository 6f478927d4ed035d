"""Numbers a domain decides by: each with its unit, bounds, source and confidence, and changed only as a new version.

A domain ships `parameters.toml` in its package:

    [dredge_speed_kn]
    title = { vi = "Tốc độ khi hút", en = "Speed while dredging" }
    value = 1.0
    unit = "kn"
    low = 0.1
    high = 5.0
    source = "< 2 km/h in a mine for 15 min: a proposal, to be tuned by the province"
    confidence = "L"

What the province sets instead is a record (`thap.domains.parameter_records`); the newest of a name is in force, and
every older one is kept, so that whatever was decided can be decided again.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from thap.domains.domain import Domain
from thap.kernel.errors import InputError, NotFoundError, SettingsError

__all__ = ["Confidence", "Parameter", "Parameters", "shipped_parameters"]

Confidence = Literal["H", "M", "L"]
"""H read in its source, M partly read or recalled, L recalled or a proposal."""
_KEYS = frozenset({"title", "value", "unit", "low", "high", "source", "confidence"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number, as it is in force."""

    name: str
    title: Mapping[str, str]
    """By language: `vi` and `en`."""
    value: float
    unit: str
    """As written beside the value; '' for a pure number."""
    low: float
    high: float
    """Bounds of what may be set, both allowed."""
    source: str
    """Where the value is from, shown beside it."""
    confidence: Confidence
    version: int = 0
    """0: as shipped; else the version of the record that set it."""

    def check(self, value: float) -> float:
        """The value, where it may be set.

        Raises:
            InputError: it is outside the bounds, or no finite number.
        """
        if not math.isfinite(value) or not self.low <= value <= self.high:
            raise InputError(
                f"{value:g} is not allowed", where=self.name, hint=f"between {self.low:g} and {self.high:g} {self.unit}"
            )
        return value


class Parameters(Mapping[str, float]):
    """The parameters of a domain in force: a mapping of name to value.

    Args:
        known: each parameter by name.
    """

    def __init__(self, known: Mapping[str, Parameter]) -> None:
        self.known = dict(known)

    def __getitem__(self, name: str) -> float:
        return self.known[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    @property
    def version(self) -> int:
        """Changes with every change: the sum of all versions, to be kept as evidence of what was decided by."""
        return sum(one.version for one in self.known.values())

    def one(self, name: str) -> Parameter:
        """A parameter with all that is known of it.

        Raises:
            NotFoundError: there is none of that name.
        """
        if name not in self.known:
            near = difflib.get_close_matches(name, self.known, 1, 0.6)
            raise NotFoundError(
                f"there is no parameter {name[:64]!r}",
                where="name",
                hint=f"did you mean {near[0]!r}?" if near else None,
            )
        return self.known[name]

    def with_values(self, values: Mapping[str, tuple[float | None, str, int]]) -> Parameters:
        """The same with others in force.

        Args:
            values: name → value (None: as shipped again), source, version. Names unknown here are left out.
        """
        made = dict(self.known)
        for name, (value, source, version) in values.items():
            if name in made:
                kept = made[name]
                made[name] = (
                    replace(kept, version=version)
                    if value is None
                    else replace(kept, value=value, source=source, confidence="H", version=version)
                )
        return Parameters(made)


@cache
def _read(package: str, file: str) -> Parameters:
    where = f"{package}/{file}"
    try:
        body: dict[str, Any] = tomllib.loads(resources.files(package).joinpath(file).read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"not valid TOML: {error}", where=where) from None
    found = {}
    for name, entry in body.items():
        if not isinstance(entry, dict) or set(entry) != _KEYS:
            raise SettingsError(f"parameter {name}: give {', '.join(sorted(_KEYS))}, all of them", where=where)
        if not {"vi", "en"} <= entry["title"].keys() or entry["confidence"] not in ("H", "M", "L"):
            raise SettingsError(f"parameter {name}: a title in vi and en, a confidence of H, M or L", where=where)
        value, low, high = (float(entry[key]) for key in ("value", "low", "high"))
        found[name] = Parameter(
            name, entry["title"], value, entry["unit"], low, high, entry["source"], entry["confidence"]
        )
        found[name].check(value)
    return Parameters(found)


def shipped_parameters(domain: Domain) -> Parameters:
    """The parameters of a domain as shipped; none where it has no file.

    Raises:
        SettingsError: its file has a mistake.
    """
    return _read(domain.package, domain.parameters) if domain.parameters else Parameters({})
