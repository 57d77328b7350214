"""The Python package skopsfs: arrays by name, and models with mapped arrays.

skops is the real one where it can be imported (PYTHONPATH=<a checkout of skops>), else a stand-in.
"""

import errno
import io
import json
import os
import re
import shutil
import sys
import threading
import time
import unittest
import warnings

import joblib
import numpy
import scipy.sparse
import sklearn

import archives
from archives import PAGE
from mount import MountTest, main, needs_root
from processes import frames, in_child, in_two
from test_genuine import folders

_HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(_HERE, "../../src/python")
STAND_IN = os.path.join(_HERE, "../support/stand_in")
sys.path.insert(0, PACKAGE)
sys.path.append(STAND_IN)
import skops.io  # noqa: E402
import skopsfs  # noqa: E402
from skopsfs._archive import Archive  # noqa: E402
from skopsfs._arrays import Mapping  # noqa: E402
from skopsfs._sparse import map_sparse  # noqa: E402

needs_real_skops = unittest.skipIf(skops.__version__ == "stand-in", "there is no skops: set PYTHONPATH")

_OLD_SKLEARN = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 3)

SCHEMA = {"__loader__": "DictNode", "content": {
    "coef_": {"__loader__": "NdArrayNode", "file": "1.npy"},
    "scalar": {"__loader__": "NdArrayNode", "file": "2.npy"},
    "steps": {"__loader__": "DictNode", "content": {
        "scaler": {"__loader__": "NdArrayNode", "file": "3.npy"}}},
    "objects": {"__loader__": "NdArrayNode", "file": "4.npy"}}}


def file_of(array):
    """The path of the mapped file that an array lies in; empty if it lies in none."""
    address = array.ctypes.data
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            if first <= address < last:
                return line[73:].rstrip()
    return ""


def is_mapped(array):
    return file_of(array).endswith(".npy")


class ByName(MountTest):
    """What needs no skops."""

    def setUp(self):
        super().setUp()
        self.coef = numpy.random.default_rng(1).standard_normal((300, 1000))
        objects = io.BytesIO()
        numpy.save(objects, numpy.array([None, 1]))
        archives.write_members(self.in_source("m.skops"), {
            "1.npy": archives.npy(self.coef), "2.npy": archives.npy(numpy.float64(3.5)),
            "3.npy": archives.npy(numpy.asfortranarray(self.coef[:7])), "4.npy": objects.getvalue(),
            "schema.json": json.dumps(SCHEMA).encode()})
        self.mount()
        self.path = self.in_mount("m.skops")

    def test_maps_it(self):
        for name in ("coef_", "coef_.npy"):
            array = skopsfs.array(self.path, name)
            self.assertIs(type(array), numpy.ndarray)
            self.assertTrue(numpy.array_equal(array, self.coef))
            self.assertEqual(file_of(array), self.in_mount("m.skops", "1.npy"))
        scaler = skopsfs.array(self.path, "steps/scaler")
        self.assertTrue(scaler.flags.f_contiguous)
        self.assertTrue(numpy.array_equal(scaler, self.coef[:7]))

    def test_modes(self):
        array = skopsfs.array(self.path, "coef_")
        with self.assertRaisesRegex(ValueError, "read-only"):
            array[0] = 1
        private = skopsfs.array(self.path, "coef_", mmap_mode="c")
        private[0] = 1
        self.assertEqual(private[0].sum(), 1000)
        self.assertTrue(numpy.array_equal(skopsfs.array(self.path, "coef_"), self.coef))
        for mode in ("r+", "w+", None):
            with self.assertRaisesRegex(ValueError, "read-only"):
                skopsfs.array(self.path, "coef_", mmap_mode=mode)

    def test_what_cannot_be_mapped(self):
        self.assertEqual(skopsfs.array(self.path, "scalar"), 3.5)
        with self.assertRaisesRegex(ValueError, "allow_pickle"):
            skopsfs.array(self.path, "objects")

    def test_errors(self):
        for name in ("", "a//b", "../coef_", "/etc/passwd", "."):
            with self.assertRaises(ValueError):
                skopsfs.array(self.path, name)
        with self.assertRaises(FileNotFoundError) as raised:
            skopsfs.array(self.path, "intercept_")
        self.assertEqual(raised.exception.filename, self.path + "/by-name/intercept_.npy")
        with self.assertRaises(NotADirectoryError):
            skopsfs.array(self.in_source("m.skops"), "coef_")

    def test_the_reason_is_said(self):
        data = bytearray(archives.archive_of(
            {"1.npy": archives.npy(self.coef), "schema.json": json.dumps(SCHEMA).encode()}))
        data[5000] ^= 1
        archives.write(self.in_source("bad.skops"), bytes(data))
        with Archive(self.in_mount("bad.skops")) as archive:
            with self.assertRaises(OSError) as raised:
                archive.read("1.npy")
        self.assertEqual(raised.exception.errno, errno.EIO)
        self.assertIn("bad CRC-32", raised.exception.strerror)

    def test_all_members_are_of_one_version(self):
        with Archive(self.path) as archive:
            self.assertEqual(json.loads(archive.read("schema.json")), SCHEMA)
            archives.write_members(self.in_source("new"), {"1.npy": b"new", "schema.json": b"{}"})
            os.rename(self.in_source("new"), self.in_source("m.skops"))
            self.assertEqual(os.listdir(self.path), ["1.npy", "schema.json", "by-name"])
            try:
                self.assertEqual(archive.read("1.npy"), archives.npy(self.coef))
            except OSError as error:  # where the kernel did not know the name any more
                self.assertEqual(error.errno, errno.ESTALE)


