"""Which version of an archive a model is."""

from __future__ import annotations

import os
import weakref
from typing import Any

_loaded: dict[int, tuple[str, str]] = {}  # path and version, by the id of the model


def version_of(status: os.stat_result) -> str:
    return f"{status.st_dev:x}-{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def remember(model: Any, path: str, version: str) -> None:
    """For as long as the model is there."""
    try:
        weakref.finalize(model, _forget, id(model)).atexit = False
    except TypeError:
        return  # as of a dict; whoever asks is told
    _loaded[id(model)] = (path, version)


def _forget(identity: int) -> None:
    _loaded.pop(identity, None)


def version(model_or_path: Any) -> str:
    """Which version of its archive a model is, or which one a path leads to now.

    Parameters
    ----------
    model_or_path
        What ``skopsfs.load`` returned, or the path of an archive, in a mount or not.

    Returns
    -------
    A text that differs for each version. It may also differ after the archive was mounted
    anew. A mount shows a new version within a second (``--revalidate``).

    Raises
    ------
    OSError where there is no such archive; TypeError for what ``skopsfs.load`` has not loaded, and for dicts,
    lists and other objects that it cannot recognise: ask for the version of the path before loading.
    """
    if isinstance(model_or_path, (str, bytes, os.PathLike)):
        return version_of(os.stat(model_or_path))
    return _known(model_or_path)[1]


def changed(model: Any) -> bool:
    """Whether the path that a model was loaded from leads to another version now, so that a server should
    load it again. This costs one lookup. Raises what ``version`` raises."""
    path, loaded = _known(model)
    return version(path) != loaded


def _known(model: Any) -> tuple[str, str]:
    try:
        return _loaded[id(model)]
    except KeyError:
        raise TypeError(f"skopsfs.load has not loaded this {type(model).__name__}, or cannot know it again: "
                        "ask for skopsfs.version(path) before loading, then compare") from None
