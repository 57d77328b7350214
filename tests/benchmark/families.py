"""Which parts of models are shared: the table of docs/models.md. Each model of family_models.py is loaded by a
process of its own, from a mount and as skops does it, which then asks it about one row. Wants skops:

    PYTHONPATH=<a checkout of skops> /usr/bin/python3 tests/benchmark/families.py --build build
"""

import argparse
import ctypes
import gc
import json
import os
import pickle
import sys
import warnings

from machine import MIB, folder, run
from peers import Skopsfs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))

def own_memory():
    """Of this process, what no file has; without what was freed."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def resident(name):
    """Bytes: VmRSS, now; VmHWM, at most."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def use(model, query):
    for method in ("predict", "transform", "score_samples"):
        if hasattr(model, method):
            return getattr(model, method)(query)
    raise ValueError(f"{model} can be asked nothing")


def temporary(model, query):
    """Bytes that are needed only while the model is used, which it must have been before."""
    own_memory()
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # VmHWM begins anew
    before = resident("VmRSS")
    use(model, query)
    return resident("VmHWM") - before


def measure(way, path):
    """What a model takes of a process that has used a small one of its kind before. In bytes."""
    import skops.io
    import skopsfs
    warnings.simplefilter("ignore")  # as of what was not fitted well

    def loaded(name):
        plain = f"{path}/source/{name}.skops"
        trusted = skops.io.get_untrusted_types(file=plain)
        if way == "skopsfs":
            return skopsfs.load(f"{path}/mount/{name}.skops", trusted)
        return skops.io.load(plain, trusted)
    with open(f"{path}/queries", "rb") as file:
        queries = pickle.load(file)
    small = loaded("small")
    use(small, queries["small"])
    skopsfs.report(small)
    before = own_memory()
    model = loaded("large")
    use(model, queries["large"])
    while_used = temporary(model, queries["large"])
    own = own_memory() - before
    seen = skopsfs.report(model)
    return {"size": sum(array.size for array in seen.arrays), "shared": seen.saved, "own": own,
            "temporary": while_used, "query": len(pickle.dumps(queries["large"]))}


def measured(program, build):
    """What each way takes."""
    import skops.io
    with folder("/var/tmp") as own:
        os.mkdir(f"{own}/source")
        queries = {}
        for name in ("small", "large"):
            model, queries[name] = build(name == "small")
            skops.io.dump(model, f"{own}/source/{name}.skops")
        with open(f"{own}/queries", "wb") as file:
            pickle.dump(queries, file)
        with Skopsfs(program, f"{own}/source", f"{own}/mount"):
            return [json.loads(run(sys.executable, "-B", __file__, "--measure", way, own))
                    for way in ("skops.io", "skopsfs")]


def row(family, found):
    """Of the table, and what the models of it are made of: `found` has both ways of each, by name."""
    copied, mapped = zip(*found.values())
    shares = [f"{way['shared'] / way['size']:.0%}" if way["size"] else "-" for way in mapped]
    ends = sorted(set(shares), key=lambda share: float(share.strip("%-") or 0))
    share = ends[0] if len(ends) == 1 else f"{ends[0].strip('%')} to {ends[-1]}"
    notes = [family.note] if family.note else []
    for name, way in zip(found, mapped):  # what depends on the model, and not on what it is asked about
        if way["temporary"] > max(0.3 * way["size"], 4 * way["query"], MIB):
            notes.append(f"{name}: {way['temporary'] / MIB:.0f} MiB for a moment, in each call")
    cells = [family.name, ", ".join(found), f"{sum(way['size'] for way in mapped) / MIB:,.0f}", share,
             *(f"{sum(max(0, way['own']) for way in ways) / MIB:,.1f}" for ways in (copied, mapped)), "; ".join(notes)]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="the folder that cmake built in")
    parser.add_argument("--only", nargs="*", help="parts of names of families")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    from family_models import FAMILIES
    program = os.path.abspath(os.path.join(options.build, "src/skopsfs"))
    print("| family | tried with | arrays, MiB | of which are shared | own memory of a process, MiB: `skops.io.load` "
          "| `skopsfs.load` | what it copies |\n|---|---|---|---|---|---|---|")
    for family in FAMILIES:
        if not options.only or any(part in family.name for part in options.only):
            found = {name: measured(program, build) for name, build in family.models.items()}
            for name, ways in found.items():
                print(f"  {name}: {ways}", file=sys.stderr)
            print(row(family, found), flush=True)


if __name__ == "__main__":
    main()