class Sparse(MountTest):
    """What needs no skops."""

    def test_each_format(self):
        dense = numpy.random.default_rng(1).integers(0, 4, (60, 40)) * 1.5
        for form in ("csr", "csc", "coo", "bsr", "dia"):
            for compressed in (False, True):
                with self.subTest(form=form, compressed=compressed):
                    matrix = scipy.sparse.coo_matrix(dense).asformat(form)
                    npz = io.BytesIO()
                    scipy.sparse.save_npz(npz, matrix, compressed=compressed)
                    name = f"{form}{compressed}.skops"
                    schema = {"__loader__": "SparseMatrixNode", "file": "1.npz"}
                    archives.write_members(self.in_source(name), {
                        "1.npz": npz.getvalue(), "schema.json": json.dumps(schema).encode()})
                    mount = self.mount()
                    with Archive(self.in_mount(name)) as archive:
                        found_in = archive.arrays_of_npz()
                        self.assertEqual(found_in, {"1.npz": "by-name/root"})
                        mapped = map_sparse(archive, "by-name/root", Mapping("r", 1))
                    self.assertIs(type(mapped), type(matrix))
                    self.assertEqual(mapped.shape, matrix.shape)
                    self.assertTrue(is_mapped(mapped.data))
                    self.assertTrue(numpy.array_equal(mapped.toarray(), dense))
                    del mapped
                    self.assertEqual(mount.stop(), 0)


class WithoutSkops(MountTest):
    def test_it_says_what_is_missing(self):
        def load():
            for name in [name for name in sys.modules if name.split(".")[0] == "skops"] + ["skops"]:
                sys.modules[name] = None
            try:
                skopsfs.load("anything")
            except ImportError as error:
                return str(error)
            return None
        self.assertIn("needs skops 0.10 or newer", in_child(load))

    def test_there_is_nothing_to_undo(self):
        def uninstall():
            sys.modules["skops"] = sys.modules["skops.io"] = None
            skopsfs.uninstall()
        in_child(uninstall)


def data_for(model):
    """Something that the model can be asked with."""
    if not hasattr(model, "n_features_in_"):
        return ["this is a text", "and this another"]
    values = numpy.random.default_rng(2).standard_normal((20, model.n_features_in_))
    fitted = getattr(model, "_fit_X", None)
    return scipy.sparse.csr_matrix(values) if scipy.sparse.issparse(fitted) else values


