"""The service manager keeps the mount's descriptors: after a kill of all processes, and across a restart, the
next start goes on with the mount.

The number of rounds of the storm is SKOPSFS_KILLS (2 by default); for a long run:
SKOPSFS_KILLS=200 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_service_store.py
"""

import fcntl
import mmap
import os
import shutil
import signal
import subprocess

import archives
from archives import MEMBER, read
from children import METRICS, children_of
from mount import HANG, Mount, MountTest, binary, is_mounted, main, mounts, needs_root, run, until
from storing_manager import StoringManager, descriptor_of, kill_all, wait_for_end
from test_status import free_port

_KILLS = int(os.environ.get("SKOPSFS_KILLS", "2"))
_GOES_ON = "going on with the mount that the service manager has stored"
_ANEW = "is not gone on with: "
_FIXED = ["counters", "fuse", "receiver", "sender", "session", "slots"]


def drop(file):
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class StoreTest(MountTest):
    room = 4096

    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        self.manager = StoringManager(os.path.join(self.folder, "notify"), self.room)
        self.addCleanup(self.manager.close)

    def start(self, *options, **more):
        mount = self.manager.mount(self.source, self.mountpoint, *options, **more)
        self.addCleanup(mount.clear)
        return mount

    def member(self, archive="a.skops"):
        return self.in_mount(archive, MEMBER)

    def stored(self, start):
        self.manager.settle()
        return [name for name in self.manager.names() if name.startswith(start)]

    def go_on(self, *options, **more):
        mount = self.start(*options, **more)
        mount.wait_for_log(_GOES_ON)
        return mount

    def assert_stops(self, mount):
        """Nothing is left, neither a mount nor anything in the store."""
        mount.finish()
        self.assertFalse(is_mounted(self.mountpoint))
        self.manager.settle()
        self.assertEqual(self.manager.names(), [])


