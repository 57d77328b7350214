"""Every system call of the worker on the way of a lookup, an open, a read and a listing fails in turn.

The answer is the errno, EIO, or right; the same request then works; nothing has leaked.
"""

import collections
import errno
import itertools
import os
import signal
import sys

import archives
from archives import MEMBER
from mount import HANG, main, until
from processes import drop_pages
from shim import ShimTest

# As in shim.c.
CALLS = ("pread", "open", "openat", "openat2", "fstat", "statx", "readlinkat", "getxattr", "fcntl",
         "posix_fadvise", "fstatfs", "fstatvfs", "fdopendir", "readdir", "sendmsg", "writev")
_ANSWERS = 1 << CALLS.index("writev")
_ALL_BUT_ANSWERS = _ANSWERS - 1
SHORT = 1000
FAULTS = (errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EINTR, errno.ESTALE, SHORT)
PAGES = 40
LARGE = 200  # pages: read at once, and straight from the disk where that is possible
MOST_CALLS = 500  # of one request chain; a guard against counting without end


class Faults(ShimTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.in_source("few"))
        self.content = {method: archives.content(method, PAGES)
                        for method in (archives.STORED, archives.DEFLATED)}
        for method in self.content:
            archives.write(os.path.join(self.folder, str(method)),
                           archives.version_bytes(method, PAGES, method))
            os.link(os.path.join(self.folder, str(method)), self.in_source("few", f"{method}.skops"))
        os.symlink("0.skops", self.in_source("few", "link.skops"))
        self.numbers = itertools.count()
        self.delivered = collections.Counter()

    # Requests, each on something that nobody has looked at before, if `fresh`.

    def new_archive(self, method):
        """A copy, since the change time of a file tells of its links."""
        name = f"{next(self.numbers)}.skops"
        archives.write(self.in_source(name), archives.version_bytes(method, PAGES, method))
        return name

    def new_large_archive(self):
        """None of which is in the page cache."""
        name = f"{next(self.numbers)}.skops"
        archives.write(self.in_source(name), archives.version_bytes(1, LARGE))
        with open(self.in_source(name), "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return name

    def read_large(self, name):
        with open(self.in_mount(name, MEMBER), "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, LARGE))

    def read_member(self, name, method):
        path = self.in_mount(name, MEMBER)
        os.stat(path)
        self.assertEqual(sorted(os.listdir(self.in_mount(name))), ["by-name", MEMBER, "schema.json"])
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            data = b""
            while len(data) < PAGES * archives.PAGE:
                data += os.pread(file.fileno(), 1 << 20, len(data))
        self.assertEqual(data, self.content[method])

    def list_folder(self, _):
        self.assertEqual(sorted(os.listdir(self.in_mount("few"))),
                         ["0.skops", "8.skops", "link.skops"])
        with os.scandir(self.in_mount("few")) as entries:
            for entry in entries:
                self.assertTrue(entry.stat().st_ino)

    def follow_link(self, _):
        with open(self.in_mount("few", "link.skops", "schema.json"), "rb") as file:
            self.assertEqual(file.read(), b'{"version": %8d}' % archives.STORED)

    def ask(self, name):
        path = self.in_mount(name, MEMBER)
        for attribute in ("offset", "method", "crc32"):
            os.getxattr(path, f"user.skopsfs.{attribute}")
        os.statvfs(self.mountpoint)

    # What is done with them.

    def attempt(self, request):
        """0, or the errno it failed with."""
        try:
            request()
            return 0
        except OSError as error:
            return error.errno

    def try_all(self, mount, what, make, request):
        """`request(make())` with each of its calls failing in each way."""
        worker = mount.worker()
        for fault in FAULTS:
            number = 0
            while True:
                subject = make()
                self.shim.faulty = 0
                self.shim.fault_calls = 0
                self.shim.fault_errno = fault
                self.shim.fault_at = number
                self.shim.faults = _ALL_BUT_ANSWERS
                code = self.attempt(lambda s=subject: request(s))
                self.shim.faults = 0
                allowed = {0, errno.EIO} | ({fault} if fault != SHORT else set())
                call = f"{what}, call {number} fails with {fault}"
                self.assertIn(code, allowed, f"{call}\n{mount.log()[-2000:]}")
                if self.shim.faulty:
                    kind = CALLS[self.shim.faulty.bit_length() - 1]
                    self.delivered[kind] += 1
                self.assertEqual(self.attempt(lambda s=subject: request(s)), 0,
                                 f"{call}, and then it still fails\n{mount.log()[-2000:]}")
                self.assertEqual(mount.workers(), [worker], f"{call}: {mount.log()[-2000:]}")
                if number >= self.shim.fault_calls:
                    break
                number += 1
                self.assertLess(number, MOST_CALLS)

    def held(self, mount):
        """How many descriptors, mappings of files and mappings of nothing the worker has."""
        with open(f"/proc/{mount.worker()}/maps", encoding="utf-8") as maps:
            of_files = [len(line.split(maxsplit=5)) == 6 for line in maps]
        return len(mount.descriptors(mount.worker())), of_files.count(True), of_files.count(False)

    def test_each_call_fails_in_each_way(self):
        mount = self.mount("--revalidate=0", guard=4 * HANG)
        requests = {
            "stored": (lambda: self.new_archive(archives.STORED),
                       lambda name: self.read_member(name, archives.STORED)),
            "deflated": (lambda: self.new_archive(archives.DEFLATED),
                         lambda name: self.read_member(name, archives.DEFLATED)),
            "large": (self.new_large_archive, self.read_large),
            "listing": (lambda: None, self.list_folder),
            "link": (lambda: None, self.follow_link),
            "attributes": (lambda: self.new_archive(archives.STORED), self.ask),
        }
        for make, request in requests.values():  # so that threads have what they keep
            for _ in range(20):
                request(make())
        self.remove_archives(mount)
        before = self.held(mount)
        for what, (make, request) in requests.items():
            self.try_all(mount, what, make, request)
        sys.stderr.write(f"faults: {sum(self.delivered.values())}, of "
                         f"{', '.join(f'{n} {c}' for c, n in self.delivered.items())} ")
        for call in CALLS[:CALLS.index("writev")]:
            self.assertGreater(self.delivered[call], 0, call)
        self.read_member(self.new_archive(archives.STORED), archives.STORED)  # tells of all dropped
        self.remove_archives(mount)
        after = self.held(mount)
        self.assertLessEqual(after[0], before[0])
        self.assertLessEqual(after[1], before[1])
        if not os.environ.get("SKOPSFS_SANITIZED"):  # whose allocator goes on mapping more
            self.assertLessEqual(after[2], before[2] + 8)  # the heap's own pieces

    def test_answers_that_the_kernel_does_not_take(self):
        """Or the request would hang: the next worker is asked."""
        mount = self.mount("--revalidate=0", guard=4 * HANG)
        self.shim.fault_errno = errno.ENOMEM
        for number in itertools.count():
            name = self.new_archive(archives.STORED)
            worker = mount.worker()
            self.shim.fault_calls = 0
            self.shim.fault_at = number
            self.shim.faults = _ANSWERS
            self.read_member(name, archives.STORED)
            self.list_folder(None)
            self.shim.faults = 0
            if number >= self.shim.fault_calls:
                break
            until(lambda w=worker: mount.workers() not in ([], [w]), "another worker serves")
            self.assertLess(number, MOST_CALLS)
        self.assertGreater(number, 10)
        mount.wait_for_log("an answer did not reach the kernel", os.strerror(errno.ENOMEM))

    def remove_archives(self, mount):
        """All but the few, and waits until they are let go of."""
        for name in os.listdir(self.source):
            if name.endswith(".skops"):
                os.unlink(self.in_source(name))
        until(lambda: not [name for name in mount.descriptors()
                           if ".skops" in name and not name.startswith(self.in_source("few"))],
              "archives that were removed are closed")

    def test_open_file_goes_on_after_a_fault(self):
        mount = self.mount()
        for method in self.content:
            with open(self.in_mount(self.new_archive(method), MEMBER), "rb", buffering=0) as file:
                for fault in FAULTS:
                    for number in range(4):
                        drop_pages(file)
                        self.shim.fault_calls = 0
                        self.shim.fault_errno = fault
                        self.shim.fault_at = number
                        self.shim.faults = _ALL_BUT_ANSWERS
                        code = self.attempt(lambda f=file: os.pread(f.fileno(), 4096, 0))
                        self.shim.faults = 0
                        self.assertIn(code, {0, errno.EIO, fault})
                        self.assertEqual(os.pread(file.fileno(), 1 << 20, 0),
                                         self.content[method])
        self.assertEqual(mount.stop(signal.SIGTERM), 0)


if __name__ == "__main__":
    main()
