"""What shim.c, which is preloaded into skopsfs, is to do; written while skopsfs runs."""

import mmap
import os
import struct

from mount import MountTest

# As in shim.c.
_FIELDS = ("crash_at", "overflow_at", "hang_at", "slow_at", "stuck", "attack_at", "lie_at", "lie",
           "no_exec", "old_kernel", "die_at_start", "die_soon", "no_landlock",
           "metrics_hang", "no_prune", "hang_at_start", "hanging", "faults", "fault_at",
           "fault_errno", "fault_calls", "faulty", "slow_lease", "like_nfs",
           "other_protocol", "crash_taking_over", "hang_taking_over", "no_poll",
           "throws", "attempts")
_ATTEMPTS = 24


class Shim:
    """The control block. Its fields are attributes: 0, 1, or the path of a file for those `_at`."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(8 * (len(_FIELDS) + _ATTEMPTS))
            memory = mmap.mmap(file.fileno(), 0)
        self.__dict__["_memory"] = memory
        self.__dict__["environment"] = {
            "SKOPSFS_SHIM": path,
            "LD_PRELOAD": os.environ["SKOPSFS_SHIM_LIBRARY"],
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }

    def __setattr__(self, name, value):
        if isinstance(value, str):
            value = os.stat(value).st_ino
        struct.pack_into("<Q", self._memory, 8 * _FIELDS.index(name), value)

    def __getattr__(self, name):
        return struct.unpack_from("<Q", self._memory, 8 * _FIELDS.index(name))[0]

    def results(self):
        found = struct.unpack_from(f"<{_ATTEMPTS}Q", self._memory, 8 * len(_FIELDS))
        return found[:self.attempts]


class ShimTest(MountTest):
    def setUp(self):
        super().setUp()
        self.shim = Shim(os.path.join(self.folder, "shim"))

    def mount(self, *options, **more):
        return super().mount(*options, env=self.shim.environment, **more)
