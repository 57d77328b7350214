"""Headers of .npy files, read in a tenth of the time that NumPy takes, each text once."""

from __future__ import annotations

import ast
import copy
import functools
import math
from typing import Any, NamedTuple

import numpy as np

_MAGIC = b"\x93NUMPY"
_LENGTHS = {b"\x01\x00": 2, b"\x02\x00": 4}  # bytes of the length of a header, by the version
_LONGEST = 10_000  # bytes; NumPy refuses longer ones
ENOUGH = len(_MAGIC) + 2 + 4 + _LONGEST  # bytes that have every header in them


class Header(NamedTuple):
    """An array of `size` bytes that begin at the byte `start` of its file."""
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    start: int
    size: int


def parse_header(data: bytes) -> Header | None:
    """What the first ENOUGH bytes of a file, or all, say. None for objects and for what NumPy shall
    judge: what is no .npy of version 1 or 2, or was not written by Python 3."""
    length_size = _LENGTHS.get(data[6:8])
    if length_size is None or data[:6] != _MAGIC:
        return None
    begin = 8 + length_size
    length = int.from_bytes(data[8:begin], "little")
    if length > _LONGEST:
        return None
    fields = _parse(data[begin:begin + length])
    if fields is None:
        return None
    shape, fortran_order, dtype = fields
    if dtype.names is not None:
        dtype = copy.copy(dtype)  # its names can be set, which shall not change other arrays
    return Header(shape, fortran_order, dtype, begin + length, math.prod(shape) * dtype.itemsize)


@functools.lru_cache(maxsize=1024)
def _parse(text: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    try:
        fields = ast.literal_eval(text.decode("latin-1"))
        shape, fortran_order = fields["shape"], fields["fortran_order"]
        descr_to_dtype: Any = np.lib.format.descr_to_dtype  # which has no type
        dtype = descr_to_dtype(fields["descr"])
        if (len(fields) != 3 or type(shape) is not tuple or type(fortran_order) is not bool
                or any(type(length) is not int or length < 0 for length in shape)
                or dtype.hasobject or dtype.subdtype is not None):
            return None
    except Exception:  # of whatever kind: it is a stranger's text
        return None
    return shape, fortran_order, dtype
