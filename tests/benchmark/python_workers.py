"""Python processes that do with arrays what programs do with them, each new to what it reads."""

import builtins
import io
import json
import os
import select
import subprocess
import sys
import time
import zipfile

_kept = []  # what the process holds until it ends


class Worker:
    """A Python of its own in which a function below runs, with arguments that JSON knows."""

    def __init__(self, function, *arguments):
        self._process = subprocess.Popen(
            [sys.executable, "-B", __file__, function.__name__, json.dumps(arguments)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def answer(self):
        """What the function returned, while the process still holds what it has loaded."""
        return json.loads(self._process.stdout.readline() or "null")

    def go_on(self):
        """For a function that answers more than once."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self):
        self._process.communicate("\n")
        if self._process.returncode != 0:
            raise RuntimeError(f"{self._process.args}: exit {self._process.returncode}")


def call(function, *arguments):
    """What a function below returns in a new process."""
    worker = Worker(function, *arguments)
    found = worker.answer()
    worker.end()
    return found


def read_random_rows(path, count):
    """Of a mapped array: seconds, bytes that were fetched from a disk on its behalf, and a sum."""
    import numpy as np
    from machine import storage_reads
    array = np.load(path, mmap_mode="r")
    choice = np.random.default_rng(1).integers(0, len(array), count)
    before, begin = storage_reads("self"), time.perf_counter()
    total = 0.0
    for row in choice:
        total += float(array[row].sum())
    return time.perf_counter() - begin, storage_reads("self") - before, total


def leave_out_terminals():
    """From now on open() asks no file whether it is a terminal, which Python before 3.13 does when it
    chooses a buffer by itself: here it is given one, of the size that it takes when nothing says which."""
    def opened(file, mode="r", buffering=-1, *more, **named):
        if buffering < 0 and "b" in mode:
            buffering = io.DEFAULT_BUFFER_SIZE
        return io.open(file, mode, buffering, *more, **named)
    builtins.open = opened


def load_often(paths, count, asks):
    """Seconds a load, for each path in turn."""
    import numpy as np
    if not asks:
        leave_out_terminals()
    for path in paths:
        np.load(path, mmap_mode="r")
    seconds = []
    for path in paths:
        begin = time.perf_counter()
        for _ in range(count):
            np.load(path, mmap_mode="r")
        seconds.append((time.perf_counter() - begin) / count)
    return seconds


def requests_of_load(path, server, asks):
    """How many reach the server when a process loads a member for the second time."""
    import numpy as np
    from machine import read_calls
    if not asks:
        leave_out_terminals()
    np.load(path, mmap_mode="r")
    before = read_calls(server)
    np.load(path, mmap_mode="r")
    return read_calls(server) - before


def read_all(folder):
    """Seconds, and bytes, for all members of an archive that is a folder."""
    begin = time.perf_counter()
    size = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file():
                continue  # by-name
            with open(entry.path, "rb", buffering=0) as file:
                size += len(file.read())
    return time.perf_counter() - begin, size


def read_all_zipped(path):
    """The same of one that is not."""
    begin = time.perf_counter()
    size = 0
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            size += len(archive.read(name))
    return time.perf_counter() - begin, size


def predict(path, mapped):
    """Loads weights, mapped or as skops does it, and makes one prediction with all of them. The
    seconds that took, and what came of it."""
    import numpy as np
    begin = time.perf_counter()
    if mapped:
        weights = np.load(path, mmap_mode="r")
    else:
        archive, member = os.path.split(path)
        with zipfile.ZipFile(archive) as opened:
            weights = np.load(io.BytesIO(opened.read(member)))
    _kept.append(weights)
    sample = np.random.default_rng(2).standard_normal(weights.shape[1])
    # A block at a time: who copies a mapped array to multiply it measures that.
    answer = max(float((weights[at:at + 4096] @ sample).max()) for at in range(0, len(weights), 4096))
    return time.perf_counter() - begin, answer


def load_model(module, folder, kind, cold):
    """Seconds that module.load takes for a model, after another one of its kind."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))
    import importlib
    from machine import drop_caches
    loader = importlib.import_module(module)
    other, model = (os.path.join(folder, f"{kind}{seed}.{'joblib' if module == 'joblib' else 'skops'}")
                    for seed in (0, 1))
    if module == "joblib":
        options = {"mmap_mode": "r"}
    else:
        options = {"trusted": loader.get_untrusted_types(**{"path" if module == "skopsfs" else "file": model})}
    _kept.append(loader.load(other, **options))
    if cold:
        drop_caches()
    begin = time.perf_counter()
    _kept.append(loader.load(model, **options))
    return time.perf_counter() - begin


def ask_all_the_time(path):
    """What only the server of the mount can answer, from a line that this prints to one that it is given. The
    longest time until an answer came, in seconds."""
    print("null", flush=True)
    longest = 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        begin = time.perf_counter()
        os.statvfs(path)
        longest = max(longest, time.perf_counter() - begin)
    sys.stdin.readline()
    return longest


def load_and_predict(path, options, cold):
    """Seconds of skopsfs.load, and of the first prediction, in a process that has made another one before."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))
    import numpy as np
    import skopsfs
    from machine import drop_caches
    other = skopsfs.load(path.replace("1.skops", "0.skops"))
    row = np.ones((1, other.n_features_in_))
    other.predict(row)
    if cold:
        drop_caches()
    begin = time.perf_counter()
    model = skopsfs.load(path, **options)
    loaded = time.perf_counter()
    model.predict(row)
    return loaded - begin, time.perf_counter() - loaded


def use_forest(module, path, options):
    """Seconds of a prediction, before and after it is told to go on."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))
    import importlib
    import numpy as np
    model = importlib.import_module(module).load(path, **options)
    data = np.random.default_rng(2).standard_normal((1000, model.n_features_in_))

    def predict():
        seconds = []
        for _ in range(7):
            begin = time.perf_counter()
            model.predict(data)
            seconds.append(time.perf_counter() - begin)
        return sorted(seconds)[3]
    _kept.append(model)
    print(json.dumps(predict()), flush=True)
    sys.stdin.readline()
    return predict()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))), flush=True)
    sys.stdin.readline()  # until it may end
