"""Measures everything that docs/benchmarks.md tells, in one run, against peers side by side:

    sh packaging/install_packages.sh benchmark
    /usr/bin/python3 tests/benchmark/run.py --build build

Writes results.json, tables.md and pictures into --output, after each group of rows: one that fails ends none of the
others. Takes an hour and a half, 20 GiB of disk in
--folder and 8 GiB of /dev/shm; wants root to drop caches and to make disks in memory.
"""

import argparse
import dataclasses
import datetime
import importlib.util
import json
import os
import sys
import traceback

import compressed
import forests
import gunicorn_workers
import hand_over
import large_member
import loading
import many
import models
import report
from machine import MIB, Clients, describe, folder
from rows import Curve

GROUPS = {"large_member": large_member.rows, "loading": loading.rows, "models": models.rows, "forests": forests.rows,
          "gunicorn": gunicorn_workers.rows, "hand_over": hand_over.rows, "many": many.rows, "compressed": compressed.rows}
WANT_SKOPS = ("models", "forests", "gunicorn")


class Bench:
    """What the rows share."""

    def __init__(self, options, path):
        self.program = os.path.abspath(os.path.join(options.build, "src/skopsfs"))
        self.clients = Clients(os.path.abspath(
            os.path.join(options.build, "tests/benchmark/benchmark_client")))
        self.folder = path
        self.rounds = min(5, options.rounds)
        self.cold_rounds = options.rounds  # disks vary: seven or more
        self.few_rounds = min(3, options.rounds)  # of what takes a minute
        self.processes = options.processes
        self.size = options.size * MIB
        self.archives = options.archives
        self.members = options.members
        self.genuine = loading.genuine_archives()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="the folder that cmake built in")
    parser.add_argument("--output", default="benchmark-results", help="where results go")
    parser.add_argument("--folder", default="/var/tmp", help="on the disk to measure with")
    parser.add_argument("--size", type=int, default=2048, help="of the large member, MiB")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--archives", type=int, default=100_000, help="in the folder with many")
    parser.add_argument("--members", type=int, default=1_000_000, help="of the archive with many")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4, 8],
                        help="numbers of them, for the pictures")
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=list(GROUPS))
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: wants root, to drop caches before what is measured cold, to make disks in "
              "memory and to see the server's counters")
        sys.exit(77)
    os.makedirs(options.output, exist_ok=True)
    found, curves, failed = [], [], []
    for group in options.only:
        if group in WANT_SKOPS and importlib.util.find_spec("skops") is None:
            print(f"       {group} is left out: skops cannot be imported")
            continue
        try:
            with folder(options.folder) as path:
                for row in GROUPS[group](Bench(options, path)):
                    if isinstance(row, Curve):
                        curves.append(row)
                    else:
                        print(report.line(row), flush=True)
                        found.append(row)
        except Exception:  # what was measured before, and the other groups, are worth hours
            traceback.print_exc()
            failed.append(group)
        write(options.output, found, curves)
    if failed:
        sys.exit(f"not measured to the end: {', '.join(failed)}")


def write(output, rows, curves):
    results = {"machine": describe(), "date": datetime.date.today().isoformat(),
               "command": " ".join(sys.argv), "rows": [row.as_json() for row in rows],
               "curves": [dataclasses.asdict(curve) for curve in curves]}
    path = os.path.join(output, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    with open(path, encoding="utf-8") as file:
        report.write(json.load(file), output)


if __name__ == "__main__":
    main()
