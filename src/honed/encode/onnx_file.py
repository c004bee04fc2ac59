"""ONNX files without the onnx package: what a graph does is read before it is loaded, its weights can be mapped.

The wire format is protobuf (field numbers from onnx.proto3); only what is needed is read.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.tensors import map_file

PRECISIONS = ("fp32", "bf16", "int8")
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
ALIGNMENT = 64
_DTYPES: dict[int, np.dtype[Any]] = {
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
_Field = tuple[int, int, int, int]  # number, begin of the whole field, begin of its value, end (a varint: its value)


class Tensor(NamedTuple):
    """Where an initializer lies in the file; ``dtype`` is ONNX's number."""

    dtype: int
    shape: tuple[int, ...]
    begin: int
    end: int
    external: bool


class OnnxFile(NamedTuple):
    """What an ONNX file holds."""

    tensors: Mapping[str, Tensor]
    operators: frozenset[tuple[str, str]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    external: bool
    nested: bool
    data: Any

    def array(self, name: str) -> Any:
        """Return an initializer as a read-only array over the file (bf16 as float32, copied)."""
        tensor = self.tensors[name]
        if tensor.dtype == _BF16:
            raw = np.frombuffer(self.data, dtype="<u2", count=(tensor.end - tensor.begin) // 2, offset=tensor.begin)
            wide: Any = (raw.astype(np.uint32) << 16).view(np.float32)
            return wide.reshape(tensor.shape)
        dtype = _DTYPES[tensor.dtype]
        count = (tensor.end - tensor.begin) // dtype.itemsize
        array: Any = np.frombuffer(self.data, dtype=dtype, count=count, offset=tensor.begin)
        return array.reshape(tensor.shape)


def _varint(data: Any, at: int) -> tuple[int, int]:
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


def _fields(data: Any, begin: int, end: int) -> Iterator[_Field]:
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


def _text(data: Any, field: _Field) -> str:
    return bytes(data[field[2] : field[3]]).decode()


def read_onnx(path: Path) -> OnnxFile:
    """Read the outline of an ONNX file over a memory map; `ArtifactError` when it is damaged."""
    try:
        data = map_file(path)
        return _read(data)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ArtifactError("E_BUNDLE_FORMAT", f"{path}: no readable ONNX file: {error}") from error


def _read(data: "mmap.mmap | bytes") -> OnnxFile:
    model = list(_fields(data, 0, len(data)))
    graphs = [field for field in model if field[0] == _GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs")
    tensors: dict[str, Tensor] = {}
    operators: set[tuple[str, str]] = set()
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
    nested = any(field[0] == _FUNCTIONS for field in model)
    external = False
    for field in _fields(data, graphs[0][2], graphs[0][3]):
        if field[0] == _INITIALIZER:
            name, tensor = _tensor(data, field)
            tensors[name] = tensor
            external |= tensor.external
        elif field[0] == _NODE:
            operator, inner, outer = _node(bytes(data[field[2] : field[3]]))
            operators.add(operator)
            nested |= inner
            external |= outer
        elif field[0] in names:
            names[field[0]].append(_text(data, next(f for f in _fields(data, field[2], field[3]) if f[0] == 1)))
        nested |= field[0] == _SPARSE
    return OnnxFile(
        tensors=tensors,
        operators=frozenset(operators),
        inputs=tuple(names[_INPUT]),
        outputs=tuple(names[_OUTPUT]),
        external=external,
        nested=nested,
        data=data,
    )


def _tensor(data: Any, whole: _Field) -> tuple[str, Tensor]:
    name, dtype, raw, external = "", 0, (0, 0), False
    shape: list[int] = []
    for field in _fields(data, whole[2], whole[3]):
        number, first, begin, end = field
        if number == _DIMS:
            packed = data[first] & 7 == 2
            shape.extend(_packed(data, begin, end) if packed else [end])
        elif number == _TYPE:
            dtype = end
        elif number == _NAME:
            name = _text(data, field)
        elif number == _RAW:
            raw = (begin, end)
        elif number == _EXTERNAL or (number == _LOCATION and end != 0):
            external = True
    size = {**{key: each.itemsize for key, each in _DTYPES.items()}, _BF16: 2}.get(dtype)
    if raw != (0, 0) and size and int(np.prod(shape, dtype=np.int64)) * size != raw[1] - raw[0]:
        raise ValueError(f"the initializer {name} does not fit its shape")
    return name, Tensor(dtype=dtype, shape=tuple(shape), begin=raw[0], end=raw[1], external=external)


def _packed(data: Any, begin: int, end: int) -> Iterator[int]:
    while begin < end:
        value, begin = _varint(data, begin)
        yield value


def _node(data: bytes) -> tuple[tuple[str, str], bool, bool]:
    """Return ((domain, operator), has a graph inside, has a tensor outside)."""
    operator = domain = ""
    nested = external = False
    for field in _fields(data, 0, len(data)):
        if field[0] == 4:
            operator = _text(data, field)
        elif field[0] == 7:
            domain = _text(data, field)
        elif field[0] == 5:
            for part in _fields(data, field[2], field[3]):
                nested |= part[0] in (6, 11, 22, 23)  # graphs and sparse tensors
                external |= part[0] in (5, 10) and _tensor(data, part)[1].external
    return (domain, operator), nested, external


def check_onnx(found: OnnxFile, shown: str) -> None:
    """Refuse a graph that reads other files, loops, or is no text encoder; nothing of it has run by then."""
    if found.external:
        raise ArtifactError("E_BUNDLE_FORMAT", f"{shown}: external data: a model must be one file")
    foreign = sorted({f"{domain}:{name}" for domain, name in found.operators if domain not in _DOMAINS})
    control = sorted({name for _, name in found.operators} & _CONTROL)
    if found.nested or control or foreign:
        what = ", ".join([*control, *foreign]) or "graphs within the graph"
        raise ArtifactError("E_BUNDLE_FORMAT", f"{shown}: {what}: loops, functions and foreign operators are refused")
    if set(found.inputs) - set(found.tensors) != set(INPUTS) or found.outputs != (OUTPUT,):
        raise ArtifactError(
            "E_BUNDLE_MODEL_IO",
            f"{shown}: takes {', '.join(found.inputs)} and gives {', '.join(found.outputs)}; wanted: "
            f"{', '.join(INPUTS)} to {OUTPUT} of (n_texts, dim)",
        )


def aligned(model: bytes) -> bytes:
    """Return the same model with the bytes of every initializer on a 64-byte boundary of the file.

    A memory map then gives arrays that need no copy. Between the fields of a tensor its doc string serves as filling.
    """
    graph = next(field for field in _fields(model, 0, len(model)) if field[0] == _GRAPH)
    before, after = model[: graph[1]], model[graph[3] :]
    parts = list(_fields(model, graph[2], graph[3]))
    rest = b"".join(model[each[1] : each[3]] for each in parts if each[0] != _INITIALIZER)
    tensors = [model[each[2] : each[3]] for each in parts if each[0] == _INITIALIZER]
    body = b""
    for header in (len(before) + 1 + width for width in range(1, 9)):
        body = _laid_out(header, rest, tensors)
        if len(before) + 1 + len(_number(len(body))) == header:
            break
    return before + bytes([_GRAPH << 3 | 2]) + _number(len(body)) + body + after


def _laid_out(start: int, rest: bytes, tensors: list[bytes]) -> bytes:
    out = bytearray(rest)
    for tensor in tensors:
        fields = list(_fields(tensor, 0, len(tensor)))
        head = b"".join(_whole(tensor, each) for each in fields if each[0] not in (_RAW, _DOC))
        raw = next((tensor[each[2] : each[3]] for each in fields if each[0] == _RAW), None)
        if raw is None:
            out += bytes([_INITIALIZER << 3 | 2]) + _number(len(head)) + head
            continue
        tail = bytes([_RAW << 3 | 2]) + _number(len(raw))
        for filling in range(ALIGNMENT + 2):
            doc = bytes([_DOC << 3 | 2, filling]) + b" " * filling
            length = len(head) + len(doc) + len(tail) + len(raw)
            begin = start + len(out) + 1 + len(_number(length)) + length - len(raw)
            if begin % ALIGNMENT == 0:
                out += bytes([_INITIALIZER << 3 | 2]) + _number(length) + head + doc + tail + raw
                break
    return bytes(out)


def _whole(data: bytes, field: _Field) -> bytes:
    """Return the bytes of a field, its key included."""
    end = field[2] if data[field[1]] & 7 == 0 else field[3]
    return data[field[1] : end]


def _number(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
