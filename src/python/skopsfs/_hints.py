"""What may be meant by a path at which there is nothing that can be loaded."""

from __future__ import annotations

import difflib
import errno
import os

ARCHIVE = "user.skopsfs.archive"
_MOST_NAMES = 1000  # that are looked through for the nearest: a schema can name very many


def absolute(path: str | bytes | os.PathLike[str]) -> str:
    """The same path, wherever the process goes. It is made no shorter where ".." may follow a link."""
    text = os.fsdecode(path)
    return os.path.join(os.getcwd(), text) if ".." in text.split("/") else os.path.abspath(text)


def with_hint(error: OSError, archive: str) -> OSError:
    """The error of using an archive, which may be none. If it is that something is not there, it says what
    is."""
    number, path = error.errno, str(error.filename)
    if number not in (errno.ENOENT, errno.ENOTDIR) or not path.startswith(archive):
        return error
    why = ""
    if not os.path.exists(archive):
        why = _hint_of_missing(archive)
    elif not os.path.isdir(archive):
        why = hint_of_file(archive)
    elif not _is_archive(archive):
        number, path, why = errno.EISDIR, archive, _hint_of_folder(archive)
    elif path.startswith(f"{archive}/by-name/"):
        why = _hint_of_name(archive, path[len(f"{archive}/by-name/"):].removesuffix(".npy"))
    return OSError(number, f"{os.strerror(number)} ({why})" if why else error.strerror, path)


def _is_archive(path: str) -> bool:
    """Whether a mount shows an archive there, or one was unzipped there."""
    try:
        os.getxattr(path, ARCHIVE)
        return os.path.isdir(path)
    except OSError:
        return os.path.isfile(os.path.join(path, "schema.json"))


def archive_above(path: str) -> str:
    """The archive that a path leads into; empty when there is none."""
    inside = os.path.dirname(path)
    while inside not in ("", "/"):
        if _is_archive(inside):
            return inside
        inside = os.path.dirname(inside)
    return ""


def hint_of_file(path: str) -> str:
    """Of a file that was given for an archive in a mount."""
    archive = archive_above(path)
    if archive:
        return f"it is a member of an archive: give the archive, {archive}"
    folder, name = os.path.split(path)
    if os.path.dirname(os.path.realpath(path)) != os.path.realpath(folder):
        return ("it is a link to a plain file, which cannot be mapped: mount it alone "
                f"(skopsfs {path} MOUNTPOINT), then give MOUNTPOINT")
    return (f"it is a plain file, which cannot be mapped: mount its folder (skopsfs {folder} MOUNTPOINT), then give "
            f"MOUNTPOINT/{name}")


def _hint_of_folder(path: str) -> str:
    names = _names_in(path)
    if not names:
        return f"{path} is empty: nothing is mounted there"
    archives = [name for name in names if _is_archive(os.path.join(path, name))]
    return "it is a folder, not an archive" + (f": give one of its archives, as {path}/{archives[0]}" if archives
                                               else "")


def _hint_of_missing(path: str) -> str:
    folder, missing = os.path.split(path)
    while not os.path.isdir(folder):
        folder, missing = os.path.split(folder)
    names = _names_in(folder)
    return _nearest(missing, names) if names else f"{folder} is empty: nothing is mounted there"


def _hint_of_name(archive: str, name: str) -> str:
    if not os.path.isdir(os.path.join(archive, "by-name")):
        return "there are no names in a mount with -o noby-name, nor in an unzipped archive"
    return _nearest(name, _arrays_of(archive))


def _names_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry, _ in zip(entries, range(_MOST_NAMES))]
    except OSError:
        return []


def _arrays_of(archive: str) -> list[str]:
    """Names of arrays, as skopsfs.array takes them."""
    top = os.path.join(archive, "by-name")
    found: list[str] = []
    for folder, _, names in os.walk(top):
        found += [os.path.relpath(os.path.join(folder, name), top).removesuffix(".npy")
                  for name in names if name.endswith(".npy")]
        if len(found) >= _MOST_NAMES:
            break
    return found[:_MOST_NAMES]


def _nearest(wanted: str, names: list[str]) -> str:
    last = wanted.rpartition("/")[2]
    found = [name for name in names if name.rpartition("/")[2] == last]
    found = (found or difflib.get_close_matches(wanted, names, cutoff=0.5))[:3]
    return f"the nearest names are {', '.join(found)}" if found else ""