def answers(model):
    """What the model makes of data, by method; and what it consists of."""
    found = {"hash": joblib.hash(model, coerce_mmap=True)}
    for method in ("predict", "transform", "predict_proba", "decision_function", "kneighbors"):
        if hasattr(model, method):
            got = getattr(model, method)(data_for(model))
            found[method] = joblib.hash(got, coerce_mmap=True)
    return found


class Load(MountTest):
    def large_model(self, **methods):
        """A fitted model with 8 MiB of weights beside small arrays, as an archive."""
        from sklearn.linear_model import LogisticRegression
        generator = numpy.random.default_rng(1)
        model = LogisticRegression().fit(generator.standard_normal((20, 4)), [0, 1] * 10)
        model.coef_ = generator.standard_normal((16, 65536))
        model.intercept_ = numpy.zeros(16)
        model.classes_ = numpy.arange(16)
        model.n_features_in_ = 65536
        skops.io.dump(model, self.in_source("large.skops"), **methods)
        return model

    def test_genuine_archives_load_equal(self):
        source = folders()[-1]
        self.mount(source=source)
        equal = mapped = 0
        names = [name for name in sorted(os.listdir(source)) if name.endswith(".skops")]
        for name in names:
            plain = os.path.join(source, name)
            trusted = None
            try:
                trusted = skops.io.get_untrusted_types(file=plain)
                wanted = answers(skops.io.load(plain, trusted=trusted))
            except TypeError as error:  # skops is too old for this one
                with self.assertRaisesRegex(TypeError, re.escape(str(error))):
                    skopsfs.load(self.in_mount(name), trusted)
                continue
            equal += 1
            for mode in ("r", "c"):
                for least in (1, 1 << 20):
                    with self.subTest(archive=name, mode=mode, min_bytes=least):
                        before = mappings_below(self.mountpoint)
                        model = skopsfs.load(self.in_mount(name), trusted, mmap_mode=mode,
                                             min_bytes=least)
                        mapped += mappings_below(self.mountpoint) - before
                        if name == "hist_gbm.skops" and (mode, least) == ("r", 1) and _OLD_SKLEARN:
                            with self.assertRaisesRegex(ValueError, "read-only"):
                                answers(model)  # it wants to be able to write
                        else:
                            self.assertEqual(answers(model), wanted)
                        del model
        self.assertGreater(mapped, 100)
        print(f"{equal} of {len(names)} archives equal, {mapped} arrays mapped ", end="", flush=True)

    @needs_root
    def test_large_arrays_are_shared(self):
        from zipfile import ZIP_DEFLATED
        for method in ({}, {"compression": ZIP_DEFLATED, "compresslevel": 1}):
            with self.subTest(**method):
                wanted = self.large_model(**method)
                mount = self.mount()
                path = self.in_mount("large.skops")

                def frames_of_weights(path=path):
                    weights = skopsfs.load(path).coef_
                    weights.sum()
                    return frames(weights.ctypes.data // PAGE * PAGE, weights.nbytes // PAGE)
                model = skopsfs.load(path)
                self.assertTrue(is_mapped(model.coef_))
                self.assertFalse(is_mapped(model.intercept_))
                self.assertTrue(numpy.array_equal(model.coef_, wanted.coef_))
                one, two = in_two(frames_of_weights)
                self.assertNotIn(None, one)
                self.assertEqual(one, two)
                del model
                self.assertEqual(mount.stop(), 0)

    def test_writing(self):
        wanted = self.large_model().coef_
        self.mount()
        path = self.in_mount("large.skops")
        with self.assertRaisesRegex(ValueError, "read-only"):
            skopsfs.load(path, mmap_mode="r").coef_ += 1
        model = skopsfs.load(path)
        model.coef_ += 1
        self.assertTrue(numpy.array_equal(model.coef_, wanted + 1))
        self.assertTrue(numpy.array_equal(skopsfs.load(path).coef_, wanted))

    def test_sparse_matrices(self):
        matrix = scipy.sparse.random(2000, 1000, density=0.2, format="csr", random_state=1)
        skops.io.dump({"X": matrix}, self.in_source("sparse.skops"))
        self.mount()
        path = self.in_mount("sparse.skops")
        trusted = skops.io.get_untrusted_types(file=self.in_source("sparse.skops"))
        found = skopsfs.load(path, trusted)["X"]
        self.assertEqual((found != matrix).nnz, 0)
        self.assertTrue(is_mapped(found.data))
        self.assertTrue(is_mapped(found.indices))
        self.assertFalse(is_mapped(found.indptr), "it is small")

    def test_trust_is_that_of_skops(self):
        source = folders()[-1]
        self.mount(source=source)
        for name in ("tfidf.skops", "arrays.skops"):
            for trusted in (None, [], ["something.else"], True):
                with self.subTest(archive=name, trusted=trusted):
                    failures = []
                    for load, path in ((skops.io.load, os.path.join(source, name)),
                                       (skopsfs.load, self.in_mount(name))):
                        with self.assertRaises(Exception) as raised:
                            load(path, trusted=trusted)
                        failures.append((type(raised.exception), str(raised.exception)))
                    self.assertEqual(*failures)

    def test_plain_files(self):
        wanted = self.large_model()
        path = self.in_source("large.skops")
        with self.assertWarnsRegex(skopsfs.UnmappedWarning, "mount its folder"):
            model = skopsfs.load(path)
        self.assertFalse(is_mapped(model.coef_))
        self.assertTrue(numpy.array_equal(model.coef_, wanted.coef_))
        with self.assertRaisesRegex(ValueError, "cannot be mapped: mount its folder"):
            skopsfs.load(path, require_mapped=True)
        with self.assertRaises(FileNotFoundError):
            skopsfs.load(path + "x", require_mapped=True)

    def test_archives_that_are_replaced_all_the_time(self):
        """Each model is of one version."""
        from sklearn.linear_model import LinearRegression
        for version in (1, 2):
            model = LinearRegression()
            model.coef_ = numpy.full(1 << 18, float(version))
            model.intercept_ = numpy.full(7, float(version))
            skops.io.dump(model, self.in_source(f"version{version}"))
        target = self.in_source("m.skops")

        def put(version):
            shutil.copy(self.in_source(f"version{version}"), target + ".new")
            os.rename(target + ".new", target)
        put(1)
        self.mount("--revalidate=0")
        done = threading.Event()

        def replace():
            while not done.is_set():
                for version in (2, 1):
                    put(version)
                    time.sleep(0.1)  # new archives are read when their times have settled
        replacing = threading.Thread(target=replace)
        replacing.start()
        try:
            seen, loads = set(), 0
            while len(seen) < 2 or loads < 100:
                loads += 1
                model = skopsfs.load(self.in_mount("m.skops"))
                versions = {*numpy.unique(model.coef_), *model.intercept_}
                self.assertEqual(len(versions), 1)
                seen |= versions
        finally:
            done.set()
            replacing.join()
        self.assertEqual(seen, {1.0, 2.0})

    def test_many_threads_beside_skops_itself(self):
        wanted = joblib.hash(self.large_model())
        self.mount()
        path, plain = self.in_mount("large.skops"), self.in_source("large.skops")
        found = []

        def load(number):
            model = skops.io.load(plain) if number % 2 else skopsfs.load(path)
            found.append((is_mapped(model.coef_),
                          joblib.hash(model, coerce_mmap=True) == wanted))
        threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(found), [(False, True)] * 4 + [(True, True)] * 4)


def mappings_below(folder):
    with open("/proc/self/maps", encoding="utf-8") as lines:
        return sum(folder + "/" in line for line in lines)


if __name__ == "__main__":
    warnings.simplefilter("default")
    main()
