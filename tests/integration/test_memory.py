"""One physical copy: a member's bytes are in the page cache once per host."""

import mmap
import os
import random
import subprocess
import time

import numpy

import archives
from archives import PAGE
from mount import MountTest, main, needs_root, until
from processes import Child, frames, in_child, resident_pages
from read_ahead import read_ahead

_SIZE = 96 << 20
_MADV_POPULATE_READ = 22  # Linux 5.14; mmap has a name for it since Python 3.13
_SLACK = 24 << 20  # of the archive: windows that are not yet behind all readers


def scan(path):
    """Reads all of it through a mapping; returns the sum of its bytes and its page frames."""
    with open(path, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    data = numpy.frombuffer(mapping, dtype=numpy.uint8)
    return int(data.sum(dtype=numpy.uint64)), frames(data.ctypes.data, _SIZE // PAGE)


def storage_reads(pid):
    """Bytes that were fetched from disks on behalf of a process."""
    with open(f"/proc/{pid}/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def can_read_directly(path):
    """Whether the worker can read a file of root past its page cache."""
    kernel = tuple(int(number) for number in os.uname().release.split("-")[0].split(".")[:2])
    found = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
    return kernel >= (6, 5) and found.stdout.strip() in ("ext2/ext3", "xfs", "f2fs")


@needs_root
class Memory(MountTest):
    def setUp(self):
        super().setUp()
        data = numpy.random.default_rng(5).integers(0, 256, _SIZE, numpy.uint8)
        self.data = data
        self.sum = int(data.sum(dtype=numpy.uint64))
        self.archive = self.in_source("big.skops")
        archives.write_members(self.archive, {"schema.json": b"{}", "big": data.tobytes()})
        self.drop_archive()
        if resident_pages(self.archive) > 0:
            self.skipTest(f"the file system of {self.folder} keeps its pages in memory")
        self.member = self.in_mount("big.skops", "big")
        self.held = self.mount()

    def drop_archive(self):
        with open(self.archive, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def archive_bytes(self):
        return resident_pages(self.archive) * PAGE

    def assert_one_copy(self):
        self.assertGreaterEqual(resident_pages(self.member) * PAGE, _SIZE * 0.9)
        self.assertLessEqual(self.archive_bytes(), _SLACK)

    def test_scanned_by_two_processes(self):
        with open(self.member, "rb") as held:  # so that the mounted file's pages stay
            first = in_child(scan, self.member)
            self.assert_one_copy()
            second = in_child(scan, self.member)
            self.assert_one_copy()
            self.assertEqual((first[0], second[0]), (self.sum, self.sum))
            same = sum(a == b for a, b in zip(first[1], second[1]))
            self.assertGreater(same, 0.9 * len(first[1]))  # but for what the kernel moved or reclaimed
            until(lambda: self.archive_bytes() <= 1 << 20, "the rest of the archive is dropped")
            self.assertGreaterEqual(resident_pages(self.member) * PAGE, _SIZE * 0.9)
            self.assertEqual(held.read(0), b"")

    def test_scanned_by_four_processes_at_once(self):
        with open(self.member, "rb"):
            children = [Child(scan, self.member) for _ in range(4)]
            for child in children:
                self.addCleanup(child.end)
            self.assertEqual([child.result()[0] for child in children], [self.sum] * 4)
            self.assertGreaterEqual(resident_pages(self.member) * PAGE, _SIZE * 0.9)
            until(lambda: self.archive_bytes() <= 1 << 20, "the archive is dropped")

    def test_read_in_a_random_order(self):
        blocks = list(range(_SIZE // (64 << 10)))
        random.Random(7).shuffle(blocks)
        with open(self.member, "rb", buffering=0) as file:
            for block in blocks:
                os.pread(file.fileno(), 64 << 10, block * (64 << 10))
            until(lambda: self.archive_bytes() <= 1 << 20, "the archive is dropped")

    def test_rows_here_and_there(self):
        """What the kernel reads around each of them goes past the archive's pages."""
        until(lambda: read_ahead(self.mountpoint) >= 512, "it reads ahead as far as it will")
        step = read_ahead(self.mountpoint) << 10
        offsets = list(range(0, _SIZE - PAGE, 2 * step))  # not in a long run
        random.Random(8).shuffle(offsets)
        with open(self.member, "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                for offset in offsets:
                    self.assertEqual(mapping[offset + 1000], self.data[offset + 1000])
                if can_read_directly(self.archive):
                    # Windows that overlap are smaller than requests that are worth it.
                    self.assertLess(self.archive_bytes(), len(offsets) * step / 8 + (1 << 20))
                    worker = self.held.worker()
                    names = [os.path.basename(name) for name in self.held.descriptors(worker)]
                    self.assertEqual(names.count("big.skops"), 2)
                data = numpy.frombuffer(mapping, dtype=numpy.uint8)
                self.assertTrue(numpy.array_equal(data, self.data))
                del data
            until(lambda: self.archive_bytes() <= 1 << 20, "the archive is dropped")
        if not can_read_directly(self.archive):
            self.skipTest("it is dropped; it cannot be read past its page cache here")

    def test_rows_with_little_read_ahead(self):
        """Small requests, one after the other without a pause, leave no second copy either."""
        if not can_read_directly(self.archive):
            self.skipTest("the archive cannot be read past its page cache here")
        self.held.stop()
        held = self.mount_reading_little_ahead()
        before = storage_reads(held.worker())
        offsets = random.Random(9).choices(range(0, _SIZE - PAGE), k=4000)
        for advice in (mmap.MADV_RANDOM, mmap.MADV_NORMAL):
            with open(self.member, "rb") as file:
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                    mapping.madvise(advice)
                    for number, offset in enumerate(offsets):
                        self.assertEqual(mapping[offset], self.data[offset])
                        if number % 500 == 0:
                            self.assertLessEqual(self.archive_bytes(), _SLACK)
            if advice == mmap.MADV_RANDOM:
                # Two blocks of the archive for each page, or the one that the disk may give.
                self.assertLess(storage_reads(held.worker()) - before, len(offsets) * 3 * PAGE)

    def test_asked_for_in_advance(self):
        """By posix_fadvise and madvise, of which a FUSE server hears nothing but reads."""
        step = 1 << 20
        with open(self.member, "rb") as file:
            def half_is_there():
                for offset in range(0, _SIZE // 2, step):  # what does not fit just now is left out
                    os.posix_fadvise(file.fileno(), offset, step, os.POSIX_FADV_WILLNEED)
                return resident_pages(self.member) * PAGE >= _SIZE * 0.49
            until(half_is_there, "a half is there")
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                try:
                    mapping.madvise(_MADV_POPULATE_READ)
                except OSError as error:
                    self.skipTest(f"posix_fadvise works; there is no MADV_POPULATE_READ: {error}")
                self.assertGreaterEqual(resident_pages(self.member) * PAGE, _SIZE * 0.99)
            until(lambda: self.archive_bytes() <= 1 << 20, "the archive is dropped")

    def test_nothing_stays_when_the_mount_goes(self):
        with open(self.member, "rb", buffering=0) as file:
            while file.tell() < 60 << 20:  # in the midst of a window
                file.read(1 << 20)
        self.assertEqual(self.held.stop(), 0)
        self.assertLessEqual(self.archive_bytes(), 1 << 20)

    def test_what_others_map_of_the_archive_stays(self):
        with open(self.archive, "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
                for offset in range(0, len(mapping), PAGE):
                    mapping[offset]
                in_child(scan, self.member)
                time.sleep(2.5)  # when those of quiet archives are dropped
                self.assertGreaterEqual(self.archive_bytes(), _SIZE)

    def test_archive_stays_if_told_so(self):
        self.held.stop()
        self.mount("--cache=keep")
        in_child(scan, self.member)
        self.assertGreaterEqual(self.archive_bytes(), _SIZE * 0.9)
        time.sleep(2.5)  # when the quiet ones would be dropped
        self.assertGreaterEqual(self.archive_bytes(), _SIZE * 0.9)

    def test_pages_of_an_old_version_go(self):
        """Rename over, close: neither the old member's pages nor the old archive's stay."""
        file = open(self.member, "rb", buffering=0)
        self.addCleanup(file.close)
        while file.read(1 << 20):
            pass
        keep = os.path.join(self.folder, "old")
        os.link(self.archive, keep)  # to be able to look at it
        archives.write_version(self.archive, 2, pages=2)
        self.assertGreaterEqual(resident_pages(file.fileno()) * PAGE, _SIZE * 0.9)
        until(lambda: self.superseded() == 1, "the new version is seen")
        file.close()
        until(lambda: self.superseded() == 0, "the kernel has forgotten the old version, and so freed its pages")
        self.assertLessEqual(resident_pages(keep) * PAGE, _SLACK)

    def test_memory_of_the_process_is_bounded(self):
        """It keeps no copy itself, whatever is read and however often."""
        before = self.private_bytes()
        for _ in range(3):
            in_child(scan, self.member)
            # A sanitizer has memory of its own for each buffer of a thread.
            most = 2 * _SIZE if os.environ.get("SKOPSFS_SANITIZED") else _SIZE // 2
            self.assertLess(self.private_bytes() - before, most)

    def private_bytes(self):
        total = 0
        for process in self.held.processes():
            with open(f"/proc/{process}/status", encoding="ascii") as status:
                total += int(next(x for x in status if x.startswith("RssAnon")).split()[1]) << 10
        return total


if __name__ == "__main__":
    main()
