"""A version that is replaced, unlinked or rewritten gives all back once nobody uses it any more.

Its descriptors (the worker's and the supervisor's), what the kernel knows of it (so its pages), and
its space on the disk; also when nobody ever looks its name up again. What is used stays what it was.

SKOPSFS_SECONDS=1 prints how long each took. SKOPSFS_VERSIONS (100 by default) is how many versions
one name has in the test of that.
"""

import errno
import io
import json
import mmap
import os
import signal
import subprocess
import sys
import time

import numpy

import archives
from archives import MEMBER, PAGE
from mount import detach_below, main, until
from processes import SIGBUS, mount_tmpfs, private_mounts, touch
from shim import ShimTest

_VERSIONS = int(os.environ.get("SKOPSFS_VERSIONS", "100"))
_ROUNDS = 2.5  # seconds in which housekeeping has been round; more can only help
_SCHEMA = {"__loader__": "DictNode", "content": {
    "a": {"__loader__": "NdArrayNode", "file": "1.npy"},
    "X": {"__loader__": "SparseMatrixNode", "type": "scipy", "file": "2.npz"}}}


def archive_bytes(version):
    """A version with something of each kind. All have one size."""
    array = numpy.full(3 * PAGE, version)
    npz = io.BytesIO()
    numpy.savez(npz, data=array)
    return archives.archive_of({
        "schema.json": json.dumps(_SCHEMA).encode(), MEMBER: archives.content(version, 4),
        "d/inside": archives.content(version, 4), "1.npy": archives.npy(array),
        "2.npz": npz.getvalue()})


def rename_over(path):
    archives.write(path, archive_bytes(2))


def rewrite(path):
    archives.rewrite(path, archive_bytes(2))


_CHANGES = {"replaced": rename_over, "unlinked": os.unlink, "rewritten": rewrite}
_IN_PLACE = "rewritten"


class Use:
    """Somebody who has read a member, and uses its archive until end()."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.content = file.read()

    def reads(self):
        """What it reads now, not from memory; None for those who read no more."""

    def end(self):
        pass


class Opened(Use):
    def __init__(self, path):
        super().__init__(path)
        self.file = os.open(path, os.O_RDONLY)

    def reads(self):
        os.posix_fadvise(self.file, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(self.file, 1 << 20, 0)

    def end(self):
        os.close(self.file)


class Mapped(Use):
    def __init__(self, path):
        super().__init__(path)
        with open(path, "rb") as file:
            self.mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)

    def reads(self):
        size = len(self.mapping)
        pages = touch(self.mapping, range(-(-size // PAGE)))
        if SIGBUS in pages:
            raise OSError(errno.EIO, "SIGBUS")
        return b"".join(pages)[:size]

    def end(self):
        self.mapping.close()


class Inside(Use):
    """A process whose working directory is the member's folder."""

    def __init__(self, path):
        super().__init__(path)
        self.process = subprocess.Popen(["sleep", "1000"], cwd=os.path.dirname(path))

    def end(self):
        self.process.kill()
        self.process.wait()


class Listed(Use):
    """Nobody has read anything; `path` is the archive."""

    def __init__(self, path):
        os.listdir(path)


class Known(Use):
    """Nobody has done more than to look its directory by-name up."""

    def __init__(self, path):
        os.stat(path)


class Missed(Use):
    """Somebody has asked beside what was read for a name that is not there."""

    def __init__(self, path):
        super().__init__(path)
        os.path.exists(path + ".no")


_UNUSED = {
    "read and closed": (Use, MEMBER),
    "a name not found": (Missed, MEMBER),
    "a name not found in a sub-directory": (Missed, "d/inside"),
    "listed": (Listed, ""),
    "by-name listed": (Listed, "by-name"),
    "npz listed": (Listed, "by-name/X"),
    "by-name looked up": (Known, "by-name"),
}
_USES = {
    **_UNUSED,
    "open": (Opened, MEMBER),
    "mapped": (Mapped, MEMBER),
    "open in a sub-directory": (Opened, "d/inside"),
    "working directory": (Inside, MEMBER),
    "working directory in a sub-directory": (Inside, "d/inside"),
    "open by name": (Opened, "by-name/a.npy"),
    "open in an npz": (Opened, "by-name/X/data.npy"),
    "mapped in an npz": (Mapped, "by-name/X/data.npy"),
    "working directory by name": (Inside, "by-name/a.npy"),
}


