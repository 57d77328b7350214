"""Which control group the pages of a mapped member count against: that of whoever needs them first.

What docs/kubernetes.md says under "Who pays for memory".
"""

import hashlib
import os
import unittest

import archives
from archives import MEMBER, PAGE
from mount import MountTest, main, needs_root, until
from processes import Child, resident_pages

PAGES = 16384  # 64 MiB
V1, V2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


def memory_groups():
    """Where groups with a count of memory can be made, and what the pages of files are called there."""
    if os.path.exists(f"{V1}/cgroup.procs"):
        return V1, "total_cache"
    try:
        with open(f"{V2}/cgroup.subtree_control", encoding="ascii") as file:
            if "memory" in file.read().split():
                return V2, "file"
    except OSError:
        pass
    return None


class Group:
    """A control group of the test's own."""

    def __init__(self, name):
        folder, self._field = memory_groups()
        self._path = f"{folder}/skopsfs-test-{os.getpid()}-{name}"
        os.mkdir(self._path)

    def take(self, pid):
        with open(f"{self._path}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(pid))

    def file_bytes(self):
        with open(f"{self._path}/memory.stat", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.split()[0] == self._field)

    def remove(self):
        until(self._removed, f"{self._path} is empty")

    def _removed(self):
        try:
            os.rmdir(self._path)
        except OSError:
            return False
        return True


@needs_root
class WhoPays(MountTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if memory_groups() is None:
            raise unittest.SkipTest("this kernel counts no memory of control groups")

    def group(self, name):
        group = Group(name)
        self.addCleanup(group.remove)
        return group

    def read_in(self, group, path):
        """Reads a file to its end in a process of the group, and hands its hash back."""
        def read():
            group.take(os.getpid())
            digest = hashlib.sha256()
            with open(path, "rb", buffering=0) as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
            return digest.hexdigest()
        with Child(read) as child:
            return child.result()

    def test_the_first_reader_pays(self):
        archives.write_version(self.in_source("a.skops"), 1, PAGES)
        os.sync()
        with open(self.in_source("a.skops"), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        server, first, second = (self.group(name) for name in ("server", "first", "second"))
        mount = self.mount()
        for process in mount.processes():
            server.take(process)
        member = self.in_mount("a.skops", MEMBER)
        expected = hashlib.sha256(archives.content(1, PAGES)).hexdigest()
        self.assertEqual(self.read_in(first, member), expected)
        self.assertEqual(self.read_in(second, member), expected)
        self.assertGreater(resident_pages(member), 0.8 * PAGES)  # but for what was reclaimed
        size = PAGES * PAGE
        until(lambda: server.file_bytes() < size // 8, "the server has dropped the archive's pages")
        print(f"\nof {size >> 20} MiB: first {first.file_bytes() >> 20}, second "
              f"{second.file_bytes() >> 20}, server {server.file_bytes() >> 20} MiB")
        self.assertGreater(first.file_bytes(), size * 0.9)
        self.assertLess(second.file_bytes(), size // 8)


if __name__ == "__main__":
    main()
