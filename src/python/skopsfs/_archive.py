"""An archive as a mount shows it: a directory of members."""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import BinaryIO, Callable, Iterator, TypeVar

_BY_NAME = "by-name"
_REASON = "user.skopsfs.error"


_Result = TypeVar("_Result")
_ATTEMPTS = 10


def with_archive(path: str | os.PathLike[str], use: Callable[[Archive], _Result]) -> _Result:
    """What `use` returns for the archive. When the archive is replaced meanwhile, `use` is called
    again for the new version."""
    for attempt in range(_ATTEMPTS):
        try:
            with Archive(path) as archive:
                return use(archive)
        except OSError as error:
            if error.errno != errno.ESTALE or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


class Archive:
    """One version of a mounted archive: all members are of that version, and opening one fails with
    ESTALE once the archive has been replaced. A context manager; what was mapped outlives it. Safe
    to use from several threads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        os.close(self._directory)

    def open(self, member: str) -> BinaryIO:
        """The member, to be read. Its ``name`` is the path that other processes reach it by. Raises
        OSError, with skopsfs's reason where it gives one."""
        def opener(_: str, flags: int) -> int:
            return os.open(member, flags, dir_fd=self._directory)
        try:
            return open(os.path.join(self.path, member), "rb", opener=opener)
        except OSError as error:
            raise self._with_reason(error, member) from None

    def read(self, member: str) -> bytes:
        """All of a member. Raises OSError, as ``open``."""
        with self.open(member) as file:
            try:
                return file.read()
            except OSError as error:
                raise self._with_reason(error, member) from None

    def size(self, member: str) -> int:
        """Bytes of a member."""
        try:
            return os.stat(member, dir_fd=self._directory).st_size
        except OSError as error:
            raise self._with_reason(error, member) from None

    def arrays_of_npz(self) -> dict[str, str]:
        """For each npz that has one, the folder with its members; both relative to the archive. It
        is empty where the mount shows no by-name."""
        return dict(self._npz_below(_BY_NAME))

    def _npz_below(self, folder: str) -> Iterator[tuple[str, str]]:
        top = os.path.join(f"/proc/self/fd/{self._directory}", folder)
        for path, _, names in os.walk(top):
            inside = os.path.join(folder, os.path.relpath(path, top))
            for name in names:
                if name.endswith(".npz"):
                    target = os.path.join(inside, os.readlink(os.path.join(path, name)))
                    yield (os.path.normpath(target),
                           os.path.normpath(os.path.join(inside, name[:-len(".npz")])))

    def _with_reason(self, error: OSError, member: str) -> OSError:
        path = os.path.join(self.path, member)
        reason = error.strerror or ""
        try:
            reason += f" ({os.getxattr(path, _REASON).decode(errors='replace')})"
        except OSError:
            pass  # there is none, or this is no mount of skopsfs
        return OSError(error.errno, reason, path)
