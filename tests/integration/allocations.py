"""Has allocations of memory fail in programs that failing_allocations.cc is preloaded into."""

import mmap
import os
import struct

# As in failing_allocations.h.
_FIELDS = ("how", "process", "at", "count", "failed")
NONE, ONE, ALL_FROM = range(3)


class Allocations:
    """The control block. Its fields are attributes."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(8 * len(_FIELDS))
            memory = mmap.mmap(file.fileno(), 0)
        self.__dict__["_memory"] = memory
        self.__dict__["environment"] = {
            "SKOPSFS_ALLOCATIONS": path,
            "LD_PRELOAD": os.environ["SKOPSFS_ALLOCATIONS_LIBRARY"],
        }

    def fail(self, how, at, process=0):
        """From now on, in that process or in any."""
        self.how = NONE
        self.process, self.at, self.count, self.failed = process, at, 0, 0
        self.how = how

    def stop(self):
        self.how = NONE

    def __setattr__(self, name, value):
        struct.pack_into("<Q", self._memory, 8 * _FIELDS.index(name), value)

    def __getattr__(self, name):
        return struct.unpack_from("<Q", self._memory, 8 * _FIELDS.index(name))[0]
