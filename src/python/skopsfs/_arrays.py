"""Maps .npy members."""

from __future__ import annotations

import errno
import math
import os
import posixpath
import warnings
from typing import Any, BinaryIO, Literal

import numpy as np

from ._archive import Archive, with_archive
from ._maps import map_array

Mode = Literal["r", "c"]
_MOST_MAPS = "vm.max_map_count (65,530)"


class UnmappedWarning(UserWarning):
    """Something was loaded into memory of this process alone."""


def check_mode(mmap_mode: str) -> None:
    """Raises ValueError for modes in which a read-only mount cannot be mapped."""
    if mmap_mode not in ("r", "c"):
        raise ValueError(f"mmap_mode {mmap_mode!r}: a mount is read-only, so only 'r' (read-only) and "
                         "'c' (copy-on-write) are possible")


def map_npy(archive: Archive, member: str, mmap_mode: Mode) -> np.ndarray[Any, Any] | None:
    """A map of the array in a member. None for what cannot be mapped: scalars, empty arrays, objects,
    what is no whole .npy file of version 1 or 2, and, with a warning, where no more can be mapped."""
    with archive.open(member) as file:
        header = _read_header(file)
        if header is None:
            return None
        shape, fortran_order, dtype = header
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        count = math.prod(shape)
        if (dtype.hasobject or dtype.itemsize == 0 or shape == () or min(shape) < 1
                or count * dtype.itemsize > size - start):
            return None
        try:
            mapped = map_array(file.fileno(), size, start, count, dtype, mmap_mode == "c")
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            warnings.warn(f"{file.name} is copied into this process, as it cannot be mapped: "
                          f"{error.strerror}. A process has at most {_MOST_MAPS} mappings", UnmappedWarning,
                          stacklevel=2)
            return None
        return mapped.reshape(shape, order="F" if fortran_order else "C")


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    npy: Any = np.lib.format  # whose functions have no types
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] | None = None
    try:
        version = npy.read_magic(file)
        if version == (1, 0):
            header = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            header = npy.read_array_header_2_0(file)
    except ValueError:
        pass  # whoever reads it says what is wrong
    return header


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
    OSError where there is no such archive or array, or it cannot be read; ValueError for a name or
    mode that cannot be, or a member that is no array.
    """
    check_mode(mmap_mode)
    parts = name.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"{name!r} is no name of an array")
    member = posixpath.join("by-name", name if name.endswith(".npy") else name + ".npy")

    def map_or_read(archive: Archive) -> np.ndarray[Any, Any]:
        mapped = map_npy(archive, member, mmap_mode)
        if mapped is not None:
            return mapped
        with archive.open(member) as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                raise ValueError(f"{file.name} is no array")
            return loaded
    return with_archive(path, map_or_read)
