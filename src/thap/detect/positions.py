"""Where in a TOML text each key stands.

The parsers at hand give values but no positions, and a person who mistyped a field in a file of forty rules
wants the line. This walks a text that `tomllib` has already accepted, so it need not judge syntax.
"""

from __future__ import annotations

import tomllib
from typing import NamedTuple

__all__ = ["Path", "Position", "positions"]

Path = tuple[str | int, ...]
"""Keys and list indices from the root, as ("rule", 0, "select", "property")."""


class Position(NamedTuple):
    """Line and column of the first character, counted from 1."""

    line: int
    column: int


def positions(text: str) -> dict[Path, Position]:
    """The position of every key, table header and list element.

    Args:
        text: TOML that `tomllib.loads` takes; anything else gives a result without meaning.
    """
    return _Walk(text).run()


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.found: dict[Path, Position] = {}
        self.tables: dict[Path, int] = {}
        """How many elements each array of tables has so far."""
        self._starts = [0]
        for index, char in enumerate(self.text):
            if char == "\n":
                self._starts.append(index + 1)
        self._line = 0

    def run(self) -> dict[Path, Position]:
        table: Path = ()
        while self._skip(newlines=True):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self.found

    def _mark(self, path: Path, at: int) -> None:
        if self._starts[self._line] > at:
            self._line = 0
        while self._line + 1 < len(self._starts) and self._starts[self._line + 1] <= at:
            self._line += 1
        self.found.setdefault(path, Position(self._line + 1, at - self._starts[self._line] + 1))

    def _skip(self, newlines: bool) -> bool:
        """Past blanks and comments; whether anything is left."""
        blanks = " \t\n" if newlines else " \t"
        while self.at < len(self.text):
            if self.text[self.at] in blanks:
                self.at += 1
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return True
        return False

    def _header(self, brackets: int) -> Path:
        begin = self.at
        self.at += brackets
        keys = self._keys()
        self.at += brackets
        path = self._inside(tuple(key for key, _ in keys[:-1]))
        last = keys[-1][0]
        if brackets == 2:
            number = self.tables.get((*path, last), 0)
            self.tables[*path, last] = number + 1
            path = (*path, last, number)
        else:
            path = (*path, last)
        for length in range(1, len(path) + 1):
            self._mark(path[:length], begin)
        return path

    def _inside(self, keys: tuple[str, ...]) -> Path:
        """Keys of a header as a path: a key that names an array of tables means its latest element."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
        return path

    def _keys(self) -> list[tuple[str, int]]:
        """A key, dotted or not: its parts with where each begins."""
        parts: list[tuple[str, int]] = []
        while True:
            self._skip(newlines=False)
            begin = self.at
            if self.text[self.at] in "\"'":
                self._string()
                parts.append((_unquote(self.text[begin : self.at]), begin))
            else:
                while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "-_"):
                    self.at += 1
                parts.append((self.text[begin : self.at], begin))
            self._skip(newlines=False)
            if self.at >= len(self.text) or self.text[self.at] != ".":
                return parts
            self.at += 1

    def _pair(self, table: Path) -> None:
        path = table
        for key, begin in self._keys():
            path = (*path, key)
            self._mark(path, begin)
        self.at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(newlines=False)
        char = self.text[self.at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._list(path)
        elif char == "{":
            self._inline(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}\n#":
                self.at += 1

    def _list(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self._skip(newlines=True) and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._mark((*path, number), self.at)
            self._value((*path, number))
            number += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._skip(newlines=True) and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(mark)
        while len(mark) == 3 and self.at < len(self.text) and self.text[self.at] == quote:
            self.at += 1  # a string may end in up to two quotes of its own before the closing three


def _unquote(key: str) -> str:
    return key[1:-1] if key[0] == "'" else str(next(iter(tomllib.loads(f"{key} = 0"))))
