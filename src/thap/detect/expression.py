"""Conditions over several values, as `level > 1.8 and (rain_1h > 20 or rain_24h > 80)`.

The language is the part of Python that compares and computes numbers: names, numbers, `+ - * /`, comparisons
(also chained), `and`, `or`, `not`, and `abs`, `min`, `max`. Nothing else is reachable. A value that is not
known makes whatever needs it unknown: `a > 1 or b > 2` is true of a = 5 even without b.
"""

from __future__ import annotations

import ast
import bisect
import math
from collections.abc import Callable, Mapping

__all__ = ["Expression"]

Values = Mapping[str, float | None]
Why = tuple[bool | None, frozenset[str]]
"""A truth, and names that alone bring it about: as long as their comparisons stay, so does it."""
_Number = Callable[[Values], float | None]
_Truth = Callable[[Values], Why]
_NOBODY: frozenset[str] = frozenset()
_CALLS: dict[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}
_LONGEST = 1000


class Expression:
    """A parsed condition. Immutable.

    Args:
        text: the condition.

    Raises:
        ValueError: it is not one; the message says what and at which column.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        if len(self.text) > _LONGEST:
            raise ValueError(f"a condition has at most {_LONGEST} characters")
        try:
            tree = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"not a condition, at column {error.offset or 1}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError):
            raise ValueError("not a condition") from None
        names: dict[str, None] = {}
        self._breaks: dict[str, set[float]] = {}
        self._tied: set[str] = set()
        # Where it may fail, each value decides whether it does.
        self._divides = any(isinstance(node, ast.Div) for node in ast.walk(tree))
        try:
            self._judge = self._truth(tree, names)
        except RecursionError:
            raise ValueError("the condition is nested too deeply") from None
        self.names = tuple(names)
        """The names it uses, in order of appearance."""
        if not self.names:
            raise ValueError("the condition names no datastream")
        self._edges = {name: sorted(values) for name, values in self._breaks.items()}

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __call__(self, values: Values) -> bool | None:
        """Whether the condition holds; None if it cannot be known. A value is None where it is not known.

        Raises:
            ZeroDivisionError: it divides by zero.
        """
        return self._judge(values)[0]

    def why(self, values: Values) -> Why:
        """The truth, and the names that alone bring it about; all of them where it is not known.

        Whatever the other values become, and whether they are known, the truth stays while each of these keeps
        within its `band`. Raises as calling it does.
        """
        truth, names = self._judge(values)
        return truth, frozenset(self.names) if truth is None or self._divides else names

    def band(self, name: str, value: float) -> tuple[float, float]:
        """A closed range around a value of `name` within which no comparison changes, whatever the others are."""
        if name in self._tied:
            return value, value
        edges = self._edges.get(name, [])
        at = bisect.bisect_left(edges, value)
        if at < len(edges) and edges[at] == value:
            return value, value
        low = math.nextafter(edges[at - 1], math.inf) if at else -math.inf
        high = math.nextafter(edges[at], -math.inf) if at < len(edges) else math.inf
        return low, high

    # ---- building

    def _truth(self, node: ast.expr, names: dict[str, None]) -> _Truth:
        if isinstance(node, ast.BoolOp):
            return _joined([self._truth(part, names) for part in node.values], isinstance(node.op, ast.Or))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(node.operand, names)

            def negate(values: Values) -> Why:
                known, by = inner(values)
                return (None if known is None else not known), by

            return negate
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            numbers = [self._number(side, names) for side in sides]
            parts = []
            for at, operator in enumerate(node.ops):
                compare = _COMPARE.get(type(operator))
                if compare is None:
                    raise self._refuse(node, "compare with < <= > >= == or !=")
                self._note(sides[at], sides[at + 1])
                by = frozenset(
                    part.id
                    for side in sides[at : at + 2]
                    for part in ast.walk(side)
                    if isinstance(part, ast.Name) and part.id in names
                )
                parts.append(_comparison(compare, numbers[at], numbers[at + 1], by))
            return parts[0] if len(parts) == 1 else _joined(parts, False)
        raise self._refuse(node, "a condition compares numbers, as level > 1.8")

    def _number(self, node: ast.expr, names: dict[str, None]) -> _Number:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            constant = float(node.value)  # type: ignore[arg-type]
            if not math.isfinite(constant):
                raise self._refuse(node, "the number is too large")
            return lambda values: constant
        if isinstance(node, ast.Name):
            name = node.id
            names[name] = None
            return lambda values: values[name]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return _lift(_SIGN[type(node.op)], [self._number(node.operand, names)])
        if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTE:
            return _lift(_COMPUTE[type(node.op)], [self._number(node.left, names), self._number(node.right, names)])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            call = _CALLS.get(node.func.id)
            if call is None:
                raise self._refuse(node, f"{node.func.id} is not known here; there are {', '.join(_CALLS)}")
            if len(node.args) < 1 or (call is abs) != (len(node.args) == 1):
                need = "one number" if call is abs else "two or more numbers"
                raise self._refuse(node, f"{node.func.id} takes {need}")
            return _lift(call, [self._number(argument, names) for argument in node.args])
        raise self._refuse(
            node, "only names, numbers, + - * /, comparisons, and, or, not, abs, min, max are known here"
        )

    def _note(self, left: ast.expr, right: ast.expr) -> None:
        """Remember where a comparison changes: at a number, if it sets one name against one number."""
        for side, other in ((left, right), (right, left)):
            if isinstance(side, ast.Name):
                number = _constant(other)
                if number is not None:
                    self._breaks.setdefault(side.id, set()).add(number)
                    return
        for side in (left, right):
            self._tied.update(node.id for node in ast.walk(side) if isinstance(node, ast.Name))

    def _refuse(self, node: ast.expr, message: str) -> ValueError:
        return ValueError(f"column {node.col_offset + 1} of the condition: {message}")


def _constant(node: ast.expr) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _constant(node.operand)
        return None if number is None else _SIGN[type(node.op)](number)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]
    return None


def _joined(parts: list[_Truth], decisive: bool) -> _Truth:
    """`or` if True is decisive, `and` if False is."""

    def judge(values: Values) -> Why:
        known: bool | None = not decisive
        everybody = _NOBODY
        for part in parts:
            truth, by = part(values)
            if truth is decisive:
                return truth, by
            if truth is None:
                known = None
            everybody |= by
        return known, everybody

    return judge


def _lift(function: Callable[..., float], parts: list[_Number]) -> _Number:
    def compute(values: Values) -> float | None:
        numbers = [part(values) for part in parts]
        return None if None in numbers else function(*numbers)

    return compute


def _comparison(test: Callable[[float, float], bool], left: _Number, right: _Number, by: frozenset[str]) -> _Truth:
    def judge(values: Values) -> Why:
        a, b = left(values), right(values)
        return (None if a is None or b is None else test(a, b)), by

    return judge


_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
_COMPUTE: dict[type[ast.operator], Callable[..., float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_SIGN: dict[type[ast.unaryop], Callable[..., float]] = {ast.USub: lambda a: -a, ast.UAdd: lambda a: a}
