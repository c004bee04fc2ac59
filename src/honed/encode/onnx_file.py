"""ONNX files without the onnx package: what a graph does is read before it is loaded, its weights can be mapped.

The wire format is protobuf (field numbers from onnx.proto3); only what is needed is read.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.tensors import Array, map_file

PRECISIONS = ("fp32", "bf16", "int8")
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
ALIGNMENT = 64
_DTYPES: Mapping[int, np.dtype[np.generic]] = {  # ONNX's number of a type -> numpy's
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    7: np.dtype("<i8"),
    10: np.dtype("<f2"),
}
_BF16 = 16
_CONTROL = frozenset({"Loop", "If", "Scan", "SequenceMap", "RandomNormal", "RandomUniform"})
_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})

# field numbers: ModelProto.graph, GraphProto.{node, initializer, input, output, sparse_initializer}, ...
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE = 1, 5, 11, 12, 15
_DIMS, _TYPE, _NAME, _RAW, _DOC, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 12, 13, 14
_Bytes: TypeAlias = mmap.mmap | bytes


# (number of the field, where it begins, where its value begins, where it ends); of a varint the last is its value.
# Plain tuples, as a model has thousands of them and is read before the first answer.
_Field: TypeAlias = tuple[int, int, int, int]


class Tensor(NamedTuple):
    """Where an initializer lies in the file; ``dtype`` is ONNX's number."""

    dtype: int
    shape: tuple[int, ...]
    begin: int
    end: int
    external: bool


