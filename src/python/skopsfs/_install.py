"""skops.io.load of programs that know nothing of mounts: what lies in one is mapped."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
import zipfile
from typing import Any, Callable, Iterator

from ._archive import with_archive
from ._load import get_untrusted_types, load
from ._mounts import mounted_archive, why_unusable
from ._warnings import UnmappedWarning, warn

_lock = threading.Lock()  # guards what follows
_is_wanted = False
_mapping_load: Callable[..., Any] = load  # with options
_contexts = 0
_originals: dict[str, Callable[..., Any]] = {}  # by their names in skops.io, while they are replaced


def install(*, merge: bool = False, warm: bool = False) -> None:
    """Has ``skops.io.load`` map archives in mounts of skopsfs, for all of this process.

    A path is loaded by ``skopsfs.load`` if it leads into a mount, or to a file in the source folder of a mount
    on this machine that shows the same version of it. Everything else, file objects and bytes too, goes to
    skops unchanged. ``skops.io.get_untrusted_types`` and ``skops.io.visualize`` then take paths in mounts, too.
    A name that was imported before (``from skops.io import load``) is still the function of skops.

    ``merge`` and ``warm`` are as for ``skopsfs.load``. Once or more often is the same, the last ones count; ``uninstall``
    undoes it. Raises ImportError without skops.
    """
    global _is_wanted, _mapping_load
    with _lock:
        _replace()
        _is_wanted, _mapping_load = True, functools.partial(load, merge=merge, warm=warm)


def uninstall() -> None:
    """Undoes ``install``, except inside ``with installed()``."""
    global _is_wanted, _mapping_load
    with _lock:
        _is_wanted, _mapping_load = False, load
        _restore()


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """As between ``install`` and ``uninstall``: ``with skopsfs.installed(): ...``. May be nested, also in several
    threads; it then lasts until all are through."""
    global _contexts
    with _lock:
        _replace()
        _contexts += 1
    try:
        yield
    finally:
        with _lock:
            _contexts -= 1
            _restore()


def _after_fork() -> None:
    """In the child. Another thread may have held the lock, while it imported skops."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _replace() -> None:
    import skops.io
    if _originals:
        return
    uses: dict[str, Callable[..., Any]] = {
        "load": _load, "get_untrusted_types": _get_untrusted_types, "visualize": _visualize}
    for name, use in uses.items():
        original = getattr(skops.io, name)
        _originals[name] = original
        setattr(skops.io, name, functools.wraps(original)(functools.partial(use, original)))


def _restore() -> None:
    if _is_wanted or _contexts or not _originals:
        return
    import skops.io
    for name, original in _originals.items():
        setattr(skops.io, name, original)
    _originals.clear()


def _in_mount(file: Any) -> str | None:
    return mounted_archive(file) if isinstance(file, (str, os.PathLike)) else None


def _load(original: Callable[..., Any], file: Any, *arguments: Any, **options: Any) -> Any:
    path = _in_mount(file)
    if path is None:
        why = why_unusable(file) if isinstance(file, (str, os.PathLike)) else ""
        if why:
            warn(f"{file} is copied into this process: {why}", UnmappedWarning)
        return original(file, *arguments, **options)
    return _mapping_load(path, *arguments, **options)


def _get_untrusted_types(original: Callable[..., Any], **options: Any) -> Any:
    path = _in_mount(options.get("file"))
    return original(**options) if path is None else get_untrusted_types(path)


def _visualize(original: Callable[..., Any], file: Any, *arguments: Any, **options: Any) -> Any:
    path = _in_mount(file)
    return original(file if path is None else _outline(path), *arguments, **options)


def _outline(path: str) -> bytes:
    """An archive with the same schema, whose arrays are empty: nobody looks at them."""
    def write(archive: Any) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as outline:
            for name in archive.names(""):
                if name.endswith((".npy", ".npz")):
                    outline.writestr(name, b"")
            outline.writestr("schema.json", archive.read("schema.json"))
        return data.getvalue()
    return with_archive(path, write)
