"""Archives to measure with, as skops writes them: schema.json and stored .npy members."""

import io
import os
import struct
import zipfile

import numpy as np

LARGE = "140117532755408.npy"
_BLOCK = 16 << 20


def _npy_header(shape):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return header.getvalue()


def write_large(path, size, columns=128):
    """An archive with one stored array of float64 of about `size` bytes beside small ones. Returns
    where the array's member begins in the archive."""
    rows = size // (8 * columns)
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", '{"protocol": 2, "__class__": "ndarray"}')
        for number in range(8):
            small = io.BytesIO()
            np.save(small, generator.standard_normal(100 + number))
            archive.writestr(f"1401175327{number}.npy", small.getvalue())
        with archive.open(LARGE, "w", force_zip64=True) as member:
            member.write(_npy_header((rows, columns)))
            left = rows * columns * 8
            block = generator.standard_normal(_BLOCK // 8)
            while left > 0:
                block += 1.0  # cheaper than new ones, and no two blocks are the same
                member.write(memoryview(block).cast("B")[:left])
                left -= min(left, _BLOCK)
        info = archive.getinfo(LARGE)
    return data_offset(path, info)


def write_deflated(path, size):
    """An archive with one deflated array of about `size` bytes: weights with three digits."""
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", '{"protocol": 2, "__class__": "ndarray"}')
        with archive.open(LARGE, "w", force_zip64=True) as member:
            member.write(_npy_header((size // 8,)))
            for start in range(0, size, _BLOCK):
                block = generator.standard_normal(min(_BLOCK, size - start) // 8)
                member.write(np.round(block, 3).tobytes())


def data_offset(path, info):
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + name + extra


def write_small(path, members, value=0):
    """An archive of `members` arrays of a few numbers, and its schema."""
    array = io.BytesIO()
    np.save(array, np.full(8, value, dtype=float))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
        for number in range(members - 1):
            archive.writestr(f"{140117532755408 + 16 * number}.npy", array.getvalue())


def write_folder(folder, count, members):
    """`count` archives that differ in name and inode only."""
    os.makedirs(folder)
    first = os.path.join(folder, "first")
    write_small(first, members)
    with open(first, "rb") as file:
        data = file.read()
    os.remove(first)
    for number in range(count):
        with open(os.path.join(folder, f"model-{number:06}.skops"), "wb") as file:
            file.write(data)