class OnnxFile(NamedTuple):
    """The outline of an ONNX file: its weights, operators, inputs and outputs.

    ``external`` tells whether it refers to other files, ``nested`` whether it holds functions, sparse tensors or graphs
    within the graph; ``data`` is the file itself.
    """

    tensors: Mapping[str, Tensor]
    operators: frozenset[tuple[str, str]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    external: bool
    nested: bool
    data: _Bytes

    def array(self, name: str) -> Array:
        """Return an initializer as a read-only array over the file; one of bf16 is copied to float32."""
        tensor = self.tensors[name]
        if tensor.dtype == _BF16:
            raw = np.frombuffer(self.data, dtype="<u2", count=(tensor.end - tensor.begin) // 2, offset=tensor.begin)
            return (raw.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
        dtype = _DTYPES[tensor.dtype]
        count = (tensor.end - tensor.begin) // dtype.itemsize
        return np.frombuffer(self.data, dtype=dtype, count=count, offset=tensor.begin).reshape(tensor.shape)


def _varint(data: _Bytes, at: int) -> tuple[int, int]:
    """Return (the number that begins at a place, the place after it)."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: _Bytes, begin: int, end: int) -> Iterator[_Field]:
    """Yield the fields of a message that lies in ``data[begin:end]``."""
    at = begin
    while at < end:
        first = at
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, first)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, first, at, value
            continue
        length = {1: 8, 5: 4}.get(kind, -1)
        if kind == 2:
            length = data[at]
            at += 1
            if length > 127:
                length, at = _varint(data, at - 1)
        if length < 0 or at + length > end:
            raise ValueError("a field runs over the end")
        yield key >> 3, first, at, at + length
        at += length
    if at != end:
        raise ValueError("a field runs over the end")


def _text(data: _Bytes, begin: int, end: int) -> str:
    return bytes(data[begin:end]).decode()


def read_onnx(path: Path) -> OnnxFile:
    """Read the outline of an ONNX file over a memory map; `ArtifactError` when it is damaged."""
    try:
        return _outline(map_file(path))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ArtifactError("E_BUNDLE_FORMAT", f"{path}: no readable ONNX file: {error}") from error


def _outline(data: _Bytes) -> OnnxFile:
    model = list(_fields(data, 0, len(data)))
    graphs = [(begin, end) for number, _, begin, end in model if number == _GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs")
    tensors: dict[str, Tensor] = {}
    operators: set[tuple[str, str]] = set()
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
    nested = any(number == _FUNCTIONS for number, *_ in model)
    external = False
    for number, _, begin, end in _fields(data, *graphs[0]):
        if number == _INITIALIZER:
            name, tensor = _tensor(data, begin, end)
            tensors[name] = tensor
            external |= tensor.external
        elif number == _NODE:
            operator, has_graph, has_file = _node(bytes(data[begin:end]))
            operators.add(operator)
            nested |= has_graph
            external |= has_file
        elif number in names:
            names[number].append(_value_name(data, begin, end))
        nested |= number == _SPARSE
    return OnnxFile(
        tensors=tensors,
        operators=frozenset(operators),
        inputs=tuple(names[_INPUT]),
        outputs=tuple(names[_OUTPUT]),
        external=external,
        nested=nested,
        data=data,
    )


def _value_name(data: _Bytes, begin: int, end: int) -> str:
    """Return the name of an input or output, its first field."""
    return next(_text(data, value, stop) for number, _, value, stop in _fields(data, begin, end) if number == 1)


def _tensor(data: _Bytes, begin: int, end: int) -> tuple[str, Tensor]:
    """Return the name and the place of a tensor whose message lies in ``data[begin:end]``."""
    name, dtype, raw, external = "", 0, (0, 0), False
    shape: list[int] = []
    for number, first, value, stop in _fields(data, begin, end):
        if number == _DIMS:
            is_packed = data[first] & 7 == 2
            shape.extend(_packed(data, value, stop) if is_packed else [stop])
        elif number == _TYPE:
            dtype = stop
        elif number == _NAME:
            name = _text(data, value, stop)
        elif number == _RAW:
            raw = (value, stop)
        elif number == _EXTERNAL or (number == _LOCATION and stop != 0):
            external = True
    size = 2 if dtype == _BF16 else _DTYPES[dtype].itemsize if dtype in _DTYPES else 0
    if raw != (0, 0) and size and int(np.prod(shape, dtype=np.int64)) * size != raw[1] - raw[0]:
        raise ValueError(f"the initializer {name} does not fit its shape")
    return name, Tensor(dtype=dtype, shape=tuple(shape), begin=raw[0], end=raw[1], external=external)


def _packed(data: _Bytes, begin: int, end: int) -> Iterator[int]:
    while begin < end:
        value, begin = _varint(data, begin)
        yield value


def _node(data: bytes) -> tuple[tuple[str, str], bool, bool]:
    """Return ((domain, operator), has a graph inside, has a tensor outside)."""
    operator = domain = ""
    nested = external = False
    for number, _, begin, end in _fields(data, 0, len(data)):
        if number == 4:
            operator = _text(data, begin, end)
        elif number == 7:
            domain = _text(data, begin, end)
        elif number == 5:
            for kind, _, value, stop in _fields(data, begin, end):
                nested |= kind in (6, 11, 22, 23)  # graphs and sparse tensors
                external |= kind in (5, 10) and _tensor(data, value, stop)[1].external
    return (domain, operator), nested, external


def check_onnx(outline: OnnxFile, shown: str) -> None:
    """Refuse a graph that reads other files, loops, or is no text encoder; nothing of it has run by then.

    Raises `ArtifactError`; ``shown`` is the file as messages name it.
    """
    if outline.external:
        raise ArtifactError("E_BUNDLE_FORMAT", f"{shown}: external data: a model must be one file")
    foreign = sorted({f"{domain}:{name}" for domain, name in outline.operators if domain not in _DOMAINS})
    control = sorted({name for _, name in outline.operators} & _CONTROL)
    if outline.nested or control or foreign:
        what = ", ".join([*control, *foreign]) or "graphs within the graph"
        raise ArtifactError("E_BUNDLE_FORMAT", f"{shown}: {what}: loops, functions and foreign operators are refused")
    if set(outline.inputs) - set(outline.tensors) != set(INPUTS) or outline.outputs != (OUTPUT,):
        raise ArtifactError(
            "E_BUNDLE_MODEL_IO",
            f"{shown}: takes {', '.join(outline.inputs)} and gives {', '.join(outline.outputs)}; wanted: "
            f"{', '.join(INPUTS)} to {OUTPUT} of (n_texts, dim)",
        )


def aligned(model: bytes) -> bytes:
    """Return the same model with the bytes of every initializer on a 64-byte boundary of the file.

    A memory map then gives arrays that need no copy. Between the fields of a tensor its doc string serves as filling.
    """
    _, start, begin, end = next(field for field in _fields(model, 0, len(model)) if field[0] == _GRAPH)
    before, after = model[:start], model[end:]
    parts = list(_fields(model, begin, end))
    rest = b"".join(model[first:stop] for number, first, _, stop in parts if number != _INITIALIZER)
    tensors = [model[value:stop] for number, _, value, stop in parts if number == _INITIALIZER]
    body = b""
    for header in (len(before) + 1 + width for width in range(1, 9)):
        body = _aligned_graph(header, rest, tensors)
        if len(before) + 1 + len(_as_varint(len(body))) == header:
            break
    return before + bytes([_GRAPH << 3 | 2]) + _as_varint(len(body)) + body + after


def _aligned_graph(start: int, rest: bytes, tensors: list[bytes]) -> bytes:
    """Return the message of a graph that begins at byte ``start`` of the file, its initializers aligned."""
    out = bytearray(rest)
    for tensor in tensors:
        fields = list(_fields(tensor, 0, len(tensor)))
        head = b"".join(_with_key(tensor, field) for field in fields if field[0] not in (_RAW, _DOC))
        raw = next((tensor[value:end] for number, _, value, end in fields if number == _RAW), None)
        if raw is None:
            out += bytes([_INITIALIZER << 3 | 2]) + _as_varint(len(head)) + head
            continue
        tail = bytes([_RAW << 3 | 2]) + _as_varint(len(raw))
        for filling in range(ALIGNMENT + 2):
            doc = bytes([_DOC << 3 | 2, filling]) + b" " * filling
            length = len(head) + len(doc) + len(tail) + len(raw)
            begin = start + len(out) + 1 + len(_as_varint(length)) + length - len(raw)
            if begin % ALIGNMENT == 0:
                out += bytes([_INITIALIZER << 3 | 2]) + _as_varint(length) + head + doc + tail + raw
                break
    return bytes(out)


def _with_key(data: bytes, field: _Field) -> bytes:
    """Return the bytes of a field, its key included."""
    _, begin, value, end = field
    return data[begin : value if data[begin] & 7 == 0 else end]


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
