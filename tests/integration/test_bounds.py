"""What hostile archives may take: a folder of bombs is mounted, listed and read in little memory."""

import bz2
import collections
import errno
import functools
import lzma
import os
import shutil
import stat
import struct
import sys
import zipfile
import zlib

import archives
from mount import HANG, MountTest, main, run, until
from processes import Child

MIB = 1 << 20
OF_EACH_KIND = 250
MOST_MEMORY = 256 * MIB
SANITIZED = "SKOPSFS_SANITIZED" in os.environ  # which takes memory of its own


def one_member(method, data, size, crc, name=b"bomb.npy"):
    """An archive whose only member claims to be `size` bytes; with ZIP64 fields if need be."""
    large = size > 0xFFFFFFFE
    small_size = 0xFFFFFFFF if large else size
    extra = struct.pack("<HHQ", 1, 8, size) if large else b""
    common = struct.pack("<HHHHHLLLHH", 45, 0, method, 0, 0x21, crc, len(data), small_size,
                         len(name), len(extra))
    local = b"PK\3\4" + common + name + extra + data
    central = b"PK\1\2\x2d\0" + common + bytes(14) + name + extra
    return local + central + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, len(central),
                                         len(local), 0)


@functools.lru_cache
def zeros_crc(size):
    return zlib.crc32(bytes(size))


def deflate_bomb():
    return archives.deflated_zeros("bomb.npy", 8), 128 * MIB


