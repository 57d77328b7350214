"""The arrays in a model, and where in memory they lie."""

from __future__ import annotations

import bisect
import types
from typing import Any, Iterable, Iterator

import numpy as np

_NOT_LOOKED_INTO = (str, bytes, int, float, complex, type(None), type, np.dtype, np.generic,
                    types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class FileMaps:
    """The addresses at which this process had files mapped, and the `count` of all of its mappings. Raises OSError
    where /proc/self/maps cannot be read."""

    def __init__(self) -> None:
        with open("/proc/self/maps", encoding="utf-8", errors="replace", newline="\n") as lines:
            fields = [line.split(maxsplit=5) for line in lines]
        self.count = len(fields)
        ranges = [field[0].split("-") for field in fields if field[4] != "0"]
        self._ranges = [(int(first, 16), int(last, 16)) for first, last in ranges]  # in order

    def __contains__(self, address: int) -> bool:
        at = bisect.bisect_right(self._ranges, (address, 1 << 64)) - 1
        return at >= 0 and address < self._ranges[at][1]


def arrays_in(model: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
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
            place = (bounds(value), value.dtype)
            if place not in places:
                places.add(place)
                yield where or "root", value
        # Listed first, in one step: other threads may change what they use.
        left += [(f"{where}/{name}" if where else str(name), part) for name, part in list(_parts_of(value))]


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


def bounds(array: np.ndarray[Any, Any]) -> tuple[int, int]:
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
