"""recording.py makes a picture of a real run. Usage: recording_check.py BUILD"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from terminal_picture import CLEAR, COLUMNS, LONGEST, ROWS, picture, pieces_of, without_pauses

SCRIPT = pathlib.Path(__file__).with_name("recording.py")
COMMITTED = SCRIPT.parents[2] / "docs/recording.svg"


class TerminalPicture(unittest.TestCase):
    def test_pauses_are_cut(self):
        self.assertEqual(without_pauses([(7, "typed", "a"), (8, "output", "b"), (99, "output", "c")], 2),
                         [(0, "typed", "a"), (1, "output", "b"), (3, "output", "c")])

    def test_it_is_never_too_long(self):
        chunks = [(second, "output", "a\r\n") for second in range(200)]
        self.assertLessEqual(picture(chunks, "")[1], LONGEST)

    def test_lines_wrap(self):
        text = "a" * COLUMNS + "bc\r\nd"
        self.assertEqual([piece[2:] for piece in pieces_of([(0, "output", text)])],
                         [("output", 0, 0, "a" * COLUMNS), ("output", 1, 0, "bc"), ("output", 2, 0, "d")])

    def test_it_goes_on_in_the_line(self):
        self.assertEqual(list(pieces_of([(0, "prompt", "$ "), (1, "typed", "ls"), (2, "output", "\r\nx")])),
                         [(0, 0, "prompt", 0, 0, "$ "), (1, 0, "typed", 0, 2, "ls"), (2, 0, "output", 1, 0, "x")])

    def test_it_scrolls(self):
        pieces = list(pieces_of([(0, "output", "a\r\n" * (ROWS + 1) + CLEAR + "b")]))
        self.assertEqual([piece[1] for piece in pieces[-3:]], [0, 1, ROWS + 1])

    def test_text_is_escaped(self):
        root = xml.etree.ElementTree.fromstring(picture([(0, "output", "<a & 'b'>")], "title")[0])
        self.assertIn("<a\xa0&\xa0'b'>", "".join(root.itertext()))


class Recording(unittest.TestCase):
    def check(self, path, *wanted):
        svg = path.read_text(encoding="utf-8")
        text = "".join(xml.etree.ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
        for part in wanted:
            self.assertIn(part, text)
        lengths = {float(number) for number in re.findall(r"([\d.]+)s step-end", svg)}
        self.assertEqual(len(lengths), 1)
        self.assertLess(lengths.pop(), 30)
        self.assertLess(len(svg), 100_000)
        self.assertNotIn("Traceback", text)

    def test_the_committed_one(self):
        self.check(COMMITTED, "same page frames: yes", "neighbors.skops", "SAVED")

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/dev/fuse"), "needs root and /dev/fuse")
    def test_a_real_run(self):
        with tempfile.TemporaryDirectory() as folder:
            made = pathlib.Path(folder, "made.svg")
            subprocess.run([sys.executable, "-B", SCRIPT, "--short", "--build", BUILD, "--output", made], check=True)
            self.check(made, "neighbors.skops", "SAVED")
        self.assertNotIn("skopsfs-recording", pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8"))


if __name__ == "__main__":
    BUILD = sys.argv.pop(1)
    unittest.main()
