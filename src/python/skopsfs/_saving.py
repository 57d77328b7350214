"""Saving models where others have them mapped."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from typing import Any


def dump(model: Any, path: str | os.PathLike[str], **options: Any) -> None:
    """Saves a model as ``skops.io.dump`` does, but replaces the old file in one step. Whoever has the old
    version open or mapped keeps it, and nobody ever sees half of the new one.

    Parameters
    ----------
    model
        What ``skops.io.dump`` can save.
    path
        An archive in the source folder, not in the mount. If there is one already, the new one has its
        mode, and its owner and group where the process may give them. If it is a symbolic link, what it
        leads to is replaced.
    options
        Those of ``skops.io.dump``: ``compression``, ``compresslevel``.

    Raises
    ------
    What ``skops.io.dump`` raises; ImportError without skops; OSError, also for a path in a mount. The old
    file is then unchanged.
    """
    import skops.io
    target = os.path.realpath(os.fsdecode(path))
    folder = os.path.dirname(target)
    written = os.path.join(folder, f".skopsfs-{secrets.token_hex(8)}.tmp")  # which no mount shows as an archive
    with contextlib.ExitStack() as stack:
        try:
            old = os.stat(target) if os.path.exists(target) else None
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, directory)
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if old else 0o666)
        except OSError as error:
            why = " (a mount is: save it in the source folder)" if error.errno == errno.EROFS else ""
            raise OSError(error.errno, error.strerror + why, target) from None
        try:
            with open(descriptor, "wb") as file:
                if old:
                    with contextlib.suppress(PermissionError):
                        os.fchown(descriptor, -1, old.st_gid)
                        os.fchown(descriptor, old.st_uid, -1)
                    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
                skops.io.dump(model, file, **options)
                file.flush()
                os.fsync(descriptor)
            os.replace(written, target)
        except BaseException:
            os.unlink(written)
            raise
        os.fsync(directory)
