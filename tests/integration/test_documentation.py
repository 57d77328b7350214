"""The examples of the documentation work: those below <!-- run -->, fenced or indented, in README.md
and docs/*.md, and all of the man page's.

/models and /mnt/skops stand for a source and a mount of it, /mnt/model for another mountpoint; the
example is run in /models. What it does not mount itself is mounted before. `skopsfs -f` goes on while
the rest is run. After "$ " in a console comes a command, and then what it prints ("..." is anything).
"""

import os
import pathlib
import re
import subprocess
import sys

import numpy

import archives
from mount import HANG, MountTest, binary, detach_below, is_mounted, main, run, until

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_EXAMPLE = re.compile(r"<!-- run -->\n+(?:```(\w+)\n(.*?)```|((?: {4}[^\n]*\n|\n)+))", re.S)


def examples_of(page):
    """Pairs of language and text."""
    return [(language or "sh", fenced or indented)
            for language, fenced, indented in _EXAMPLE.findall(page.read_text(encoding="utf-8"))]


def examples_of_man_page(page):
    text = page.read_text(encoding="utf-8").split(".SH EXAMPLES\n")[1]
    found = re.findall(r"\.EX\n(.*?)\.EE", text, re.S)
    return [("sh", example.replace("\\-", "-").replace("\\(aq", "'")) for example in found]


class Documentation(MountTest):
    def setUp(self):
        super().setUp()
        self.model_mount = self.make_folder("model")
        array = archives.npy(numpy.arange(3.0))
        schema = (b'{"__class__": "Model", "__loader__": "ObjectNode", "content": {"__class__": '
                  b'"dict", "__loader__": "DictNode", "content": {"coef_": {"__class__": "ndarray", '
                  b'"__loader__": "NdArrayNode", "type": "numpy", "file": "140117532755408.npy"}}}}')
        for name in ("iris", "model", "a"):
            archives.write_members(self.in_source(f"{name}.skops"), {
                "schema.json": schema, "140117532755408.npy": array, "1.npy": array})
        archives.write(self.in_source("broken.skops"), b"no archive")
        programs = self.make_folder("bin")
        for name, path in (("skopsfs", binary()), ("python3", sys.executable),
                           ("skopsfsctl", os.environ.get("SKOPSFSCTL_BINARY"))):
            if path:
                os.symlink(os.path.abspath(path), os.path.join(programs, name))
        self.environment = {**os.environ, "LC_ALL": "C", "PATH": f"{programs}:{os.environ['PATH']}",
                            "PYTHONPATH": str(REPOSITORY / "src" / "python")}

    def here(self, text):
        """`text` with the places of this test."""
        for pattern, place in ((r"/mnt/skops\b", self.mountpoint), (r"/mnt/model\b", self.model_mount),
                               (r"(?<![\w./])/models\b", self.source)):
            text = re.sub(pattern, place, text)
        return text

    def run_shell(self, text, must_succeed=True):
        """Runs lines of shell; returns what they print."""
        text = re.sub(r"^( *skopsfs -f .*?(\S+))( +#.*)?$", r"\1 >/dev/null 2>&1 & until mountpoint -q \2; do sleep 0.01; done",
                      text, flags=re.M)
        done = subprocess.run(["sh", "-e", "-c", text], cwd=self.source, env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=HANG, check=False)
        if must_succeed:
            self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}")
        return done.stdout

    def run_console(self, text):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, wanted = part.partition("\n")
            printed = self.run_shell(command, must_succeed=not wanted.strip())
            pattern = re.escape(wanted.strip()).replace(re.escape("..."), ".*")
            self.assertTrue(re.fullmatch(pattern, printed.strip(), re.S),
                            f"{command}\nprints\n{printed}\nand not\n{wanted}")

    def run_example(self, language, text):
        text = self.here(text)
        if not re.search(rf"^\W*skopsfs .*{self.mountpoint}", text, re.M):
            run("skopsfs", self.source, self.mountpoint, env=self.environment)
        try:
            if language == "python":
                run(sys.executable, "-c", text, env=self.environment, cwd=self.source)
            elif language == "console":
                self.run_console(text)
            else:
                self.run_shell(text)
        finally:
            self.unmount()

    def unmount(self):
        for path in (self.mountpoint, self.model_mount):
            if is_mounted(path):
                run("fusermount3", "-u", path)
        until(lambda: not detach_below(self.folder), "all is unmounted")

    def test_pages(self):
        for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
            examples = examples_of(page)
            if page.name in ("README.md", "operations.md", "python.md"):
                self.assertTrue(examples, f"{page.name} has no example that is run")
            for number, (language, text) in enumerate(examples, 1):
                with self.subTest(page=page.name, example=number):
                    self.run_example(language, text)

    def test_man_page(self):
        examples = examples_of_man_page(REPOSITORY / "docs" / "skopsfs.1")
        self.assertTrue(examples)
        for language, text in examples:
            with self.subTest(text):
                self.run_example(language, text)


if __name__ == "__main__":
    main()
