"""Whole models, loaded from a mount by skopsfs and from archives by skops. Wants skops and scikit-learn:
PYTHONPATH=<a checkout of skops>."""

import functools
import os
import shutil

import python_workers as python
from peers import Skopsfs
from rows import Row, interleaved, ratios

# By kind, the part of what skops.io.load takes that is wanted, warm and cold.
WANTED = {"random forest of 100 trees": (0.6, 1.0), "gradient boosting of 300 trees": (0.4, 1.0),
          "histogram gradient boosting of 300 trees": (0.6, 1.0), "nearest neighbours of 80 MB": (0.02, 0.05)}


def rows(bench):
    """Each load is one of a process that has loaded another model of the kind before in the same way, so that
    it measures the first load of this one, but no imports."""
    try:
        import skops.io
    except ImportError:
        print("       whole models are left out: skops cannot be imported")
        return
    source, plain = os.path.join(bench.folder, "models"), os.path.join(bench.folder, "models-plain")
    point = os.path.join(bench.folder, "mount")
    os.makedirs(source)
    for kind in WANTED:
        for seed in (0, 1):
            skops.io.dump(fitted(kind, seed), os.path.join(source, f"{kind}{seed}.skops"))
    shutil.copytree(source, plain)  # the mount drops the pages of its archives
    with Skopsfs(bench.program, source, point):
        for kind, wanted in WANTED.items():
            for state, most in zip(("warm", "cold"), wanted):
                ways = {f"{module}.load":
                        functools.partial(python.call, python.load_model, module, folder, kind, state == "cold")
                        for module, folder in (("skopsfs", point), ("skops.io", plain))}
                interleaved(ways, 1)  # into memory
                values = interleaved(ways, bench.cold_rounds)
                yield Row("15", f"{kind}, loaded {state}: time over skops.io.load", "seconds",
                          ("<=", most), values, ratios(values["skopsfs.load"], values["skops.io.load"]))
    shutil.rmtree(source)
    shutil.rmtree(plain)


def fitted(kind, seed):
    import numpy as np
    from sklearn import ensemble, neighbors
    generator = np.random.default_rng(seed)
    data = generator.standard_normal((1000, 20))
    if "neighbours" in kind:
        data = generator.standard_normal((100_000, 100))
    model = {"random": ensemble.RandomForestClassifier(100, random_state=seed),
             "gradient": ensemble.GradientBoostingClassifier(n_estimators=300, random_state=seed),
             "histogram": ensemble.HistGradientBoostingClassifier(max_iter=300, random_state=seed),
             "nearest": neighbors.KNeighborsClassifier(algorithm="brute")}[kind.split()[0]]
    return model.fit(data, (data[:, 0] + generator.standard_normal(len(data)) > 0).astype(int))
