"""Arrays of .npy members, mapped or read."""

from __future__ import annotations

import errno
import io
import os
import posixpath
from typing import Any, Literal, NamedTuple

import numpy as np

from ._archive import Archive, read_all, read_into, with_archive
from ._maps import bring_in, map_array
from ._npy import ENOUGH, Header, parse_header
from ._warnings import UnmappedWarning, warn

_FIRST = 16 << 10  # bytes that are read at once: a small member whole, and of others the header
assert _FIRST >= ENOUGH

Mode = Literal["r", "c"]


class Mapping(NamedTuple):
    """How the arrays of a model shall be mapped."""
    mode: Mode
    min_bytes: int  # from which on; smaller ones are read
    is_required: bool = False
    is_warm: bool = False  # brought into memory, too

    def cannot(self, where: str, why: str) -> None:
        """Warns, or raises ValueError, that what shall be mapped is read."""
        if self.is_required:
            raise NotMapped(f"{where} cannot be mapped: {why}")
        warn(f"{where} is copied into this process, as it cannot be mapped: {why}", UnmappedWarning)


class NotMapped(ValueError):
    """Something that must be mapped cannot be."""


def check_mode(mmap_mode: str) -> None:
    """Raises ValueError for modes in which a read-only mount cannot be mapped."""
    if mmap_mode not in ("r", "c"):
        raise ValueError(f"mmap_mode {mmap_mode!r}: a mount is read-only, so only 'r' (read-only) and "
                         "'c' (copy-on-write) are possible")


def array_or_bytes(archive: Archive, member: str, mapping: Mapping) -> np.ndarray[Any, Any] | bytes:
    """The array in a member: a map if the member is large enough and it can be mapped, else read.
    For NumPy to judge, all bytes of a member that holds no such array, or not all of it."""
    with archive.open(member) as descriptor:
        data = os.read(descriptor, _FIRST)
        header = parse_header(data)
        size = len(data) if len(data) < _FIRST else os.fstat(descriptor).st_size
        if header is None or header.size > size - header.start or header.dtype.itemsize == 0:
            return data + read_all(descriptor, os.fstat(descriptor).st_size - len(data))
        if size >= mapping.min_bytes and header.size > 0 and header.shape != ():
            mapped = _map(archive, member, descriptor, size, header, mapping)
            if mapped is not None:
                return mapped
        elements = np.empty(header.size // header.dtype.itemsize, header.dtype)
        have = data[header.start:header.start + header.size]
        into = memoryview(elements.view(np.uint8).data)
        into[:len(have)] = have
        read_into(descriptor, into[len(have):])
    return header.shaped(elements)


def _map(archive: Archive, member: str, descriptor: int, size: int, header: Header,
         mapping: Mapping) -> np.ndarray[Any, Any] | None:
    """None, with a warning, where no more can be mapped."""
    try:
        mapped = map_array(descriptor, size, header.start, header.size // header.dtype.itemsize,
                           header.dtype, mapping.mode == "c")
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        mapping.cannot(f"{archive.path}/{member}",
                       f"{error.strerror}. A process has at most vm.max_map_count (65,530) mappings, and as much "
                       "address space as ulimit -v says")
        return None
    if mapping.is_warm:
        bring_in(mapped, descriptor)
    return header.shaped(mapped)


def load_array(archive: Archive, member: str, mapping: Mapping) -> np.ndarray[Any, Any]:
    """The same, but what is no array raises what numpy.load raises, or ValueError."""
    found = array_or_bytes(archive, member, mapping)
    if isinstance(found, bytes):
        loaded: Any = np.load(io.BytesIO(found), allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            raise ValueError(f"{archive.path}/{member} is not an array")
        return loaded
    return found


def array(path: str | os.PathLike[str], name: str, *, mmap_mode: Mode = "r") -> np.ndarray[Any, Any]:
    """One array of a model, mapped.

    Parameters
    ----------
    path
        A mounted archive: ``/mnt/skops/model.skops``.
    name
        What the model calls it: ``"coef_"``, ``"steps/logisticregression/coef_"``, or of a sparse
        matrix ``"X/data"``; what ``by-name/`` in the archive shows, with or without ``.npy``.
    mmap_mode
        ``"r"``: read-only; ``"c"``: what is written stays in this process.

    Returns
    -------
    A numpy.ndarray with the array's shape and dtype, over a map of which all processes on this machine
    share the pages. It holds no file descriptor. Scalars and empty arrays cannot be mapped; they are read.

    Raises
    ------
    OSError where there is no such archive or array, with the nearest names, or it cannot be read, with
    skopsfs's reason; ValueError for a name or mode that is not possible, or a member that is not an array.
    """
    check_mode(mmap_mode)
    parts = name.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"{name!r} is not the name of an array")
    member = posixpath.join("by-name", name if name.endswith(".npy") else name + ".npy")
    return with_archive(path, lambda archive: load_array(archive, member, Mapping(mmap_mode, 1)))
