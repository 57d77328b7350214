"""skopsfs.report: where the arrays of a model lie."""

import json
import os
import subprocess
import sys

import numpy
import scipy.sparse

from mount import MountTest, main
from processes import PAGE
from test_loader import PACKAGE, STAND_IN, skops, skopsfs

MIB = 1 << 20


class Report(MountTest):
    def by_place(self, model):
        return {array.where: array for array in skopsfs.report(model).arrays}

    def test_mapped_and_private(self):
        skops.io.dump({"large": numpy.ones(MIB), "small": numpy.ones(5)}, self.in_source("m.skops"))
        self.mount()
        model = skopsfs.load(self.in_mount("m.skops"))
        large = self.by_place(model)["large"]
        self.assertEqual((large.size, large.mapped, large.private), (8 * MIB, True, 0))
        self.assertLess(large.shared, MIB, "looking has brought it into memory")
        model["large"].sum()
        large = self.by_place(model)["large"]
        self.assertGreaterEqual(large.shared, 8 * MIB)
        model["large"][:PAGE] = 2  # eight pages of them
        large, small = (self.by_place(model)[name] for name in ("large", "small"))
        self.assertIn(large.private, (8 * PAGE, 9 * PAGE))
        self.assertEqual((small.size, small.mapped, small.shared, small.private), (40, False, 0, 40))
        found = skopsfs.report(model)
        self.assertEqual(found.saved, 8 * MIB - large.private)
        self.assertEqual(json.loads(json.dumps(found.as_dict())), {
            "arrays": [large._asdict(), small._asdict()], "saved": found.saved, "merged": 0})
        self.assertIn(f"{8 * MIB:,}", str(found))
        self.assertNotIn("small", str(found))

    def test_finds_arrays_everywhere(self):
        """Once each, also where a model holds itself."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.neighbors import KDTree
        array = numpy.ones(3)

        class Model:
            pass
        model = Model()
        model.itself, model.twice, model.again = model, array, array
        model.parts = [(numpy.ones(4),), {"key": numpy.ones(5)}, {7}]
        model.objects = numpy.array([numpy.ones(6), None], object)
        model.sparse = scipy.sparse.eye(4, format="csr")
        model.masked = numpy.ma.masked_less(numpy.arange(4.0), 2)
        model.forest = RandomForestClassifier(2).fit(numpy.eye(4), [0, 1, 0, 1])
        model.tree = KDTree(numpy.eye(4))
        found = self.by_place(model)
        sizes = {"parts/0/0": 32, "parts/1/key": 40, "objects/0": 48, "sparse/data": 32, "sparse/indptr": 20,
                 "masked": 32, "masked/mask": 4}
        self.assertEqual({where: found[where].size for where in sizes}, sizes)
        self.assertEqual(sum(array.size == 24 for array in found.values()), 1)
        self.assertIn("forest/estimators_/1/tree_/nodes", found)
        self.assertTrue(any(where.startswith("tree/") and array.size == 128 for where, array in found.items()))

    def test_views(self):
        array = numpy.arange(20.0)
        found = self.by_place([array[::2], array[::-1], array[:0]])
        self.assertEqual({where: part.size for where, part in found.items()}, {"0": 80, "1": 160, "2": 0})

    def test_while_others_change_it(self):
        """What they have cached meanwhile may be left out."""
        class Name:
            def __str__(self):
                model[len(model)] = None
                return "name"
        model = {Name(): numpy.ones(3)}
        self.assertEqual(self.by_place(model)["name"].size, 24)

    def test_command(self):
        skops.io.dump({"large": numpy.ones(MIB)}, self.in_source("m.skops"))
        skops.io.dump({"X": scipy.sparse.eye(3, format="csr")}, self.in_source("x.skops"))
        self.mount()

        def run(*words):
            return subprocess.run([sys.executable, "-B", "-m", "skopsfs", *words], check=False, text=True,
                                  capture_output=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(
                                      [PACKAGE, os.environ.get("PYTHONPATH", ""), STAND_IN])})
        done = run("report", self.in_mount("m.skops"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("8,388,608", done.stdout)
        done = run("report", self.in_mount("x.skops"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("--trust scipy.sparse._csr.csr_matrix", done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        done = run("report", self.in_mount("x.skops"), "--trust", "scipy.sparse._csr.csr_matrix")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("report", self.in_mount("no.skops"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("the nearest names are", done.stderr)


if __name__ == "__main__":
    main()
