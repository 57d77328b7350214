"""What the arrays of a loaded model take of memory."""

from __future__ import annotations

import bisect
import mmap
import os
import types
from typing import Any, Iterable, Iterator, NamedTuple

import numpy as np

_NOT_LOOKED_INTO = (str, bytes, int, float, complex, type(None), type, np.dtype, np.generic,
                    types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
_USED, _OF_FILE = 0b11 << 62, 1 << 61  # of an entry of /proc/self/pagemap: in memory or swapped, not written
_ENTRIES_AT_ONCE = 1 << 16


class ArrayReport(NamedTuple):
    """One array of a model. Sizes are bytes; what lies in pages is counted in whole ones."""
    where: str  # "steps/0/1/coef_"
    size: int
    mapped: bool
    shared: int  # in memory, in pages that all processes share which map the member
    private: int  # in memory of this process alone: what was written, and all that is not mapped


class Report:
    """The arrays of a model, the largest first. As a text it is a table of those of a page and more."""

    def __init__(self, arrays: Iterable[ArrayReport]) -> None:
        self.arrays = sorted(arrays, key=lambda array: (-array.size, array.where))

    @property
    def saved(self) -> int:
        """Bytes that skops.io.load would have copied into this process, which lie in no page of its own."""
        return sum(max(0, array.size - array.private) for array in self.arrays if array.mapped)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        return {"arrays": [array._asdict() for array in self.arrays], "saved": self.saved}

    def __str__(self) -> str:
        lines = [f"{'bytes':>15} {'shared':>15} {'private':>15}  array"]
        lines += [f"{array.size:>15,} {array.shared:>15,} {array.private:>15,}  {array.where}"
                  + ("" if array.mapped else ", not mapped")
                  for array in self.arrays if array.size >= mmap.PAGESIZE]
        mapped = sum(array.size for array in self.arrays if array.mapped)
        lines.append(f"{len(self.arrays):,} arrays of {sum(array.size for array in self.arrays):,} bytes, "
                     f"{mapped:,} of them mapped; {self.saved:,} saved in this process")
        return "\n".join(lines)


def report(model: Any) -> Report:
    """Where the arrays of a model lie: mapped from a mount, or in memory of this process alone.

    Parameters
    ----------
    model
        Any object. Its arrays are looked for in attributes, dicts, lists, tuples and sets, and in what
        objects of compiled classes, as trees, give pickle.

    Returns
    -------
    A Report. ``print`` shows a table; ``arrays``, ``saved`` and ``as_dict()`` have the figures, in bytes.
    Looking brings nothing into memory.

    Raises
    ------
    OSError where /proc/self/maps or /proc/self/pagemap cannot be read.
    """
    maps = _maps_of_files()
    found = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for where, array in _arrays_in(model):
            first, last = _bounds(array)
            at = bisect.bisect_right(maps, (first, 1 << 64)) - 1
            if at >= 0 and first < maps[at][1]:
                shared, private = _in_memory(pagemap.fileno(), first, last)
                found.append(ArrayReport(where, array.nbytes, True, shared, private))
            else:
                found.append(ArrayReport(where, array.nbytes, False, 0, array.nbytes))
    return Report(found)


def _maps_of_files() -> list[tuple[int, int]]:
    """The first and last address of each, in order."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        fields = [line.split(maxsplit=5) for line in lines]
    ranges = [field[0].split("-") for field in fields if field[4] != "0"]
    return [(int(first, 16), int(last, 16)) for first, last in ranges]


def _arrays_in(model: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Each array once, and where it is."""
    seen: dict[int, Any] = {}  # kept, so that nothing else gets the same id
    places = set()
    left = [("", model)]
    while left:
        where, value = left.pop()
        if id(value) in seen or isinstance(value, _NOT_LOOKED_INTO):
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            place = (_bounds(value), value.dtype)
            if place not in places:
                places.add(place)
                yield where or "root", value
        left += [(f"{where}/{name}" if where else str(name), part) for name, part in _parts_of(value)]


def _parts_of(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, np.ma.MaskedArray):
        return [("mask", value.mask)]
    if isinstance(value, np.ndarray):
        return enumerate(value.flat) if value.dtype == object else ()
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, (list, tuple, set, frozenset)):
        return enumerate(value)
    if hasattr(value, "__dict__"):
        attributes: dict[str, Any] = vars(value)
        return attributes.items()
    try:
        state = value.__reduce_ex__(2)[2:3]
    except Exception:  # it cannot be pickled, for whatever reason
        return ()
    return state[0].items() if state and isinstance(state[0], dict) else enumerate(state)


def _bounds(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """The addresses of the first byte and behind the last."""
    first = last = array.__array_interface__["data"][0]
    if array.size == 0:
        return first, first
    for count, stride in zip(array.shape, array.strides):
        if stride < 0:
            first += (count - 1) * stride
        else:
            last += (count - 1) * stride
    return first, last + array.itemsize


def _in_memory(pagemap: int, first: int, last: int) -> tuple[int, int]:
    """Bytes in pages that are shared, and in the process's own."""
    page, end = first // mmap.PAGESIZE, -(-last // mmap.PAGESIZE)
    shared = private = 0
    while page < end:
        count = min(end - page, _ENTRIES_AT_ONCE)
        entries = np.frombuffer(os.pread(pagemap, count * 8, page * 8), np.uint64)
        used = entries & np.uint64(_USED) != 0
        of_file = entries & np.uint64(_OF_FILE) != 0
        shared += int(np.count_nonzero(used & of_file))
        private += int(np.count_nonzero(used & ~of_file))
        page += count
    return shared * mmap.PAGESIZE, private * mmap.PAGESIZE
