"""What columns are called in the tables of offices and miners: the names are in `columns.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources

from thap.domains.sand.entries import Noun
from thap.domains.sand.writing_styles import fold

__all__ = ["COLUMNS", "DECLARED", "known_names", "match_columns", "usual_names"]

Names = Mapping[str, tuple[str, ...]]


def _read() -> dict[str, dict[str, tuple[str, ...]]]:
    text = resources.files("thap.domains.sand").joinpath("columns.toml").read_text("utf-8")
    return {
        table: {field: tuple(name.strip() for name in names.split(",")) for field, names in fields.items()}
        for table, fields in tomllib.loads(text).items()
    }


_TABLES = _read()
COLUMNS: Mapping[Noun, Names] = {
    "licence": {**_TABLES["licence"], **_TABLES["dates"], **_TABLES["document"], **_TABLES["outline"]},
    "vessel": {**_TABLES["vessel"], **_TABLES["document"]},
    "wharf": {**_TABLES["wharf"], **_TABLES["document"], **_TABLES["outline"]},
    "zone": {**_TABLES["zone"], **_TABLES["dates"], **_TABLES["document"], **_TABLES["outline"]},
}
"""By what an entry calls a field. A zone with a distance from the bank is a bank."""
DECLARED: Names = {**_TABLES["declared"], **_TABLES["document"]}
"""Of the book in which a miner declares quantities."""


def known_names(columns: Names) -> frozenset[str]:
    """All names that a column may have, folded."""
    return frozenset(name for names in columns.values() for name in names) | frozenset(map(fold, columns))


def usual_names(columns: Names) -> str:
    """The usual name of each column, for a hint."""
    return ", ".join(names[0] for names in columns.values())


def match_columns(given: Iterable[str], columns: Names) -> dict[str, str]:
    """Field by column of the file. Where two columns could be one field, the better name has it."""
    best: dict[str, tuple[int, str]] = {}
    for column in given:
        folded = fold(column)
        for field, names in columns.items():
            if folded == fold(field):
                rank = -1
            elif folded in names:
                rank = names.index(folded)
            else:
                continue
            if field not in best or rank < best[field][0]:
                best[field] = (rank, column)
    taken: dict[str, tuple[int, str]] = {}
    for field, (rank, column) in best.items():  # a name that two fields know goes to the one that knows it better
        if column not in taken or rank < taken[column][0]:
            taken[column] = (rank, field)
    return {column: field for column, (_, field) in taken.items()}
