"""The CRC-32 of members: compared as they go by, or before the first byte is given."""

import errno
import mmap
import os
import signal

import archives
from archives import PAGE
from mount import MountTest, main, until
from processes import SIGBUS, drop_pages, touch

PAGES = 512


def damaged(data, at):
    """`data` with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Integrity(MountTest):
    def setUp(self):
        super().setUp()
        self.good = archives.content(1, PAGES)
        archive = archives.version_bytes(1, PAGES)
        start = archive.index(self.good)
        self.bad = damaged(self.good, 100 * PAGE + 7)
        archives.write(self.in_source("good.skops"), archive)
        archives.write(self.in_source("bad.skops"), damaged(archive, start + 100 * PAGE + 7))
        self.good_member = self.in_mount("good.skops", archives.MEMBER)
        self.bad_member = self.in_mount("bad.skops", archives.MEMBER)

    def read_in_order(self, path, size=PAGE):
        """What it gives, and the errno that ended it."""
        got = b""
        with open(path, "rb", buffering=0) as file:
            while True:
                try:
                    data = file.read(size)
                except OSError as error:
                    return got, error.errno
                if not data:
                    return got, 0
                got += data

    def assert_bad(self):
        """Nobody gets to its end, nor soon anything of it, whatever was in memory."""
        self.assertEqual(self.read_in_order(self.bad_member)[1], errno.EIO)
        with open(self.bad_member, "rb", buffering=0) as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            until(lambda: touch(mapping, range(PAGES)) == [SIGBUS] * PAGES, "its pages go")
            for at in (0, 100 * PAGE, (PAGES - 1) * PAGE):
                self.assert_errno(errno.EIO, os.pread, file.fileno(), PAGE, at)
        self.assertIn(b"bad CRC-32", os.getxattr(self.bad_member, "user.skopsfs.error"))

    def test_read_in_order(self):
        mount = self.mount_reading_little_ahead()
        self.assertEqual(self.read_in_order(self.good_member), (self.good, 0))
        got, code = self.read_in_order(self.bad_member)
        self.assertEqual(code, errno.EIO)
        self.assertTrue(self.bad.startswith(got))  # all but what the last request was for
        self.assertGreater(len(got), len(self.bad) // 2)
        mount.wait_for_log("bad.skops", archives.MEMBER, "bad CRC-32")
        self.assert_bad()
        self.assertEqual(self.read_in_order(self.in_mount("bad.skops", "schema.json"))[1], 0)

    def test_mapped_in_order(self):
        self.mount_reading_little_ahead()
        with open(self.bad_member, "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            pages = touch(mapping, range(PAGES))
        wanted = [self.bad[i * PAGE:(i + 1) * PAGE] for i in range(PAGES)]
        self.assertEqual(pages[:PAGES // 2], wanted[:PAGES // 2])
        # The request that is answered last fails. The kernel has several under way at the end, so
        # that it need not be the one for the last page.
        self.assertIn(SIGBUS, pages)
        self.assertEqual([got for got in pages if got != SIGBUS],
                         [data for got, data in zip(pages, wanted) if got != SIGBUS])
        self.assert_bad()

    def test_parts_are_served(self):
        """Nobody reads a gigabyte to find out whether one page is right."""
        self.mount_reading_little_ahead()
        with open(self.bad_member, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for number in range(0, PAGES, 3):
                self.assertEqual(os.pread(file.fileno(), PAGE, number * PAGE),
                                 self.bad[number * PAGE:(number + 1) * PAGE])
        os.close(os.open(self.bad_member, os.O_RDONLY))

    def test_new_version_is_judged_anew(self):
        self.mount_reading_little_ahead("--revalidate=0")
        self.assertEqual(self.read_in_order(self.bad_member)[1], errno.EIO)
        archives.write_version(self.in_source("bad.skops"), 3, PAGES)
        self.assertEqual(self.read_in_order(self.bad_member), (archives.content(3, PAGES), 0))

    def test_verified_before_the_first_byte(self):
        mount = self.mount_reading_little_ahead("--verify=read")
        for _ in range(2):
            self.assertEqual(self.read_in_order(self.bad_member), (b"", errno.EIO))
            self.assert_bad()
        self.assertEqual(self.read_in_order(self.good_member), (self.good, 0))
        mount.wait_for_log("bad.skops", "bad CRC-32")

    def test_verified_compressed_members(self):
        data = archives.archive_of({"m": archives.content(4)}, archives.DEFLATED)
        archives.write(self.in_source("deflated.skops"), data)
        at = data.index(b"PK\1\2") + 16  # the CRC-32 in the central directory
        local = damaged(data, 14)
        archives.write(self.in_source("wrong.skops"), damaged(local, at))
        self.mount_reading_little_ahead("--verify=read")
        self.assertEqual(self.read_in_order(self.in_mount("deflated.skops", "m"))[1], 0)
        self.assertEqual(self.read_in_order(self.in_mount("wrong.skops", "m")), (b"", errno.EIO))

    def test_verified_once_a_version(self):
        """What is changed below the open file afterwards is found by other means."""
        mount = self.mount_reading_little_ahead("--verify=read")
        worker = mount.worker()

        def bytes_read():
            with open(f"/proc/{worker}/io", encoding="ascii") as counts:
                return int(counts.readline().split()[1])

        def read_one_page():
            with open(self.good_member, "rb", buffering=0) as file:
                drop_pages(file)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                self.assertEqual(file.read(PAGE), self.good[:PAGE])
        start = bytes_read()
        read_one_page()
        before = bytes_read()
        self.assertGreaterEqual(before - start, len(self.good))
        for _ in range(10):
            read_one_page()
        self.assertLess(bytes_read() - before, len(self.good))

    def test_verified_again_by_the_next_worker(self):
        mount = self.mount_reading_little_ahead("--verify=read")
        with open(self.good_member, "rb", buffering=0) as file:
            os.kill(mount.worker(), signal.SIGKILL)
            until(lambda: "another one takes over" in mount.log(), "a worker has died")
            self.assertEqual(file.read(), self.good)
            self.assert_bad()
            self.assertEqual(self.read_in_order(self.good_member), (self.good, 0))


if __name__ == "__main__":
    main()
