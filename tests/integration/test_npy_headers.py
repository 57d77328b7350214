"""The reader of .npy headers of the Python package, against NumPy's."""

import io
import os
import random
import sys
import unittest
import warnings

import numpy

from archives import npy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/python"))
from skopsfs._npy import ENOUGH, parse_header  # noqa: E402

DTYPES = ["<f8", ">f4", "|b1", "<c16", "<U7", "|S3", "<M8[ns]", "|V5",
          [("left", "<i8"), ("right", "<i8"), ("value", ">f8", (2, 3))],
          {"names": ["a", "b"], "formats": ["<i2", "<f8"], "offsets": [0, 8], "itemsize": 24},
          [("", "<i4"), ("nested", [("x", "u1"), ("\xe4", "<f2")])]]
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3), (4, 1, 5)]


def numpys(data):
    """What NumPy says of a whole file: the header, or None if it reads no array or one of objects."""
    file = io.BytesIO(data)
    try:
        version = numpy.lib.format.read_magic(file)
        read = {(1, 0): numpy.lib.format.read_array_header_1_0,
                (2, 0): numpy.lib.format.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read(file)
    except (ValueError, KeyError):
        return None
    return (shape, fortran_order, dtype, file.tell())


def ours(data):
    header = parse_header(data[:ENOUGH])
    return None if header is None else header[:4]


class Headers(unittest.TestCase):
    def test_those_that_numpy_writes(self):
        for description in DTYPES:
            for shape in SHAPES:
                for order in "CF":
                    array = numpy.zeros(shape, description, order)
                    data = npy(array)
                    with self.subTest(dtype=array.dtype, shape=shape, order=order):
                        self.assertEqual(ours(data), numpys(data))
                        self.assertEqual(parse_header(data).size, array.nbytes)

    def test_version_2(self):
        array = numpy.zeros(3, [("x" * 2000 + str(number), "u1") for number in range(4)])
        data = npy(array)
        self.assertEqual(ours(data), numpys(data))
        file = io.BytesIO()
        numpy.lib.format.write_array(file, array, version=(2, 0))
        self.assertEqual(ours(file.getvalue()), numpys(file.getvalue()))

    def test_names_that_are_set_do_not_change_other_arrays(self):
        data = npy(numpy.zeros(3, [("a", [("b", "<i4")])]))
        dtype = parse_header(data).dtype
        dtype["a"].names = ("changed",)
        dtype.names = ("changed",)
        self.assertEqual(ours(data), numpys(data))

    def test_what_is_left_to_numpy(self):
        objects = io.BytesIO()
        numpy.save(objects, numpy.array([None]))
        python2 = npy(numpy.zeros(3)).replace(b"(3,)", b"(3L)")
        version3 = npy(numpy.zeros(3, [("\u0100", "u1")]))
        self.assertEqual(version3[6], 3)
        long = npy(numpy.zeros(1, [(f"name{number}", "u1") for number in range(2000)]))
        for data in (objects.getvalue(), python2, version3, long, b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00",
                     b"PK\x03\x04"):
            self.assertIsNone(ours(data))

    def test_strange_texts(self):
        """Nothing but None, whatever stands there."""
        fields = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"
        texts = [b"", fields.replace(b"}", b"} #"), fields.replace(b"(3,)", b"(03,)"),
                 fields.replace(b"'<f8'", b"'<f8', ()"), fields.replace(b"'<f8'", b"'<f8' #"), b"(" * 5000, b"[" * 9000, b"{" * 200, b"-" * 9999, b"1", b"None", b"\xff\x00", b"{}",
                 b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
                 *(fields.replace(b"(3,)", shape) for shape in (
                     b"(-3,)", b"3", b"[3]", b"(3.0,)", b"(True,)", b"('3',)", b"(None,)", b"((3,),)")),
                 *(fields.replace(b"'<f8'", kind) for kind in (
                     b"'O'", b"'(2,3)<f8'", b"'no'", b"7", b"None", b"[('a', 'O')]", b"[('a',)]", b"'i4,,'",
                     b"{'names': ['a']}", b"[" * 60 + b"]" * 60)),
                 fields.replace(b"False", b"0"), b"1 or " + fields, b"print(1)"]
        for text in texts:
            with self.subTest(text=text[:60]):
                self.assertIsNone(ours(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text))

    def test_changed_at_random(self):
        """Nothing is read that NumPy does not read, nor otherwise."""
        generator = random.Random(1)
        warnings.simplefilter("ignore")  # what Python says of strange texts
        read = 0
        for _ in range(4000):
            data = bytearray(npy(numpy.zeros(generator.choice(SHAPES), generator.choice(DTYPES))))
            for _ in range(generator.randrange(1, 4)):
                data[generator.randrange(min(len(data), 128))] = generator.choice(b"0123'(){}[],:<>|fiuOLT \x00\xff")
            found = ours(bytes(data))
            if found is not None:
                read += 1
                self.assertEqual(found, numpys(bytes(data)), bytes(data))
        self.assertGreater(read, 50)


if __name__ == "__main__":
    unittest.main(verbosity=2)
