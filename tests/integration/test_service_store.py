"""The service manager keeps the mount's descriptors: after a kill of all processes, and across a restart, the
next start goes on with the mount.

The number of rounds of the storm is SKOPSFS_KILLS (2 by default); for a long run:
SKOPSFS_KILLS=200 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_service_store.py
"""

import mmap
import os
import shutil
import signal
import subprocess

import archives
from archives import read
from children import METRICS, children_of
from mount import HANG, binary, is_mounted, main, needs_root, run, until
from processes import drop_pages
from storing_manager import FIXED, StoreTest, kill_all, wait_for_end
from test_status import free_port

_KILLS = int(os.environ.get("SKOPSFS_KILLS", "2"))


def drop(file):
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@needs_root
class ServiceStore(StoreTest):
    def as_the_kernel_lists_it(self):
        """With the mount's number, which another one does not have."""
        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            return [line for line in lines if f" {self.mountpoint} " in line]

    def used_meanwhile(self, end):
        """Ends it while members are open, mapped and read; another start goes on."""
        mount = self.start()
        with open(self.member(), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            self.assertEqual(mapped[:], archives.content(1))
            archives.write_version(self.in_source("a.skops"), 2)
            until(lambda: read(self.member()) == archives.content(2), "the new version is there")
            before = self.as_the_kernel_lists_it()
            end(mount)
            drop(file)
            waiting = subprocess.Popen(["cat", self.member()], stdout=subprocess.PIPE)
            again = self.go_on()
            self.assertEqual(self.as_the_kernel_lists_it(), before)
            self.assertEqual(waiting.communicate()[0], archives.content(2))
            self.assertEqual(mapped[:], archives.content(1))
            self.assertEqual(file.read(), archives.content(1))
            for _ in range(2):  # and another worker, too
                os.kill(again.worker(), signal.SIGKILL)
                drop(file)
                self.assertEqual(mapped[:], archives.content(1))
                self.assertEqual(read(self.member()), archives.content(2))
        return again

    def test_kill_of_all(self):
        mount = self.used_meanwhile(kill_all)
        self.assertEqual(len(self.stored("facts-")), 1)
        self.assert_stops(mount)

    def test_left_to_the_next_start(self):
        """SIGUSR1, with SIGTERM right after it, as a restart sends them."""
        def leave(mount):
            worker = mount.worker()
            mount.send(signal.SIGUSR1)
            mount.send(signal.SIGTERM)
            self.assertEqual(mount.wait(), 0)
            wait_for_end([worker])
            self.assertTrue(is_mounted(self.mountpoint))
        self.assert_stops(self.used_meanwhile(leave))

    def test_after_an_upgrade(self):
        """The program that the supervisor has become goes on with the store, too."""
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        mount = self.start(program=program)
        with open(self.member(), "rb") as file:
            self.assertEqual(file.read(1), archives.content(1)[:1])
            kept, = until(lambda: self.stored("kept-"), "it is kept")
            archives.write_version(self.in_source("a.skops"), 2)
            until(lambda: read(self.member()) == archives.content(2), "the new version is there")
            shutil.copy(binary(), program + ".new")
            os.rename(program + ".new", program)
            mount.send(signal.SIGUSR2)
            mount.wait_for_log("the supervisor is the new program, too")
            before = self.stored("facts-")
            os.kill(mount.worker(), signal.SIGKILL)
            until(lambda: self.stored("facts-") != before and len(self.stored("facts-")) == 1, "the facts are new")
            kill_all(mount)
            mount = self.go_on(program=program)
            drop(file)
            self.assertEqual(file.read(), archives.content(1)[1:])
        until(lambda: kept not in self.manager.names(), "what was kept is let go")
        self.assert_stops(mount)

    def test_crashes_are_still_counted(self):
        """How many workers crashed is said again."""
        mount = self.start()
        for _ in range(3):
            self.assertEqual(read(self.member()), archives.content(1))
            worker = mount.worker()
            os.kill(worker, signal.SIGKILL)
            until(lambda: mount.worker() != worker, "another worker serves")
        def told():
            return sum("workers that crashed: 3" in line for line in self.manager.told)
        before = until(told, "it is told")
        kill_all(mount)
        mount = self.go_on()
        until(lambda: told() > before, "it is told again")
        self.assert_stops(mount)

    def test_what_is_stored(self):
        mount = self.start()
        until(lambda: self.stored("") == sorted([*FIXED, "facts-1"]), "it is stored")
        for number in range(5):
            archives.write_version(self.in_source(f"{number}.skops"), number)
            read(self.member(f"{number}.skops"))
        until(lambda: len(self.stored("kept-")) == 5, "they are kept")
        for number in range(5):
            os.unlink(self.in_source(f"{number}.skops"))
        until(lambda: not self.stored("kept-"), "they are let go")
        os.kill(mount.worker(), signal.SIGKILL)
        until(lambda: self.stored("facts-") == ["facts-2"], "the facts are new")
        run("umount", self.mountpoint)
        self.assertEqual(mount.wait(), 0)
        self.manager.settle()
        self.assertEqual(self.manager.names(), [])

    def test_without_a_store(self):
        self.manager.room = 0
        mount = self.start()
        mount.send(signal.SIGUSR1)
        mount.wait_for_log("the mount is not left to the next start")
        self.assertEqual(read(self.member()), archives.content(1))
        self.assert_stops(mount)
        self.assertEqual(self.manager.refused, 0)

    def test_manager_that_takes_nothing(self):
        """It is not waited for."""
        mount = self.start()
        self.manager.listening.clear()
        for number in range(100):
            archives.write_version(self.in_source(f"{number}.skops"), number)
            self.assertEqual(read(self.member(f"{number}.skops")), archives.content(number))
        os.kill(mount.worker(), signal.SIGKILL)
        self.assertEqual(read(self.member("7.skops")), archives.content(7))
        self.manager.listening.set()
        stored = []

        def are_stored():
            """What the supervisor did not take before the worker died is kept once it is read again."""
            for number in range(100):
                with open(self.member(f"{number}.skops"), "rb") as file:
                    drop_pages(file)
                    self.assertEqual(file.read(), archives.content(number))
            facts, kept = self.stored("facts-"), self.stored("kept-")
            stored[:] = facts + kept
            return len(facts) == 1 and facts != ["facts-1"] and len(kept) >= 100  # others may look at a.skops
        try:
            until(are_stored, "all are stored")
        except AssertionError:
            self.fail(f"stored are {len(stored)}: {stored}\n{mount.log()}")
        kill_all(mount)
        mount = self.go_on()
        self.manager.listening.clear()
        mount.finish()

    def test_many(self):
        """More than can be stored."""
        mount = self.start("--revalidate=60", guard=3 * HANG)
        count = 4200
        archives.write_version(self.in_source("first.skops"), 3)
        for number in range(count):
            os.link(self.in_source("first.skops"), self.in_source(f"{number}.skops"))
        for number in range(count):
            read(self.member(f"{number}.skops"))
        until(lambda: len(self.stored("kept-")) > 4000, "they are kept")
        self.assertEqual(self.manager.refused, 0)
        kill_all(mount)
        mount = self.go_on("--revalidate=60")
        for number in (0, 1, count - 1):
            self.assertEqual(read(self.member(f"{number}.skops")), archives.content(3))
        self.assert_stops(mount)

    def test_metrics_go_on(self):
        address = f"--metrics-address=127.0.0.1:{free_port()}"
        kill_all(self.start(address))
        mount = self.go_on(address)
        until(lambda: children_of(mount.pid, METRICS), "they are served")
        self.assert_stops(mount)

    def test_storm(self):
        """Readers see no wrong byte while all processes are killed again and again."""
        wrong = []
        mount = self.start(guard=HANG + 10 * _KILLS)
        with open(self.member(), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            self.assertEqual(mapped[:], archives.content(1))
            archives.write_version(self.in_source("a.skops"), 2)
            until(lambda: read(self.member()) == archives.content(2), "the new version is there")
            readers = [subprocess.Popen(["/usr/bin/python3", "-c", _READER, self.member(), str(2)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, PYTHONPATH=os.path.dirname(__file__)))
                       for _ in range(3)]
            for round_ in range(_KILLS):
                if round_ % 2:
                    children = [mount.worker()]
                    mount.send(signal.SIGUSR1)
                    self.assertEqual(mount.wait(), 0)
                    wait_for_end(children)
                else:
                    kill_all(mount)
                drop(file)
                mount = self.go_on(guard=HANG + 10 * _KILLS)
                if mapped[:] != archives.content(1):
                    wrong.append(round_)
        counts = [reader.communicate(b"\n")[0].split() for reader in readers]
        print(f"{_KILLS} rounds, reads and wrong ones of each reader: {counts}")
        self.assertEqual([int(count[1]) for count in counts], [0, 0, 0])
        self.assertTrue(all(int(count[0]) > 0 for count in counts))
        self.assertEqual(wrong, [])
        self.assert_stops(mount)


# Reads a member again and again, past the kernel's cache, until it is told to end.
_READER = """
import os, select, sys
import archives
path, number = sys.argv[1], int(sys.argv[2])
reads = wrong = 0
while not reads or not select.select([0], [], [], 0)[0]:
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        wrong += file.read() != archives.content(number)
    reads += 1
print(reads, wrong)
"""


@needs_root
class SmallStore(StoreTest):
    room = 64

    def test_full(self):
        """What does not fit is not stored; the rest is."""
        mount = self.start()
        for number in range(100):
            archives.write_version(self.in_source(f"{number}.skops"), number)
            read(self.member(f"{number}.skops"))
        self.manager.settle()
        self.assertEqual(self.manager.refused, 0)
        kill_all(mount)
        mount = self.go_on()
        for number in range(100):
            self.assertEqual(read(self.member(f"{number}.skops")), archives.content(number))
        self.assert_stops(mount)


if __name__ == "__main__":
    main()
