"""What the next start makes of what the service manager has stored: anything odd, and it mounts anew."""

import fcntl
import os

import archives
from archives import MEMBER, read
from mount import Mount, is_mounted, main, mounts, needs_root, run, until
from storing_manager import FIXED, StoreTest, descriptor_of, kill_all

_ANEW = "is not gone on with: "


@needs_root
class StoredState(StoreTest):
    def anew(self, why, *options, change=lambda: None):
        """After `change` the next start does not go on, but serves."""
        kill_all(self.start())
        self.manager.settle()
        change()
        mount = self.start(*options)
        mount.wait_for_log(_ANEW, why)
        self.assertEqual(read(self.member()), archives.content(1))
        self.assertEqual(len([path for path, *_ in mounts() if path == self.mountpoint]), 1)
        until(lambda: self.stored("f") == ["facts-1", "fuse"] and len(self.stored("s")) == 3, "it is stored")
        kill_all(mount)
        self.assert_stops(self.go_on(*options))

    def test_other_options(self):
        self.anew("other options", "--revalidate=0")

    def test_without_facts(self):
        self.anew("no facts", change=lambda: self.remove("facts-1"))

    def remove(self, name):
        self.manager.remove((name, self.manager.fd(name)))

    def test_one_missing(self):
        for name in FIXED:
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
        for name in FIXED:
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
        until(lambda: self.stored("facts-") == ["facts-2"], "the facts are new")
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
        until(lambda: set(self.manager.names()) <= {*FIXED, *self.stored("facts-2"), *self.stored("kept-3")},
              "the rest is forgotten")
        self.assert_stops(mount)

    def add_starts(self, count):
        for number in range(count):
            memory = os.memfd_create("start")
            self.manager.add(f"start-{number}", memory)
            os.close(memory)

    def test_ten_starts_that_failed(self):
        """The state may be to blame: the next one begins anew."""
        self.anew("ten starts", change=lambda: self.add_starts(10))

    def test_starts_that_failed_are_forgotten(self):
        kill_all(self.start())
        self.add_starts(9)
        mount = self.go_on()
        until(lambda: not self.stored("start"), "they are forgotten")
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


if __name__ == "__main__":
    main()
