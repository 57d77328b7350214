"""gunicorn with one model in four workers: what they take of memory, and when all of them have answered. With a mount,
with --preload, with both, and with files of joblib. In one gunicorn, and in two that have the same model, as other
services have it, and a service while it is restarted. Wants skops and scikit-learn, see models.py."""

import contextlib
import os
import shutil
import time

from machine import MIB, drop_caches, folder, memory_of
from peers import Skopsfs
from rows import Row, interleaved, ratios

WORKERS = 4
EACH = "each worker loads it, "
# By name, the module that loads, and options of gunicorn.
WAYS = {f"{EACH}skops.io.load": ("skops.io", []), f"{EACH}skopsfs.load": ("skopsfs", []),
        f"{EACH}joblib.load(mmap_mode='r')": ("joblib", []),
        "--preload, skops.io.load": ("skops.io", ["--preload"]), "--preload, skopsfs.load": ("skopsfs", ["--preload"])}


def rows(bench):
    import joblib
    import skops.io
    source, point = os.path.join(bench.folder, "gunicorn"), os.path.join(bench.folder, "mount")
    os.makedirs(source)
    for kind, make in MODELS.items():
        model, path = make(), os.path.join(source, f"{kind}.skops")
        skops.io.dump(model, path)
        joblib.dump(model, os.path.join(source, f"{kind}.joblib"))
        size = f"{kind}, {os.path.getsize(path) // MIB:,} MiB"
        for services in (1, 2):
            found = interleaved({way: lambda how=how: used(bench, source, point, kind, services, *how)
                                 for way, how in WAYS.items()}, bench.few_rounds)
            what = f"{size}, in {'two gunicorns' if services == 2 else 'a gunicorn'} of {WORKERS} workers"
            for index, (name, unit) in enumerate((("memory", "bytes"), ("time until all have answered, from the disk", "seconds"))):
                values = {way: [one and one[index] for one in rounds] for way, rounds in found.items()}
                yield Row("20", f"{what}, with a mount: {name}, over skops.io.load", unit, None, values,
                          ratios(values[f"{EACH}skopsfs.load"], values[f"{EACH}skops.io.load"]))
    shutil.rmtree(source)


def nearest_neighbours():
    import numpy as np
    from sklearn.neighbors import KNeighborsClassifier
    data = np.random.default_rng(1).standard_normal((160_000, 100))
    return KNeighborsClassifier(algorithm="brute").fit(data, np.arange(len(data)) % 2)


def forest():
    """Its trees are as large as they get, as they learn noise."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier
    generator = np.random.default_rng(1)
    data = generator.standard_normal((100_000, 10))
    return RandomForestClassifier(24, n_jobs=2).fit(data, generator.integers(0, 5, len(data)))


MODELS = {"nearest neighbours": nearest_neighbours, "forest": forest}


def used(bench, source, point, kind, services, module, options):
    """Memory of all processes of so many gunicorns, once each worker has used the model, and seconds until then."""
    from workers import all_of, gunicorn
    with contextlib.ExitStack() as stack:
        mount = stack.enter_context(Skopsfs(bench.program, source, point)) if module == "skopsfs" else None
        path = os.path.join(point if mount else source, f"{kind}.{'joblib' if module == 'joblib' else 'skops'}")
        work = [stack.enter_context(folder(bench.folder)) for _ in range(services)]
        drop_caches()
        begin = time.perf_counter()
        running = [stack.enter_context(gunicorn(module, path, own, WORKERS, *options)) for own in work]
        for _, ask in running:
            all_of(ask, WORKERS)
        seconds = time.perf_counter() - begin
        total = memory_of(mount.pids) if mount else 0
        for pid, ask in running:
            total += memory_of([pid]) + all_of(ask, WORKERS)
        return total, seconds
