"""An archive as a mount shows it: a directory of members."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from types import TracebackType
from typing import Callable, Iterator, TypeVar

from ._hints import absolute, with_hint
from ._versions import version_of

_BY_NAME = "by-name"
_REASON = "user.skopsfs.error"
_MEMBER = "user.skopsfs.member"


_Result = TypeVar("_Result")
_ATTEMPTS = 10


def with_archive(path: str | os.PathLike[str], use: Callable[[Archive], _Result]) -> _Result:
    """What `use` returns for the archive. When the archive is replaced meanwhile, `use` is called
    again for the new version. An OSError says what may have been meant by a path at which nothing is."""
    place = absolute(path)
    for attempt in range(_ATTEMPTS):
        try:
            with Archive(place) as archive:
                return use(archive)
        except OSError as error:
            if error.errno != errno.ESTALE or attempt == _ATTEMPTS - 1:
                raise with_hint(error, place) from None
    raise AssertionError("unreachable")


def read_all(descriptor: int, size: int) -> bytes:
    """The next `size` bytes of a file, or those that there are. Most files are read by one call, which
    the kernel ends at 2 GiB."""
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data


def read_into(descriptor: int, memory: memoryview) -> None:
    """Fills memory with the next bytes of a file. Raises OSError where it ends before."""
    while memory:
        count = os.readv(descriptor, [memory])
        if count == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        memory = memory[count:]


class Archive:
    """One version of a mounted archive. All members are of that version. Opening one fails with ESTALE
    once the archive has been replaced. A context manager; maps outlive it. Safe to use from several
    threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        with self._reasons(""):
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def version(self) -> str:
        """As ``skopsfs.version`` has it."""
        return version_of(os.fstat(self._directory))

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.close(self._directory)

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[int]:
        """A descriptor of what is at a path below the archive, to be read. Raises OSError, also while
        it is read, with skopsfs's reason where it gives one."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._with_reason(error, path) from None

    def read(self, path: str) -> bytes:
        """All of it."""
        with self.open(path) as descriptor:
            return read_all(descriptor, os.fstat(descriptor).st_size)

    def size(self, path: str) -> int:
        """Its bytes."""
        with self._reasons(path):
            return os.stat(path, dir_fd=self._directory).st_size

    def names(self, folder: str) -> list[str]:
        """What is in a folder below the archive."""
        with self._reasons(folder):
            return os.listdir(os.path.join(f"/proc/self/fd/{self._directory}", folder))

    def check_member(self, name: object) -> str:
        """The name of a member that an archive's schema gives, which is a stranger's text: it could
        lead anywhere. Raises KeyError, as zipfile does, unless it leads to a member."""
        if isinstance(name, str) and (name in self._files or self._is_below(name.split("/"))):
            return name
        raise KeyError(f"There is no item named {name!r} in the archive")

    @functools.cached_property
    def _files(self) -> set[str]:
        """The names of members that lie in no folder, as skops writes them all."""
        with self._reasons(""), os.scandir(self._directory) as entries:
            return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}

    def _is_below(self, parts: list[str]) -> bool:
        """Whether they lead to a member that lies in a folder, through no link."""
        if len(parts) < 2 or parts[0] == _BY_NAME or {"", ".", ".."} & set(parts):
            return False
        found = self._directory
        try:
            for part in parts:
                inside, found = found, os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                                               dir_fd=found)
                if inside != self._directory:
                    os.close(inside)
            return stat.S_ISREG(os.fstat(found).st_mode)
        except ValueError:  # it is no text that names can be
            return False
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            return False
        finally:
            if found != self._directory:
                os.close(found)

    def arrays_of_npz(self) -> dict[str, str]:
        """For each npz that has one, the folder with its members; both relative to the archive. It
        is empty where the mount shows no by-name."""
        return dict(self._npz_below(_BY_NAME))

    def why_no_names(self) -> str:
        """Why the arrays of an npz may not be shown by name."""
        try:
            return os.getxattr(os.path.join(self.path, _BY_NAME), _REASON).decode(errors="replace")
        except OSError:
            return "there are no names of its arrays"

    def _npz_below(self, inside: str) -> Iterator[tuple[str, str]]:
        top = os.path.join(f"/proc/self/fd/{self._directory}", inside)
        links, folders = [], set()
        try:
            with os.scandir(top) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.name)
                    elif entry.name.endswith(".npz") and entry.is_symlink():
                        links.append(entry.name)
        except OSError:
            return  # whoever needs the arrays reads the npz, and is told what is wrong
        for name in links:
            npz = os.path.normpath(os.path.join(inside, os.readlink(os.path.join(top, name))))
            beside = name[:-len(".npz")]
            if beside in folders and self._is_of(os.path.join(top, beside), npz):
                folders.remove(beside)
                yield npz, os.path.normpath(os.path.join(inside, beside))
        for name in folders:
            yield from self._npz_below(os.path.join(inside, name))

    @staticmethod
    def _is_of(folder: str, npz: str) -> bool:
        """Whether a folder shows what is in an npz: names may have been changed to tell them apart."""
        try:
            found = os.getxattr(os.path.join(folder, "format.npy"), _MEMBER)
        except OSError:
            return False
        return os.fsdecode(found) == npz + "/format.npy"

    @contextlib.contextmanager
    def _reasons(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._with_reason(error, path) from None

    def _with_reason(self, error: OSError, below: str) -> OSError:
        if error.errno in (errno.EMFILE, errno.ESTALE, None):
            return error
        path = os.path.join(self.path, below) if below else self.path
        reason = error.strerror or ""
        with contextlib.suppress(OSError):  # there is none, or this is no mount of skopsfs
            reason += f" ({os.getxattr(path, _REASON).decode(errors='replace')})"
        return OSError(error.errno, reason, path)
