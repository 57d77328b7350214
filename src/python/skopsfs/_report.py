"""What the arrays of a loaded model take of memory."""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import Any, Iterable, NamedTuple

import numpy as np

from ._search import FileMaps, arrays_in, bounds

_USED, _OF_FILE = 0b11 << 62, 1 << 61  # of an entry of /proc/self/pagemap: in memory or swapped, not written
_ENTRIES_AT_ONCE = 1 << 16


class ArrayReport(NamedTuple):
    """One array of a model. Sizes are bytes. Memory in pages is counted in whole pages."""
    where: str  # "steps/0/1/coef_"
    size: int
    mapped: bool
    shared: int  # in memory, in pages shared by all processes that map the member
    private: int  # in memory of this process alone: what was written, and all that is not mapped


class Report:
    """The arrays of a model, the largest first. Its text is a table of those of a page and more.

    `merged` is the bytes of this process in pages that the kernel has merged with equal ones, of models that were
    loaded with ``merge=True``."""

    def __init__(self, arrays: Iterable[ArrayReport], merged: int = 0) -> None:
        self.arrays = sorted(arrays, key=lambda array: (-array.size, array.where))
        self.merged = merged

    @property
    def saved(self) -> int:
        """Bytes that skops.io.load would have copied into this process, which lie in no page of its own."""
        return sum(max(0, array.size - array.private) for array in self.arrays if array.mapped)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        return {"arrays": [array._asdict() for array in self.arrays], "saved": self.saved, "merged": self.merged}

    def __str__(self) -> str:
        lines = [f"{'bytes':>15} {'shared':>15} {'private':>15}  array"]
        lines += [f"{array.size:>15,} {array.shared:>15,} {array.private:>15,}  {array.where}"
                  + ("" if array.mapped else ", not mapped")
                  for array in self.arrays if array.size >= mmap.PAGESIZE]
        mapped = sum(array.size for array in self.arrays if array.mapped)
        lines.append(f"{len(self.arrays):,} arrays of {sum(array.size for array in self.arrays):,} bytes, "
                     f"{mapped:,} of them mapped; {self.saved:,} saved in this process")
        if self.merged:
            lines.append(f"{self.merged // mmap.PAGESIZE:,} pages of {self.merged:,} bytes are merged with equal ones")
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
    maps = FileMaps()
    found = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for where, array in arrays_in(model):
            first, last = bounds(array)
            if first in maps:
                shared, private = _in_memory(pagemap.fileno(), first, last)
                found.append(ArrayReport(where, array.nbytes, True, shared, private))
            else:
                found.append(ArrayReport(where, array.nbytes, False, 0, array.nbytes))
    return Report(found, _merged())


def _merged() -> int:
    """Bytes; 0 where the kernel does not say, as before 5.19."""
    with contextlib.suppress(OSError), open("/proc/self/ksm_merging_pages", encoding="ascii") as file:
        return int(file.read()) * mmap.PAGESIZE
    return 0


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
