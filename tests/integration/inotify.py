"""Tells which files were opened or read, whoever did it: inotify, by way of ctypes."""

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
READ, OPEN, _ISDIR = 0x1, 0x20, 0x40000000


class Opens:
    """The names that are opened or read in the watched folders; a look at a name is neither."""

    def __init__(self, *folders, events=OPEN | READ):
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._folders = {}
        for folder in folders:
            watch = _libc.inotify_add_watch(self._fd, os.fsencode(folder), events)
            if watch < 0:
                raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")
            self._folders[watch] = folder

    def close(self):
        os.close(self._fd)

    def take(self, folders=False):
        """The paths opened since the last call; with those of folders if asked."""
        paths = set()
        while True:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return paths
            at = 0
            while at < len(data):
                watch, mask, _, size = struct.unpack_from("iIII", data, at)
                name = os.fsdecode(data[at + 16:at + 16 + size].rstrip(b"\0"))
                at += 16 + size
                if mask & _ISDIR and not folders:
                    continue
                paths.add(os.path.join(self._folders.get(watch, "?"), name).rstrip("/"))
