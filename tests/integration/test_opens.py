"""Files that are opened, mapped and closed without the server: what it is asked, and what the first
read says instead of open."""

import errno
import mmap
import os
import signal
import stat

import archives
from archives import MEMBER
from mount import MountTest, main, until
from test_broken import with_flag


def requests(worker):
    """How often it has read: of a server that looks at nothing, the requests that reached it."""
    with open(f"/proc/{worker}/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("syscr:"))


class Opens(MountTest):
    def setUp(self):
        super().setUp()
        self.archive = self.in_source("a.skops")
        self.member = self.in_mount("a.skops", MEMBER)

    def use(self):
        """As a program does that maps an array."""
        file = os.open(self.member, os.O_RDONLY)
        size = os.fstat(file).st_size
        self.assertEqual(len(os.pread(file, 128, 0)), 128)
        mapped = mmap.mmap(file, size, prot=mmap.PROT_READ)
        os.close(file)
        found = mapped[:]
        mapped.close()
        return found

    def test_what_is_in_memory_is_used_without_a_request(self):
        archives.write_version(self.archive, 1)
        mount = self.mount("--revalidate=1000")
        for _ in range(2):
            self.assertEqual(self.use(), archives.content(1))
        worker = mount.worker()
        before = requests(worker)
        for _ in range(100):
            self.use()
        self.assertEqual(requests(worker), before)

    def open_and_replace(self, change):
        archives.write_version(self.archive, 1)
        mount = self.mount("--revalidate=0")
        file = open(self.member, "rb", buffering=0)
        self.addCleanup(file.close)
        change(self.archive)
        return mount, file

    def test_opened_and_not_read_before_it_was_replaced(self):
        _, file = self.open_and_replace(lambda path: archives.write_version(path, 2))
        self.assertEqual(file.read(), archives.content(1))

    def test_opened_and_not_read_before_it_was_removed(self):
        _, file = self.open_and_replace(os.unlink)
        self.assertEqual(file.read(), archives.content(1))

    def test_opened_and_not_read_before_the_worker_died(self):
        mount, file = self.open_and_replace(lambda path: archives.write_version(path, 2))
        worker = mount.worker()
        os.kill(worker, signal.SIGKILL)
        until(lambda: mount.workers() not in ([], [worker]), "another one serves")
        self.assertEqual(file.read(), archives.content(1))
        with open(self.member, "rb") as again:
            self.assertEqual(again.read(), archives.content(2))

    def test_members_that_are_known_to_be_unreadable_have_no_read_bits(self):
        data = archives.archive_of({"good": b"right", "bad": b"wrong"})
        archives.write(self.archive, with_flag(data, "bad", 1))
        self.mount()
        self.assertEqual(stat.S_IMODE(os.stat(self.in_mount("a.skops", "bad")).st_mode), 0)
        self.assertNotEqual(stat.S_IMODE(os.stat(self.in_mount("a.skops", "good")).st_mode), 0)

    def test_the_log_says_why_members_have_no_read_bits(self):
        """Of twenty of them: who may not read it asks nobody for the reason."""
        names = [f"{number:02}" for number in range(30)]
        data = archives.archive_of({name: b"wrong" for name in names})
        for name in names:
            data = with_flag(data, name, 1)
        archives.write(self.archive, data)
        mount = self.mount()
        self.assertEqual(os.listdir(self.in_mount("a.skops")), names)
        mount.wait_for_log('member "00" cannot be read: encrypted')
        mount.wait_for_log('member "19" cannot be read: encrypted')
        self.assertEqual(mount.log().count("cannot be read"), 20)

    def test_an_empty_member_whose_header_is_damaged(self):
        data = bytearray(archives.archive_of({"empty": b"", "last": b"x"}))
        data[data.index(b"PK\3\4")] ^= 1
        archives.write(self.archive, bytes(data))
        self.mount()
        with open(self.in_mount("a.skops", "empty"), "rb") as file:
            self.assertEqual(file.read(), b"")

    def test_files_of_the_status_keep_what_they_said(self):
        """Though others look at them meanwhile, and it is read in pieces."""
        archives.write_version(self.archive, 1)
        self.mount()
        path = self.in_mount(".skopsfs", "metrics")
        with open(path, "rb", buffering=0) as file:
            pieces = []
            while piece := file.read(100):
                pieces.append(piece)
                self.use()
                os.stat(path)
            text = b"".join(pieces)
            self.assertEqual(os.fstat(file.fileno()).st_size, len(text))
        self.assertTrue(text.endswith(b"\n"))
        self.assertEqual(text.count(b"# TYPE skopsfs_archive_descriptors gauge"), 1)


if __name__ == "__main__":
    main()
