"""Memory that a loaded model takes for itself, laid so that the kernel can merge what is equal in several processes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import threading
import warnings
from typing import Any, Iterator

from ._search import FileMaps, arrays_in, bounds

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt
LARGE = 32 << 10  # bytes, from which on memory has pages of its own
_LARGEST = 32 << 20  # bytes; up to there glibc's threshold rises by itself, that for trimming to twice as much
_OF_USERS = ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold")  # who has set it keeps it
_HEAD = 2 * ctypes.sizeof(ctypes.c_size_t)  # bytes that glibc keeps before what malloc gives
_IS_MAPPED = 2  # in the second half of them: it has pages of its own
_KSM = "/sys/kernel/mm/ksm/run"

_libc = ctypes.CDLL(None, use_errno=True)
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_lock = threading.Lock()  # guards what follows
_loading = 0
_has_warned = False


@contextlib.contextmanager
def pages_of_its_own() -> Iterator[None]:
    """What malloc gives meanwhile for LARGE and more begins with a page of its own, in all threads. So equal
    arrays of several processes are equal pages, and what is freed goes back. Afterwards temporaries stay in the
    heap, as they do in a process that has run for a while. Where malloc is not glibc's, nothing changes."""
    global _loading
    with _lock:
        _loading += 1
        if _loading == 1:
            _set_threshold(LARGE)
    try:
        yield
    finally:
        with _lock:
            _loading -= 1
            if _loading == 0:
                _set_threshold(_LARGEST)


def _set_threshold(mapped: int) -> None:
    mallopt: Any = getattr(_libc, "mallopt", None)
    is_set = _OF_USERS[0] in os.environ or _OF_USERS[1] in os.environ.get("GLIBC_TUNABLES", "")
    if mallopt is not None and not is_set:
        mallopt(_M_MMAP_THRESHOLD, mapped)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)


def merge(model: Any) -> None:
    """Has the kernel merge the memory of the model's arrays that were copied into this process with equal memory
    of others that ask for it, too. Nothing else of the process is merged. Where that is not possible or turned
    off, a warning says so, once."""
    files = FileMaps()
    for _, array in arrays_in(model):
        first, last = bounds(array)
        if last - first < LARGE or first in files:
            continue
        first, last = _pages(first, last)
        if _madvise(first, last - first, mmap.MADV_MERGEABLE) != 0:
            number = ctypes.get_errno()
            _warn("this kernel cannot (CONFIG_KSM)" if number == errno.EINVAL else os.strerror(number))
            return
    with contextlib.suppress(OSError), open(_KSM, encoding="ascii") as file:  # of another kernel, or hidden
        if file.read().strip() != "1":
            _warn(f"it is turned off. On the host, as root: echo 1 > {_KSM}")


def _pages(first: int, last: int) -> tuple[int, int]:
    """The pages that hold what lies between two addresses, and nothing else."""
    page = mmap.PAGESIZE
    if first % page == _HEAD and ctypes.c_size_t.from_address(first - _HEAD // 2).value & _IS_MAPPED:
        return first - _HEAD, -(-last // page) * page
    return -(-first // page) * page, last // page * page


def _warn(why: str) -> None:
    global _has_warned
    with _lock:
        if _has_warned:
            return
        _has_warned = True
    warnings.warn(f"Equal memory of processes is not merged: {why}", stacklevel=4)
