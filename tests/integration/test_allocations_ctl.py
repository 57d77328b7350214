"""Allocations of skopsfsctl fail: it says so and ends with an exit code."""

import os
import subprocess
import sys
import unittest
import zipfile

import archives
import ctl
from allocations import ALL_FROM, ONE, Allocations
from mount import HANG, MountTest, main

PAGES = 2
MOST_BEFORE_MAIN = 100
METHODS = {"stored": zipfile.ZIP_STORED, "deflate": zipfile.ZIP_DEFLATED,
           "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
LOOKS = int(os.environ.get("SKOPSFS_ALLOCATION_LOOKS", "12"))  # at each command, in each way


class CtlWithoutMemory(MountTest):
    def setUp(self):
        super().setUp()
        self.allocations = Allocations(os.path.join(self.folder, "allocations"))
        self.delivered = 0
        # Before main() nobody can say anything.
        self.begun = next(at for at in range(MOST_BEFORE_MAIN)
                          if self.run_failing(ALL_FROM, at, "--version").returncode >= 0)

    def run_failing(self, how, at, *arguments):
        self.allocations.fail(how, at)
        environment = dict(os.environ, **self.allocations.environment)
        done = subprocess.run([ctl.binary(), *arguments], env=environment, capture_output=True,
                              text=True, timeout=HANG, check=False)
        self.allocations.stop()
        return done

    def sweep(self, *arguments):
        right = self.run_failing(ONE, 1 << 62, *arguments)
        self.assertEqual(right.returncode, 0, right.stderr)
        count = self.allocations.count
        for how in (ONE, ALL_FROM):
            for at in range(self.begun, count, max(1, count // LOOKS)):
                done = self.run_failing(how, at, *arguments)
                what = f"{arguments}, {how}, allocation {at} of {count}: {done}"
                self.assertIn(done.returncode, (0, ctl.NOT_DONE), what)
                if done.returncode != 0:
                    self.assertIn("not enough memory", done.stdout + done.stderr, what)
                self.delivered += self.allocations.failed

    def test_check_and_tree(self):
        for name, method in METHODS.items():
            path = self.in_source(f"{name}.skops")
            archives.write(path, archives.archive_of(
                {"schema.json": b'{"content": {"a": 1}}', "a.npy": archives.content(1, PAGES)},
                method))
            for arguments in (("check", path), ("check", "--json", "--jobs=3", path),
                              ("tree", path), ("tree", "--json", path)):
                with self.subTest(arguments=arguments):
                    self.sweep(*arguments)
        print(f"{self.delivered} allocations of skopsfsctl failed", file=sys.stderr)
        self.assertGreater(self.delivered, 100)


if __name__ == "__main__":
    main()
