"""How a process makes memory while it loads a model: with no look for garbage, and laid so that the kernel can merge
what is equal in several processes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import mmap
import os
import threading
from typing import Any, Iterable, Iterator

from ._search import FileMaps, arrays_in, bounds
from ._warnings import warn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt
LARGE = 32 << 10  # bytes, from which on memory has pages of its own
_LARGEST = 32 << 20  # bytes; up to there glibc's threshold rises by itself, that for trimming to twice as much
_DEFAULT = 128 << 10  # bytes; where it is while it may not rise, as when a user has set one of the others
_HEAD = 2 * ctypes.sizeof(ctypes.c_size_t)  # bytes that glibc keeps before what malloc gives
_IS_MAPPED = 2  # in the second half of them: it has pages of its own
_KSM = "/sys/kernel/mm/ksm/run"

_libc = ctypes.CDLL(None, use_errno=True)
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

_lock = threading.Lock()  # guards what follows
_loading: list[int] = []  # threads, one for each loading()
_with_pages: list[int] = []  # likewise
_has_stopped_collector = False
_has_warned = False


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Python's collector of cyclic garbage does not run meanwhile, in all threads. All that is made for a model
    stays, so that the collector would look through the whole process in vain. If it did not run before, it does not
    afterwards. From now on temporaries stay in the heap, as they do in a process that has run for a while."""
    with _entered(_loading):
        yield


@contextlib.contextmanager
def pages_of_its_own(is_trimmed: bool = False) -> Iterator[None]:
    """What malloc gives meanwhile for LARGE and more begins with a page of its own, in all threads, unless the
    heap has room for it; it has less if it is trimmed before. So equal arrays of several processes are equal pages,
    and what is freed goes back. Where malloc is not glibc's, nothing changes."""
    if is_trimmed and hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(ctypes.c_size_t(0))
    with _entered(_with_pages):
        yield


@contextlib.contextmanager
def _entered(threads: list[int]) -> Iterator[None]:
    """The calling thread is one of these meanwhile."""
    with _lock:
        threads.append(threading.get_ident())
        _set_up()
    try:
        yield
    finally:
        with _lock:
            threads.remove(threading.get_ident())
            _set_up()


def _set_up() -> None:
    """The process, as the threads want it that are in _loading and _with_pages."""
    global _has_stopped_collector
    if _loading and gc.isenabled():
        gc.disable()
        _has_stopped_collector = True
    elif not _loading and _has_stopped_collector:
        gc.enable()
        _has_stopped_collector = False
    mallopt: Any = getattr(_libc, "mallopt", None)
    if mallopt is None or _has_set("mmap_threshold"):  # who has set it keeps it
        return
    may_rise = not any(map(_has_set, ("trim_threshold", "top_pad", "mmap_max")))
    mallopt(_M_MMAP_THRESHOLD, LARGE if _with_pages else _LARGEST if may_rise else _DEFAULT)
    if may_rise:
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)


def _has_set(parameter: str) -> bool:
    """Whether the user has, of malloc, as dask does for its workers."""
    return (f"MALLOC_{parameter.upper()}_" in os.environ
            or f"glibc.malloc.{parameter}=" in os.environ.get("GLIBC_TUNABLES", ""))


def _after_fork() -> None:
    """In the child, which has none of the other threads."""
    global _lock
    is_changing, _lock = _lock.locked(), threading.Lock()
    if _loading or _with_pages or is_changing:
        for threads in (_loading, _with_pages):
            threads[:] = [thread for thread in threads if thread == threading.get_ident()]
        _set_up()


os.register_at_fork(after_in_child=_after_fork)


def merge(model: Any) -> None:
    """Has the kernel merge the memory of the model's arrays that were copied into this process with equal memory
    of others that ask for it, too. Nothing else of the process is merged. Where that is not possible or turned
    off, a warning says so, once."""
    maps = FileMaps()
    arrays = [array for _, array in arrays_in(model)]
    ranges = _joined(_pages(first, last) for first, last in map(bounds, arrays)
                     if last - first >= LARGE and first not in maps)
    # One amid other memory takes two mappings more. Half of those that are left are for the rest of the process.
    most = max(0, _most_maps() - maps.count) // 4
    if len(ranges) > most:
        ranges = sorted(ranges, key=lambda ends: ends[0] - ends[1])[:most]
        _warn(f"of the small arrays, as a process has at most vm.max_map_count ({_most_maps():,}) mappings")
    for first, last in ranges:
        if _madvise(first, last - first, mmap.MADV_MERGEABLE) != 0:
            number = ctypes.get_errno()
            _warn("this kernel cannot (CONFIG_KSM)" if number == errno.EINVAL else os.strerror(number))
            return
    with contextlib.suppress(OSError), open(_KSM, encoding="ascii") as file:  # of another kernel, or hidden
        if file.read().strip() != "1":
            _warn(f"it is turned off. On the host, as root: echo 1 > {_KSM}")


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that are not empty, in order, as few as possible."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ends for ends in ranges if ends[0] < ends[1]):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def _most_maps() -> int:
    with contextlib.suppress(OSError), open("/proc/sys/vm/max_map_count", encoding="ascii") as file:
        return int(file.read())
    return 65530  # the kernel's default


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
    warn(f"Equal memory of processes is not merged: {why}")
