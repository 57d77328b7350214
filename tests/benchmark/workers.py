"""The memory of workers that use one model, each way: what docs/serving.md tells. Wants skops:

    sh packaging/install_packages.sh benchmark
    PYTHONPATH=<a checkout of skops> /usr/bin/python3 tests/benchmark/workers.py --build build
"""

import argparse
import contextlib
import http.client
import os
import socket
import subprocess
import time

import distributed
import numpy as np
import skops.io
from joblib.externals.loky import get_reusable_executor
from sklearn.linear_model import LogisticRegression

from machine import MIB, folder, memory_of
from model_worker import use
from peers import Skopsfs

CLASSES, FEATURES = 32, 1 << 20  # 256 MiB of weights
WAYS = {"each loads it (skops.io.load)": "skops.io", "mapped (skopsfs.load)": "skopsfs"}
HERE = os.path.dirname(os.path.abspath(__file__))
APPLICATION = """
import os
from model_worker import model_of, use

if os.environ["LOAD_AT_ONCE"]:
    model_of({module!r}, {path!r})

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(use({module!r}, {path!r})).encode()]
"""


def write_model(path):
    model = LogisticRegression().fit(np.eye(2), [0, 1])
    model.coef_ = np.random.default_rng(1).standard_normal((CLASSES, FEATURES))
    model.intercept_, model.classes_ = np.zeros(CLASSES), np.arange(CLASSES)
    model.n_features_in_ = FEATURES
    skops.io.dump(model, path)


def all_of(ask, count):
    """The memory of `count` workers once each has used the model; `ask` has some of them do so."""
    seen = set()
    end = time.monotonic() + 100
    while len(seen) < count:
        seen.update(ask())
        if time.monotonic() > end:
            raise TimeoutError(f"{len(seen)} of {count} workers have answered")
    return memory_of(seen)


def with_joblib(module, path, _, count):
    executor = get_reusable_executor(max_workers=count, timeout=300)
    try:
        return all_of(lambda: executor.map(use, [module] * count, [path] * count), count)
    finally:
        executor.shutdown(kill_workers=True)


def with_dask(module, path, _, count):
    with distributed.LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None,
                                  memory_limit=0) as cluster, distributed.Client(cluster) as client:
        return all_of(lambda: client.run(use, module, path).values(), count)


@contextlib.contextmanager
def gunicorn(module, path, own, count, *options):
    """Its process id, and what asks one of its workers, which then has used the model, for its own."""
    with open(os.path.join(own, "application.py"), "w", encoding="utf-8") as file:
        file.write(APPLICATION.format(module=module, path=path))
    environment = dict(os.environ, PYTHONPATH=f"{own}:{HERE}:{os.environ['PYTHONPATH']}",
                       LOAD_AT_ONCE="yes" if "--preload" in options else "")

    def ask():
        connection = http.client.HTTPConnection(*listening.getsockname(), timeout=100)
        try:
            connection.request("GET", "/")  # which waits while it starts
            return [int(connection.getresponse().read())]
        finally:
            connection.close()
    # A port that is let go first may be taken by a connection, of those that ask.
    with socket.create_server(("localhost", 0)) as listening, subprocess.Popen(
            ["gunicorn", "--workers", str(count), "--bind", f"fd://{listening.fileno()}", "--log-level", "error",
             *options, "application:app"], env=environment, pass_fds=[listening.fileno()]) as server:
        try:
            yield server.pid, ask
        finally:
            server.terminate()


def with_gunicorn(module, path, own, count):
    with gunicorn(module, path, own, count) as (_, ask):
        return all_of(ask, count)


FRAMEWORKS = {"gunicorn": with_gunicorn, "joblib": with_joblib, "dask": with_dask}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="the folder that cmake built in")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8])
    options = parser.parse_args()
    program = os.path.abspath(os.path.join(options.build, "src/skopsfs"))
    print("| | " + " | ".join(f"{count} workers" for count in options.workers) + " |")
    print("|---" * (len(options.workers) + 1) + "|")
    with folder("/var/tmp") as own:
        source, point = os.path.join(own, "source"), os.path.join(own, "mount")
        os.mkdir(source)
        write_model(os.path.join(source, "model.skops"))
        for framework, start in FRAMEWORKS.items():
            for way, module in WAYS.items():
                cells = []
                for count in options.workers:
                    with Skopsfs(program, source, point) as mount, folder(own) as work:
                        where = point if module == "skopsfs" else source
                        workers = start(module, os.path.join(where, "model.skops"), work, count)
                        server = memory_of(mount.pids) if module == "skopsfs" else 0
                        cells.append(f"{(workers + server) // MIB:,} MiB")
                print(f"| {framework}, {way} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
