"""Makes docs/recording.svg: what a terminal shows while commands of README.md run, as an animated picture.

Usage: recording.py --build BUILD [--output FILE] [--short]

Everything in it was printed by a real run: packaging/quickstart.sh, then a mount, four workers that map one model, and
`skopsfsctl status`. Three things differ from what whoever types it sees:
- Installing and compiling are left out, as BUILD has the programs. A line of the picture says so.
- Pauses are cut to 3 s, or less, so that all of it takes less than 30 s (terminal_picture.py).
- It runs in a mount namespace of its own, on a tmpfs, so /models is new and nothing is left behind. Wants root.

The model is saved by skops where that can be imported (PYTHONPATH=<a checkout of skops>), else by the stand-in of
the tests. `--short` leaves the quickstart out and takes a small model, to see that it works.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time

from terminal_picture import CLEAR, COLUMNS, ROWS, picture

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BEFORE_ENTER, KEYS, KEYS_TIME = 0.4, 3, 0.06  # somebody who types: some keys at a time
PROMPT = "$ "
PR_SET_CHILD_SUBREAPER = 36
HANG = 300  # seconds; a guard, nothing waits that long
LEFT_OUT = "[installing and compiling left out]"
TITLE = "A terminal: the quickstart of skopsfs, then skopsfsctl status while four workers map one model"
COLUMNS_OF_MODEL = 256

WORKER = f"""import signal, numpy, skopsfs
model = skopsfs.load("/mnt/skops/neighbors.skops")
model.predict(numpy.ones((1, {COLUMNS_OF_MODEL})))
signal.pause()
"""
MODEL = f"""import sys, numpy, skops.io
from sklearn.neighbors import KNeighborsClassifier
rows = numpy.random.default_rng(1).standard_normal((int(sys.argv[1]), {COLUMNS_OF_MODEL}))
model = KNeighborsClassifier(algorithm="brute").fit(rows, rows[:, 0] > 0)
skops.io.dump(model, "/models/neighbors.skops")
"""


def four_map_all():
    """Whether four processes have touched all of an archive."""
    found = subprocess.run(["skopsfsctl", "status", "--json", "/mnt/skops"], capture_output=True, check=True).stdout
    return any(archive["mapped_bytes"] > 3.9 * archive["size"]
               for mount in json.loads(found)["mounts"] for archive in mount["archives"])


# What is typed, after how many seconds, and once what is true.
QUICKSTART = [(0.8, "sh packaging/quickstart.sh", None),
              (3, "clear", None)]
WORKERS = [(0.8, "cd && ls -sh /models", None),
           (1, "skopsfs /models /mnt/skops", None),
           (0.8, "ls /mnt/skops/neighbors.skops/by-name", None),
           (1.2, "cat worker.py", None),
           (2, "for n in 1 2 3 4; do python3 worker.py & done", None),
           (0, "skopsfsctl status /mnt/skops", four_map_all)]


class Terminal:
    """A shell in a pseudo-terminal; `chunks` has what it printed: (time, prompt or typed or output, text)."""

    def __init__(self, environment):
        self.chunks = []
        child, self.terminal = pty.fork()
        if child == 0:
            os.chdir("/skopsfs")
            os.execve("/bin/sh", ["sh", "-i"], {**environment, "PS1": PROMPT, "TERM": "linux"})
        termios.tcsetwinsize(self.terminal, (ROWS, COLUMNS))
        self.read_prompt()

    def read(self, kind):
        text = os.read(self.terminal, 1 << 16).decode()
        before, note, after = text.partition(LEFT_OUT)
        parts = (kind, before), ("note", note), (kind, after)
        self.chunks += [(time.monotonic(), kind_of_part, part) for kind_of_part, part in parts if part]
        return text

    def read_prompt(self):
        printed = ""
        while not printed.endswith(("\n" + PROMPT, CLEAR + PROMPT)) and printed != PROMPT:
            printed += self.read("output")
        when, kind, text = self.chunks.pop()
        self.chunks += [(when, kind, text.removesuffix(PROMPT)), (when, "prompt", PROMPT)]

    def enter(self, command):
        for start in range(0, len(command), KEYS):
            keys = command[start:start + KEYS]
            os.write(self.terminal, keys.encode())
            echo = ""
            while keys not in echo:
                echo += self.read("typed")
            time.sleep(KEYS_TIME)
        time.sleep(BEFORE_ENTER)
        os.write(self.terminal, b"\n")
        self.read_prompt()


def make_root(build):
    """A root directory of this process alone, on a tmpfs: the system's programs, and skopsfs in /skopsfs."""
    root = pathlib.Path("/mnt")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "skopsfs-recording", root], check=True)
    for name in ("usr", "etc", "dev", "sys", "proc", "tmp", "run", "var", "root", "models", "mnt/skops", "skopsfs/build/src"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in ("usr", "etc", "dev", "sys", "proc"):
        subprocess.run(["mount", "--rbind", f"/{name}", root / name], check=True)
    own = root / "skopsfs"
    for name in ("packaging", "tests/data", "tests/support/stand_in", "src/python"):
        shutil.copytree(REPOSITORY / name, own / name)
    for name in ("skopsfs", "skopsfsctl"):
        shutil.copy(build / "src" / name, own / "build/src")
    # What quickstart.sh installs and compiles with.
    (own / "packaging/install_packages.sh").write_text(f'echo "{LEFT_OUT}"\n', encoding="ascii")
    (own / "build/cmake").symlink_to("/bin/true")
    genuine = importlib.util.find_spec("skops")
    if genuine:
        shutil.copytree(genuine.submodule_search_locations[0], own / "genuine/skops")
    (root / "root/worker.py").write_text(WORKER, encoding="ascii")
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "."], check=True)
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir("/")


