"""Archives that are broken, whole or in part: a clear answer, and nothing else suffers."""

import errno
import io
import mmap
import os
import struct
import subprocess
import warnings
import zipfile

import archives
from archives import MEMBER, read
from mount import MountTest, main, run, until
from processes import OTHER_USER, SIGBUS, in_child, touch


def corrupted(data, *changes):
    """`data` with (offset, bytes) written over it."""
    data = bytearray(data)
    for at, new in changes:
        data[at:at + len(new)] = new
    return bytes(data)


def with_flag(data, name, flag):
    """Sets a bit of the flags in both headers of a member."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        local = archive.getinfo(name).header_offset
    data = bytearray(data)
    at = data.index(b"PK\x01\x02")
    while True:
        size, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        if data[at + 46:at + 46 + size] == name.encode():
            break
        at += 46 + size + extra + comment
    for place in (local + 6, at + 8):
        flags = struct.unpack_from("<H", data, place)[0]
        struct.pack_into("<H", data, place, flags | flag)
    return bytes(data)


def local_header(data, name):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.getinfo(name).header_offset


class Broken(MountTest):
    def error_of(self, path):
        """What getfattr prints; empty when there is no such attribute."""
        done = run("getfattr", "--absolute-names", "--only-values", "-n", "user.skopsfs.error",
                   path, check=False)
        return done.stdout if done.returncode == 0 else ""

    def assert_broken(self, name, mount):
        path = self.in_mount(name)
        self.assertTrue(os.path.isdir(path))
        self.assertIn(name, os.listdir(os.path.dirname(path)))
        self.assert_errno(errno.EIO, os.listdir, path)
        self.assert_errno(errno.EIO, os.stat, os.path.join(path, MEMBER))
        self.assert_errno(errno.EIO, open, os.path.join(path, MEMBER), "rb")
        reason = self.error_of(path)
        self.assertTrue(reason)
        self.assertNotIn("\n", reason)
        mount.wait_for_log(name, reason)
        return reason

    def test_archives_that_cannot_be_opened(self):
        good = archives.version_bytes(1, 4)
        end = good.rindex(b"PK\x05\x06")
        directory = good.index(b"PK\x01\x02")
        bad = {
            "empty.skops": b"",
            "pointer.skops": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64,
            "page.skops": b"<!DOCTYPE html><html><head><title>Log in</title></head></html>" * 9,
            "text.skops": b"this is no archive\n" * 100,
            "zeros.skops": bytes(100_000),
            "half.skops": good[:len(good) // 2],
            "no-end.skops": good[:end],
            "cut-end.skops": good[:-1],
            "directory.skops": corrupted(good, (directory, b"XX")),
            "too-big.skops": corrupted(good, (end + 12, b"\xff\xff\xff\x7f")),
        }
        for name, data in bad.items():
            archives.write(self.in_source(name), data)
        archives.write(self.in_source("good.skops"), good)
        mount = self.mount("--revalidate=0")
        for name in bad:
            with self.subTest(archive=name):
                with self.assertRaises(zipfile.BadZipFile):
                    zipfile.ZipFile(self.in_source(name))
                reason = self.assert_broken(name, mount)
                for kind, word in (("empty", "empty"), ("pointer", "git lfs pull"), ("page", "HTML")):
                    self.assertEqual(word in reason, name.startswith(kind), reason)
        self.assertEqual(read(self.in_mount("good.skops", MEMBER)), archives.content(1, 4))
        self.assertEqual(self.error_of(self.in_mount("good.skops")), "")

    def test_heals_when_replaced_or_rewritten(self):
        good = archives.version_bytes(1, 4)
        mount = self.mount("--revalidate=0")
        for heal in (archives.write, archives.rewrite):
            path = self.in_source("a.skops")
            archives.write(path, good[:-30])
            self.assert_broken("a.skops", mount)
            heal(path, good)
            self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(1, 4))
            self.assertEqual(self.error_of(self.in_mount("a.skops")), "")

    def test_what_macos_leaves_beside_an_archive(self):
        archives.write_version(self.in_source("a.skops"), 1)
        archives.write(self.in_source("._a.skops"), b"\0\5\x16\7\0\2\0\0Mac OS X        ")
        mount = self.mount()
        self.assertEqual(read(self.in_mount("._a.skops")), read(self.in_source("._a.skops")))
        run("find", self.mountpoint, "-type", "f")
        self.assertNotIn("._a", mount.log())
        self.assertIn("checked 1 archive,", run(os.environ["SKOPSFSCTL_BINARY"], "check", self.source).stdout)

    def test_broken_archive_as_the_source(self):
        """Broken since it was mounted: what is no archive from the start is refused."""
        path = self.in_source("a.skops")
        archives.write_version(path, 1)
        mount = self.mount("--revalidate=0", source=path)
        archives.write(path, b"no archive")
        self.assertTrue(os.path.isdir(self.mountpoint))
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        self.assertTrue(self.error_of(self.mountpoint))
        mount.wait_for_log("a.skops")
        archives.write_version(path, 2)
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(2))

    def bad_member(self, data, code, reason, is_known=False):
        """The first read of one member fails with `code` and the reason, the others work. Where that
        `is_known` without a look at it, it may not even be opened but by root."""
        archives.write(self.in_source("a.skops"), data)
        is_root = os.geteuid() == 0
        mount = self.mount(*(["-o", "allow_other"] if is_root else []))
        path = self.in_mount("a.skops", "bad")
        self.assertEqual(sorted(os.listdir(self.in_mount("a.skops"))), ["bad", "good", "other"])
        self.assertEqual(os.stat(path).st_size, 5)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0 if is_known else 0o444)
        if not is_root and is_known:
            self.assert_errno(errno.EACCES, open, path, "rb")
            return
        with open(path, "rb", buffering=0) as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            for at in (0, 0, 4):
                self.assert_errno(code, os.pread, file.fileno(), 1, at)
            self.assertEqual(touch(mapping, [0]), [SIGBUS])
        self.assert_errno(code, read, path)
        mount.wait_for_log("a.skops", "bad", reason)
        lines = 2 if is_known else 1  # what is known is told of when the archive is opened, too
        until(lambda: mount.log().count("cannot be read") >= lines, "the log has all of it")
        self.assertEqual(mount.log().count("cannot be read"), lines, mount.log())
        self.assertIn(reason, self.error_of(path))
        if is_root:
            self.assert_errno(errno.EACCES if is_known else code, in_child, read, path,
                              user=OTHER_USER)
        for name in ("good", "other"):
            self.assertEqual(read(self.in_mount("a.skops", name)), name.encode())
            self.assertEqual(self.error_of(self.in_mount("a.skops", name)), "")

    def three(self, method=archives.STORED):
        return archives.archive_of({"good": b"good", "bad": b"12345", "other": b"other"}, method)

    def test_encrypted_member(self):
        self.bad_member(with_flag(self.three(), "bad", 1), errno.EACCES, "encrypted", is_known=True)

    def test_bad_signature_of_a_local_header(self):
        data = self.three()
        self.bad_member(corrupted(data, (local_header(data, "bad"), b"PK\x07\x08")), errno.EIO,
                        "local header")

    def test_other_name_in_the_local_header(self):
        data = self.three()
        self.bad_member(corrupted(data, (local_header(data, "bad") + 30, b"mad")), errno.EIO,
                        "names")

    def test_other_method_in_the_local_header(self):
        data = self.three()
        self.bad_member(corrupted(data, (local_header(data, "bad") + 8, b"\x08")), errno.EIO,
                        "methods")

    def test_name_that_makes_the_data_overlap(self):
        data = self.three()
        extra = local_header(data, "bad") + 28
        self.bad_member(corrupted(data, (extra, b"\xff\xff")), errno.EIO, "overlaps")

    def test_unknown_method(self):
        data = self.three()
        directory = data.index(b"bad", data.index(b"PK\x01\x02")) - 46
        self.bad_member(
            corrupted(data, (local_header(data, "bad") + 8, b"\x63"), (directory + 10, b"\x63")),
            errno.EOPNOTSUPP, "method 99", is_known=True)

    def test_bad_crc_of_a_compressed_member(self):
        data = self.three(archives.DEFLATED)
        directory = data.index(b"bad", data.index(b"PK\x01\x02")) - 46
        self.bad_member(corrupted(data, (directory + 16, b"1234")), errno.EIO, "CRC")

    def test_damaged_deflate_data(self):
        data = self.three(archives.DEFLATED)
        self.bad_member(corrupted(data, (local_header(data, "bad") + 33, b"\xff\xff")), errno.EIO,
                        "")

    def test_the_last_of_duplicates_wins(self):
        archives.write(self.in_source("a.skops"), _quietly(
            [("x", b"first"), ("y", b"y"), ("x", b"the second"), ("x", b"last one")]))
        self.mount()
        self.assertEqual(sorted(os.listdir(self.in_mount("a.skops"))), ["x", "y"])
        self.assertEqual(read(self.in_mount("a.skops", "x")), b"last one")
        self.assertEqual(os.stat(self.in_mount("a.skops", "x")).st_size, 8)

    def test_names_that_cannot_be_shown(self):
        bad = ["/etc/passwd", "../up", "a/../../b", "./here", "a//b", "x/.", "c" * 256,
               "d/" + "e" * 300 + "/f"]
        archives.write_members(self.in_source("a.skops"),
                               {**{name: b"evil" for name in bad}, "fine": b"fine"})
        mount = self.mount()
        self.assertEqual(os.listdir(self.in_mount("a.skops")), ["fine"])
        self.assertEqual(read(self.in_mount("a.skops", "fine")), b"fine")
        for name in bad:
            mount.wait_for_log("a.skops", name[:100])
        self.assertFalse(os.path.exists(os.path.join(self.folder, "up")))

    def test_name_that_is_file_and_directory(self):
        archives.write_members(self.in_source("a.skops"),
                               {"n": b"file", "n/below": b"below", "other": b"o"})
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(self.in_mount("a.skops"))), ["n", "other"])
        self.assertEqual(read(self.in_mount("a.skops", "n/below")), b"below")
        mount.wait_for_log("a.skops", '"n"')

    def test_prepended_data_and_comment(self):
        for name, data in (("front.skops", b"#!/bin/sh\n" * 999 + archives.version_bytes(1, 4)),
                           ("comment.skops", archives.archive_of(
                               {MEMBER: archives.content(1, 4)}, comment=b"c" * 65535))):
            archives.write(self.in_source(name), data)
        self.mount()
        for name in ("front.skops", "comment.skops"):
            self.assertEqual(read(self.in_mount(name, MEMBER)), archives.content(1, 4))

    def test_the_same_event_is_not_logged_without_end(self):
        archives.write(self.in_source("a.skops"), b"no archive")
        mount = self.mount("--revalidate=0")
        for _ in range(500):
            self.assert_errno(errno.EIO, os.listdir, self.in_mount("a.skops"))
        mount.wait_for_log("a.skops")
        lines = [line for line in mount.log().splitlines() if "a.skops" in line]
        self.assertLessEqual(len(lines), 20, lines)

    def test_seventy_thousand_members(self):
        members = {f"d{n % 70}/m{n}": b"%d" % n for n in range(70_000)}
        archives.write_members(self.in_source("many.skops"), members)
        self.mount()
        found = subprocess.run(["find", self.in_mount("many.skops"), "-type", "f"], check=True,
                               stdout=subprocess.PIPE).stdout.count(b"\n")
        self.assertEqual(found, 70_000)
        for number in range(0, 70_000, 997):
            path = self.in_mount("many.skops", f"d{number % 70}", f"m{number}")
            self.assertEqual(read(path), b"%d" % number)

    def test_sparse_archive_over_five_gigabytes(self):
        """ZIP64: a member over 4 GiB, and one whose header lies beyond 4 GiB."""
        path = self.in_source("huge.skops")
        size = (5 << 30) + 12345
        info = zipfile.ZipInfo("huge.npy")
        with open(path, "w+b") as file:
            with zipfile.ZipFile(file, "w", archives.STORED) as archive:
                with archive.open(info, "w", force_zip64=True) as member:
                    member.write(b"start")
                start = file.tell() - 5
                # The rest of it is a hole, which zipfile would have to write.
                file.seek(start + size - 3)
                file.write(b"end")
                info.file_size = info.compress_size = size
                archive.start_dir = file.tell()
                archive.writestr("after.txt", b"after")
        self.mount()
        member = self.in_mount("huge.skops", "huge.npy")
        self.assertEqual(os.stat(member).st_size, size)
        with open(member, "rb") as file:
            for at, expected in ((0, b"start"), ((4 << 30) - 2, bytes(4)), (size - 3, b"end")):
                self.assertEqual(os.pread(file.fileno(), len(expected), at), expected)
        self.assertEqual(read(self.in_mount("huge.skops", "after.txt")), b"after")


def _quietly(pairs):
    """zipfile warns of duplicates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archives.archive_of(pairs)


if __name__ == "__main__":
    main()
