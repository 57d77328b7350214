"""skops.io.load for a mounted archive."""

from __future__ import annotations

import inspect
import io
import json
import os
import zipfile
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from ._archive import Archive, with_archive
from ._arrays import Mapping, Mode, array_or_bytes, check_mode
from ._hints import absolute, archive_above, hint_of_file
from ._memory import loading, pages_of_its_own
from ._memory import merge as merge_memory
from ._mounts import mounted_archive
from ._sparse import map_sparse
from ._versions import remember, version_of
from ._warnings import UnmappedWarning, warn

_MIN_BYTES = 256 << 10  # above it a map takes less time than a copy


def load(path: str | os.PathLike[str], trusted: Sequence[str] | None = None, *, mmap_mode: Mode = "c",
         min_bytes: int = _MIN_BYTES, require_mapped: bool = False, merge: bool = False, warm: bool = False) -> Any:
    """What ``skops.io.load`` loads, with its large arrays mapped instead of copied.

    Parameters
    ----------
    path
        An archive in a mount of skopsfs: ``/mnt/skops/model.skops``. A plain .skops file is loaded by
        ``skops.io.load``, with an UnmappedWarning.
    trusted
        As for ``skops.io.load``: the types beside skops's own that may be loaded.
    mmap_mode
        ``"c"``: arrays can be written to, and a page that is written becomes this process's own.
        ``"r"``: they are read-only, so that training the model fails.
    min_bytes
        Arrays of at least this many bytes are mapped, all others are read. The default is 256 KiB. A process
        may have 65,530 mappings, so a forest of 10,000 small trees must not be mapped one by one.
    require_mapped
        Whether it is an error if a plain file is given, or if an array that is to be mapped cannot be: one of a sparse
        matrix whose arrays ``by-name`` does not show, of a subclass as numpy.matrix, or beyond the limit of mappings.
    merge
        Whether the kernel is to merge what had to be copied, as the trees of a forest, with equal memory of other
        processes that ask for it (KSM). It merges arrays of 32 KiB and more, and nothing else of the process. If
        the kernel cannot do that, or it is turned off, a warning says so, once.
    warm
        Whether what is mapped is brought into memory at once, all of it, for models that are used whole. Then the first
        prediction waits for no disk, and what cannot be read is an OSError of this call, not SIGBUS at its first use.

    Returns
    -------
    The object that was saved. Its arrays are numpy.ndarray. Those of ``min_bytes`` and more, and those of
    sparse matrices, lie over maps. Maps hold no file descriptors, and go with the last array over them.
    All other data is as from ``skops.io.load``.

    Raises
    ------
    What ``skops.io.load`` raises for types that are not trusted and schemas it cannot read.
    ImportError without skops 0.10 or newer; OSError where there is no archive, with the nearest names, and
    where it or a member cannot be read, with skopsfs's reason; ValueError for a mode that is not possible,
    for a member, for what ``require_mapped`` rules out, and where the model writes to an array while it
    is loaded, which takes mode ``"c"``.
    """
    check_mode(mmap_mode)
    skops = _Skops()
    if isinstance(trusted, bool) and trusted:
        return skops.load(path, trusted=trusted)  # says why not
    mapping = Mapping(mmap_mode, max(1, min_bytes), require_mapped, warm)
    place = absolute(path)
    with loading():
        if os.path.isfile(place):
            version = version_of(os.stat(place))
            with pages_of_its_own(is_trimmed=merge):
                model = _load_unmapped(skops, place, trusted, require_mapped)
        else:
            model, version = with_archive(place, lambda archive: (
                _load_mapped(skops, archive, trusted, mapping, merge), archive.version))
    if merge:
        merge_memory(model)
    remember(model, place, version)
    return model


def get_untrusted_types(path: str | os.PathLike[str]) -> list[str]:
    """What ``skops.io.get_untrusted_types`` says of an archive, in a mount of skopsfs or not: the types that
    ``load`` must be told to trust, sorted. Only the schema is read.

    Raises
    ------
    What ``skops.io.load`` raises for schemas that it cannot read; ImportError without skops 0.10 or newer;
    OSError where there is no archive, with the nearest names, or it cannot be read.
    """
    skops = _Skops()
    place = absolute(path)
    if os.path.isfile(place):
        untrusted: list[str] = skops.get_untrusted_types(file=place)
        return untrusted
    return with_archive(place, lambda archive: sorted(_tree(skops, _Source(archive), None).get_unsafe_set()))


def _of_skops(function: Any) -> Any:
    """What ``install`` has put in its place leads to it."""
    return getattr(function, "__wrapped__", function)


