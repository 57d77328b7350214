"""NumPy on the mount: arrays mapped from members, shared by all processes."""

import errno
import io
import multiprocessing

import numpy
import scipy.sparse

import archives
from mount import HANG, MountTest, main, needs_root
from processes import PAGE, Child, agreed, frames, in_child
from test_genuine import _DATA, manifest


def array(rows=3000, columns=257, seed=1):
    return numpy.random.default_rng(seed).standard_normal((rows, columns))


def frames_of(mapped):
    """The page frames of a mapped array; touches all of it."""
    mapped.sum()
    start = mapped.ctypes.data // PAGE * PAGE
    end = mapped.ctypes.data + mapped.nbytes
    return frames(start, -(-(end - start) // PAGE))


class Numpy(MountTest):
    def setUp(self):
        super().setUp()
        self.expected = array()
        # A short first member: the second lies at an odd offset of the archive.
        members = {"schema.json": b"{}", "array.npy": archives.npy(self.expected)}
        archives.write_members(self.in_source("model.skops"), members)
        archives.write_members(self.in_source("small.skops"), members, archives.DEFLATED)
        self.member = self.in_mount("model.skops", "array.npy")

    def test_mapped_for_reading(self):
        self.mount()
        for name in ("model.skops", "small.skops"):
            mapped = numpy.load(self.in_mount(name, "array.npy"), mmap_mode="r")
            self.assertIsInstance(mapped, numpy.memmap)
            numpy.testing.assert_array_equal(mapped, self.expected)
            with self.assertRaises(ValueError):
                mapped[0, 0] = 1

    def test_loaded_as_a_copy(self):
        self.mount()
        numpy.testing.assert_array_equal(numpy.load(self.member), self.expected)

    def test_writes_to_a_copy_on_write_map_stay_private(self):
        self.mount()
        private = numpy.load(self.member, mmap_mode="c")
        other = numpy.load(self.member, mmap_mode="r")
        private[:] = -1
        self.assertEqual(private.sum(), -private.size)
        numpy.testing.assert_array_equal(other, self.expected)
        fresh = in_child(lambda: numpy.array(numpy.load(self.member, mmap_mode="r")))
        numpy.testing.assert_array_equal(fresh, self.expected)

    def test_a_map_for_writing_is_refused(self):
        self.mount()
        for mode in ("r+", "w+"):
            with self.assertRaises(OSError) as caught:
                if mode == "r+":
                    numpy.load(self.member, mmap_mode=mode)
                else:
                    numpy.memmap(self.member, mode=mode, shape=(10,))
            self.assertEqual(caught.exception.errno, errno.EROFS, mode)

    def test_stored_arrays_are_aligned(self):
        self.mount(source=_DATA)
        checked = 0
        for name, members in manifest(_DATA).items():
            for member, facts in members.items():
                if not member.endswith(".npy") or "O" in facts.get("dtype", "O"):
                    continue
                mapped = numpy.load(self.in_mount(name, member), mmap_mode="r")
                self.assertTrue(mapped.flags.aligned, f"{name}/{member}")
                if mapped.size:
                    self.assertEqual(mapped.ctypes.data % 64, 0, f"{name}/{member}")
                self.assertEqual(mapped.dtype.str, numpy.dtype(facts["dtype"]).str)
                self.assertEqual(list(mapped.shape), facts["shape"])
                checked += 1
        self.assertGreater(checked, 10)

    @needs_root
    def test_processes_share_the_page_frames(self):
        self.mount()
        for name in ("model.skops", "small.skops"):
            path = self.in_mount(name, "array.npy")
            mapped = numpy.load(path, mmap_mode="r")
            ours, theirs = agreed(lambda m=mapped, p=path: [
                frames_of(m), in_child(lambda: frames_of(numpy.load(p, mmap_mode="r")))])
            self.assertNotIn(None, ours)
            self.assertEqual(len(set(ours)), len(ours))
            self.assertEqual(ours, theirs, name)
            print(f"{len(ours)} frames shared ", end="", flush=True)

    @needs_root
    def test_three_processes_at_once(self):
        self.mount()

        def three():
            mapped_by_all = multiprocessing.Barrier(3)

            def work():
                mapped = numpy.load(self.member, mmap_mode="r")
                total = float(mapped.sum())
                mapped_by_all.wait(HANG)
                return total, frames_of(mapped)

            children = [Child(work) for _ in range(3)]
            for child in children:
                self.addCleanup(child.end)
            return [child.result() for child in children]

        results = agreed(three)
        self.assertEqual([total for total, _ in results], [float(self.expected.sum())] * 3)
        self.assertEqual(len({tuple(pages) for _, pages in results}), 1)

    def test_sparse_matrix(self):
        """An .npz member is a file like any other; SciPy reads it as from a folder."""
        matrix = scipy.sparse.random(300, 200, 0.1, "csr", random_state=3)
        buffer = io.BytesIO()
        scipy.sparse.save_npz(buffer, matrix)
        archives.write_members(self.in_source("sparse.skops"), {"m.npz": buffer.getvalue()})
        self.mount()
        loaded = scipy.sparse.load_npz(self.in_mount("sparse.skops", "m.npz"))
        self.assertEqual((loaded != matrix).nnz, 0)


if __name__ == "__main__":
    main()