@needs_root
class ServiceStore(StoreTest):
    def used_meanwhile(self, end):
        """Ends it while members are open, mapped and read; another start goes on."""
        mount = self.start()
        with open(self.member(), "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            self.assertEqual(mapped[:], archives.content(1))
            archives.write_version(self.in_source("a.skops"), 2)
            until(lambda: read(self.member()) == archives.content(2), "the new version is there")
            before = mounts()
            end(mount)
            drop(file)
            waiting = subprocess.Popen(["cat", self.member()], stdout=subprocess.PIPE)
            again = self.go_on()
            self.assertEqual(mounts(), before)
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
        kill_all(mount)
        mount = self.go_on()
        self.assertEqual(read(self.member()), archives.content(1))
        until(lambda: any("workers that crashed: 3" in line for line in self.manager.told[-30:]), "it is told")
        self.assert_stops(mount)

    def test_what_is_stored(self):
        mount = self.start()
        self.assertEqual(self.stored(""), sorted([*_FIXED, "facts-1"]))
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

    def anew(self, why, *options, change=lambda: None):
        """After `change` the next start does not go on, but serves."""
        kill_all(self.start())
        self.manager.settle()
        change()
        mount = self.start(*options)
        mount.wait_for_log(_ANEW, why)
        self.assertEqual(read(self.member()), archives.content(1))
        self.assertEqual(len([path for path, *_ in mounts() if path == self.mountpoint]), 1)
        self.assertEqual(self.stored("f"), ["facts-1", "fuse"])
        self.assertEqual(len(self.stored("s")), 3)
        kill_all(mount)
        self.assert_stops(self.go_on(*options))

    def test_other_options(self):
        self.anew("other options", "--revalidate=0")

    def test_without_facts(self):
        self.anew("no facts", change=lambda: self.remove("facts-1"))

    def remove(self, name):
        self.manager.remove((name, self.manager.fd(name)))

    def test_one_missing(self):
        for name in _FIXED:
            with self.subTest(name=name):
                self.anew(f"there are 0 descriptors {name}", change=lambda: self.remove(name))

    def test_one_twice(self):
        self.anew("there are 2 descriptors fuse",
                  change=lambda: self.manager.add("fuse", self.manager.fd("fuse")))

    def replace(self, name, path):
        self.remove(name)
        with open(path, "rb") as file:
            self.manager.add(name, file.fileno())

    def test_something_else(self):
        for name in _FIXED:
            with self.subTest(name=name):
                self.anew("descriptor", change=lambda: self.replace(name, "/dev/null"))

    def new_facts(self, *changes):
        facts = os.pread(self.manager.fd("facts-1"), 1 << 20, 0)
        for old, new in changes:
            self.assertIn(old, facts)
            facts = facts.replace(old, new)
        return facts

    def put_facts(self, facts, name="facts-1", seals=15):
        if name == "facts-1":
            self.remove(name)
        memory = os.memfd_create("facts", os.MFD_ALLOW_SEALING)
        os.write(memory, facts)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
        self.manager.add(name, memory)
        os.close(memory)

    def test_odd_facts(self):
        for why, change in (
                ("of version 2", (b"skopsfs-state=1", b"skopsfs-state=2")),
                ("protocol", (b"protocol=1", b"protocol=2")),
                ("lacks its complete", (b"complete=1\0", b"")),
                ("it was mounted at", (b"mountpoint=/", b"mountpoint=/other/")),
                ("kernel is older", (b"kernel_resends=1", b"kernel_resends=0")),
                ("something else is mounted", (b"\0mount_id=", b"\0mount_id=9"))):
            with self.subTest(why=why):
                self.anew(why, change=lambda: self.put_facts(self.new_facts(change)))
        self.anew("is not sealed", change=lambda: self.put_facts(self.new_facts(), seals=0))

    def test_facts_that_were_not_completed(self):
        """The latest that are complete count."""
        kill_all(self.start())
        self.put_facts(b"skopsfs-state=1\0", "facts-7")
        mount = self.go_on()
        self.assertEqual(self.stored("facts-"), ["facts-2"])
        self.assert_stops(mount)

    def test_another_mount(self):
        """The descriptor of another one that is alive: neither is harmed."""
        place = self.make_folder("other")
        with Mount(self.source, place) as other:
            def change():
                self.remove("fuse")
                number = next(number for number in os.listdir(f"/proc/{other.pid}/fd")
                              if os.readlink(f"/proc/{other.pid}/fd/{number}") == "/dev/fuse")
                taken = descriptor_of(other.pid, int(number))
                self.manager.add("fuse", taken)
                os.close(taken)
            self.anew("another mount", change=change)
            self.assertEqual(read(os.path.join(place, "a.skops", MEMBER)), archives.content(1))

    def test_unmounted_meanwhile(self):
        self.anew("no longer mounted", change=lambda: run("umount", "-f", self.mountpoint, check=False))

    def test_detached_meanwhile(self):
        self.anew("mounted", change=lambda: run("umount", "-l", self.mountpoint))

    def test_odd_kept_ones(self):
        kill_all(self.start())
        with open(os.devnull, "rb") as file:
            for name in ("kept-", "kept-1", "kept-1-", "kept-x-1", "kept-ffffffffffffffffff-1", "kept-1-2", "kept-1-2",
                         "kept-1-3", "kept-2-ffffffff", "", "stored", "facts-", "facts-x"):
                self.manager.add(name, file.fileno())
        mount = self.go_on()
        self.assertEqual(read(self.member()), archives.content(1))
        until(lambda: set(self.manager.names()) <= {*_FIXED, *self.stored("facts-2"), *self.stored("kept-3")},
              "the rest is forgotten")
        self.assert_stops(mount)

    def test_source_is_gone(self):
        """Then nobody waits: the mount is gone as well."""
        kill_all(self.start())
        os.rename(self.source, self.source + ".away")
        with self.assertRaisesRegex(AssertionError, "No such file"):
            self.start()
        self.assertFalse(is_mounted(self.mountpoint))
        self.manager.settle()
        self.assertEqual(self.manager.names(), [])
        os.rename(self.source + ".away", self.source)
        self.assert_stops(self.start())

    def test_wrong_command_line(self):
        kill_all(self.start())
        with self.assertRaisesRegex(AssertionError, "--help"):
            self.start("--no-such-option")
        self.assertFalse(is_mounted(self.mountpoint))
        self.manager.settle()
        self.assertEqual(self.manager.names(), [])

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
        until(lambda: len(self.stored("kept-")) == 100 and self.stored("facts-") == ["facts-2"], "all are stored")
        kill_all(mount)
        mount = self.go_on()
        self.manager.listening.clear()
        mount.finish()

    def test_many(self):
        """More than can be stored."""
        mount = self.start("--revalidate=60")
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
while not select.select([0], [], [], 0)[0]:
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
