"""Control groups that count memory, of either version of the kernel's interface."""

import contextlib
import os
import subprocess

from mount import until

V1, V2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"


def memory_groups():
    """Where groups with a count of memory can be made; None when this kernel or its setup has none."""
    if os.path.exists(f"{V1}/cgroup.procs"):
        return V1
    try:
        with open(f"{V2}/cgroup.subtree_control", encoding="ascii") as file:
            return V2 if "memory" in file.read().split() else None
    except OSError:
        return None


class Group:
    """A control group of the test's own."""

    def __init__(self, name):
        folder = memory_groups()
        self._is_v1 = folder == V1
        self._path = f"{folder}/skopsfs-test-{os.getpid()}-{name}"
        os.mkdir(self._path)

    def _write(self, name, value):
        with open(f"{self._path}/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    def _read(self, name):
        with open(f"{self._path}/{name}", encoding="ascii") as file:
            return file.read()

    def _field(self, name, *fields):
        pairs = (line.split() for line in self._read(name).splitlines())
        return sum(int(words[1]) for words in pairs if words[0] in fields)

    def take(self, pid):
        self._write("cgroup.procs", pid)

    def processes(self):
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def file_bytes(self):
        return self._field("memory.stat", "total_cache" if self._is_v1 else "file")

    def bytes(self):
        """What is charged to it, but for pages of files, which go when memory is short."""
        used = int(self._read("memory.usage_in_bytes" if self._is_v1 else "memory.current"))
        prefix = "total_" if self._is_v1 else ""
        return used - self._field("memory.stat", f"{prefix}active_file", f"{prefix}inactive_file")

    def limit(self, size):
        self._write("memory.limit_in_bytes" if self._is_v1 else "memory.max", size)

    def kills(self):
        """How often the kernel has killed a process of it because of its limit."""
        return self._field("memory.oom_control" if self._is_v1 else "memory.events", "oom_kill")

    def die_as_one(self):
        """From now on the kernel kills all of it or nothing. False when it cannot."""
        if not self._is_v1:
            self._write("memory.oom.group", 1)
        return not self._is_v1

    @contextlib.contextmanager
    def filled(self, size, killed_first=True):
        """Meanwhile `size` bytes are charged to it that nobody has, so that no kill frees them.

        When they are too many, the kernel kills first whoever fills it, or last. Yields what frees them at once.
        """
        score = 1000 if killed_first else 0
        command = (f"echo 0 >{self._path}/cgroup.procs && echo {score} >/proc/self/oom_score_adj && "
                   f"exec head -c {size} /dev/zero")
        with os.fdopen(os.memfd_create("filler"), "wb", buffering=0) as file:
            subprocess.run(["sh", "-c", command], stdout=file, check=False)
            try:
                yield lambda: file.truncate(0)
            finally:
                file.truncate(0)  # children have it open, too

    def remove(self):
        until(self._removed, f"{self._path} is empty")

    def _removed(self):
        try:
            os.rmdir(self._path)
        except OSError:
            return False
        return True


def new_group(test, name):
    """A group that is removed at the end of the test."""
    if memory_groups() is None:
        test.skipTest("this kernel counts no memory of control groups")
    group = Group(name)
    test.addCleanup(group.remove)
    return group
