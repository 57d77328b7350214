"""Arrays over maps that hold no descriptor, which Python's own do before 3.13."""

from __future__ import annotations

import ctypes
import os
from mmap import MAP_PRIVATE, PAGESIZE, PROT_READ, PROT_WRITE
from typing import Any

import numpy as np

_MAP_NORESERVE = 0x4000  # of x86, ARM and RISC-V; mmap names it since Python 3.13
_MADV_POPULATE_READ = 22  # since Linux 5.14
_PIECE = 1 << 20  # bytes that are read at once
_POPULATED = 64 << 20  # bytes that are brought in at once: Python handles signals in between
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_mmap, _munmap, _madvise = _libc.mmap, _libc.munmap, _libc.madvise
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class _Map:
    """A file of `size` bytes, mapped for as long as this object is there."""

    def __init__(self, descriptor: int, size: int, writable: bool) -> None:
        # A process that could write to all of a map need not have the memory for it.
        address = _mmap(None, size, PROT_READ | (PROT_WRITE if writable else 0),
                        MAP_PRIVATE | _MAP_NORESERVE, descriptor, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self.address: int = address
        self.size = size

    def __del__(self, munmap: Any = _munmap) -> None:  # which modules forget before objects end
        if hasattr(self, "address"):
            munmap(self.address, self.size)


def map_array(descriptor: int, size: int, start: int, count: int, dtype: np.dtype[Any],
              writable: bool) -> np.ndarray[Any, Any]:
    """`count` elements from the byte `start` of a file of `size` bytes on, which has them. The file
    stays mapped for as long as an array has any of them. What is written stays in the process.
    Raises OSError."""
    owner: Any = _Map(descriptor, size, writable)
    # Not over all bytes: SciPy copies what is less than half the elements of its base.
    owner.__array_interface__ = {"version": 3, "data": (owner.address + start, not writable),
                                 "shape": (count,), "typestr": f"|V{dtype.itemsize}"}
    return np.asarray(owner).view(dtype)


def bring_in(array: np.ndarray[Any, Any], descriptor: int) -> None:
    """Has all pages in memory, and mapped, of an array that map_array has made of the file `descriptor`. Raises
    OSError where the file cannot be read."""
    first, last = array.ctypes.data // PAGESIZE * PAGESIZE, array.ctypes.data + array.nbytes
    while first < last and _madvise(first, min(last - first, _POPULATED), _MADV_POPULATE_READ) == 0:
        first += _POPULATED
    if first >= last:
        return
    # An older kernel. Or else this tells what is wrong, of which a map only says EFAULT.
    piece, offset = bytearray(_PIECE), 0
    while read := os.preadv(descriptor, [piece], offset):
        offset += read