class LetGo(ShimTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.geteuid() == 0:
            private_mounts()

    def setUp(self):
        super().setUp()
        if os.geteuid() == 0:  # whose space nobody else uses
            mount_tmpfs(self.source)
            self.addCleanup(detach_below, self.folder)
        self.mounted = None
        self.users = {}
        self.addCleanup(self.end_all)
        self.seconds = []

    def end_all(self):
        while self.users:
            self.users.popitem()[1].end()

    def held(self):
        """The archives that a process of the mount has open, by name."""
        return {os.path.basename(name).removesuffix(" (deleted)")
                for name in self.mounted.descriptors() if name.startswith(self.source + "/")}

    def takes_no_space(self):
        """Whether what is in the source takes all of the space that is taken there."""
        if os.geteuid() != 0:
            return True
        space = os.statvfs(self.source)
        taken = (space.f_blocks - space.f_bfree) * space.f_bsize
        with os.scandir(self.source) as entries:
            return taken <= sum(entry.stat().st_blocks * 512 for entry in entries)

    def take_over(self, number):
        before = self.mounted.workers()
        if number == signal.SIGKILL:
            os.kill(self.mounted.worker(), number)
        elif number:
            self.mounted.send(number)
        else:
            return
        until(lambda: self.mounted.workers() and not set(before) & set(self.mounted.workers()),
              "another worker serves")

    def wait_for_all(self, names, what):
        """Until all of them are let go of; notes how long each took."""
        start = time.monotonic()
        left = set(names)

        def some_are_left():
            gone = left - self.held()
            left.difference_update(gone)
            self.seconds.extend((name, time.monotonic() - start) for name in sorted(gone))
            return left
        try:
            until(lambda: not some_are_left(), what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {sorted(left)} {self.mounted.log()}") from None

    def check_reads(self):
        for name, user in self.users.items():
            try:
                found = user.reads()
            except OSError as error:
                self.assertTrue(name.startswith(_IN_PLACE), f"{name}: {error}")
                continue
            if found is not None:
                self.assertEqual(found, user.content, name)

    def print_seconds(self, title):
        if os.environ.get("SKOPSFS_SECONDS"):
            for name, seconds in sorted(self.seconds):
                print(f"\n{title}: {name.removesuffix('.skops')}: {seconds:.1f} s", end="",
                      file=sys.stderr)

    def let_go(self, title, before=0, after=0):
        """Every use of every change, with these takeovers before and after the changes."""
        self.mounted = self.mount("--revalidate=0")
        names = {f"{change}, {use}.skops": (change, use) for change in _CHANGES for use in _USES}
        for name in names:
            archives.write(self.in_source(name), archive_bytes(1))
        for name, (_, use) in names.items():
            kind, member = _USES[use]
            self.users[name] = kind(self.in_mount(name, member))
        self.assertEqual(self.held(), set(names))  # or it would be no wonder that they go
        self.take_over(before)
        for name, (change, _) in names.items():
            _CHANGES[change](self.in_source(name))
        unused = {name for name, (_, use) in names.items() if use in _UNUSED}
        self.wait_for_all(unused, "what is not used is let go of")
        until(lambda: self.superseded() <= len(names) - len(unused), "nor does the kernel know it")
        self.take_over(after)
        time.sleep(_ROUNDS)
        used = set(names) - unused
        # Of what was rewritten nothing can be read, so nobody can tell an older kernel its names
        # after a takeover: what is in use goes when that is short of memory. It takes no descriptor.
        given_up = {name for name in used if name.startswith(_IN_PLACE)
                    and self.shim.no_prune and (before or after)}
        self.assertLessEqual(used - given_up, self.held())
        self.assertLessEqual(self.held(), used)
        self.check_reads()
        self.end_all()
        self.wait_for_all(used, "what is not used any more is let go of")
        until(lambda: self.superseded() <= len(given_up), "the kernel knows none of them")
        until(self.takes_no_space, "their space is given back")
        self.print_seconds(title)

    def both_ways(self, title, **takeovers):
        for self.shim.no_prune in (0, 1):
            with self.subTest(no_prune=self.shim.no_prune):
                self.let_go(f"{title}, {'names' if self.shim.no_prune else 'prune'}", **takeovers)
                self.assertEqual(self.mounted.stop(), 0)
                self.seconds.clear()
                for name in os.listdir(self.source):
                    os.unlink(self.in_source(name))

    def test_without_a_takeover(self):
        self.both_ways("no takeover")

    def test_taken_over_from_one_that_was_killed(self):
        self.both_ways("killed before and after", before=signal.SIGKILL, after=signal.SIGKILL)

    def test_taken_over_after_an_upgrade(self):
        self.both_ways("upgraded before and after", before=signal.SIGUSR2, after=signal.SIGUSR2)

    def test_many_versions_of_one_name(self):
        """Each is read; some stay open."""
        for self.shim.no_prune in (0, 1):
            with self.subTest(no_prune=self.shim.no_prune):
                self.mounted = self.mount("--revalidate=0")
                path = self.in_mount("a.skops", MEMBER)
                opened = {}
                for version in range(_VERSIONS):
                    archives.write_version(self.in_source("a.skops"), version, pages=4)
                    file = open(path, "rb", buffering=0)
                    self.assertEqual(file.read(), archives.content(version, 4))
                    if version % 10 == 0:
                        opened[version] = file
                    else:
                        file.close()

                def old_versions():
                    """How many the process has that has the most."""
                    return max(sum(name.startswith(self.source) and name.endswith("(deleted)")
                                   for name in self.mounted.descriptors(pid))
                               for pid in self.mounted.processes())
                start = time.monotonic()
                until(lambda n=len(opened): old_versions() == n, "those in use are left")
                self.seconds.append(("not used", time.monotonic() - start))
                until(lambda n=len(opened): self.superseded() == n, "the kernel knows those alone")
                for version, file in opened.items():
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(version, 4))
                    file.close()
                start = time.monotonic()
                until(lambda: old_versions() == 0, "none is left")
                self.seconds.append(("closed", time.monotonic() - start))
                until(lambda: self.superseded() == 0, "the kernel knows none of them")
                until(self.takes_no_space, "their space is given back")
                self.print_seconds(f"{_VERSIONS} versions, no_prune={self.shim.no_prune}")
                self.seconds.clear()
                self.assertEqual(self.mounted.stop(), 0)


if __name__ == "__main__":
    main()
