"""Archives that somebody is writing to at the moment they are opened.

The times of a file change when a write begins, not while it goes on, and not for stores to a page
that is mapped for writing and dirty already. So an archive that is open for writing has no version
that could be told from the next: what is opened then must fail, or stay what it was.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
import threading
import time

import archives
from archives import MEMBER, PAGE, PAGES
from mount import MountTest, main, needs_root, run, until
from processes import mount_tmpfs
from shim import ShimTest

_SETTLED = 0.1  # seconds; time stamps move in steps of up to 10 ms


class PausingMemory:
    """Memory whose second half cannot be read by anybody, a write() included, until let_go()."""

    _SYSCALL = {"x86_64": 323, "aarch64": 282}
    _API, _REGISTER, _COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
    _MISSING = 1

    def __init__(self, data):
        assert len(data) % PAGE == 0
        libc = ctypes.CDLL(None, use_errno=True)
        self._data = data
        self._fd = libc.syscall(self._SYSCALL.get(platform.machine(), -1), os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        fcntl.ioctl(self._fd, self._API, bytearray(struct.pack("<QQQ", 0xAA, 0, 0)))
        self.memory = mmap.mmap(-1, len(data), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self._half = len(data) // 2 // PAGE * PAGE
        ctypes.memmove(self._address, data, self._half)
        request = bytearray(struct.pack("<QQQQ", self._address + self._half,
                                        len(data) - self._half, self._MISSING, 0))
        fcntl.ioctl(self._fd, self._REGISTER, request)

    def wait_until_touched(self):
        os.read(self._fd, 32)

    def let_go(self):
        rest = ctypes.create_string_buffer(self._data[self._half:], len(self._data) - self._half)
        request = bytearray(struct.pack("<QQQQq", self._address + self._half,
                                        ctypes.addressof(rest), len(self._data) - self._half, 0, 0))
        fcntl.ioctl(self._fd, self._COPY, request)
        os.close(self._fd)


def whole_pages(version):
    """An archive that is a multiple of a page long."""
    members = {MEMBER: archives.content(version)}
    size = len(archives.archive_of(members))
    return archives.archive_of(members, comment=b"c" * (-size % PAGE))


class Writers(MountTest):
    def setUp(self):
        super().setUp()
        self.archive = self.in_source("a.skops")
        self.member = self.in_mount("a.skops", MEMBER)
        archives.write(self.archive, whole_pages(1))

    def versions(self, file, numbers):
        """Of the pages that can be read."""
        found = set()
        for number in numbers:
            try:
                data = os.pread(file.fileno(), PAGE, number * PAGE)
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                continue
            found.add(archives.version_of(data, number))
        return found

    def open_while_written(self, finish):
        """Opens, reads some, lets the writer `finish`, reads the rest: at most one version."""
        try:
            file = open(self.member, "rb", buffering=0)
        except OSError as error:
            self.assertIn(error.errno, (errno.EIO, errno.ESTALE, errno.ETXTBSY, errno.EBUSY))
            finish()
            return
        with file:
            some = range(PAGES - 1, PAGES)
            found = self.versions(file, some)
            finish()
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found |= self.versions(file, range(PAGES))
            self.assertLessEqual(len(found), 1, "a mix of versions in one handle")
            self.assertNotIn(None, found)

    def assert_new_version(self):
        with open(self.member, "rb") as file:
            self.assertEqual(file.read(), archives.content(2))

    @needs_root
    def test_opened_in_the_middle_of_a_long_write(self):
        """One write() call, which began long ago and has still half of it to do."""
        data = whole_pages(2)
        try:
            memory = PausingMemory(data)
        except OSError as error:
            self.skipTest(f"there is no userfaultfd: {error}")
        self.mount("--revalidate=0")

        def write():
            with open(self.archive, "r+b", buffering=0) as file:
                self.assertEqual(file.write(memory.memory), len(data))

        writer = threading.Thread(target=write)
        writer.start()
        memory.wait_until_touched()
        time.sleep(_SETTLED)

        def finish():
            memory.let_go()
            writer.join()

        self.open_while_written(finish)
        self.assert_new_version()

    def test_opened_while_mapped_for_writing(self):
        """Its pages are dirty already, so further stores change no time."""
        self.mount("--revalidate=0")
        with open(self.archive, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[:] = whole_pages(1)
            time.sleep(_SETTLED)

            def finish():
                mapped[:] = whole_pages(2)

            self.open_while_written(finish)
        time.sleep(_SETTLED)
        self.assert_new_version()

    def test_open_for_writing_but_not_written(self):
        """Somebody who merely has it open does not keep others from it for ever."""
        self.mount("--revalidate=0")
        with open(self.archive, "r+b"):
            try:
                with open(self.member, "rb") as file:
                    self.assertEqual(file.read(), archives.content(1))
            except OSError as error:
                self.assertIn(error.errno, (errno.EIO, errno.ESTALE, errno.ETXTBSY, errno.EBUSY))
        with open(self.member, "rb") as file:
            self.assertEqual(file.read(), archives.content(1))


class MappedAlone:
    """A file mapped for writing whose descriptor is closed, as mmap.mmap() would not have it."""

    def __init__(self, path, size):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                              ctypes.c_int, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        fd = os.open(path, os.O_RDWR)
        self._size = size
        self._address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        assert self._address != ctypes.c_void_p(-1).value
        self._unmap = libc.munmap

    def store(self, data):
        ctypes.memmove(self._address, data, len(data))

    def close(self):
        self._unmap(self._address, self._size)


@needs_root
class OnOverlayfs(Writers):
    """The usual root of containers, where a lease sees no maps. All of the above, and these alone."""

    def setUp(self):
        MountTest.setUp(self)
        below = self.make_folder("disk")
        kind = run("stat", "-f", "-c", "%T", below).stdout.strip()
        if kind in ("tmpfs", "ramfs"):
            self.skipTest("the temporary folder is in memory: what is mapped there goes unseen, as "
                          "docs/semantics.md says")
        layers = [self.make_folder("disk", name) for name in ("lower", "upper", "work")]
        archives.write(os.path.join(layers[0], "a.skops"), whole_pages(1))
        done = run("mount", "-t", "overlay", "overlay", "-o",
                   "lowerdir={},upperdir={},workdir={}".format(*layers), self.source, check=False)
        if done.returncode != 0:
            self.skipTest(f"no overlayfs can be mounted on {kind}: {done.stderr.strip()}")
        self.archive = self.in_source("a.skops")
        self.member = self.in_mount("a.skops", MEMBER)

    def mapped(self):
        data = whole_pages(1)
        mapped = MappedAlone(self.archive, len(data))
        self.addCleanup(mapped.close)
        mapped.store(data)
        time.sleep(_SETTLED)
        return mapped

    def test_opened_while_mapped_although_closed(self):
        mapped = self.mapped()
        self.mount("--revalidate=0")
        self.open_while_written(lambda: mapped.store(whole_pages(2)))
        time.sleep(_SETTLED)
        self.assert_new_version()

    def test_proven_while_mapped_although_closed(self):
        """The change time alone has moved, so that the member is read through before it is served on."""
        self.mount("--revalidate=0")
        with open(self.member, "rb", buffering=0) as file:
            found = self.versions(file, range(1))
            before = os.stat(self.archive).st_mtime_ns
            mapped = self.mapped()
            os.utime(self.archive, ns=(before, before))
            found |= self.versions(file, range(1, PAGES // 2))
            mapped.store(whole_pages(2))
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found |= self.versions(file, range(PAGES))
            self.assertEqual(found, {1})

    def test_mapped_before_it_is_copied_up(self):
        """A reader of the lower file, and then the first writer that there is."""
        self.mount("--revalidate=0")

        def finish():
            mapped = self.mapped()
            mapped.store(whole_pages(2))

        self.open_while_written(finish)
        time.sleep(_SETTLED)
        self.assert_new_version()


@needs_root
class OnTmpfs(ShimTest):
    def test_hole_that_is_made_while_it_is_read(self):
        """tmpfs takes the pages away first, and then sets the times: nobody may see zeros meanwhile."""
        mount_tmpfs(self.source)
        path = self.in_source("a.skops")
        # What comes second makes it take long.
        archives.write_members(path, {MEMBER: archives.content(1), "rest": b"r" * (192 << 20)})
        whole = os.path.getsize(path)
        self.shim.slow_lease = 60_000
        self.mount("--revalidate=0")
        file = os.open(self.in_mount("a.skops", MEMBER), os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        found, gone = set(), threading.Event()

        def read(number):
            time.sleep(0.005 * number / 2)  # so that somebody looks at any moment
            while True:
                last = gone.is_set()
                os.posix_fadvise(file, number * PAGE, PAGE, os.POSIX_FADV_DONTNEED)
                try:
                    data = os.pread(file, PAGE, number * PAGE)
                    found.add(archives.version_of(data, number))
                except OSError as error:
                    found.add(error.errno)
                if last:
                    return

        readers = [threading.Thread(target=read, args=[number]) for number in range(2, 26, 2)]
        for reader in readers:
            reader.start()
        until(lambda: 1 in found, "they read")
        with open(path, "r+b") as writer:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
            keep_size, punch_hole = 1, 2
            self.assertEqual(libc.fallocate(writer.fileno(), keep_size | punch_hole, PAGE,
                                            whole - 2 * PAGE), 0)
        gone.set()
        for reader in readers:
            reader.join()
        self.assertEqual(found, {1, errno.EIO})


class OfANetwork(ShimTest):
    def test_without_a_promise_of_the_server(self):
        """NFSv4 and SMB refuse a lease when the server has given no delegation: that is no writer."""
        archives.write_version(self.in_source("a.skops"), 1)
        self.shim.like_nfs = 1
        self.mount()
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            self.assertEqual(file.read(), archives.content(1))


if __name__ == "__main__":
    main()
