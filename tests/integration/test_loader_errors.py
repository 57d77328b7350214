"""What the Python package says where a path is not what was meant."""

import errno
import json
import os

import numpy

import archives
from mount import MountTest, main
from test_loader import SCHEMA, skops, skopsfs


class Hints(MountTest):
    def setUp(self):
        super().setUp()
        skops.io.dump({"coef_": numpy.zeros(3), "steps": {"model": {"intercept_": numpy.zeros(4)}}},
                      self.in_source("model.skops"))
        archives.write(self.in_source("broken.skops"), b"no archive")
        os.makedirs(self.in_source("team"))
        os.link(self.in_source("model.skops"), self.in_source("team", "a.skops"))
        self.path = self.in_mount("model.skops")

    def assert_both_say(self, expected, path, kind=OSError):
        """load and array raise an OSError whose text has `expected` in it."""
        for load in (lambda: skopsfs.load(path), lambda: skopsfs.array(path, "coef_")):
            with self.assertRaises(kind) as raised:
                load()
            self.assertIn(expected, str(raised.exception))

    def test_a_folder_of_archives(self):
        self.mount()
        self.assert_both_say(f"it is a folder, not an archive: give one of its archives, as {self.in_mount('team')}/a.skops",
                             self.in_mount("team"), IsADirectoryError)

    def test_nothing_is_mounted(self):
        for path in (self.path, self.mountpoint, self.in_mount("team", "a.skops")):
            self.assert_both_say(f"{self.mountpoint} is empty: nothing is mounted there", path)

    def test_a_member(self):
        self.mount()
        for member in ("schema.json", "by-name/coef_.npy", "by-name/steps/model/intercept_.npy"):
            self.assert_both_say(f"it is a member of an archive: give the archive, {self.path}",
                                 os.path.join(self.path, member), (OSError, ValueError))

    def test_a_wrong_path(self):
        self.mount()
        self.assert_both_say("the nearest names are model.skops", self.in_mount("modle.skops"), FileNotFoundError)
        self.assert_both_say("the nearest names are team", self.in_mount("taem", "a.skops"), FileNotFoundError)

    def test_array_of_a_plain_file(self):
        path = self.in_source("model.skops")
        with self.assertRaises(NotADirectoryError) as raised:
            skopsfs.array(path, "coef_")
        self.assertIn(f"mount its folder (skopsfs {self.source} MOUNTPOINT)", str(raised.exception))

    def test_a_plain_file_that_a_mount_shows(self):
        self.mount()
        path = self.in_source("model.skops")
        with self.assertWarnsRegex(skopsfs.UnmappedWarning, f"give {self.path}, where it is mounted"):
            skopsfs.load(path)
        with self.assertRaisesRegex(ValueError, f"give {self.path}, where it is mounted"):
            skopsfs.load(path, require_mapped=True)

    def test_a_link_out_of_its_folder(self):
        """As in a hub's cache, whose snapshot alone shows nothing; what the hint says does."""
        link = os.path.join(self.make_folder("snapshot"), "model.skops")
        os.symlink("../source/model.skops", link)
        with self.assertRaises(NotADirectoryError) as raised:
            skopsfs.array(link, "coef_")
        self.assertIn(f"mount it alone (skopsfs {link} MOUNTPOINT)", str(raised.exception))
        self.mount(source=link)
        self.assertEqual(skopsfs.array(self.mountpoint, "coef_").size, skopsfs.array(self.mountpoint, "coef_.npy").size)

    def test_a_wrong_name(self):
        self.mount()
        for name, nearest in (("coeff_", "coef_"), ("intercept_", "steps/model/intercept_"),
                              ("steps/modle/intercept_", "steps/model/intercept_")):
            with self.assertRaises(FileNotFoundError) as raised:
                skopsfs.array(self.path, name)
            self.assertIn(f"the nearest names are {nearest}", str(raised.exception))
        with self.assertRaises(FileNotFoundError) as raised:
            skopsfs.array(self.path, "nothing like it")
        self.assertNotIn("nearest", str(raised.exception))

    def test_without_by_name(self):
        self.mount("-o", "noby-name")
        with self.assertRaises(FileNotFoundError) as raised:
            skopsfs.array(self.path, "coef_")
        self.assertIn("noby-name", str(raised.exception))

    def test_an_archive_that_cannot_be_opened(self):
        self.mount()
        reason = os.getxattr(self.in_mount("broken.skops"), "user.skopsfs.error").decode()
        self.assertTrue(reason)
        self.assert_both_say(reason, self.in_mount("broken.skops"))

    def test_many_names_are_not_all_looked_through(self):
        parts = {f"{number}x": {"__loader__": "N", "file": "1.npy"} for number in range(20_000)}
        archives.write_members(self.in_source("many.skops"), {
            "1.npy": archives.npy(numpy.zeros(3)),
            "schema.json": json.dumps({**SCHEMA, "content": parts}).encode()})
        self.mount()
        with self.assertRaises(FileNotFoundError) as raised:
            skopsfs.array(self.in_mount("many.skops"), "x")
        self.assertEqual(raised.exception.errno, errno.ENOENT)


if __name__ == "__main__":
    main()
