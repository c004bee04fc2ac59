"""Named arrays, and those of safetensors files over memory maps."""

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError

Array: TypeAlias = npt.NDArray[Any]  # whoever reads it checks its dtype and shape
Tensors: TypeAlias = Mapping[str, Array]
_MAX_HEADER = 16 << 20
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U8": np.dtype("u1"),
}


def unit_rows(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return vectors ``(n, dim)`` at unit length; those of no length stay as they are."""
    scaled: npt.NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


def check_arrays(tensors: Tensors, dtypes: Mapping[str, Any], *, what: str, code: str, prefix: str = "") -> None:
    """Raise `ArtifactError` unless there is a one-dimensional array of each name and dtype; ``what`` they are of."""
    for name, dtype in dtypes.items():
        array = tensors.get(f"{prefix}{name}")
        if array is None or array.dtype != dtype or array.ndim != 1:
            raise ArtifactError(code, f"{what}: {prefix}{name} is missing or of another kind")


def divides(ends: Array, n: int, size: int) -> bool:
    """Tell whether ``ends`` ``(n + 1,)`` divide ``size`` things into n runs: they ascend from 0 to it."""
    fits = len(ends) == n + 1 and int(ends[0]) == 0 and int(ends[-1]) == size
    return fits and not bool((np.diff(ends) < 0).any())


def map_file(path: Path) -> mmap.mmap:
    """Return a read-only memory map of a file that is not empty."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def map_safetensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a safetensors file as read-only arrays over a memory map.

    Raises `ArtifactError` when the header does not fit the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER):
            raise ArtifactError("E_SAFETENSORS", f"{path}: the header does not fit the file")
        header: dict[str, Any] = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ArtifactError("E_SAFETENSORS", f"{path}: the header is no table")
    data = map_file(path)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = _DTYPES.get(entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        if (
            dtype is None
            or any(side < 0 for side in entry["shape"])
            or not 0 <= begin <= end <= size - 8 - length
            or end - begin != count * dtype.itemsize
        ):
            raise ArtifactError("E_SAFETENSORS", f"{path}: tensor {name} does not fit the file")
        array: Array = np.frombuffer(data, dtype=dtype, count=count, offset=8 + length + begin)
        tensors[name] = array.reshape(entry["shape"])
    return tensors
