"""The stand-in for skops (tests/support/stand_in) reads and writes what the real one does, as far as tests
go. Wants the real one: PYTHONPATH=<a checkout of skops>."""

import importlib
import json
import os
import sys
import tempfile
import unittest
import warnings

import joblib
import numpy
import scipy.sparse

import archives
from mount import main
from processes import in_child
from test_genuine import folders
from test_loader import STAND_IN, answers, needs_real_skops, skops


def by_stand_in(function, *arguments):
    """What `function` returns when it is given the stand-in's skops.io."""
    def call():
        for name in [name for name in sys.modules if name.split(".")[0] == "skops"]:
            del sys.modules[name]
        sys.path.insert(0, STAND_IN)
        stand_in = importlib.import_module("skops.io")
        return function(stand_in, *arguments)
    return in_child(call)


def by_both(function, *arguments):
    return by_stand_in(function, *arguments), function(skops.io, *arguments)


def written():
    """Objects of all kinds that tests save."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
    data, labels = numpy.random.default_rng(1).standard_normal((20, 4)), [0, 1] * 10
    array = numpy.arange(6.0).reshape(2, 3)
    return {"estimators": [LinearRegression().fit(data, labels), LogisticRegression().fit(data, labels),
                           SGDClassifier(random_state=1).fit(data, labels)],
            "forest": [RandomForestRegressor(3, random_state=1).fit(data, labels)],
            "arrays": [array, numpy.asfortranarray(array), numpy.array([None, "a"]), numpy.float32(7), array[0, 0],
                       numpy.ma.masked_less(array, 2), scipy.sparse.csr_matrix(array)],
            "plain": [1, 2.5, True, None, "text", b"bytes", (1, (2,)), {3}, {"a": {"b": [], 4: 5}}, int,
                      numpy.float64],
            "twice": [array] * 2}


def digest(value):
    """A hash of one of those objects; joblib has none of masked arrays."""
    return joblib.hash([[part.data, part.mask] if isinstance(part, numpy.ma.MaskedArray) else part
                        for part in value])


@needs_real_skops
class StandIn(unittest.TestCase):
    def test_reads_genuine_archives(self):
        def read(module, path):
            try:
                trusted = module.get_untrusted_types(file=path)
                return trusted, answers(module.load(path, trusted))
            except TypeError as error:  # of a kind that tests do not save
                return str(error)
        equal = 0
        for name in sorted(os.listdir(folders()[0])):
            if name.endswith(".skops"):
                with self.subTest(archive=name):
                    found, wanted = by_both(read, os.path.join(folders()[0], name))
                    self.assertEqual(found, wanted)
                    equal += 1
        self.assertGreater(equal, 5)

    def test_each_reads_what_the_other_writes(self):
        def write(module, folder):
            for name, value in written().items():
                module.dump(value, os.path.join(folder, name))

        def read(module, folder):
            found = {}
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                trusted = module.get_untrusted_types(file=path)
                value = module.load(path, trusted)
                found[name] = trusted, digest(value), [type(part).__name__ for part in value]
            return found
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            by_stand_in(write, one)
            write(skops.io, other)
            found = [*by_both(read, one), *by_both(read, other)]
        self.assertEqual(found, [found[0]] * 4)
        for name in ("arrays", "plain", "twice"):  # estimators are not hashed alike before and after
            self.assertEqual(found[0][name][1], digest(written()[name]))

    def test_refuses_alike(self):
        """What is not trusted, or leads nowhere."""
        def fail(module, path, trusted):
            try:
                return repr(module.load(path, trusted=trusted))
            except Exception as error:  # of any kind, if it is the same
                return type(error).__name__, str(error) if "Untrusted" in str(error) else ""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.skops")
            types = {"__class__": "system", "__module__": "os"}
            for schema in ({"__loader__": "TypeNode", **types}, {"__loader__": "NoNode", **types},
                           {"__loader__": "BytesNode", "file": "no.bin", **types},
                           {"__loader__": "SparseMatrixNode", "type": "no", **types}):
                archives.write_members(path, {"schema.json": json.dumps({**schema, "protocol": 2}).encode()})
                for trusted in (None, ["other.type"], True):
                    with self.subTest(schema=schema, trusted=trusted):
                        self.assertEqual(*by_both(fail, path, trusted))


if __name__ == "__main__":
    warnings.simplefilter("default")
    main()
