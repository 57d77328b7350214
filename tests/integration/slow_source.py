"""A source that answers slowly: tests/support/slow_source.cc, which a test controls."""

import mmap
import os
import struct
import subprocess

from mount import detach, is_mounted, until

# As in slow_source.cc.
_FIELDS = ("delay", "stalled", "waiting")


class SlowSource:
    """`folder`, shown at `mountpoint`, which is to be the source. `delay` (microseconds) is how long
    each call takes; while `stalled` is 1, those for its folder "stalls" and what lies there do not
    end; `waiting` is how many wait for that."""

    def __init__(self, test, folder, mountpoint):
        path = os.path.join(test.folder, "slow_source")
        with open(path, "w+b") as file:
            file.truncate(8 * len(_FIELDS))
            self.__dict__["_memory"] = mmap.mmap(file.fileno(), 0)
        self.__dict__["_mountpoint"] = mountpoint
        self.__dict__["_process"] = subprocess.Popen(
            [os.environ["SKOPSFS_SLOW_SOURCE"], path, folder, mountpoint])
        test.addCleanup(self.end)
        until(lambda: is_mounted(mountpoint), "the slow source is mounted")

    def end(self):
        self.stalled = self.delay = 0
        detach(self._mountpoint)
        self._process.wait()

    def __setattr__(self, name, value):
        struct.pack_into("<Q", self._memory, 8 * _FIELDS.index(name), value)

    def __getattr__(self, name):
        return struct.unpack_from("<Q", self._memory, 8 * _FIELDS.index(name))[0]
