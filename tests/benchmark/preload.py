"""What gunicorn's workers take of memory with --preload, with a mount, and with both: what docs/models.md tells. In
one gunicorn, and in two that have the same model, as other services have it, and a service while it is restarted.
Wants skops:

    PYTHONPATH=<a checkout of skops> /usr/bin/python3 tests/benchmark/preload.py --build build
"""

import argparse
import contextlib
import os

import numpy as np
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from machine import MIB, folder, memory_of
from peers import Skopsfs
from workers import all_of, gunicorn

WORKERS = 4
WAYS = {"each worker loads it, `skops.io.load`": ("skops.io", []), "each worker loads it, `skopsfs.load`": ("skopsfs", []),
        "`--preload`, `skops.io.load`": ("skops.io", ["--preload"]),
        "`--preload`, `skopsfs.load`": ("skopsfs", ["--preload"])}


def nearest_neighbours():
    data = np.random.default_rng(1).standard_normal((160_000, 100))
    return KNeighborsClassifier(algorithm="brute").fit(data, np.arange(len(data)) % 2)


def forest():
    """Its trees are as large as they get, as they learn noise."""
    generator = np.random.default_rng(1)
    data = generator.standard_normal((100_000, 10))
    return RandomForestClassifier(24, n_jobs=2).fit(data, generator.integers(0, 5, len(data)))


MODELS = {"nearest neighbours": nearest_neighbours, "forest": forest}


def memory(module, path, own, services, options):
    """Of all processes of so many gunicorns, once each worker has used the model."""
    with contextlib.ExitStack() as stack:
        total = 0
        running = [stack.enter_context(gunicorn(module, path, own, WORKERS, *options)) for _ in range(services)]
        for _, ask in running:
            all_of(ask, WORKERS)  # of one before the other has it, that is too much
        for pid, ask in running:
            total += memory_of([pid]) + all_of(ask, WORKERS)
        return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="the folder that cmake built in")
    options = parser.parse_args()
    program = os.path.abspath(os.path.join(options.build, "src/skopsfs"))
    with folder("/var/tmp") as own:
        source, point = os.path.join(own, "source"), os.path.join(own, "mount")
        os.mkdir(source)
        heads = []
        for name, make in MODELS.items():
            path = os.path.join(source, f"{name}.skops")
            skops.io.dump(make(), path)
            size = f"{name}, {os.path.getsize(path) // MIB:,} MiB"
            heads += [f"{size}: one gunicorn", "two"]
        print(f"| {WORKERS} workers each | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
        for way, (module, more) in WAYS.items():
            cells = []
            for name in MODELS:
                for services in (1, 2):
                    with Skopsfs(program, source, point) as mount, folder(own) as work:
                        where = point if module == "skopsfs" else source
                        total = memory(module, os.path.join(where, f"{name}.skops"), work, services, more)
                        total += memory_of(mount.pids) if module == "skopsfs" else 0
                        cells.append(f"{total // MIB:,} MiB")
            print(f"| {way} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
