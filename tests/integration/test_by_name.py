"""Members by the names that their schema gives them."""

import errno
import io
import json
import os

import numpy
import scipy.sparse

import archives
from archives import PAGE
from mount import MountTest, main, needs_root, run
from processes import frames, in_two
from test_genuine import folders, manifest


def files_of(schema):
    """All that a schema calls a file, wherever that is."""
    found, left = [], [schema]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(value.get("file"), str):
                found.append(value["file"])
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return found


def worker_memory(mount):
    """Its private memory now and at most, in bytes."""
    with open(f"/proc/{mount.worker()}/status", encoding="ascii") as lines:
        found = dict(line.split(":", 1) for line in lines)
    return tuple(int(found[name].split()[0]) << 10 for name in ("RssAnon", "VmHWM"))


def links_below(folder):
    """Of each link below `folder` its relative path, and where it leads to."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if os.path.islink(full):
                found[os.path.relpath(full, folder)] = os.readlink(full)
    return found


def _mapped(path):
    """The sum of a mapped array, and its page frames."""
    array = numpy.load(path, mmap_mode="r")
    total = float(array.sum())
    return total, frames(array.ctypes.data // PAGE * PAGE, array.nbytes // PAGE)


class ByName(MountTest):
    def links(self, archive):
        return links_below(self.in_mount(archive, "by-name"))

    def test_every_member_of_genuine_archives_has_a_name(self):
        named = linked = 0
        for folder in folders():
            mount = self.mount(source=folder)
            for archive in manifest(folder):
                with self.subTest(archive=archive):
                    with open(self.in_mount(archive, "schema.json"), encoding="utf-8") as file:
                        files = files_of(json.load(file))
                    top = os.path.realpath(self.in_mount(archive))
                    found = [os.path.realpath(self.in_mount(archive, "by-name", link))
                             for link in self.links(archive)]
                    self.assertEqual(sorted(os.path.relpath(path, top) for path in found),
                                     sorted(files))
                    named += len(files)
                    linked += len(found)
            self.assertEqual(mount.stop(), 0)
        print(f"{named} named, {linked} linked ", end="", flush=True)

    def test_names_of_genuine_archives(self):
        self.mount(source=folders()[0])
        self.assertEqual(set(self.links("logistic_regression.skops")),
                         {"classes_.npy", "coef_.npy", "intercept_.npy", "n_iter_.npy"})
        self.assertEqual(set(self.links("logistic_regression.lzma.skops")),
                         {"classes_.npy", "coef_.npy", "intercept_.npy", "n_iter_.npy"})
        self.assertEqual(set(self.links("tfidf.skops")), {"_tfidf/_idf_diag.npz"})
        self.assertLessEqual({"c_order.npy", "csr.npz", "zero_d.npy"},
                             set(self.links("arrays.skops")))

    def test_names_of_pipelines_and_forests(self):
        if len(folders()) < 2:
            self.skipTest("there is no ../shared/corpus beside the repository")
        self.mount(source=folders()[1])
        self.assertLessEqual({"steps/standardscaler/mean_.npy", "steps/logisticregression/coef_.npy"},
                             set(self.links("pipeline.skops")))
        self.assertLessEqual({"estimators_/0/tree_/nodes.npy", "estimators_/0/tree_/args/1.npy"},
                             set(self.links("random_forest.skops")))

    def test_arrays_are_mapped_by_name(self):
        self.mount(source=folders()[0])
        path = self.in_mount("kmeans.skops", "by-name", "cluster_centers_.npy")
        array = numpy.load(path, mmap_mode="r")
        self.assertIsInstance(array, numpy.memmap)
        direct = numpy.load(os.path.realpath(path))
        self.assertTrue(numpy.array_equal(array, direct))
        self.assertEqual(os.path.dirname(os.path.realpath(path)), self.in_mount("kmeans.skops"))

    def test_sparse_matrices_are_folders_of_arrays(self):
        """However the npz and what is in it are compressed."""
        self.mount(source=folders()[0])
        for archive in ("arrays.skops", "arrays.deflated.skops", "tfidf.skops", "knn_sparse.skops"):
            npz = [link for link in self.links(archive) if link.endswith(".npz")]
            self.assertTrue(npz)
            for link in npz:
                with self.subTest(archive=archive, link=link):
                    path = self.in_mount(archive, "by-name", link)
                    with numpy.load(path) as arrays:
                        wanted = {f"{name}.npy": arrays[name] for name in arrays.files}
                    folder = path.removesuffix(".npz")
                    self.assertEqual(sorted(os.listdir(folder)), sorted(wanted))
                    for name, array in wanted.items():
                        mode = "r" if array.size and array.ndim else None
                        found = numpy.load(os.path.join(folder, name), mmap_mode=mode)
                        self.assertTrue(numpy.array_equal(found, array), name)

    @needs_root
    def test_arrays_of_a_sparse_matrix_are_shared(self):
        matrix = scipy.sparse.random(3000, 1000, density=0.2, format="csr", random_state=1)
        schema = {"__loader__": "SparseMatrixNode", "type": "scipy", "file": "1.npz"}
        for compressed in (False, True):
            for method in (archives.STORED, archives.DEFLATED):
                with self.subTest(inner=compressed, outer=method):
                    npz = io.BytesIO()
                    scipy.sparse.save_npz(npz, matrix, compressed=compressed)
                    name = f"{compressed}{method}.skops"
                    archives.write_members(self.in_source(name), {
                        "1.npz": npz.getvalue(), "schema.json": json.dumps(schema).encode()}, method)
                    mount = self.mount()
                    path = self.in_mount(name, "by-name", "root", "data.npy")
                    with open(path, "rb"):
                        one, two = in_two(_mapped, path)
                    self.assertEqual(one[0], float(matrix.data.sum()))
                    self.assertNotIn(None, one[1])
                    self.assertEqual(one, two)
                    self.assertEqual(mount.stop(), 0)

    def test_an_npz_that_is_none(self):
        schema = {"__loader__": "DictNode", "content": {
            "X": {"__loader__": "SparseMatrixNode", "file": "1.npz"}}}
        archives.write_members(self.in_source("a.skops"), {
            "1.npz": b"no zip", "schema.json": json.dumps(schema).encode()})
        mounted = self.mount()
        folder = self.in_mount("a.skops", "by-name", "X")
        self.assertEqual(sorted(os.listdir(os.path.dirname(folder))), ["X", "X.npz"])
        with self.assertRaises(OSError) as raised:
            os.listdir(folder)
        self.assertEqual(raised.exception.errno, errno.EIO)
        mounted.wait_for_log("1.npz", "cannot be shown as a folder")
        self.assertTrue(os.getxattr(folder, "user.skopsfs.error"))
        with open(folder + ".npz", "rb") as file:
            self.assertEqual(file.read(), b"no zip")

    def test_links_are_copied_and_lead_to_the_copies(self):
        self.mount(source=folders()[0])
        links = self.links("arrays.skops")
        for number, command in enumerate((("cp", "-a"), ("rsync", "-a"), ("rsync", "-aX"))):
            with self.subTest(command=command):
                target = self.make_folder(f"copy{number}")
                run(*command, self.in_mount("arrays.skops"), target)
                copied = os.path.join(target, "arrays.skops")
                self.assertEqual(links_below(os.path.join(copied, "by-name")), links)
                for link in links:
                    leads_to = os.path.realpath(os.path.join(copied, "by-name", link))
                    self.assertEqual(os.path.dirname(leads_to), copied)
                    self.assertTrue(os.path.exists(leads_to))

    def test_a_large_forest(self):
        """Many links, which one listing shows."""
        trees = [{"__loader__": "ObjectNode", "content": {"__loader__": "DictNode", "content": {
            "tree_": {"__loader__": "NdArrayNode", "file": f"{number}.npy"}}}}
                 for number in range(10_000)]
        schema = {"__loader__": "ObjectNode", "content": {"__loader__": "DictNode", "content": {
            "estimators_": {"__loader__": "ListNode", "content": trees}}}}
        members = {f"{number}.npy": b"%d" % number for number in range(10_000)}
        archives.write_members(self.in_source("forest.skops"),
                               {"schema.json": json.dumps(schema).encode(), **members})
        self.mount()
        found = self.links("forest.skops")
        self.assertEqual(len(found), 10_000)
        self.assertEqual(found["estimators_/1234/tree_.npy"], "../../../1234.npy")

    def test_a_schema_of_a_hundred_mib(self):
        """It takes less than three times its size while it is read, and little per link afterwards."""
        attributes = ", ".join(
            f'"a{number}": {{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", '
            f'"content": "{number}", "is_json": true, "__id__": 140062682121776}}' for number in range(60))
        tree = ('{"__class__": "T", "__module__": "sklearn.tree", "__loader__": "ObjectNode", "content": '
                '{"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {'
                + attributes + ', "nodes": {"__loader__": "NdArrayNode", "file": "1.npy", "__id__": 7}}}}')
        count = (100 << 20) // len(tree)
        schema = ('{"__loader__": "ListNode", "content": [' + ", ".join([tree] * count) + "]}").encode()
        archives.write_members(self.in_source("large.skops"), {"schema.json": schema, "1.npy": b"1"})
        mounted = self.mount()
        os.listdir(self.in_mount("large.skops"))
        before, _ = worker_memory(mounted)
        found = self.links("large.skops")
        self.assertEqual(len(found), count)
        after, most = worker_memory(mounted)
        self.assertLess(most - before, 3 * len(schema))
        if "SKOPSFS_SANITIZED" not in os.environ:  # whose allocator gives nothing back at once
            self.assertLess(after - before, 64 * count + (8 << 20))  # and what the allocator keeps

    def test_a_key_that_is_no_text(self):
        """As a TfidfVectorizer over characters has; skops writes it as json.dumps does."""
        array = {"__loader__": "NdArrayNode", "file": "1.npy"}
        schema = {"__loader__": "DictNode", "content": {
            "\ud83d": array, "a": {"__loader__": "JsonNode", "content": json.dumps("\ude00")},
            "\u00e4\ud83d": array, "\ud83d\ude00": array, "bound": {"__loader__": "JsonNode", "content": "NaN"}}}
        data = json.dumps(schema).encode()
        self.assertIn(rb'"\ud83d": {', data)
        archives.write_members(self.in_source("a.skops"), {"schema.json": data, "1.npy": b"1"})
        self.mount()
        self.assertEqual(set(self.links("a.skops")),
                         {"%ED%A0%BD.npy", "\u00e4%ED%A0%BD.npy", "\U0001f600.npy"})
        with open(self.in_mount("a.skops", "by-name", "%ED%A0%BD.npy"), "rb") as file:
            self.assertEqual(file.read(), b"1")

    def test_a_broken_schema_breaks_nothing_else(self):
        archives.write_members(self.in_source("a.skops"), {"schema.json": b"{", "1.npy": b"1"})
        mounted = self.mount()
        with self.assertRaises(OSError) as raised:
            os.listdir(self.in_mount("a.skops", "by-name"))
        self.assertEqual(raised.exception.errno, errno.EIO)
        reason = os.getxattr(self.in_mount("a.skops", "by-name"), "user.skopsfs.error")
        self.assertIn(b"schema.json is not JSON", reason)
        with open(self.in_mount("a.skops", "1.npy"), "rb") as file:
            self.assertEqual(file.read(), b"1")
        mounted.wait_for_log("by-name cannot be shown")

    def test_without(self):
        self.mount("-o", "noby-name", source=folders()[0])
        self.assertNotIn("by-name", os.listdir(self.in_mount("kmeans.skops")))
        self.assertFalse(os.path.exists(self.in_mount("kmeans.skops", "by-name")))


if __name__ == "__main__":
    main()
