"""Whole models, loaded from a mount by skopsfs, from archives by skops, and from files of joblib. Wants skops and
scikit-learn: PYTHONPATH=<a checkout of skops>."""

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
    import joblib
    import skops.io
    source, plain = os.path.join(bench.folder, "models"), os.path.join(bench.folder, "models-plain")
    point = os.path.join(bench.folder, "mount")
    os.makedirs(source)
    os.makedirs(plain)
    for kind in WANTED:
        for seed in (0, 1):
            model, name = fitted(kind, seed), f"{kind}{seed}"
            skops.io.dump(model, os.path.join(source, f"{name}.skops"))
            shutil.copy(os.path.join(source, f"{name}.skops"), plain)  # the mount drops the pages of its archives
            joblib.dump(model, os.path.join(plain, f"{name}.joblib"))
    with Skopsfs(bench.program, source, point):
        for kind, wanted in WANTED.items():
            for state, most in zip(("warm", "cold"), wanted):
                ways = {f"{module}.load":
                        functools.partial(python.call, python.load_model, module, folder, kind, state == "cold")
                        for module, folder in (("skopsfs", point), ("skops.io", plain), ("joblib", plain))}
                interleaved(ways, 1)  # into memory
                values = interleaved(ways, bench.cold_rounds)
                values["joblib.load(mmap_mode='r')"] = values.pop("joblib.load")
                for over, bound in (("skops.io.load", ("<=", most)), ("joblib.load(mmap_mode='r')", None)):
                    yield Row("15", f"{kind}, loaded {state}: time over {over}", "seconds",
                              bound, values, ratios(values["skopsfs.load"], values[over]))
        yield from brought_in(bench, os.path.join(point, "nearest neighbours of 80 MB1.skops"))
    shutil.rmtree(source)
    shutil.rmtree(plain)


def brought_in(bench, path):
    """With and without warm=True: the first prediction, and all until then."""
    for state in ("warm", "cold"):
        found = interleaved({way: lambda options=options, is_cold=state == "cold":
                             python.call(python.load_and_predict, path, options, is_cold)
                             for way, options in (("skopsfs.load", {}), ("warm=True", {"warm": True}))},
                            bench.cold_rounds)
        seconds = {way: [predicting for _, predicting in rounds] for way, rounds in found.items()}
        both = {way: [sum(one) for one in rounds] for way, rounds in found.items()}
        for what, values in (("the first prediction", seconds), ("loading it and the first prediction", both)):
            yield Row("15", f"nearest neighbours of 80 MB, {state}, with warm=True: {what}, time over without", "seconds",
                      None, values, ratios(values["warm=True"], values["skopsfs.load"]))


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
