"""Every example of the documentation works: each block of Python, shell or console in README.md and docs/*.md,
fenced or indented, and all of the man page's. One that cannot run here stands below <!-- not run: WHY -->,
Python only where docs/serving.md says so; one that another test runs, below <!-- run by TEST.py: NAME -->.

/models and /mnt/skops stand for a source and a mount of it, /mnt/model for another mountpoint, ./src/python
for a copy of that folder, ~ for an empty one. An example of shell is run in /models. What it does not mount itself
is mounted before. `skopsfs -f` goes on while the rest is run. After "$ " in a console comes a command, and then what
it prints ("..." is anything). The Python of a page is run after that, in order, as one program.

skops is the real one where it can be imported (PYTHONPATH=<a checkout of skops>), else a stand-in.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import numpy
from sklearn.neighbors import KNeighborsClassifier

import archives
from mount import HANG, MountTest, binary, detach_below, is_mounted, main, run, until
from test_loader import PACKAGE, STAND_IN, skops

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
PROGRAMS = {"python", "sh", "console"}
OTHERS = {"dockerfile", "text", "yaml"}  # languages of what is no program
MAY_HAVE_PYTHON_THAT_IS_NOT_RUN = ("serving.md", "What was not run here")  # page and section

_BLOCK = re.compile(r"(?:<!-- (?P<mark>(?:not run|run by)\b[^\n]*) -->\n+)?(?:^```(?P<language>\w*)\n(?P<fenced>.*?)^```$|"
                    r"(?<=\n\n)(?P<indented> {4}[^\n]*\n(?:(?: {4}[^\n]*)?\n)*))", re.M | re.S)
_RUN_PYTHON = """
import json as _json, sys as _sys
for _place, _line, _code in _json.load(_sys.stdin):
    exec(compile("\\n" * (_line - 1) + _code, _place, "exec"))