class _Skops:
    """The parts of skops that this needs. skops has had them since 0.10."""

    def __init__(self) -> None:
        try:
            from skops.io import get_untrusted_types as skops_get_untrusted_types
            from skops.io import load as skops_load
            from skops.io._audit import Node, audit_tree, get_tree
            from skops.io._numpy import NdArrayNode
            from skops.io._scipy import SparseMatrixNode
            from skops.io._utils import LoadContext
        except ImportError as error:
            raise ImportError(f"skopsfs.load needs skops 0.10 or newer ({error}); skopsfs.array does "
                              "without") from error
        self.load: Callable[..., Any] = _of_skops(skops_load)
        self.get_untrusted_types: Callable[..., Any] = _of_skops(skops_get_untrusted_types)
        self.Node = Node
        self.NdArrayNode = NdArrayNode
        self.SparseMatrixNode = SparseMatrixNode
        self.LoadContext: Callable[..., Any] = LoadContext
        self.get_tree: Callable[..., Any] = get_tree
        self._audit_tree: Callable[..., Any] = audit_tree

    def audit(self, tree: Any, trusted: Sequence[str] | None) -> None:
        """Raises what skops raises for types that are not trusted."""
        if "trusted" in inspect.signature(self._audit_tree).parameters:  # since 0.12
            self._audit_tree(tree, trusted=trusted)
        else:
            self._audit_tree(tree)

    def nodes(self, root: Any) -> Iterator[Any]:
        """Every node of a tree, once."""
        seen = set()
        left = [root]
        while left:
            item = left.pop()
            if isinstance(item, self.Node):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                yield item
                left.extend(item.children.values())
                if hasattr(item, "cached"):
                    left.append(item.cached)
            elif isinstance(item, dict):
                left.extend(item.values())
            elif isinstance(item, (list, tuple)):
                left.extend(item)


def _load_unmapped(skops: _Skops, path: str, trusted: Sequence[str] | None, require_mapped: bool) -> Any:
    shown = mounted_archive(path)
    why = f"give {shown}, where it is mounted" if shown else hint_of_file(path)
    if require_mapped or archive_above(path):
        raise ValueError(f"{path}: {why}")
    warn(f"{path} is copied into this process: {why}", UnmappedWarning)
    return skops.load(path, trusted=trusted)


class _Source:
    """What skops reads members from. In place of arrays it gives marks. By these the nodes that have read
    them are found later, and get arrays that are mapped, or read faster than NumPy reads them from bytes."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.members: dict[bytes, str] = {}  # by their marks
        self.schema: Any = None  # kept to the end: freed before, it leaves holes between the texts of the model
        self._secret = os.urandom(16)

    def read(self, name: str) -> bytes:
        member = self.archive.check_member(name)
        if not member.endswith((".npy", ".npz")):
            return self.archive.read(member)
        mark = b"skopsfs" + self._secret + len(self.members).to_bytes(8, "little")
        self.members[mark] = member
        return mark


def _tree(skops: _Skops, source: _Source, trusted: Sequence[str] | None) -> Any:
    source.schema = json.loads(source.archive.read("schema.json"))
    context = skops.LoadContext(src=source, protocol=source.schema["protocol"])
    return skops.get_tree(source.schema, context, trusted=trusted)


def _load_mapped(skops: _Skops, archive: Archive, trusted: Sequence[str] | None, mapping: Mapping,
                 merge: bool) -> Any:
    source = _Source(archive)
    tree = _tree(skops, source, trusted)
    skops.audit(tree, trusted)
    with pages_of_its_own(is_trimmed=merge):
        _put_arrays(skops, tree, source, mapping)
        try:
            return tree.construct()
        except ValueError as error:
            if mapping.mode == "r" and "read-only" in str(error):
                raise ValueError(f"{archive.path}: the model writes to an array while it is loaded "
                                 f"({error}): load it with mmap_mode='c'") from error
            raise


def _largest_in(npz: bytes) -> int:
    """Bytes of its largest array."""
    try:
        with zipfile.ZipFile(io.BytesIO(npz)) as members:
            return max((member.file_size for member in members.infolist()), default=0)
    except zipfile.BadZipFile:
        return 0  # which SciPy says


def _put_arrays(skops: _Skops, tree: Any, source: _Source, mapping: Mapping) -> None:
    """Has each node that has read a mark construct its array or matrix, or gives it the bytes."""
    archive = source.archive
    readers: dict[bytes, Any] = {}  # nodes by their marks
    for node in skops.nodes(tree):
        content = node.children.get("content")
        if isinstance(content, io.BytesIO):
            readers[content.getvalue()] = node
    folders: dict[str, str] | None = None
    for mark, member in source.members.items():  # as skops wrote them: the kernel reads ahead of who goes forward
        node = readers.get(mark)
        if node is None:
            raise ImportError("this skops reads members in a way that skopsfs.load does not know: " + member)
        found: Any = None
        why = f"skops makes a {node.class_name} of what it reads"
        if isinstance(node, skops.SparseMatrixNode):
            if folders is None:
                folders = archive.arrays_of_npz()
            if member in folders:
                found = map_sparse(archive, folders[member], mapping)
                why = "SciPy has to read it"
            else:
                why = archive.why_no_names()
        elif type(node).__name__.startswith(skops.NdArrayNode.__name__) and node.module_name == "numpy":
            kind: Any = getattr(np, node.class_name, None)
            if kind is np.ndarray or isinstance(kind, type) and issubclass(kind, np.generic):
                found = array_or_bytes(archive, member, mapping)
                why = "NumPy has to read its header"
            if isinstance(found, np.ndarray) and kind is not np.ndarray:
                found = kind(found)
        if found is None:
            found = archive.read(member)
        if type(found) is bytes:  # and no numpy.bytes_
            if (_largest_in(found) if member.endswith(".npz") else len(found)) >= mapping.min_bytes:
                mapping.cannot(f"{archive.path}/{member}", why)
            node.children["content"] = io.BytesIO(found)
        else:
            node._construct = lambda found=found: found
