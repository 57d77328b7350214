"""What several processes that load one model take of time and memory, with skops.io.load and with skopsfs.load."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from typing import Any, NamedTuple, Sequence

import numpy as np

from ._hints import absolute, hint_of_file
from ._load import load
from ._mounts import file_of_archive, mounted_archive
from ._report import report
from ._search import arrays_in, bounds

_MIB = 1 << 20
_COPIED, _MAPPED = "skops.io.load", "skopsfs.load"


class Way(NamedTuple):
    """What one way to load a model takes. Sizes are bytes."""
    name: str
    arrays: int  # of the model
    own: int  # of those, what each process has for itself
    seconds: list[float]  # of each process, until it has used all bytes of the arrays
    memory: int  # of all processes; of what several have, each counts its part (PSS)
    python: int  # what so many processes take that have only imported the same modules

    @property
    def figures(self) -> tuple[float, float, float, float]:
        """Seconds, median and slowest; MiB, all and without Python's."""
        return (statistics.median(self.seconds), max(self.seconds), self.memory / _MIB,
                (self.memory - self.python) / _MIB)


class LoadTest(NamedTuple):
    """As a text it is a table, and what that says."""
    model: str
    ways: list[Way]
    left_out: list[str]  # ways, and why

    def __str__(self) -> str:
        count = len(self.ways[0].seconds)
        lines = [f"{self.model}: {count} processes load it at the same time, and use all bytes of its arrays "
                 f"({self.ways[0].arrays / _MIB:,.1f} MiB) once", "",
                 f"{'':15}{'time, median':>14}{'slowest':>10}{'memory of all':>16}{'= Python':>14}{'+ model':>14}"]
        for way in self.ways:
            median, slowest, memory, model = way.figures
            lines.append(f"{way.name:15}{median:>12,.3f} s{slowest:>8,.3f} s{memory:>12,.1f} MiB"
                         f"{way.python / _MIB:>10,.1f} MiB{model:>10,.1f} MiB")
        if len(self.ways) == 2:
            less = [_factor(*pair) for pair in zip(*(way.figures for way in self.ways))]
            lines.append(f"{'times less':15}{less[0]:>12}  {less[1]:>8}  {less[2]:>12}{'':18}{less[3]:>10}")
        lines += ["", *self._meaning(), *self.left_out]
        return "\n".join(lines)

    def _meaning(self) -> list[str]:
        if len(self.ways) < 2:
            return []
        (_, before, copied, _), (_, after, mapped, _) = (way.figures for way in self.ways)
        way = self.ways[1]
        return [f"With {_MAPPED} they take {mapped:,.1f} MiB instead of {copied:,.1f} MiB, and all are ready in "
                f"{after:,.3f} s instead of {before:,.3f} s.",
                f"Of {way.arrays / _MIB:,.1f} MiB of arrays each has {way.own / _MIB:,.1f} MiB for itself, and "
                f"shares the rest (python -m skopsfs report shows which)."]


def _factor(copied: float, mapped: float) -> str:
    """Empty where what it would be made of is lost in the noise."""
    return f"{copied / mapped:,.1f}" if min(copied, mapped) > 0 else ""


def load_test(path: str, trusted: Sequence[str], count: int) -> LoadTest:
    """Has `count` processes at a time load a model, each way. Both find the archive in memory.

    Raises OSError, as ChildProcessError with what a process says that cannot load it.
    """
    shown = mounted_archive(path) or (path if os.path.isdir(path) else None)
    plain = path if os.path.isfile(path) else file_of_archive(path)
    ways, left_out = [], []
    if shown is None:
        left_out.append(f"{_MAPPED} is left out: {hint_of_file(absolute(path))}")
    else:
        ways.append(_measure(_MAPPED, shown, trusted, count))
    if plain is None:
        left_out.append(f"{_COPIED} is left out: the file that {path} shows is not found, or cannot be read, here")
    elif ways and (wanted := 2 * count * ways[0].arrays) > (free := _free_memory()):
        left_out.append(f"{_COPIED} is left out: while {count} processes copy the model they may take "
                        f"{wanted // _MIB:,} MiB, and {free // _MIB:,} MiB are free: give a smaller -n")
    else:
        ways.insert(0, _measure(_COPIED, plain, trusted, count))
    return LoadTest(path, ways, left_out)


def _measure(way: str, path: str, trusted: Sequence[str], count: int) -> Way:
    request = ("load", way, path, *trusted)
    with _Process(None) as first:  # brings the archive into memory, and tells what others shall import before
        first.ask(*request)
        first.answer()
        first.ask("describe")
        arrays, own, modules = first.answer()
    with contextlib.ExitStack() as stack:
        idle, *loading = [stack.enter_context(_Process(subprocess.DEVNULL)) for _ in range(count + 1)]
        for process in (idle, *loading):
            process.ask("import", *modules)
        for process in (idle, *loading):
            process.answer()
        for process in loading:
            process.ask(*request)
        seconds = [process.answer() for process in loading]
        memory, python = sum(process.memory() for process in loading), count * idle.memory()
    return Way(way, arrays, own, seconds, memory, python)


def _free_memory() -> int:
    """Of the machine, in bytes."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


class _Process:
    """A Python of its own that does what it is asked. When this one ends, so does that, by itself once it has
    answered."""

    def __init__(self, errors: int | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from skopsfs._load_test import answer; answer()"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=errors, start_new_session=True)  # Ctrl-C is for this one

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def ask(self, *words: str) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # then there is no answer
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise ChildProcessError("a process that loads the model was ended by " + (
                f"{signal.Signals(-code).name}, as when there is no memory left" if code < 0 else f"exit {code}"))
        found, error = json.loads(line)
        if error:
            raise ChildProcessError(error)
        return found

    def memory(self) -> int:
        """In bytes; of pages that it shares with others its part."""
        with open(f"/proc/{self._process.pid}/smaps_rollup", encoding="ascii") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def answer() -> None:
    """What a _Process runs: it answers each line of the standard input, and ends with it."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what modules print is no answer
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    model: Any = None
    for line in sys.stdin:
        command, *words = json.loads(line)
        found: Any = None
        error = ""
        try:
            if command == "import":
                _import(words)
            elif command == "load":
                model, found = _load(*words)
            else:
                seen = report(model)
                size = sum(array.size for array in seen.arrays)
                found = size, size - seen.saved, sorted(sys.modules)
        except Exception as raised:  # of skops, or of a class in the model
            error = " ".join(str(raised).split()) or type(raised).__name__
        print(json.dumps((found, error)), file=answers, flush=True)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with contextlib.suppress(Exception):  # some are made by others
            importlib.import_module(module)


def _load(way: str, path: str, *trusted: str) -> tuple[Any, float]:
    """The model, and the seconds until all of its arrays have been used."""
    import skops.io
    begin = time.perf_counter()
    model = load(path, trusted) if way == _MAPPED else skops.io.load(path, list(trusted))
    for _, array in arrays_in(model):
        first, last = bounds(array)
        np.ctypeslib.as_array((ctypes.c_uint8 * (last - first)).from_address(first)).max(initial=0)
    return model, time.perf_counter() - begin
