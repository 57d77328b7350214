"""Deflated members on a real mount: decoded once, at any offset, and shared."""

import os
import random
import threading
import zlib

import numpy

import archives
from archives import PAGE
from mount import MountTest, main, needs_root, until
from processes import drop_pages, frames, in_child, in_two

SIZE = 40 << 20
SPAN = 8 << 20  # between checkpoints


def weights():
    """With three digits, so that they compress to a quarter."""
    return numpy.random.default_rng(1).standard_normal(SIZE // 8).round(3)


def total(path):
    return float(numpy.load(path, mmap_mode="r").sum())


def page_frames(path):
    array = numpy.load(path, mmap_mode="r")
    array.sum()  # touches all of it
    return frames(array.ctypes.data // PAGE * PAGE, array.nbytes // PAGE)


class Compressed(MountTest):
    def setUp(self):
        super().setUp()
        array = archives.npy(weights())
        self.data = array
        archives.write_members(self.in_source("a.skops"), {"1.npy": array}, archives.DEFLATED)
        self.compressed = os.path.getsize(self.in_source("a.skops"))
        self.mounted = self.mount()
        self.path = self.in_mount("a.skops", "1.npy")

    def read_by_worker(self):
        """What it has read, which are deflated bytes but for a few."""
        with open(f"/proc/{self.mounted.worker()}/io", encoding="ascii") as lines:
            return int(next(line.split()[1] for line in lines if line.startswith("rchar:")))

    def decoded(self, before):
        """The part of the member that was decoded since."""
        return (self.read_by_worker() - before) / self.compressed

    def test_many_who_map_it_decode_it_once(self):
        before = self.read_by_worker()
        found = [None] * 8
        with open(self.path, "rb"):
            def scan(number):
                found[number] = in_child(total, self.path)
            threads = [threading.Thread(target=scan, args=(number,)) for number in range(len(found))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(found, [float(weights().sum())] * 8)
            # On a busy machine a page may be asked for after its span, which is decoded again then. Each
            # by itself would be 8.
            self.assertLess(self.decoded(before), 4)

    @needs_root
    def test_it_is_in_memory_once(self):
        with open(self.path, "rb"):
            one, two = in_two(page_frames, self.path)
        self.assertNotIn(None, one)
        self.assertEqual(one, two)

    def test_a_page_after_the_kernel_has_let_go_of_it(self):
        with open(self.path, "rb", buffering=0) as file:
            self.assertEqual(zlib.crc32(file.read()), zlib.crc32(self.data))
            choose = random.Random(1)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for _ in range(20):
                drop_pages(file)
                at = choose.randrange(len(self.data) - PAGE)
                before = self.read_by_worker()
                self.assertEqual(os.pread(file.fileno(), PAGE, at), self.data[at:at + PAGE])
                self.assertLess(self.decoded(before), 1.1 * SPAN / SIZE)

    def decoder_bytes(self):
        with open(self.in_mount(".skopsfs", "metrics"), encoding="utf-8") as lines:
            return float(next(line.split()[1] for line in lines
                              if line.startswith("skopsfs_decoder_bytes ")))

    def test_the_decoder_goes_with_its_version(self):
        def decoded():
            before = self.read_by_worker()
            with open(self.path, "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                drop_pages(file)
                self.assertEqual(os.pread(file.fileno(), 10, SIZE - 10), self.data[SIZE - 10:SIZE])
            return self.decoded(before)
        self.assertGreater(decoded(), 0.9)
        self.assertLess(decoded(), 1.1 * SPAN / SIZE)
        self.assertGreater(self.decoder_bytes(), 0)
        os.unlink(self.in_source("a.skops"))
        until(lambda: self.decoder_bytes() == 0, "its memory is given back")
        archives.write_members(self.in_source("a.skops"), {"1.npy": self.data}, archives.DEFLATED)
        until(lambda: os.path.exists(self.path), "the new version is seen")
        self.assertGreater(decoded(), 0.9)


if __name__ == "__main__":
    main()
