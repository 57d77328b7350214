"""The Python package skopsfs where archives are hostile, damaged or odd, and where resources end.

skops is the real one or a stand-in, as in test_loader.py.
"""

import contextlib
import gc
import io
import json
import os
import mmap
import sys
import warnings
import zipfile
from collections import Counter
from functools import partial

import numpy
import scipy.sparse

import archives
from mount import MountTest, main
from processes import in_child
from test_loader import is_mapped, skops, skopsfs
from skopsfs import _memory


class Limits(MountTest):
    def both(self, name, trusted=None, **options):
        """What skops and skopsfs make of an archive: the object, or the type of the error."""
        found = []
        for load, path in ((skops.io.load, self.in_source(name)),
                           (partial(skopsfs.load, **options), self.in_mount(name))):
            try:
                found.append(load(path, trusted=trusted))
            except Exception as error:  # any, if it is the same
                found.append(type(error))
        return found

    def test_a_schema_leads_nowhere_else(self):
        """It names files by text: none but members may be read."""
        outside = self.in_source("secret.bin")
        archives.write(outside, b"secret")
        names = [outside, "/etc/hostname", "../secret.bin", "a/../../secret.bin", "", "/", ".", "..",
                 "by-name/x.npy", "./1.npy", "a//1.npy", "1.npy/", "1.npy/x", "1.npy\0", "no.npy", 7,
                 None, ["1.npy"], "a", "a/1.npy\0", "a/no.npy", "a/\ud83d", "a/" + "x" * 300, "\ud83d"]
        kinds = {"BytesNode": ("builtins", "bytes", {}),
                 "NdArrayNode": ("numpy", "ndarray", {"type": "numpy"}),
                 "SparseMatrixNode": ("scipy.sparse", "csr_matrix", {"type": "scipy"})}
        for number, name in enumerate(names):
            for loader, (module, kind, more) in kinds.items():
                schema = {"__loader__": loader, "__module__": module, "__class__": kind, "__id__": 1,
                          "file": name, "protocol": 2, **more}
                archives.write_members(self.in_source(f"{loader}{number}.skops"), {
                    "schema.json": json.dumps(schema).encode(), "1.npy": archives.npy(numpy.ones(3)),
                    "a/1.npy": b"x"})
        self.mount()
        for number, name in enumerate(names):
            for loader in kinds:
                with self.subTest(loader=loader, name=name):
                    with self.assertRaises((KeyError, TypeError, AttributeError)):
                        skops.io.load(self.in_source(f"{loader}{number}.skops"),
                                      trusted=["scipy.sparse.csr_matrix"])
                    with self.assertRaises(KeyError):
                        skopsfs.load(self.in_mount(f"{loader}{number}.skops"), min_bytes=1,
                                     trusted=["scipy.sparse.csr_matrix"])

    def test_members_in_folders(self):
        """skops reads them, although it writes none."""
        schema = {"__loader__": "NdArrayNode", "__module__": "numpy", "__class__": "ndarray", "__id__": 1,
                  "type": "numpy", "file": "a/b/1.npy", "protocol": 2}
        archives.write_members(self.in_source("m.skops"), {
            "schema.json": json.dumps(schema).encode(), "a/b/1.npy": archives.npy(numpy.arange(3))})
        self.mount()
        for least in (1, 1 << 20):
            self.assertEqual([found.tolist() for found in self.both("m.skops", min_bytes=least)],
                             [[0, 1, 2]] * 2)

    def test_scalars_of_every_kind(self):
        """And what is none."""
        values = {"float64": 3.5, "int8": 3, "bool_": True, "bytes_": b"abc", "str_": "abc", "complex64": 1j,
                  "datetime64": numpy.datetime64("2020-01-01"), "generic": 3, "flatiter": 3, "save": 3, "no": 3,
                  "object_": 3, "matrix": [3]}
        for kind, value in values.items():
            schema = {"__loader__": "NdArrayNode", "__module__": "numpy", "__class__": kind, "__id__": 1,
                      "type": "numpy", "file": "1.npy", "protocol": 2}
            archives.write_members(self.in_source(f"{kind}.skops"), {
                "schema.json": json.dumps(schema).encode(), "1.npy": archives.npy(numpy.array(value))})
        self.mount()
        for kind in values:
            with self.subTest(kind=kind):
                plain, found = self.both(f"{kind}.skops", [f"numpy.{kind}"], min_bytes=1)
                self.assertEqual((type(found), repr(found)), (type(plain), repr(plain)))

    def test_members_are_opened_once(self):
        """In the order in which they lie in the archive, so that the kernel reads ahead. And the archive is listed
        once, which is what loading may cost beside skops's own work."""
        skops.io.dump([numpy.full(600, float(number)) for number in range(50)], self.in_source("m.skops"))
        self.mount()

        def load():
            opened, listed = Counter(), []

            def seen(event, arguments):
                if event == "open" and str(arguments[0]).endswith((".npy", "schema.json")):
                    opened[os.path.basename(arguments[0])] += 1
                elif event in ("os.listdir", "os.scandir"):
                    listed.append(arguments)
            skopsfs.load(self.in_mount("m.skops"))  # with what it imports
            sys.addaudithook(seen)
            skopsfs.load(self.in_mount("m.skops"))
            skopsfs.load(self.in_mount("m.skops"), min_bytes=1)
            return list(opened), set(opened.values()), len(listed)
        with zipfile.ZipFile(self.in_source("m.skops")) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
        self.assertEqual(in_child(load), (["schema.json", *names], {2}, 2))
        self.assertEqual(len(names), 50)

    def test_the_garbage_collector_rests(self):
        """While models are loaded, and no longer; where it does not run, that stays so."""
        skops.io.dump([numpy.full(600, float(number)) for number in range(3)], self.in_source("m.skops"))
        archives.write_members(self.in_source("bad.skops"), {"schema.json": b"{}"})
        self.mount()

        def load():
            seen, after = [], []
            sys.addaudithook(lambda event, arguments: seen.append(gc.isenabled())
                             if event == "open" and str(arguments[0]).endswith("npy") else None)
            for name in ("m.skops", "bad.skops", "m.skops"):
                with contextlib.suppress(KeyError):
                    skopsfs.load(self.in_mount(name))
                after.append(gc.isenabled())
            with _memory.loading():
                skopsfs.load(self.in_mount("m.skops"))
                after.append(gc.isenabled())
            gc.disable()
            skopsfs.load(self.in_mount("m.skops"))
            return seen, after, gc.isenabled()
        self.assertEqual(in_child(load), ([False] * 12, [True, True, True, False], False))

    def test_arrays_of_every_kind(self):
        """What is read or mapped of them has the same type, order, bytes, and right to be written."""
        generator = numpy.random.default_rng(1)
        arrays = [numpy.array(3.5), numpy.zeros((0, 4)), numpy.zeros((3, 0), order="F"), generator.random((3, 5)),
                  numpy.asfortranarray(generator.random((3, 5, 2))), numpy.arange(9, dtype=">i4")[::2],
                  numpy.array(["a", "\u20ac"]), numpy.array([b"x"]), numpy.array(["2020-01-01"], "M8[ns]"),
                  numpy.array([(1, 2.5)], [("a", "i2"), ("b", "f8")]), numpy.array([True, False]),
                  numpy.zeros(2, numpy.dtype([("a", "u1"), ("b", "f8")], align=True)), numpy.float32(7)]
        skops.io.dump(arrays, self.in_source("m.skops"))
        self.mount()
        plain = skops.io.load(self.in_source("m.skops"))
        for least in (1, 1 << 20):
            for found, wanted in zip(skopsfs.load(self.in_mount("m.skops"), min_bytes=least), plain):
                with self.subTest(wanted=wanted, min_bytes=least):
                    self.assertIs(type(found), type(wanted))
                    self.assertEqual((found.dtype, found.shape, found.flags.c_contiguous,
                                      found.flags.f_contiguous, found.flags.writeable, found.flags.aligned),
                                     (wanted.dtype, wanted.shape, wanted.flags.c_contiguous,
                                      wanted.flags.f_contiguous, wanted.flags.writeable, wanted.flags.aligned))
                    self.assertEqual(found.tolist(), wanted.tolist())
                    if least > 1 and found.ndim == 1:  # of thousands of small ones, each view would count
                        self.assertTrue(found.flags.owndata)

    def test_sparse_matrices_whose_names_are_changed(self):
        """In by-name, so that they are different and fit: they are the same matrices all the same."""
        matrix = scipy.sparse.random(300, 40, 0.2, "csr", random_state=1)
        other = {"format": numpy.array("csr"), "shape": numpy.array([1, 2]), "data": numpy.array([5.]),
                 "indices": numpy.array([1]), "indptr": numpy.array([0, 1])}
        models = [{"a%01": other, "a\x01": matrix}, {"a\x01": matrix, "a%01": other},
                  {"x.npz": other, "x": matrix}, {"x": matrix, "x.npz": matrix * 2},
                  {"y" * 252: matrix}, {"x": {"format.npy": matrix}}]
        for number, model in enumerate(models):
            skops.io.dump(model, self.in_source(f"{number}.skops"))
        self.mount()
        for number in range(len(models)):
            with self.subTest(number=number):
                path = self.in_source(f"{number}.skops")
                trusted = skops.io.get_untrusted_types(file=path)
                wanted = skops.io.load(path, trusted=trusted)
                found = skopsfs.load(self.in_mount(f"{number}.skops"), trusted, min_bytes=1)
                self.assertEqual(flat(found), flat(wanted))

    def test_an_npz_that_compresses_well_is_mapped(self):
        matrix = scipy.sparse.csr_matrix(numpy.ones((600, 600)))
        skops.io.dump({"X": matrix}, self.in_source("ones.skops"))
        self.assertLess(os.path.getsize(self.in_source("ones.skops")), 1 << 20)
        self.mount()
        trusted = skops.io.get_untrusted_types(file=self.in_source("ones.skops"))
        found = skopsfs.load(self.in_mount("ones.skops"), trusted)["X"]
        self.assertTrue(is_mapped(found.data))
        self.assertEqual((found != matrix).nnz, 0)

    def test_npz_that_are_no_matrices(self):
        broken = io.BytesIO()
        numpy.savez(broken, format=numpy.array("csr"), shape=numpy.array([2, 2]))
        strange = io.BytesIO()
        numpy.savez(strange, format=numpy.array("new"))
        for number, data in enumerate((b"no zip", broken.getvalue(), strange.getvalue())):
            schema = {"__loader__": "SparseMatrixNode", "__module__": "scipy.sparse", "protocol": 2,
                      "__class__": "csr_matrix", "type": "scipy", "file": "1.npz", "__id__": 1}
            archives.write_members(self.in_source(f"{number}.skops"), {
                "schema.json": json.dumps(schema).encode(), "1.npz": data})
        self.mount()
        for number in range(3):
            plain, mapped = self.both(f"{number}.skops", ["scipy.sparse.csr_matrix"])
            self.assertTrue(issubclass(plain, Exception))
            self.assertIs(mapped, plain)

    def test_without_by_name(self):
        matrix = scipy.sparse.random(300, 40, 0.2, "csr", random_state=1)
        skops.io.dump({"X": matrix}, self.in_source("m.skops"))
        self.mount("-o", "noby-name")
        trusted = skops.io.get_untrusted_types(file=self.in_source("m.skops"))
        with self.assertWarnsRegex(skopsfs.UnmappedWarning, "npz is copied into this process, .* no names") as warned:
            found = skopsfs.load(self.in_mount("m.skops"), trusted, min_bytes=1)["X"]
        self.assertEqual(warned.filename, __file__)
        self.assertEqual((found != matrix).nnz, 0)
        self.assertFalse(is_mapped(found.data))

    def test_a_schema_that_by_name_refuses(self):
        """Sparse matrices are then not shared, which is said: of those that would have been."""
        ones = scipy.sparse.csr_matrix(numpy.ones((600, 600)))  # which compress to less than a MiB
        skops.io.dump({"x" * 70_000: ones}, self.in_source("large.skops"))
        skops.io.dump({"x" * 70_000: scipy.sparse.eye(3, format="csr")}, self.in_source("small.skops"))
        self.mount()
        trusted = skops.io.get_untrusted_types(file=self.in_source("large.skops"))
        path = self.in_mount("large.skops")
        reason = os.getxattr(os.path.join(path, "by-name"), "user.skopsfs.error").decode()
        with self.assertWarns(skopsfs.UnmappedWarning) as warned:
            [found] = skopsfs.load(path, trusted).values()
        self.assertIn(reason, str(warned.warning))
        self.assertEqual((found != ones).nnz, 0)
        with self.assertRaisesRegex(ValueError, "npz cannot be mapped"):
            skopsfs.load(path, trusted, require_mapped=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            skopsfs.load(self.in_mount("small.skops"), trusted, require_mapped=True)

    def test_large_arrays_that_skops_has_to_make(self):
        """Subclasses, and what has a header that only NumPy reads. That they are copied is said."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of either
            models = {"matrix": numpy.matrix(numpy.ones((1000, 200))),
                      "header": numpy.ones(200_000, [("\u65e5", "f8")])}
            for name, model in models.items():
                skops.io.dump(model, self.in_source(f"{name}.skops"))
                skops.io.dump(model[:9], self.in_source(f"{name}-small.skops"))
        self.mount()
        for name, model in models.items():
            with self.subTest(name):
                trusted = skops.io.get_untrusted_types(file=self.in_source(f"{name}.skops"))
                with self.assertWarnsRegex(skopsfs.UnmappedWarning, "cannot be mapped: .*(matrix|header)") as warned:
                    found = skopsfs.load(self.in_mount(f"{name}.skops"), trusted)
                self.assertEqual(warned.filename, __file__)
                self.assertEqual((type(found), found.tobytes()), (type(model), model.tobytes()))
                with self.assertRaisesRegex(ValueError, "npy cannot be mapped"):
                    skopsfs.load(self.in_mount(f"{name}.skops"), trusted, require_mapped=True)
                skopsfs.load(self.in_mount(f"{name}-small.skops"), trusted, require_mapped=True)

    def test_more_arrays_than_mappings(self):
        """What cannot be mapped is read, and that is said."""
        model = {str(number): numpy.full(600, float(number)) for number in range(100)}
        skops.io.dump(model, self.in_source("m.skops"))
        self.mount()

        def load():
            room = [bytes(5000) for _ in range(500)]  # in the heap, which can then grow no more
            pages = take_all_mappings()
            del pages[-30:], room[:-1]
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                found = skopsfs.load(self.in_mount("m.skops"), min_bytes=1)
            right = all((found[name] == array).all() for name, array in model.items())
            with self.assertRaisesRegex(ValueError, "max_map_count"):
                skopsfs.load(self.in_mount("m.skops"), min_bytes=1, require_mapped=True)
            del pages, room
            return right, sum(map(is_mapped, found.values())), [str(w.message) for w in seen]
        right, mapped, messages = in_child(load)
        self.assertTrue(right)
        self.assertGreater(mapped, 10)
        self.assertLess(mapped, 100)
        self.assertTrue(messages)
        self.assertTrue(all("vm.max_map_count" in message for message in messages), messages)

    def test_a_header_that_claims_more_than_there_is(self):
        """It is no map whose end would be SIGBUS."""
        whole = archives.npy(numpy.ones(600))
        schema = {"__loader__": "NdArrayNode", "__module__": "numpy", "__class__": "ndarray", "__id__": 1,
                  "type": "numpy", "file": "1.npy", "protocol": 2}
        headers = [whole.replace(b"(600,)", shape) for shape in (
            b"(9**9)", b"(601,)", b"(-1,)  ", b"(9999999999999999999999,)", b"(1 << 62, 4)")]
        for number, data in enumerate([whole[:-1], whole[:64], whole[:5], b"", *headers]):
            archives.write_members(self.in_source(f"{number}.skops"), {
                "schema.json": json.dumps(schema).encode(), "1.npy": data})
        self.mount()
        for number in range(4 + len(headers)):
            with self.subTest(number=number):
                plain, mapped = self.both(f"{number}.skops", min_bytes=1)
                self.assertIs(mapped, plain)
                self.assertTrue(issubclass(plain, Exception))

    def test_damage_is_named(self):
        """Where the member is, and what skopsfs says of it."""
        array = numpy.random.default_rng(1).standard_normal(1 << 18)
        skops.io.dump({"a": array}, self.in_source("m.skops"))
        with open(self.in_source("m.skops"), "rb") as file:
            data = bytearray(file.read())
        data[data.index(b"NUMPY") + 2] ^= 1
        archives.write(self.in_source("bad.skops"), bytes(data))
        self.mount("--verify=open")
        with self.assertRaises(OSError) as raised:
            skopsfs.load(self.in_mount("bad.skops"))
        self.assertIn("bad CRC-32", raised.exception.strerror)
        self.assertIn("bad.skops", raised.exception.filename)


def take_all_mappings():
    """Maps pages until no more can be; each is a mapping of its own, as the next may not be read."""
    pages = []
    while True:
        try:
            pages.append(mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ * (len(pages) % 2)))
        except OSError:
            return pages


def flat(model):
    """A nested dict of arrays and matrices, to be compared."""
    if isinstance(model, dict):
        return {name: flat(value) for name, value in model.items()}
    if scipy.sparse.issparse(model):
        return type(model).__name__, model.shape, model.toarray().tolist()
    return model.dtype.str, model.tolist()


if __name__ == "__main__":
    main()
