"""Allocations of the supervisor fail while workers die and are replaced: the mount stays."""

import errno
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import archives
from allocations import ALL_FROM, ONE, Allocations
from archives import MEMBER
from mount import HANG, Mount, MountTest, main, until
from processes import Child
from shim import Shim

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
        with open(self.in_mount("m.skops", MEMBER), "rb", buffering=0) as held, ThreadPoolExecutor(1) as reader:
            while number < MOST:
                worker = mount.worker()
                allocations.fail(how, number, supervisor)
                event(worker, mount)
                answer = reader.submit(self.read, held)  # which the next worker gives
                until(lambda n=number, a=answer: allocations.count > n or worker not in mount.workers() and a.done(),
                      "something is allocated, or the worker is replaced without")
                if how == ONE:
                    until(lambda w=worker: w not in mount.workers(), "the worker is replaced")
                    self.read(held)
                count, failed = allocations.count, allocations.failed
                allocations.stop()
                delivered += failed
                answer.result()
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
        supervisor, number, delivered, misses = mount.pid, 0, 0, 0
        with open(self.in_mount("m.skops", MEMBER), "rb", buffering=0) as held:
            # None fails when none is left, or when the upgrade of the round before was going on still: at every
            # second round of a busy machine.
            while number < MOST and misses < 10:
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
                misses = 0 if failed else misses + 1
                number += STRIDE if failed else 0
        print(f"{delivered} allocations of the supervisor failed", file=sys.stderr)
        self.assertGreater(delivered, 3)

    def crash(self, number):
        """Has an archive crash three workers while that allocation fails; how many there were, and failed.

        It lies deep, so that most of them are made when it is looked at which one it is."""
        allocations = Allocations(os.path.join(self.folder, "allocations"))
        shim = Shim(os.path.join(self.folder, "shim"))
        name = "d/" * 50 + "poison.skops"
        poison = self.in_source(name)
        os.makedirs(os.path.dirname(poison), exist_ok=True)
        archives.write_version(poison, 1)
        shim.crash_at = poison
        libraries = f"{shim.environment['LD_PRELOAD']}:{allocations.environment['LD_PRELOAD']}"
        with Mount(self.source, self.mountpoint,
                   env={**shim.environment, **allocations.environment, "LD_PRELOAD": libraries}) as mount:
            allocations.fail(ONE, number, mount.pid)
            with Child(os.listdir, self.in_mount(name)) as child:
                self.assert_errno(errno.EIO, child.result)
            allocations.stop()
            self.assertIn("is no longer served: it made the server crash", mount.log())
        return allocations.count, allocations.failed

    def test_one_fails_while_an_archive_is_found_to_crash_workers(self):
        """It is served no more all the same."""
        most, _ = self.crash(1 << 40)  # none
        delivered = sum(self.crash(number)[1] for number in range(most // 3, most, 4 * STRIDE))
        print(f"{delivered} allocations of the supervisor failed", file=sys.stderr)
        self.assertGreater(delivered, 5)

    def test_all_fail_while_a_worker_is_replaced(self):
        self.sweep(ALL_FROM, lambda worker, _: os.kill(worker, signal.SIGKILL))


if __name__ == "__main__":
    main()
