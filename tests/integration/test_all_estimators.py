"""Every estimator of scikit-learn that can be fitted and saved answers as it does when skops loads it.

Wants the real skops: PYTHONPATH=<a checkout of skops>.
"""

import copy
import multiprocessing
import os
import pickle
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy
import scipy.sparse
import sklearn

from fitted_estimators import fitted_estimators
from mount import MountTest, main
from test_loader import needs_real_skops, skops, skopsfs

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "kneighbors",
           "sample", "inverse_transform")


def plain(value):
    """An answer as something that can be compared by ==."""
    if scipy.sparse.issparse(value):
        value = value.toarray()
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, numpy.ndarray):
        return value.dtype.str, value.shape, value.tobytes() if value.dtype != object else value.tolist()
    return value


def answers(model, data):
    """What a model makes of data, by method; of a method that fails the type of the error."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in METHODS:
            if hasattr(model, method):
                try:
                    found[method] = plain(getattr(model, method)(data))
                except Exception as error:  # whatever it is, if it is the same
                    found[method] = type(error)
    return found


def different(mountpoint, saved, mmap_mode, copied=lambda model: model):
    """The names of those that answer otherwise than with skops, with all of their arrays mapped."""
    found = []
    for name, (trusted, data, wanted) in saved.items():
        try:
            model = skopsfs.load(os.path.join(mountpoint, name), trusted, mmap_mode=mmap_mode, min_bytes=1)
            equal = answers(copied(model), data) == wanted
        except ValueError as error:  # one that writes to its arrays while it is loaded
            if "load it with mmap_mode='c'" not in str(error):
                raise
            equal = False
        if not equal:
            found.append(name)
    return found


@needs_real_skops
class AllEstimators(MountTest):
    def setUp(self):
        """Writes what can be written."""
        super().setUp()
        self.counts = Counter()
        self.saved = {}  # by name: the types to trust, data, and the answers
        for model, data in fitted_estimators():
            self.counts["estimators"] += 1
            if data is None:
                continue
            self.counts["fitted"] += 1
            name = f"{type(model).__name__}.skops"
            path = self.in_source(name)
            try:
                skops.io.dump(model, path)
                trusted = skops.io.get_untrusted_types(file=path)
                wanted = [answers(skops.io.load(path, trusted), data) for _ in "ab"]
            except Exception:  # skops cannot write or load it
                continue
            if wanted[0] == wanted[1]:  # or its answers are random
                self.saved[name] = (trusted, data, wanted[0])
        self.mount(guard=600)
        self.different = partial(different, self.mountpoint, self.saved)

    def test_answer_as_with_skops(self):
        self.assertGreater(len(self.saved), 100)
        writing = self.different("r")  # what wants to be able to write to its arrays
        self.assertLess(len(writing), 10, writing)
        self.assertEqual(self.different("c"), [])
        total = len(self.saved)
        print(f"scikit-learn {sklearn.__version__}, skops {skops.__version__}: of "
              f"{self.counts['estimators']} estimators {self.counts['fitted']} fitted, {total} saved, equal in "
              f"mode c {total}, in mode r {total - len(writing)} (not {', '.join(name[:-6] for name in writing)}) ", end="", flush=True)
        with self.subTest("copied"):
            self.assertEqual(self.different("c", copy.deepcopy), [])
            self.assertEqual(self.different("c", lambda model: pickle.loads(pickle.dumps(model))), [])
            self.assertEqual(self.different("r", copy.deepcopy), [])
        with self.subTest("saved again"):
            self.assertEqual(self.different("c", self.saved_again), [])
        with self.subTest("in threads"):
            with ThreadPoolExecutor(4) as threads:
                self.assertEqual(list(threads.map(self.different, "cccc")), [[]] * 4)
        with self.subTest("in processes"):
            with multiprocessing.get_context("spawn").Pool(2) as processes:  # as OpenMP allows no fork
                self.assertEqual(processes.map(self.different, "cc"), [[], []])

    def saved_again(self, model):
        path = os.path.join(self.folder, "again")
        skops.io.dump(model, path)
        return skops.io.load(path, skops.io.get_untrusted_types(file=path))


if __name__ == "__main__":
    main()
