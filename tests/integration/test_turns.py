"""What takes long waits in turn: whatever many archives at once ask for, others are served."""

import os
import struct
import zlib

import archives
from archives import MEMBER, PAGE
from mount import main, until
from processes import Child
from shim import ShimTest
from test_bounds import many_members

_TABLE = 536  # where the records of requests begin, src/handover/session_state.h
_MANY = 40  # archives; more than a worker has threads
_IN_LANE = 8  # of those threads, that open
_MEMBERS = 30_000  # so that the directory is of those that are read one at a time


class Turns(ShimTest):
    def setUp(self):
        super().setUp()
        for number in range(3):
            archives.write(self.in_source(f"good{number}.skops"), archives.version_bytes(number))
        archives.write(self.in_source("deflated.skops"),
                       archives.version_bytes(3, method=archives.DEFLATED))

    def write_many(self, data):
        """Archives by as many names, all of which the shim knows by one inode."""
        first = self.in_source("0.skops")
        archives.write(first, data)
        for number in range(1, _MANY):
            os.link(first, self.in_source(f"{number}.skops"))
        return first

    def begun(self, mount):
        """How many requests threads of workers have begun with: SessionState's table."""
        folder = f"/proc/{mount.pid}/fd"

        def is_session(path):
            try:
                return "memfd:skopsfs-session" in os.readlink(path)
            except FileNotFoundError:  # it was closed meanwhile
                return False
        memory = next(path for path in (os.path.join(folder, fd) for fd in os.listdir(folder)) if is_session(path))
        with open(memory, "rb") as file:
            table = file.read()[_TABLE:]
        return sum(begun for begun, in struct.iter_unpack("<32xQ24x", table))

    def start(self, mount, function):
        """A child process for each of the many, all of whose requests have been taken."""
        before = self.begun(mount)
        children = [Child(function, number) for number in range(_MANY)]
        for child in children:
            self.addCleanup(child.end)
        until(lambda: self.begun(mount) >= before + _MANY, "all have asked")
        return children

    def read_page(self, name, number):
        with open(self.in_mount(name, MEMBER), "rb") as file:
            return os.pread(file.fileno(), PAGE, number * PAGE)

    def assert_others_are_served(self, opened, first_opens):
        """Known ones, those that are opened for the first time, and what the mount says of itself."""
        with Child(self.use_others, opened.fileno(), first_opens) as child:
            self.assertEqual(child.result(), "served")

    def use_others(self, opened, first_opens):
        for number in range(archives.PAGES - 20, archives.PAGES):
            assert archives.version_of(os.pread(opened, PAGE, number * PAGE), number) == 0
        assert len(os.listdir(self.mountpoint)) == _MANY + 4
        assert os.stat(self.in_mount("0.skops")).st_size == 0
        for name in ("metrics", "status.json"):
            with open(self.in_mount(".skopsfs", name), "rb") as file:
                assert file.read()
        for number, name in first_opens:
            assert archives.version_of(self.read_page(name, 5), 5) == number
        return "served"

    def open_good(self):
        file = open(self.in_mount("good0.skops", MEMBER), "rb", buffering=0)
        self.addCleanup(file.close)
        self.assertEqual(archives.version_of(file.read(PAGE), 0), 0)
        return file

    def test_archives_that_hang_when_opened(self):
        first = self.write_many(archives.archive_of({MEMBER: b"x"}))
        mount = self.mount_reading_little_ahead()
        opened = self.open_good()
        self.read_page("deflated.skops", 0)
        self.shim.hang_at = first
        children = self.start(mount, lambda i: os.listdir(self.in_mount(f"{i}.skops")))
        until(lambda: self.shim.hanging == _IN_LANE, "some hang")
        self.assert_others_are_served(opened, [(3, "deflated.skops")])
        self.assertEqual(self.shim.hanging, _IN_LANE, "the others wait for these")
        self.shim.hang_at = 0
        for child in children:
            self.assertEqual(child.result(), [MEMBER])

    def test_huge_archives_are_opened_one_at_a_time(self):
        first = self.write_many(many_members(_MEMBERS))
        mount = self.mount_reading_little_ahead()
        opened = self.open_good()
        self.shim.hang_at_start = 1
        self.shim.hang_at = first
        children = self.start(mount, lambda i: len(os.listdir(self.in_mount(f"{i}.skops"))))
        until(lambda: self.shim.hanging, "one is being read")
        self.assert_others_are_served(
            opened, [(1, "good1.skops"), (2, "good2.skops"), (3, "deflated.skops")])
        self.assertEqual(self.shim.hanging, 1)
        self.shim.hang_at = 0
        for child in children:
            self.assertEqual(child.result(), _MEMBERS)

    def test_members_that_were_open_before_a_takeover(self):
        """Their archives' indexes have to be read again."""
        first = self.write_many(archives.archive_of({MEMBER: archives.content(7)}))
        mount = self.mount_reading_little_ahead()
        opened = self.open_good()
        files = [open(self.in_mount(f"{i}.skops", MEMBER), "rb", buffering=0)
                 for i in range(_MANY)]
        for file in files:
            self.addCleanup(file.close)
        worker = mount.worker()
        self.shim.hang_at = first
        os.kill(worker, 9)
        until(lambda: mount.workers() and mount.worker() != worker, "another worker serves")
        self.assertEqual(archives.version_of(os.pread(opened.fileno(), PAGE, 50 * PAGE), 50), 0)
        children = self.start(
            mount, lambda i: zlib.crc32(os.pread(files[i].fileno(), PAGE, 50 * PAGE)))
        until(lambda: self.shim.hanging, "some hang")
        self.assert_others_are_served(opened, [])
        self.shim.hang_at = 0
        for child in children:
            self.assertEqual(child.result(), zlib.crc32(archives.page(7, 50)))


if __name__ == "__main__":
    main()
