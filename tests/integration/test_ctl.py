"""The program skopsfsctl, on files and on mounts."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
import tempfile
import unittest
import zipfile

import numpy

import archives
from archives import PAGE
from ctl import NOT_DONE, WRONG, binary, ctl
from mount import MountTest, main, needs_root
from processes import become, in_one_of_three, resident_pages
from test_genuine import folders

DATA = folders()[0]


def damaged(data, member):
    """The archive with the last byte of a stored member changed."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(member)
        start = info.header_offset + 30 + len(info.filename)
    at = start + info.file_size - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Files(unittest.TestCase):
    """What needs no mount."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, data):
        archives.write(self.path(name), data)
        return self.path(name)

    def test_check_genuine_archives(self):
        for folder in folders():
            out, err = ctl("check", folder)
            self.assertRegex(out, r"^checked \d+ archives, \d+ members: .*, all good\n$")
            self.assertEqual(err, "")

    def test_check_says_what_is_wrong(self):
        good = archives.version_bytes(1)
        self.put("good.skops", good)
        bad = self.put("bad.skops", damaged(good, archives.MEMBER))
        none = self.put("none.skops", b"no archive")
        out, err = ctl("check", self.folder, code=WRONG)
        lines = out.splitlines()
        self.assertEqual(lines[0], f"{bad}: {archives.MEMBER}: bad CRC-32")
        self.assertTrue(lines[1].startswith(f"{none}: not a ZIP archive"), lines[1])
        self.assertRegex(lines[2], r"^checked 3 archives, 4 members: .*, 2 faulty$")
        self.assertEqual((len(lines), err), (3, ""))
        # The same as Python says of them.
        with zipfile.ZipFile(bad) as archive:
            self.assertEqual(archive.testzip(), archives.MEMBER)
        self.assertFalse(zipfile.is_zipfile(none))

    def test_check_as_json(self):
        good = archives.version_bytes(1)
        self.put("a.skops", good)
        self.put("b.skops", damaged(good, archives.MEMBER))
        out, _ = ctl("check", "--json", self.folder, self.path("none"), code=WRONG)
        found = json.loads(out)
        self.assertEqual((found["members"], found["faulty"], found["unchecked"]), (4, 1, 1))
        of = {os.path.basename(item["path"]): item for item in found["archives"]}
        self.assertTrue(of["a.skops"]["ok"])
        self.assertEqual(of["b.skops"]["faults"],
                         [{"member": archives.MEMBER, "reason": "bad CRC-32"}])
        self.assertIn("No such file", of["none"]["unchecked"])

    def test_check_of_what_is_not_there(self):
        out, err = ctl("check", self.path("none"), code=NOT_DONE)
        self.assertRegex(out, "1 not checked")
        self.assertIn("none: it cannot be looked at: No such file or directory", err)
        _, err = ctl("check", self.folder, code=NOT_DONE)
        self.assertIn("no archives (.skops) are in it", err)
        _, err = ctl("check", code=NOT_DONE)
        self.assertIn("see skopsfsctl --help", err)

    @needs_root
    def test_check_of_what_may_not_be_read(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.put("a.skops", archives.version_bytes(1)), 0o600)
        _, err = ctl("check", self.folder, code=NOT_DONE, preexec_fn=lambda: become(54321))
        self.assertIn("a.skops: it cannot be opened: Permission denied", err)

    def test_check_of_what_is_being_written(self):
        path = self.put("a.skops", archives.version_bytes(1))
        with open(path, "r+b"):
            _, err = ctl("check", path, code=NOT_DONE)
        self.assertIn("somebody has it open for writing", err)
        ctl("check", path)

    def test_names_of_strangers(self):
        self.put("a.skops", archives.archive_of({"../\x1b[2J": b"x"}))
        out, _ = ctl("check", self.folder, code=WRONG)
        self.assertIn('"../\\x1b[2J": a mount does not show it', out)
        self.assertNotIn("\x1b", out)
        out, _ = ctl("tree", self.put("b.skops", archives.archive_of({"\x1b[2J.npy": b"x"})))
        self.assertIn('"\\x1b[2J.npy"', out)

    def test_a_progress_bar_on_a_terminal_only(self):
        path = self.put("a.skops", archives.version_bytes(1, pages=512))
        main_end, terminal = pty.openpty()
        try:
            done = subprocess.run([binary(), "check", "-j", "1", path], stderr=terminal,
                                  stdout=subprocess.PIPE, check=True)
            os.close(terminal)
            drawn = b""
            try:
                while piece := os.read(main_end, 1 << 16):
                    drawn += piece
            except OSError as error:  # its other end is closed
                if error.errno != errno.EIO:
                    raise
        finally:
            os.close(main_end)
        self.assertRegex(drawn.decode(), r"\[[#.]+\] +\d+ %  \d/1 archives")
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), "it is cleared at the end")
        self.assertRegex(done.stdout.decode(), "^checked 1 archive, ")

    def test_the_page_cache_is_left_as_it_was(self):
        path = self.put("a.skops", archives.version_bytes(1, pages=4096))

        def drop():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            if any(re.search(f" {re.escape(tempfile.gettempdir())} .* - tmpfs ", line)
                   for line in lines):
                raise unittest.SkipTest("temporary files lie in memory")
        drop()
        ctl("check", path)
        self.assertLess(resident_pages(path) * PAGE, 1 << 20)

        def is_left():
            with open(path, "rb") as file:
                file.read()
            ctl("check", path)
            return resident_pages(path) == -(-os.path.getsize(path) // PAGE)
        self.assertTrue(in_one_of_three(is_left))

    def test_tree(self):
        out, _ = ctl("tree", os.path.join(DATA, "knn_sparse.skops"))
        self.assertRegex(out, r"(?m)^_fit_X/$")
        self.assertRegex(out, r"(?m)^  data\.npy +float64 +\(\d+,\) +C .* deflated +yes ")
        self.assertRegex(out, r"(?m)^schema\.json ")
        _, err = ctl("tree", DATA, code=NOT_DONE)
        self.assertIn("it is a folder", err)
        _, err = ctl("tree", self.put("a.skops", b"none"), code=WRONG)
        self.assertIn("not a ZIP archive", err)

    def test_the_capture_in_the_docs(self):
        page = os.path.join(DATA, "..", "..", "docs", "skopsfsctl.md")
        with open(page, encoding="utf-8") as file:
            capture = file.read().split("$ skopsfsctl tree /mnt/skops/knn_sparse.skops\n")[1]
        out, _ = ctl("tree", os.path.join(DATA, "knn_sparse.skops"))
        lines = capture.replace("\n    ", "\n").split("\n")
        self.assertEqual(lines[1:len(out.splitlines())], out.splitlines()[1:])

    def test_tree_says_what_numpy_says(self):
        for name in os.listdir(DATA):
            if not name.endswith(".skops"):
                continue
            out, _ = ctl("tree", "--json", os.path.join(DATA, name))
            arrays = [item for item in json.loads(out)["members"] if "dtype" in item]
            with zipfile.ZipFile(os.path.join(DATA, name)) as archive:
                for item in arrays:
                    outer, _, inner = item["member"].partition("/")
                    with archive.open(outer) as file:
                        array = numpy.load(file)
                        array = array[inner[:-len(".npy")]] if inner else array
                    self.assertEqual(item["dtype"], str(array.dtype))
                    self.assertEqual(tuple(item["shape"]), array.shape)
                    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
                    self.assertEqual(item["order"], "F" if fortran else "C")


class Mounted(MountTest):
    def test_check_sees_what_users_see(self):
        good = archives.version_bytes(1)
        os.mkdir(self.in_source("sub"))
        archives.write(self.in_source("good.skops"), good)
        archives.write(self.in_source("sub", "bad.skops"), damaged(good, archives.MEMBER))
        archives.write(self.in_source("sub", "none.skops"), b"no archive")
        self.mount()
        out, _ = ctl("check", self.mountpoint, code=WRONG)
        lines = out.splitlines()
        self.assertEqual(lines[0],
                         f"{self.in_mount('sub', 'bad.skops')}: {archives.MEMBER}: bad CRC-32")
        self.assertIn("none.skops: not a ZIP archive", lines[1])
        self.assertRegex(lines[2], "^checked 3 archives, 4 members: .*, 2 faulty$")
        # Of the folder above the mount the mount is a part, and the source another one.
        out, _ = ctl("check", "--json", self.folder, code=WRONG)
        self.assertEqual(json.loads(out)["faulty"], 4)
        # One file, by whatever name.
        ctl("check", self.in_mount("good.skops", archives.MEMBER))
        ctl("check", self.in_mount("sub", "bad.skops", archives.MEMBER), code=WRONG)

    def test_check_of_a_schema_that_a_mount_cannot_read(self):
        archives.write_members(self.in_source("a.skops"), {"schema.json": b"{", "1.npy": b"x"})
        self.mount()
        out, _ = ctl("check", self.mountpoint, code=WRONG)
        self.assertRegex(out, r"a\.skops: schema\.json: schema\.json is not JSON")

    def test_check_genuine_archives(self):
        for folder in folders():
            mount = self.mount(source=folder)
            inside, _ = ctl("check", "--json", self.mountpoint)
            outside, _ = ctl("check", "--json", folder)
            for name in ("members", "bytes", "faulty", "unchecked"):
                self.assertEqual(json.loads(inside)[name], json.loads(outside)[name], name)
            self.assertEqual(mount.stop(), 0)

    def test_tree_of_a_mount_is_that_of_the_file(self):
        mount = self.mount(source=DATA)
        for name in sorted(os.listdir(DATA)):
            if not name.endswith(".skops"):
                continue

            def items(path):
                out, _ = ctl("tree", "--json", path)
                return sorted(json.loads(out)["members"], key=lambda item: item["member"])

            self.assertEqual(items(self.in_mount(name)), items(os.path.join(DATA, name)), name)
        self.assertEqual(mount.stop(), 0)
        self.mount(source=os.path.join(DATA, "arrays.skops"))
        ctl("tree", self.mountpoint)

    def test_warm(self):
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount()
        path = self.in_mount("a.skops", archives.MEMBER)
        self.assertEqual(resident_pages(path), 0)

        def is_warmed():
            out, _ = ctl("warm", self.in_mount("a.skops"))
            self.assertRegex(out, r"^warmed 1 archive, 2 members: 0\.5 MiB in .* s \(.*/s\), all good\n$")
            return resident_pages(path) == archives.PAGES
        self.assertTrue(in_one_of_three(is_warmed))
        _, err = ctl("warm", self.source, code=NOT_DONE)
        self.assertIn("it does not lie on a mount of skopsfs", err)

    def test_warm_says_what_fails(self):
        bad = damaged(archives.version_bytes(1), archives.MEMBER)
        archives.write(self.in_source("a.skops"), bad)
        self.mount()
        out, _ = ctl("warm", self.mountpoint, code=WRONG)
        self.assertIn(f"{archives.MEMBER}: bad CRC-32", out)


if __name__ == "__main__":
    main()
