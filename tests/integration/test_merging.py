"""What a model copies into a process: laid so that equal memory of processes can be merged, and merged (KSM).

skops is the real one or a stand-in, as in test_loader.py.
"""

import contextlib
import ctypes
import errno
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from unittest import mock

import numpy
from sklearn.ensemble import RandomForestRegressor

from ksm import ksm, needs_ksm
from mount import HANG, MountTest, main, until
from processes import PAGE, Child, frames, in_child
from test_loader import PACKAGE, STAND_IN, skops, skopsfs
from skopsfs import _memory

MIB = 1 << 20


def nodes(model):
    """The arrays that trees have copied, without another copy."""
    return [tree.tree_.__getstate__()["nodes"] for tree in model.estimators_]


def address(array):
    return array.__array_interface__["data"][0]


def heap_end():
    sbrk = ctypes.CDLL(None).sbrk
    sbrk.restype = ctypes.c_void_p
    return sbrk(0)


def marked():
    """The bytes of this process that may be merged, as ranges of addresses."""
    found = []
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            head = line.split(maxsplit=1)[0]
            if "-" in head:
                bounds = tuple(int(end, 16) for end in head.split("-"))
            elif head == "VmFlags:" and "mg" in line.split():
                found.append(bounds)
    return found


class Merging(MountTest):
    def setUp(self):
        super().setUp()
        self.data = numpy.random.default_rng(1).standard_normal((8000, 3))
        self.predicted = in_child(self.write_forest)  # which leaves no free memory for trees in this process
        self.mount()

    def write_forest(self, *others):
        """Saves a forest of four trees, with others if there are any. Returns predictions."""
        labels = numpy.random.default_rng(2).standard_normal(8000)
        forest = RandomForestRegressor(4, random_state=1).fit(self.data, labels)
        skops.io.dump([forest, *others] if others else forest, self.in_source("more.skops" if others else "m.skops"))
        return forest.predict(self.data[:50]).tolist()

    def load(self, **options):
        return skopsfs.load(self.in_mount("m.skops"), **options)

    def test_copies_have_pages_of_their_own(self):
        """Also when several threads load at a time, and memory that is freed leaves none of them."""
        def check():
            loaded = []
            threads = [threading.Thread(target=lambda: loaded.append(self.load())) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return [address(array) % PAGE for model in loaded for array in nodes(model)]
        self.assertEqual(in_child(check), [_memory._HEAD] * 12)

    def test_what_may_be_merged_is_not_put_where_temporaries_were(self):
        """The end of the heap, which glibc would fill before it gives memory pages of its own."""
        def check():
            self.load()
            numpy.ones(3 * MIB)
            return [address(array) % PAGE for array in nodes(self.load(merge=True))]
        with ignored():
            self.assertEqual(in_child(check), [_memory._HEAD] * 4)

    def test_temporaries_stay_in_the_heap(self):
        """Afterwards, and the end of the heap is not given back each time."""
        def check():
            model = self.load()
            self.assertGreater(len(nodes(model)), 0)
            found = []
            for _ in range(3):
                array = numpy.ones(MIB)  # eight of them
                end = heap_end()
                found.append(end - 64 * MIB < address(array) < end)
                del array
                found.append(heap_end() == end)
            return found
        self.assertEqual(in_child(check), [True] * 6)

    def test_a_threshold_that_the_user_has_set_is_kept(self):
        text = ("import os, numpy, skopsfs; before = numpy.ones(1 << 15); skopsfs.load(os.environ['MODEL']); "
                "arrays = [numpy.ones(1 << 15) for _ in range(2)]; "  # one may lie so in the heap, but not both
                "print({array.__array_interface__['data'][0] % 4096 for array in arrays} == {16})")
        for settings, is_mapped in (({"MALLOC_MMAP_THRESHOLD_": "100000"}, True),
                                    ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=100000"}, True), ({}, False)):
            with self.subTest(settings):
                self.assertEqual(self.run_python(text, settings), f"{is_mapped}\n")

    def test_a_child_that_is_forked_while_another_thread_loads(self):
        """It has not that thread: neither its threshold nor its lock, and its garbage collector runs."""
        def check():
            found = []
            for context in (_memory.pages_of_its_own(), _memory.loading(), _memory._lock):
                with in_another_thread(context):
                    found += in_child(self.is_as_after_loading)
            return found
        self.assertEqual(in_child(check), [True] * 12)

    def is_as_after_loading(self):
        """At once, and after loading."""
        def found():
            return [heap_end() - 64 * MIB < address(numpy.ones(MIB)) < heap_end(), gc.isenabled()]
        before = found()
        self.load()
        return before + found()

    def test_what_the_user_has_set_of_trimming_is_kept(self):
        """As dask does for its workers, so that they give memory back. glibc then keeps its other threshold, too."""
        text = ("import ctypes, os, numpy, skopsfs; model = skopsfs.load(os.environ['MODEL']); "
                "sbrk = ctypes.CDLL(None).sbrk; sbrk.restype = ctypes.c_void_p; "
                "small = [bytes(1000) for _ in range(1 << 15)]; end = sbrk(0); "  # 32 MiB
                "large = numpy.ones(1 << 15).__array_interface__['data'][0]; "
                "del small; print(end - sbrk(0) > 24 << 20, large % 4096 == 16)")
        for settings, found in (({"MALLOC_TRIM_THRESHOLD_": "65536"}, "True True"),
                                ({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=65536"}, "True True"),
                                ({"MALLOC_TOP_PAD_": "65536"}, "True True"), ({}, "False False")):
            with self.subTest(settings):
                self.assertEqual(self.run_python(text, settings), f"{found}\n")

    def run_python(self, text, settings):
        """What it prints, with the path of the model in MODEL."""
        done = subprocess.run([sys.executable, "-B", "-c", text], check=True, text=True, capture_output=True,
                              env={**os.environ, **settings, "MODEL": self.in_mount("m.skops"),
                                   "PYTHONPATH": os.pathsep.join(
                                       [PACKAGE, os.environ.get("PYTHONPATH", ""), STAND_IN])})
        return done.stdout

    def test_leaves_half_of_the_mappings(self):
        """That a process may have. Arrays amid other memory take two each; the largest come first."""
        memory = numpy.zeros(400 * PAGE, numpy.uint8)
        begin = -address(memory) % PAGE
        model = [memory[begin + (10 + 20 * index) * PAGE:][:(8 + (index == 9)) * PAGE] for index in range(15)]

        def check():
            maps = _memory.FileMaps().count
            with (mock.patch.object(_memory, "_most_maps", return_value=maps + 21),
                  warnings.catch_warnings(record=True) as said):
                warnings.simplefilter("always")
                _memory.merge(model)
            found = marked()
            return ([any(first <= address(array) < last for first, last in found) for array in model].count(True),
                    any(first <= address(model[9]) < last for first, last in found), str(said[0].message))
        count, has_largest, text = in_child(check)
        self.assertIn(count, (4, 5))  # reading the maps may take one
        self.assertTrue(has_largest)
        self.assertIn("max_map_count", text)
        self.assertEqual(_memory._joined([(8, 9), (1, 3), (5, 4), (3, 5), (2, 4), (7, 7)]), [(1, 5), (8, 9)])

    def test_pages_that_are_larger_than_an_array(self):
        """As on ARM, where they may have 64 KiB: it has no page of its own."""
        def check():
            with (mock.patch.object(_memory.mmap, "PAGESIZE", 1 << 16), ignored(),
                  mock.patch.object(_memory, "_madvise", return_value=0) as advised):
                _memory.merge([numpy.zeros(48 << 10, numpy.uint8)])
            return [call.args[1] for call in advised.call_args_list]
        self.assertEqual(in_child(check), [])

    def test_marks_copied_arrays_alone(self):
        in_child(self.write_forest, numpy.ones(MIB), numpy.ones(3 * PAGE, numpy.uint8))

        def check():
            other = numpy.ones(MIB)
            before = self.load()
            forest, mapped, small = skopsfs.load(self.in_mount("more.skops"), merge=True)
            found = marked()

            def touched(array):
                return any(first < address(array) + array.nbytes and address(array) < last for first, last in found)
            inside = [any(first <= address(array) and address(array) + array.nbytes <= last for first, last in found)
                      for array in nodes(forest)]
            most = sum(-(-(array.nbytes + _memory._HEAD) // PAGE) * PAGE
                       for _, array in _memory.arrays_in(forest) if array.nbytes >= _memory.LARGE)
            return (inside, [touched(array) for array in (other, mapped, small, *nodes(before))],
                    sum(last - first for first, last in found) <= most)
        with ignored():
            self.assertEqual(in_child(check), ([True] * 4, [False] * 7, True))

    def test_marks_whole_pages_where_others_have_parts(self):
        """Where an array shares its first or last page with something else, that page is left alone."""
        first = 10 * PAGE
        memory = numpy.zeros(20 * PAGE, numpy.uint8)
        start = -address(memory) % PAGE + first
        for offset, size in ((0, 9 * PAGE), (16, 9 * PAGE), (100, 9 * PAGE + 50)):
            array = memory[start - first + PAGE + offset:][:size]
            low, high = _memory._pages(address(array), address(array) + size)
            self.assertEqual((low % PAGE, high % PAGE), (0, 0))
            self.assertGreaterEqual(low, address(array))
            self.assertLessEqual(high, address(array) + size)
            self.assertGreater(high - low, size - 2 * PAGE)

    @needs_ksm
    def test_processes_share_what_was_copied(self):
        merged = multiprocessing.Barrier(2)  # what one alone has left is merged with nothing

        def use():
            model = self.load(merge=True)
            size = sum(array.nbytes for array in nodes(model))
            until(lambda: skopsfs.report(model).merged > size * 0.9, "pages are merged")
            merged.wait(HANG)
            found = [frames(address(array) // PAGE * PAGE, array.nbytes // PAGE) for array in nodes(model)]
            return found, model.predict(self.data[:50]).tolist(), str(skopsfs.report(model))
        with ksm(), warnings.catch_warnings():
            warnings.simplefilter("error")
            with Child(use) as first, Child(use) as second:
                (one, predicted, text), (two, _, _) = first.result(), second.result()
        pairs = [pair for array, other in zip(one, two) for pair in zip(array, other)]
        self.assertGreater(sum(a == b is not None for a, b in pairs), 0.8 * len(pairs))
        self.assertEqual(predicted, self.predicted)
        self.assertRegex(text, r"pages of [0-9,]+ bytes are merged")

    @needs_ksm
    def test_what_is_written_is_the_own(self):
        def use():
            first, second = self.load(merge=True), self.load(merge=True)
            size = sum(array.nbytes for array in nodes(first))
            until(lambda: skopsfs.report(first).merged > size * 1.8, "pages are merged")
            values = [tree.tree_.value for tree in first.estimators_]
            for array in values:
                array[:] = 7
            return first.predict(self.data[:5]).tolist(), second.predict(self.data[:5]).tolist()
        with ksm():
            self.assertEqual(in_child(use), ([7.0] * 5, self.predicted[:5]))

    def test_says_once_that_it_is_turned_off(self):
        off = self.in_source("run")
        with open(off, "w", encoding="ascii") as file:
            file.write("0\n")

        def check():
            with mock.patch.object(_memory, "_KSM", off), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                models = [self.load(merge=True), self.load(merge=True)]
            return len(models), [(str(warning.message), os.path.basename(warning.filename)) for warning in said]
        count, [(text, file)] = in_child(check)
        self.assertEqual((count, file), (2, os.path.basename(__file__)))
        self.assertIn(f"echo 1 > {off}", text)

    def test_a_kernel_without_it(self):
        def refuse(*_):
            ctypes.set_errno(errno.EINVAL)
            return -1

        def check():
            with mock.patch.object(_memory, "_madvise", refuse), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                model = self.load(merge=True)
            return model.predict(self.data[:5]).tolist(), [str(warning.message) for warning in said]
        predicted, [text] = in_child(check)
        self.assertEqual(predicted, self.predicted[:5])
        self.assertIn("CONFIG_KSM", text)

    def test_of_programs_that_know_nothing_of_it(self):
        def check():
            skopsfs.install(merge=True)
            model = skops.io.load(self.in_mount("m.skops"))
            return len(nodes(model)), len(marked()) > 0
        with ignored():
            self.assertEqual(in_child(check), (4, True))


@contextlib.contextmanager
def in_another_thread(context):
    """Meanwhile another thread is in the context."""
    is_in, end = threading.Event(), threading.Event()

    def stay():
        with context:
            is_in.set()
            end.wait()
    thread = threading.Thread(target=stay)
    thread.start()
    is_in.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextlib.contextmanager
def ignored():
    """The warning that it is turned off."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    main()