def endless_deflate_bomb():
    """Claims as much as it just may, and ends after two thirds of that."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(bytes(MIB)) + deflate.flush() + bytes(500)
    return one_member(zipfile.ZIP_DEFLATED, data, 1032 * len(data), 1), 1032 * len(data)


def bzip2_bomb():
    size = 64 * MIB
    return one_member(zipfile.ZIP_BZIP2, bz2.compress(bytes(size)), size, zeros_crc(size)), size


def lzma_bomb():
    """Fills the largest dictionary that is allowed, 64 MiB."""
    size = 80 * MIB
    options = {"id": lzma.FILTER_LZMA1, "dict_size": 64 * MIB, "lc": 3, "lp": 0, "pb": 2,
               "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}
    raw = lzma.compress(bytes(size), lzma.FORMAT_RAW, filters=[options])
    header = struct.pack("<BBHBL", 9, 4, 5, 0x5D, 64 * MIB)
    return one_member(zipfile.ZIP_LZMA, header + raw, size, zeros_crc(size)), size


def end_records(entries, size, start, file_size):
    """ZIP64 end records at the end of a file that claim a central directory."""
    zip64 = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, file_size - 98, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return zip64 + locator + end


def write_claim(path, kind):
    """An archive whose end record claims 2^32 members."""
    claimed = 1 << 32
    if kind == 0:  # in 98 bytes
        archives.write(path, end_records(claimed, claimed * 46, 0, 98))
    elif kind == 1:  # as large as they would be, and sparse
        size = claimed * 46
        with open(path, "wb") as file:
            file.truncate(size)
            file.seek(size)
            file.write(end_records(claimed, size, 0, size + 98))
    elif kind == 2:  # below the limit for directories, sparse
        size = 1000 * MIB
        with open(path, "wb") as file:
            file.truncate(size)
            file.seek(size)
            file.write(end_records(claimed, size, 0, size + 98))
    else:  # over a directory of one member
        data = archives.archive_of({"a.npy": b"x"})
        start = data.index(b"PK\1\2")
        directory = data[start:data.index(b"PK\5\6")]
        body = data[:start] + directory
        archives.write(path, body + end_records(claimed, len(directory), start, len(body) + 98))


def many_members(count):
    """An archive that has them, all empty, in 60 bytes each."""
    central = bytearray()
    for number in range(count):
        name = b"%08d.npy" % number
        central += b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, 0, 0, 0, 0x21, 0, 0, 0,
                                           len(name), 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(central),
                      0, 0)
    return bytes(central) + end


def read_some(paths, offset, size):
    """Reads of each file there; returns the errnos, 0 where it is zeros as it should be."""
    codes = {}
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                data = os.pread(file, size, offset)
                codes[path] = 0 if data == bytes(size) else -1
            finally:
                os.close(file)
        except OSError as error:
            codes[path] = error.errno
    return codes


class Bounds(MountTest):
    def memory(self, mount, what):
        """What the kernel says of the worker's memory, in bytes."""
        with open(f"/proc/{mount.worker()}/status", encoding="ascii") as status:
            return int(next(x for x in status if x.startswith(what)).split()[1]) << 10

    def assert_little_memory(self, mount, what):
        peak = self.memory(mount, "VmHWM")
        sys.stderr.write(f"{what}: the worker took at most {peak / MIB:.0f} MiB\n")
        if not SANITIZED:
            self.assertLess(peak, MOST_MEMORY)
        self.assertEqual(mount.log().count("another one takes over"), 0)

    def in_parallel(self, paths, offset, size, processes=16):
        children = [Child(read_some, paths[i::processes], offset, size) for i in range(processes)]
        codes = {}
        for child in children:
            self.addCleanup(child.end)
            codes.update(child.result())
        return codes

    def test_bombs_and_claims(self):
        """1,000 of each."""
        kinds = (deflate_bomb, endless_deflate_bomb, bzip2_bomb, lzma_bomb)
        for kind in kinds:
            data, _ = kind()
            for number in range(OF_EACH_KIND):
                archives.write(self.in_source(f"{kind.__name__}.{number}.skops"), data)
        for number in range(4 * OF_EACH_KIND):
            write_claim(self.in_source(f"claim.{number:04}.skops"), number % 4)
        mount = self.mount(guard=3 * HANG)
        paths = []
        refused = []
        for name in sorted(os.listdir(self.mountpoint)):
            try:
                members = os.listdir(self.in_mount(name))
                paths += [self.in_mount(name, member) for member in members]
            except OSError as error:
                refused.append((name.split(".")[0], error.errno))
        # Like zipfile, we count the members that there are: a claim alone does no harm.
        harmless = [path for path in paths if path.endswith("/a.npy")]
        self.assertEqual(len(harmless), OF_EACH_KIND)
        self.assertEqual(collections.Counter(refused),
                         {("claim", errno.EIO): 2 * OF_EACH_KIND, ("claim", errno.EFBIG): OF_EACH_KIND})
        bombs = [path for path in paths if path.endswith("/bomb.npy")]
        self.assertEqual(len(bombs), 4 * OF_EACH_KIND)
        self.assertEqual(self.in_parallel(bombs, 0, 64 << 10), dict.fromkeys(bombs, 0))
        self.assertEqual(self.in_parallel(harmless, 0, 0), dict.fromkeys(harmless, 0))

        for kind in kinds:  # to their ends, some at once
            size = kind()[1]
            some = [path for path in bombs if f"/{kind.__name__}." in path][:16]
            codes = self.in_parallel(some, size - 4096 & -4096, min(4096, size % 4096 or 4096))
            # Of these the one has a wrong CRC-32 and the other ends after a mebibyte.
            expected = errno.EIO if "deflate" in kind.__name__ else 0
            self.assertEqual(codes, dict.fromkeys(some, expected))
        self.assert_little_memory(mount, "bombs and claims")

    def claims(self):
        """Of each kind a few bytes that say they are 4 EiB, and what is right beside them."""
        huge = 1 << 62
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, archives.STORED):
            yield f"method-{method}", one_member(method, b"\x03\0of few", huge, 1)
        npz = one_member(zipfile.ZIP_DEFLATED, b"\x03\0of few", huge, 1, b"data.npy")
        schema = b'{"__loader__": "SparseMatrixNode", "type": "npz", "file": "1.npz"}'
        yield "npz", archives.archive_of({"1.npz": npz, "schema.json": schema})
        schema = one_member(zipfile.ZIP_DEFLATED, b"\x03\0of few", huge, 1, b"schema.json")
        yield "schema", schema

    def test_sizes_that_cannot_be(self):
        """stat() does not say them, nothing reads them, and what copies whole trees comes to an end."""
        archives.write_members(self.in_source("good.skops"), {"a.npy": b"good"})
        for name, data in self.claims():
            archives.write(self.in_source(f"{name}.skops"), data)
        mount = self.mount()
        bad = [self.in_mount(f"method-{n}.skops", "bomb.npy") for n in (0, 8, 12, 14)]
        bad += [self.in_mount("npz.skops", "by-name", "root", "data.npy"),
                self.in_mount("schema.skops", "schema.json")]
        for path in bad:
            with self.subTest(path=path):
                found = os.stat(path)
                self.assertLess(found.st_size, 100)
                self.assertEqual(found.st_blocks, 1)
                with open(path, "rb", buffering=0) as file:
                    self.assert_errno(errno.EIO, file.read, 1)
                self.assertEqual(stat.S_IMODE(found.st_mode), 0)
                reason = os.getxattr(path, "user.skopsfs.error").decode()
                self.assertRegex(reason, "larger than its compressed data can be|two sizes differ")
                mount.wait_for_log(os.path.basename(path), reason)
        tar = run("tar", "-cf", "/dev/null", "--checkpoint=1", "-C", self.mountpoint, ".", check=False)
        self.assertEqual(tar.returncode, 2, tar.stderr)
        sizes = [int(run("du", *how, self.mountpoint, check=False).stdout.split()[0])
                 for how in (["-sb"], ["-s"])]
        self.assertLess(max(sizes), 10_000)
        copy = self.make_folder("copy")
        run("cp", "-r", self.mountpoint + "/.", copy, check=False)
        with open(os.path.join(copy, "good.skops", "a.npy"), "rb") as file:
            self.assertEqual(file.read(), b"good")
        self.assertEqual(sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(copy)
                             for name in names if name == "bomb.npy"), 0)
        if shutil.which("rsync") is None:
            self.skipTest("tar, du and cp come to an end; rsync is not installed")
        copied = run("rsync", "-a", self.mountpoint + "/", self.make_folder("rsync"), check=False)
        self.assertEqual(copied.returncode, 23, copied.stderr)

    def test_check_finds_sizes_that_cannot_be(self):
        for name, data in self.claims():
            archives.write(self.in_source(f"{name}.skops"), data)
        done = run(os.environ["SKOPSFSCTL_BINARY"], "check", self.source, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        for name in ("method-8", "method-12", "method-14", "schema"):
            self.assertRegex(done.stdout,
                             rf"{name}\.skops: .*: larger than its compressed data can be")
        self.assertRegex(done.stdout, r"method-0\.skops: .*two sizes differ")

    def test_archives_with_many_members(self):
        """More than there are to be: it fails alone. As many as there may be: they work."""
        archives.write(self.in_source("huge.skops"), many_members(4_000_001))
        archives.write(self.in_source("fine.skops"), many_members(1000))
        mount = self.mount()
        for _ in range(2):
            self.assert_errno(errno.EFBIG, os.listdir, self.in_mount("huge.skops"))
            self.assertEqual(len(os.listdir(self.in_mount("fine.skops"))), 1000)
        mount.wait_for_log("huge.skops", "more members than the limit of 4000000")

    def test_many_archives_with_many_members_at_once(self):
        """Whose indexes would not all have room: they are read in turns, and let go."""
        data = many_members(100_000)
        for number in range(40):
            archives.write(self.in_source(f"{number}.skops"), data)
        mount = self.mount()
        children = [Child(lambda number: len(os.listdir(self.in_mount(f"{number}.skops"))), number)
                    for number in range(40)]
        for child in children:
            self.addCleanup(child.end)
            self.assertEqual(child.result(), 100_000)
        until(lambda: self.memory(mount, "RssAnon") < MOST_MEMORY or SANITIZED, "they are let go")
        sys.stderr.write(f"of {self.memory(mount, 'VmHWM') / MIB:.0f} MiB for 40 archives of 100,000 "
                         f"members, {self.memory(mount, 'RssAnon') / MIB:.0f} MiB are left\n")


if __name__ == "__main__":
    main()