def kill_children():
    """All that this process has started, and what those have: they become children of it."""
    while True:
        children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
        if not children:
            return
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def record(build, short):
    """The chunks of a run, in a mount namespace of its own."""
    make_root(build)
    modules = ("src/python", "genuine", "tests/support/stand_in")
    os.environ.update(PATH="/skopsfs/build/src:/skopsfs/build:/usr/sbin:/usr/bin", HOME="/root", TMPDIR="/tmp", LC_ALL="C",
                      PYTHONPATH=":".join(f"/skopsfs/{folder}" for folder in modules), PYTHONDONTWRITEBYTECODE="1")
    for sample in ("kmeans", "logistic_regression"):
        shutil.copy(f"/skopsfs/tests/data/{sample}.skops", "/models")
    subprocess.run([sys.executable, "-c", MODEL, str(2_000 if short else 131_072)], check=True)
    terminal = Terminal(dict(os.environ))
    for seconds, command, ready in WORKERS if short else QUICKSTART + WORKERS:
        time.sleep(seconds)
        end = time.monotonic() + HANG
        while ready and not ready():
            if time.monotonic() > end:
                raise TimeoutError(f"{command}: {terminal.chunks}")
            time.sleep(0.2)
        terminal.enter(command)
    return terminal.chunks


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--build", type=pathlib.Path, required=True)
    options.add_argument("--output", type=pathlib.Path, default=REPOSITORY / "docs/recording.svg")
    options.add_argument("--short", action="store_true")
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.inside:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            print(json.dumps(record(options.build, options.short)))
        finally:
            kill_children()
        return
    run = subprocess.run(["unshare", "--mount", sys.executable, "-B", __file__, "--inside", *sys.argv[1:]],
                         stdout=subprocess.PIPE, check=True)
    svg, length = picture(json.loads(run.stdout), TITLE)
    options.output.write_text(svg, encoding="utf-8")
    print(f"{options.output}: {length} s, {len(svg)} bytes")


if __name__ == "__main__":
    main()
