"""Allocations of the supervisor fail while workers die and are replaced: the mount stays."""

import os
import signal
import sys

import archives
from allocations import ALL_FROM, ONE, Allocations
from archives import MEMBER
from mount import HANG, MountTest, main, until

PAGES = 2
MOST = 400  # of one takeover; a guard against counting without end
STRIDE = int(os.environ.get("SKOPSFS_ALLOCATION_STRIDE", "5"))


class SupervisorWithoutMemory(MountTest):
    def sweep(self, how, event):
        """`event(mount)` has a new worker take over, with each of the allocations failing."""
        allocations = Allocations(os.path.join(self.folder, "allocations"))
        archives.write(self.in_source("m.skops"), archives.version_bytes(1, PAGES))
        mount = self.mount("--revalidate=0", env=allocations.environment, guard=2 * HANG)
        supervisor, number, delivered = mount.pid, 0, 0
        with open(self.in_mount("m.skops", MEMBER), "rb", buffering=0) as held:
            while number < MOST:
                worker = mount.worker()
                allocations.fail(how, number, supervisor)
                event(worker, mount)
                until(lambda n=number: allocations.count > n or worker not in mount.workers(),
                      "something is allocated")
                if how == ONE:
                    until(lambda w=worker: w not in mount.workers(), "the worker is replaced")
                    self.read(held)
                count, failed = allocations.count, allocations.failed
                allocations.stop()
                delivered += failed
                self.read(held)
                self.assertEqual(mount.pid, supervisor)
                if count <= number:
                    break
                number += STRIDE
        print(f"{delivered} allocations of the supervisor failed", file=sys.stderr)
        self.assertGreater(delivered, 5)

    def read(self, held):
        os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(os.pread(held.fileno(), 1 << 20, 0), archives.content(1, PAGES))
        with open(self.in_mount("m.skops", MEMBER), "rb", buffering=0) as file:
            self.assertEqual(file.read(), archives.content(1, PAGES))

    def test_one_fails_while_a_worker_is_replaced(self):
        self.sweep(ONE, lambda worker, _: os.kill(worker, signal.SIGKILL))

    def test_one_fails_at_an_upgrade(self):
        allocations = Allocations(os.path.join(self.folder, "allocations"))
        archives.write(self.in_source("m.skops"), archives.version_bytes(1, PAGES))
        mount = self.mount("--revalidate=0", env=allocations.environment, guard=2 * HANG)
        supervisor, number, delivered = mount.pid, 0, 0
        with open(self.in_mount("m.skops", MEMBER), "rb", buffering=0) as held:
            while number < MOST:
                until(lambda: len(mount.workers()) == 1, "one worker serves")
                worker = mount.worker()
                allocations.fail(ONE, number, supervisor)
                mount.send(signal.SIGUSR2)
                until(lambda w=worker: allocations.failed or w not in mount.workers(),
                      "an allocation has failed, or none was left to")
                failed = allocations.failed
                allocations.stop()
                delivered += failed
                self.read(held)
                self.assertEqual(mount.pid, supervisor)
                if not failed:
                    break
                number += STRIDE
        print(f"{delivered} allocations of the supervisor failed", file=sys.stderr)
        self.assertGreater(delivered, 3)

    def test_all_fail_while_a_worker_is_replaced(self):
        self.sweep(ALL_FROM, lambda worker, _: os.kill(worker, signal.SIGKILL))


if __name__ == "__main__":
    main()
