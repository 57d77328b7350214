"""check_links.py finds what is wrong. Usage: check_links_test.py REPOSITORY"""

import contextlib
import io
import pathlib
import shutil
import sys
import tempfile
import unittest
from unittest import mock

import check_links

REPOSITORY = pathlib.Path(sys.argv.pop(1))
FAULTS = (  # page, what is replaced in it or added to its end, by what, what is said
    ("docs/README.md", "models.md#which-models-share-memory", "models.md#which-models-shared", "models.md#which-models-shared has no such heading"),
    ("docs/README.md", "models.md#which-models-share-memory", "models.md", "models.md names no heading"),
    ("docs/README.md", "(changelog.md)", "(models.md)", "no link to changelog.md"),
    ("docs/README.md", "\n- [", "\n[", "0 different questions"),
    ("docs/models.md", "## Forests: equal pages merged (KSM)", "## By kind",
     "models.md#forests-equal-pages-merged-ksm has no such heading"),
    ("docs/models.md", "## Forests: equal pages merged (KSM)", "```text\n## Forests: equal pages merged (KSM)\n```",
     "models.md#forests-equal-pages-merged-ksm has no such heading"),
    ("docs/models.md", "# Which models share memory\n", "# Which models share memory\n\n## At once\n", "below the title"),
    ("docs/tour.ipynb", "python.md#install", "python.md#installation", "python.md#installation has no such heading"),
    ("docs/benchmarks.md", "(memory.svg)", "(picture.svg)", "picture.svg is not there"),
    ("README.md", "(docs/README.md)", "(docs/models.md)", "README.md: no link to docs/README.md"),
    ("README.md", "", "[elsewhere](../elsewhere.md)", "../elsewhere.md leads out of the folder"),
    ("README.md", "", '<img src="picture.svg">', "picture.svg is not there"),
    ("README.md", "", "[a heading of its own](#that-is-not-there)", "#that-is-not-there has no such heading"),
)


class CheckLinks(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copy(REPOSITORY / "README.md", self.root)
        shutil.copytree(REPOSITORY / "docs", self.root / "docs")
        for folder in ("packaging", "src", "tests"):  # links into these are well
            (self.root / folder).symlink_to(REPOSITORY.resolve() / folder)

    def check(self):
        """The exit code, and what is printed."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), mock.patch.object(sys, "argv", ["check_links.py", str(self.root)]):
            return check_links.main(), printed.getvalue()

    def test_finds(self):
        for name, old, new, said in FAULTS:
            with self.subTest(name=name, new=new):
                page = self.root / name
                text = page.read_text(encoding="utf-8")
                self.assertIn(old, text)
                page.write_text(text.replace(old, new) if old else f"{text}\n{new}\n", encoding="utf-8")
                code, printed = self.check()
                page.write_text(text, encoding="utf-8")
                self.assertEqual(code, 1)
                self.assertIn(said, printed)

    def test_names_of_headings(self):
        page = self.root / "page.md"
        page.write_text("# `a.b`: C, d_e (f-g)\n\n## One\n\n## [One](x.md)\n\n## 1. Über *uns*\n\n```sh\n# none\n```\n",
                        encoding="utf-8")
        self.assertEqual(check_links.anchors_of(page), {"ab-c-d_e-f-g", "one", "one-1", "1-über-uns"})


if __name__ == "__main__":
    unittest.main()
