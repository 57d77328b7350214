"""packaging/release.sh: what is installed, made twice, has the same bytes.

The package is of the build that is tested; that compiling and the image are reproducible, too, is tried by hand.
"""

import hashlib
import os
import pathlib
import tempfile
import time
import unittest

from mount import run

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
VERSION = os.environ["SKOPSFS_VERSION"]


class Release(unittest.TestCase):
    def make(self):
        """The sums of what it makes, and those that it says."""
        out = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="skopsfs-test-")), "out")
        run("sh", str(REPOSITORY / "packaging" / "release.sh"), str(out), "deb", "wheel", guard=600)
        said = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in out.iterdir() if path.name != "SHA256SUMS"}, said

    def test_same_bytes_twice(self):
        made, said = self.make()
        machine = run("dpkg", "--print-architecture").stdout.strip()
        self.assertEqual(sorted(made), [f"skopsfs-{VERSION}-py3-none-any.whl", f"skopsfs_{VERSION}-1_{machine}.deb"])
        self.assertEqual(said, made)
        time.sleep(2)  # the ZIP in a wheel counts in two seconds
        self.assertEqual(self.make(), (made, said))


if __name__ == "__main__":
    unittest.main(verbosity=2)