print("all of", _place)
"""


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of the page, where the text begins
    section: str
    mark: str  # "not run: WHY", "run by TEST.py: NAME", or empty


def blocks_of(page):
    """Those of programs."""
    whole = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(whole):
        part = "indented" if match["fenced"] is None else "fenced"
        text, start = match[part], match.start(part)
        language = match["language"] if part == "fenced" else "console" if text.startswith("    $ ") else "sh"
        if part == "indented":
            text = re.sub("^ {4}", "", text, flags=re.M)
        line = whole.count("\n", 0, start) + 1
        if language not in PROGRAMS | OTHERS:
            raise AssertionError(f"{page.name}, line {line}: a block of {language or 'no language'}")
        if language in PROGRAMS:
            section = re.findall("^## (.*)", whole[:start], re.M)[-1:]
            found.append(Block(language, text, line, "".join(section), match["mark"] or ""))
    if "```" in _BLOCK.sub("", whole):
        raise AssertionError(f"{page.name}: a fence that is not understood")
    return found


def examples_of_man_page(page):
    text = page.read_text(encoding="utf-8").split(".SH EXAMPLES\n")[1]
    found = re.findall(r"\.EX\n(.*?)\.EE", text, re.S)
    return [example.replace("\\-", "-").replace("\\(aq", "'") for example in found]


class Documentation(MountTest):
    def setUp(self):
        super().setUp()
        self.model_mount = self.make_folder("model")
        self.home = self.make_folder("home")
        self.copy = os.path.join(self.folder, "python")
        shutil.copytree(PACKAGE, self.copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        array = archives.npy(numpy.arange(3.0))
        schema = (b'{"__class__": "Model", "__loader__": "ObjectNode", "content": {"__class__": '
                  b'"dict", "__loader__": "DictNode", "content": {"coef_": {"__class__": "ndarray", '
                  b'"__loader__": "NdArrayNode", "type": "numpy", "file": "140117532755408.npy"}}}}')
        for name in ("iris", "a"):
            archives.write_members(self.in_source(f"{name}.skops"), {
                "schema.json": schema, "140117532755408.npy": array, "1.npy": array})
        archives.write(self.in_source("broken.skops"), b"no archive")
        shutil.copy(REPOSITORY / "tests/data/knn_sparse.skops", self.source)
        rows = numpy.random.default_rng(1).standard_normal((4000, 50))
        skops.io.dump(KNeighborsClassifier(algorithm="brute").fit(rows, rows[:, 0] > 0), self.in_source("model.skops"))
        programs = self.make_folder("bin")
        for name, path in (("skopsfs", binary()), ("python3", sys.executable),
                           ("skopsfsctl", os.environ.get("SKOPSFSCTL_BINARY"))):
            if path:
                os.symlink(os.path.abspath(path), os.path.join(programs, name))
        modules = [PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")]), STAND_IN]
        self.environment = {**os.environ, "LC_ALL": "C", "PATH": f"{programs}:{os.environ['PATH']}",
                            "HOME": self.home, "PYTHONPATH": os.pathsep.join(modules)}

    def here(self, text):
        """`text` with the places of this test."""
        for pattern, place in ((r"/mnt/skops\b", self.mountpoint), (r"/mnt/model\b", self.model_mount),
                               (r"(?<![\w./])/models\b", self.source), (r"\./src/python\b", self.copy)):
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
        """One of shell or console."""
        text = self.here(text)
        if not re.search(rf"^\W*skopsfs .*{self.mountpoint}", text, re.M):
            run("skopsfs", self.source, self.mountpoint, env=self.environment)
        try:
            if language == "console":
                self.run_console(text)
            else:
                self.run_shell(text)
        finally:
            self.unmount()

    def run_python(self, page, blocks):
        """A traceback shows the line of the page."""
        program = json.dumps([(str(page), block.line, self.here(block.text)) for block in blocks])
        run("skopsfs", self.source, self.mountpoint, env=self.environment)
        try:
            done = run(sys.executable, "-c", _RUN_PYTHON, input=program, env=self.environment, cwd=self.source,
                       guard=5 * HANG)
            self.assertEqual(done.stdout.splitlines()[-1:], [f"all of {page}"], "it has ended before")
        finally:
            self.unmount()

    def unmount(self):
        for path in (self.mountpoint, self.model_mount):
            if is_mounted(path):
                run("fusermount3", "-u", path)
        until(lambda: not detach_below(self.folder), "all is unmounted")

    def run_page(self, page):
        blocks = blocks_of(page)
        for block in blocks:
            self.check_mark(page, block)
        for number, block in enumerate(blocks, 1):
            if block.language != "python" and not block.mark:
                with self.subTest(block=number, line=block.line):
                    self.run_example(block.language, block.text)
        python = [block for block in blocks if block.language == "python" and not block.mark]
        if python:
            self.run_python(page, python)
        print(f"\n{page.name}: {sum(not block.mark for block in blocks)} of {len(blocks)} blocks run here", *(
            f"\n  {number} (line {block.line}, {block.language}): {block.mark or 'run'}"
            for number, block in enumerate(blocks, 1)))

    def check_mark(self, page, block):
        kind, _, why = block.mark.partition(": ")
        where = f"{page.name}, line {block.line}"
        self.assertEqual(bool(kind), bool(why), where)
        if kind == "not run" and block.language == "python":
            self.assertEqual((page.name, block.section), MAY_HAVE_PYTHON_THAT_IS_NOT_RUN, where)
        elif kind.startswith("run by "):
            test = REPOSITORY / "tests/integration" / kind.removeprefix("run by ")
            self.assertIn(page.name, test.read_text(encoding="utf-8"), where)

    def test_it_finds_what_is_wrong(self):
        page = pathlib.Path(self.folder) / "page.md"
        for text in ("```python\nnowhere\n```\n", "```python\nimport sys\nsys.exit()\n```\n", "```\nls\n```\n",
                     "- ```python\n  nowhere\n  ```\n", "<!-- not run: slow -->\n```python\nnowhere\n```\n",
                     "<!-- not run -->\n```sh\nfalse\n```\n", "<!-- run by test_opens.py: it -->\n```python\n1\n```\n"):
            with self.subTest(text):
                page.write_text(text, encoding="utf-8")
                with self.assertRaises(AssertionError):
                    self.run_page(page)

    def test_man_page(self):
        examples = examples_of_man_page(REPOSITORY / "docs" / "skopsfs.1")
        self.assertTrue(examples)
        for text in examples:
            with self.subTest(text):
                self.run_example("sh", text)


for _page in PAGES:
    _name = "index" if _page == REPOSITORY / "docs" / "README.md" else _page.stem
    setattr(Documentation, f"test_{_name}", lambda self, page=_page: self.run_page(page))


if __name__ == "__main__":
    main()
