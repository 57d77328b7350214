"""Sparse matrices on mapped arrays, from the folder that skopsfs shows of an npz."""

from __future__ import annotations

import errno
import posixpath
from typing import Any

from ._archive import Archive
from ._arrays import Mapping, NotMapped, load_array

# The arrays that each format of scipy.sparse.save_npz has beside its shape.
_PARTS = {"csr": ("data", "indices", "indptr"), "csc": ("data", "indices", "indptr"),
          "bsr": ("data", "indices", "indptr"), "dia": ("data", "offsets"),
          "coo": ("data", "row", "col")}


def map_sparse(archive: Archive, folder: str, mapping: Mapping) -> Any | None:
    """The matrix that scipy.sparse.load_npz makes of the npz whose members `folder` shows, with its
    large arrays mapped. None where there is none, and for what scipy has to judge.
    """
    try:
        return _map_sparse(archive, folder, mapping)
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise
        return None
    except NotMapped:
        raise
    except (AttributeError, EOFError, TypeError, ValueError):
        return None


def _map_sparse(archive: Archive, folder: str, mapping: Mapping) -> Any | None:
    import scipy.sparse

    def read(name: str) -> Any:
        return load_array(archive, posixpath.join(folder, name + ".npy"), mapping)

    def is_array() -> bool:
        try:
            return bool(read("_is_array"))
        except FileNotFoundError:
            return False

    if not any(archive.size(posixpath.join(folder, name)) >= mapping.min_bytes
               for name in archive.names(folder)):
        return None
    form = read("format").item()
    form = form if isinstance(form, str) else form.decode("ascii")
    if form not in _PARTS:
        return None
    make = getattr(scipy.sparse, f"{form}_{'array' if is_array() else 'matrix'}", None)
    if make is None:
        return None
    parts = [read(name) for name in _PARTS[form]]
    if form == "coo":
        parts = [parts[0], tuple(parts[1:])]
    return make(tuple(parts), shape=tuple(read("shape").tolist()), copy=False)
