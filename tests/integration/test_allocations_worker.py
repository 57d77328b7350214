"""Allocations of a worker that serves fail: an errno and a line of the log, and nothing is left."""

import errno
import os
import sys

import archives
from allocations import ALL_FROM, ONE, Allocations
from archives import MEMBER
from mount import HANG, MountTest, main, until

PAGES = 20
SCHEMA = (b'{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": '
          b'"numpy", "file": "a.npy", "__id__": 1}')
STRIDE = int(os.environ.get("SKOPSFS_ALLOCATION_STRIDE", "5"))
MOST_OF_ONE = 5  # lines a minute that are the same, as in log_rate_limiter.h
MOST = 2000  # of one request chain; a guard against counting without end


class WorkerWithoutMemory(MountTest):
    def setUp(self):
        super().setUp()
        self.allocations = Allocations(os.path.join(self.folder, "allocations"))
        self.number = 0
        self.delivered = 0
        self.errors = 0
        os.mkdir(self.in_source("few"))
        for name in "abc":
            self.write(os.path.join("few", f"{name}.skops"), archives.STORED)

    def write(self, name, method):
        archives.write(self.in_source(name), archives.archive_of(
            {"schema.json": SCHEMA, "a.npy": archives.content(1, PAGES),
             MEMBER: archives.content(2, PAGES)}, method))

    def new_archive(self, method):
        self.number += 1
        name = f"{self.number}.skops"
        self.write(name, method)
        return name

    def read_member(self, name):
        with open(self.in_mount(name, MEMBER), "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            data = b""
            while len(data) < PAGES * archives.PAGE:
                data += os.pread(file.fileno(), 1 << 20, len(data))
        self.assertEqual(data, archives.content(2, PAGES))

    def by_name(self, name):
        for folder, _, files in os.walk(self.in_mount(name, "by-name"), onerror=self.raise_it):
            for file in files:
                os.readlink(os.path.join(folder, file))

    @staticmethod
    def raise_it(error):
        raise error

    def list_all(self, name):
        self.assertEqual(sorted(os.listdir(self.in_mount("few"))), ["a.skops", "b.skops", "c.skops"])
        with os.scandir(self.in_mount(name)) as entries:
            self.assertEqual(sorted(entry.name for entry in entries),
                             sorted(["a.npy", "by-name", MEMBER, "schema.json"]))

    def sweep(self, mount, how, method, request):
        """`request` with each of the worker's allocations failing."""
        worker, number = mount.worker(), 0
        while number < MOST:
            name = self.new_archive(method)
            logged = len(mount.log())
            self.allocations.fail(how, number, worker)
            code = 0
            try:
                request(name)
            except OSError as error:
                code = error.errno
            self.allocations.stop()
            count = self.allocations.count
            self.delivered += self.allocations.failed
            self.errors += code != 0
            if code != 0 and self.errors <= MOST_OF_ONE:
                until(lambda n=logged: len(mount.log()) > n, "the log has it")
            what = f"{request.__name__}, method {method}, allocation {number}"
            self.assertIn(code, (0, errno.ENOMEM, errno.EIO), what)
            request(name)  # it works now
            self.assertEqual(mount.workers(), [worker], f"{what}\n{mount.log()[-2000:]}")
            os.unlink(self.in_source(name))
            if number >= count:
                break
            number += STRIDE

    def test_each_fails(self):
        mount = self.mount("--revalidate=0", env=self.allocations.environment, guard=2 * HANG)
        requests = ((archives.STORED, self.read_member), (archives.DEFLATED, self.read_member),
                    (archives.STORED, self.by_name), (archives.STORED, self.list_all))
        for method, request in requests:  # so that threads have what they keep
            request(self.new_archive(method))
        worker = mount.worker()
        before = len(mount.descriptors(worker))
        for how in (ONE, ALL_FROM):
            for method, request in requests:
                self.sweep(mount, how, method, request)
        print(f"{self.delivered} allocations of the worker failed, {self.errors} requests",
              file=sys.stderr)
        self.assertGreater(self.errors, 20)
        mount.wait_for_log("out of memory")
        until(lambda: len(mount.descriptors(worker)) <= before, "nothing more is open")


if __name__ == "__main__":
    main()
