"""What four processes take that use one forest, whose trees are copied: the memory, and the time of predictions,
with equal memory merged (KSM) as well. Wants skops and scikit-learn, and turns KSM on meanwhile."""

import contextlib
import os
import shutil
import statistics
import time

import python_workers as python
from machine import MIB, memory_of
from peers import Skopsfs
from rows import Row, interleaved, ratios

PROCESSES = 4
KSM = "/sys/kernel/mm/ksm"
PACE = 4000  # pages in each 20 ms
PATIENCE = 300  # seconds, until as much is merged as will be
# By kind, the number of trees and of what they are fitted to: 150 MB each.
FORESTS = {"300 trees": (300, 6_000), "30 trees": (30, 62_000)}


def rows(bench):
    import skops.io
    source, point = os.path.join(bench.folder, "forests"), os.path.join(bench.folder, "mount")
    os.makedirs(source)
    for kind, (trees, samples) in FORESTS.items():
        skops.io.dump(fitted(trees, samples), os.path.join(source, f"{kind}.skops"))
    with Skopsfs(bench.program, source, point):
        for kind in FORESTS:
            copied = ["skops.io", os.path.join(source, f"{kind}.skops"), {}]
            mapped = ["skopsfs", os.path.join(point, f"{kind}.skops"), {}]
            merged = [*mapped[:2], {"merge": True}]
            found = interleaved({"skops.io.load": lambda way=copied: used_by_four(*way),
                                 "skopsfs.load": lambda way=mapped: used_by_four(*way),
                                 "merge=True": lambda way=merged: used_by_four(*way)}, bench.few_rounds)
            memory = {way: [one["memory"] for one in rounds] for way, rounds in found.items()}
            for way, most in (("skopsfs.load", 0.5), ("merge=True", 0.3)):
                values = {name: memory[name] for name in ("skops.io.load", way)}
                yield Row("19", f"forest of 150 MB, {kind}, four processes, {way}: memory over skops.io.load",
                          "bytes", ("<=", most), values, ratios(memory[way], memory["skops.io.load"]))
            before, after = ([one[when] for one in found["merge=True"]] for when in ("before", "after"))
            yield Row("19", f"forest of 150 MB, {kind}: a prediction once it is merged over one before", "seconds",
                      None, {"before": before, "merged": after}, ratios(after, before))
            for one in found["merge=True"]:
                print(f"       {kind}: as much is merged as will be after {one['wait']:.0f} s, "
                      f"{one['ksmd']:.1f} s of ksmd")
    shutil.rmtree(source)


def fitted(trees, samples):
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    generator = np.random.default_rng(1)
    data = generator.standard_normal((samples, 10))
    return RandomForestRegressor(trees, random_state=1, n_jobs=-1).fit(
        data, data[:, 0] + generator.standard_normal(samples))


def used_by_four(module, path, options):
    """The memory of all, once each has loaded and predicted, and all is merged that shall be; seconds of a
    prediction before and after; seconds until then, and of the processor that merging took."""
    with merging() if options else contextlib.nullcontext():
        began = ksmd_seconds()
        workers = [python.Worker(python.use_forest, module, path, options) for _ in range(PROCESSES)]
        before = statistics.median(worker.answer() for worker in workers)
        wait = settled() if options else 0
        memory, used = memory_of(worker.pid for worker in workers), ksmd_seconds() - began
        if options:
            of_ksm("run", 0)  # what is merged stays so, and nothing else takes the processor
        for worker in workers:
            worker.go_on()
        after = statistics.median(worker.answer() for worker in workers)
        for worker in workers:
            worker.end()
    return {"memory": memory, "before": before, "after": after, "wait": wait, "ksmd": used}


@contextlib.contextmanager
def merging():
    """Turned on, at a pace that takes seconds: at the kernel's own it is minutes, with the same result."""
    before = {name: of_ksm(name) for name in ("run", "pages_to_scan")}
    of_ksm("pages_to_scan", PACE)
    of_ksm("run", 1)
    try:
        yield
    finally:
        of_ksm("run", 2)  # nothing is left for the next round
        for name, value in before.items():
            of_ksm(name, value)


def of_ksm(name, value=None):
    """A number that the kernel has; it is set if a value is given."""
    with open(os.path.join(KSM, name), "r" if value is None else "w", encoding="ascii") as file:
        return int(file.read()) if value is None else file.write(str(value))


def settled():
    """Seconds until a second whole look at everything has merged no more than one page in a hundred."""
    begin = time.monotonic()
    scans, merged = of_ksm("full_scans"), 0
    while time.monotonic() < begin + PATIENCE:
        time.sleep(0.2)
        if of_ksm("full_scans") >= scans + 2:
            scans, last, merged = of_ksm("full_scans"), merged, of_ksm("pages_sharing")
            if 0 < merged <= last * 1.01:
                return time.monotonic() - begin
    raise TimeoutError(f"merging goes on after {PATIENCE} s")


def ksmd_seconds():
    """Of the processor, since the machine started; 0 where there is no ksmd."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            name, _, fields = file.read().partition("(")[2].rpartition(")")
            if name == "ksmd":
                return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return 0
