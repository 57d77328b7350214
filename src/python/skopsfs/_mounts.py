"""Where the archives of this machine are mounted."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from typing import Iterator

from ._hints import ARCHIVE, absolute

_TYPE = "fuse.skopsfs"


def mounted_archive(path: str | os.PathLike[str]) -> str | None:
    """The path in a mount of the archive that a path leads to: in a mount, or in the source of one that shows
    just that file. None for all else."""
    given = absolute(path)
    with contextlib.suppress(OSError):
        os.getxattr(given, ARCHIVE)
        return given if os.path.isdir(given) else None
    with contextlib.suppress(OSError):
        status = os.stat(given)
        if stat.S_ISREG(status.st_mode):
            return next((shown for shown in _in_mounts(given) if _is_same(shown, status)), None)
    return None


def why_unusable(path: str | os.PathLike[str]) -> str:
    """What keeps this process from a mount whose source has the file at a path: it is not let in, or the mount is dead.
    Empty if nothing does."""
    given = absolute(path)
    if os.path.isfile(given):
        for shown in _in_mounts(given):
            try:
                os.stat(shown)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.ENOTCONN, errno.ECONNABORTED):
                    return f"{shown}, where it is mounted, cannot be used: {error.strerror}"
    return ""


def _in_mounts(given: str) -> Iterator[str]:
    """Where mounts show the file, if they do."""
    # In a hub's cache it is the link's name that is an archive's, and not that of what it leads to.
    link = os.path.join(os.path.realpath(os.path.dirname(given)), os.path.basename(given))
    for mountpoint, source in _mounts():
        for below in {given, link, os.path.realpath(given)}:
            shown = _at_the_other(below, source, mountpoint)
            if shown is not None:
                yield shown


def file_of_archive(path: str | os.PathLike[str]) -> str | None:
    """The path of the file that a mount shows as the archive at a path in it, for skops to read. None where this
    process cannot find or read it, or it is another version."""
    given = absolute(path)
    for mountpoint, source in _mounts():
        for below in {given, os.path.realpath(given)}:
            plain = _at_the_other(below, mountpoint, source)
            if (plain is not None and os.path.isfile(plain) and os.access(plain, os.R_OK)
                    and _is_same(given, os.stat(plain))):
                return plain
    return None


def _mounts() -> Iterator[tuple[str, str]]:
    """Mountpoint and source of each mount of skopsfs that this process sees."""
    mark = f" - {_TYPE} "
    try:
        # Other white space than " " and "\n" can be in names.
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            mounts = [(line[:at].split(" "), line[at + len(mark):].split(" ")) for line in lines
                      if (at := line.find(mark)) >= 0]
    except OSError:
        return
    for fields, (name, *_) in mounts:
        root, mountpoint, name = _unescape(fields[3]), _unescape(fields[4]), _unescape(name)
        # A mount may have been given another name. Then its server is asked, who may be gone or busy.
        source = name if os.path.isabs(name) else _source_of(mountpoint)
        if source:  # of all; a part may be bound elsewhere, as with a container's subPath
            yield mountpoint, source.rstrip("/") + root.rstrip("/") or "/"


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _source_of(mountpoint: str) -> str:
    """Empty where that cannot be read: it is for the one who serves, and for root."""
    try:
        with open(os.path.join(mountpoint, ".skopsfs", "status.json"), "rb") as file:
            source = json.load(file)["source"]
    except (OSError, ValueError, KeyError):
        return ""
    return source if isinstance(source, str) else ""


def _at_the_other(path: str, one: str, other: str) -> str | None:
    """Where at `other`, a mountpoint or its source, lies what is at a path at `one`; None if it lies elsewhere."""
    for folder in {one, os.path.realpath(one)}:
        if path == folder:
            return other
        if path.startswith(folder.rstrip("/") + "/"):
            return os.path.join(other, os.path.relpath(path, folder))
    return None


def _is_same(shown: str, status: os.stat_result) -> bool:
    """Whether the mount shows that very version of the file, of which it has the times."""
    try:
        found = os.stat(shown)
        os.getxattr(shown, ARCHIVE)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (
        (found.st_mtime_ns, found.st_ctime_ns, found.st_uid, found.st_gid)
        == (status.st_mtime_ns, status.st_ctime_ns, status.st_uid, status.st_gid))
