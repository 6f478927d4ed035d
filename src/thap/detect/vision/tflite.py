"""A TFLite detector without its last operator.

Detectors exported for phones end in `TFLite_Detection_PostProcess`, which OpenVINO does not know and which keeps 25
boxes of a picture. What it takes (box codes, scores) is all that is needed, so the graph is made to end there: in the
FlatBuffer (github.com/tensorflow/tensorflow, lite/schema/schema.fbs) two lengths and two numbers change.
"""

from __future__ import annotations

import struct

from thap.kernel.errors import CorruptError

__all__ = ["ends_in_post_process", "without_post_process"]

_NAME = b"TFLite_Detection_PostProcess"
# Numbers of fields in the tables Model, SubGraph, Operator and OperatorCode of the schema.
_CODES, _SUBGRAPHS = 1, 2
_OUTPUTS, _OPERATORS = 2, 3
_OPCODE, _TAKES = 0, 1
_CUSTOM = 1


def ends_in_post_process(model: bytes) -> bool:
    """Whether a TFLite file ends in that operator."""
    return _find(model) is not None


def without_post_process(model: bytes) -> bytes:
    """The same file whose outputs are the box codes and the scores that the last operator would have taken.

    Raises:
        CorruptError: it is no TFLite file that ends in this operator.
    """
    found = _find(model)
    if found is None:
        raise CorruptError("no TFLite detector that ends in TFLite_Detection_PostProcess", where="model")
    operators, outputs, first, second = found
    made = bytearray(model)
    struct.pack_into("<I", made, operators, struct.unpack_from("<I", made, operators)[0] - 1)
    struct.pack_into("<Iii", made, outputs, 2, first, second)
    return bytes(made)


def _find(model: bytes) -> tuple[int, int, int, int] | None:
    """Where the vectors of operators and of outputs are, and the tensors of box codes and scores."""
    try:
        root = _follow(model, 0)
        graph = _element(model, _vector(model, root, _SUBGRAPHS), 0)
        operators, outputs = _vector(model, graph, _OPERATORS), _vector(model, graph, _OUTPUTS)
        count = struct.unpack_from("<I", model, operators)[0]
        last = _element(model, operators, count - 1)
        place = _field(model, last, _OPCODE)
        code = _element(model, _vector(model, root, _CODES), struct.unpack_from("<I", model, place)[0] if place else 0)
        name = _vector(model, code, _CUSTOM)
        if model[name + 4 : name + 4 + len(_NAME)] != _NAME or struct.unpack_from("<I", model, outputs)[0] < 2:
            return None
        first, second = struct.unpack_from("<ii", model, _vector(model, last, _TAKES) + 4)
    except (struct.error, LookupError):
        return None
    return operators, outputs, first, second


def _follow(data: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table is; 0 where it has none."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, layout)[0]:
        return 0
    offset = struct.unpack_from("<H", data, layout + 4 + 2 * number)[0]
    return int(table + offset) if offset else 0


def _vector(data: bytes, table: int, number: int) -> int:
    place = _field(data, table, number)
    if not place:
        raise LookupError(number)
    return _follow(data, place)


def _element(data: bytes, vector: int, number: int) -> int:
    if not 0 <= number < struct.unpack_from("<I", data, vector)[0]:
        raise LookupError(number)
    return _follow(data, vector + 4 + 4 * number)
