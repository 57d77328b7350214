"""skopsfs.load(..., warm=True): all that is mapped is in memory when it returns, or that is an error.

skops is the real one or a stand-in, as in test_loader.py.
"""

import os
import unittest.mock

import numpy

import archives
from archives import PAGE
from mount import MountTest, main
from processes import in_child, in_one_of_three, resident_pages
from test_loader import is_mapped, skops, skopsfs
from skopsfs import _maps

PAGES = 600  # of the array: more than the kernel reads ahead


class Warm(MountTest):
    def setUp(self):
        super().setUp()
        self.array = numpy.random.default_rng(1).standard_normal(PAGES * PAGE // 8)
        skops.io.dump({"array": self.array}, self.in_source("m.skops"))
        self.path = self.in_mount("m.skops")

    def resident(self):
        return resident_pages(os.path.join(self.path, "by-name", "array.npy"))

    def check_all_is_there(self, **options):
        def is_there():
            nonlocal model
            model = skopsfs.load(self.path, warm=True, **options)
            return self.resident() >= PAGES
        model = None
        self.assertTrue(in_one_of_three(is_there))
        self.assertTrue(is_mapped(model["array"]))
        numpy.testing.assert_array_equal(model["array"], self.array)
        return model

    def test_all_is_in_memory(self):
        self.mount("--readahead=512")
        skopsfs.load(self.path)
        self.assertLess(self.resident(), PAGES)
        self.check_all_is_there(mmap_mode="r")

    def test_pages_stay_shared_until_they_are_written(self):
        self.mount()
        model = self.check_all_is_there()
        found, = skopsfs.report(model).arrays
        self.assertEqual(found.private, 0)
        self.assertGreaterEqual(found.shared, self.array.nbytes)

    def test_of_programs_that_know_nothing_of_it(self):
        def load():
            skopsfs.install(warm=True)
            return is_mapped(skops.io.load(self.path)["array"]), self.resident()
        self.mount("--readahead=512")

        def is_there():
            is_map, pages = in_child(load)
            self.assertTrue(is_map)
            return pages >= PAGES
        self.assertTrue(in_one_of_three(is_there))

    def test_piece_by_piece(self):
        self.mount("--readahead=512")
        with unittest.mock.patch.object(_maps, "_POPULATED", 7 * PAGE):
            self.check_all_is_there()

    def test_a_kernel_before_5_14(self):
        self.mount("--readahead=512")
        with unittest.mock.patch.object(_maps, "_MADV_POPULATE_READ", 9999):
            self.check_all_is_there()

    def test_damage_is_an_error_at_once(self):
        with open(self.in_source("m.skops"), "rb") as file:
            data = bytearray(file.read())
        data[data.index(self.array[-1].tobytes())] ^= 1
        archives.write(self.in_source("m.skops"), bytes(data))
        self.mount()
        skopsfs.load(self.path)
        with self.assertRaises(OSError) as raised:
            skopsfs.load(self.path, warm=True)
        self.assertIn("bad CRC-32", raised.exception.strerror)
        self.assertIn("m.skops", raised.exception.filename)


if __name__ == "__main__":
    main()
