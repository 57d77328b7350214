"""Archives of known content: every page of version V carries V and its own number.

A page that is zeroed, torn, misplaced or of another version is told from a right one by
version_of().
"""

import functools
import hashlib
import io
import os
import struct
import zipfile
import zlib

import numpy

PAGE = 4096
PAGES = 128
MEMBER = "pages.bin"
STORED = zipfile.ZIP_STORED
DEFLATED = zipfile.ZIP_DEFLATED


@functools.lru_cache(maxsize=8192)
def page(version, number):
    """Half of it does not compress, so that a deflated member has many blocks."""
    mark = struct.pack("<II", version, number)
    noise = hashlib.shake_128(mark).digest(PAGE // 2)
    return mark * (PAGE // 4 // len(mark)) + noise + mark * (PAGE // 4 // len(mark))


def content(version, pages=PAGES):
    return b"".join(page(version, number) for number in range(pages))


def version_of(data, number):
    """The version that page `number`, which reads as `data`, is of; None when it is of none."""
    if len(data) != PAGE:
        return None
    version = struct.unpack_from("<I", data)[0]
    return version if data == page(version, number) else None


def archive_of(members, method=STORED, comment=b""):
    """The bytes of an archive with `members`, a dict or a list of (name, bytes) pairs."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in pairs:
            archive.writestr(zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10)), data, method)
        archive.comment = comment
    return buffer.getvalue()


@functools.lru_cache(maxsize=64)
def version_bytes(version, pages=PAGES, method=STORED):
    """The archive of one version. All versions of equal `pages` and `method` have one size."""
    members = {"schema.json": b'{"version": %8d}' % version, MEMBER: content(version, pages)}
    data = archive_of(members, method)
    size = {STORED: len(data), DEFLATED: pages * (PAGE // 2 + 200) + 8192}[method]
    return archive_of(members, method, b"x" * (size - len(data)))


def deflated_zeros(name, blocks, block=16 << 20):
    """An archive with one deflated member of `blocks` times `block` zeros, quickly made; its CRC-32
    is wrong, which shows at its end."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = deflate.compress(bytes(block)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = once * blocks + deflate.flush()
    name = name.encode()
    common = struct.pack("<HHHHHLLLHH", 20, 0, DEFLATED, 0, 0x21, 1, len(data), blocks * block,
                         len(name), 0)
    local = b"PK\3\4" + common + name + data
    central = b"PK\1\2\x14\0" + common + bytes(14) + name
    end = struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + b"PK\5\6" + end


def read(path):
    """All bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    """Writes a new file at `path` and puts it in place by rename."""
    part = path + ".part"
    with open(part, "wb") as file:
        file.write(data)
    os.rename(part, path)


def write_version(path, version, pages=PAGES, method=STORED):
    write(path, version_bytes(version, pages, method))


def write_members(path, members, method=STORED):
    write(path, archive_of(members, method))


def npy(array):
    """The bytes numpy.save() writes."""
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    return buffer.getvalue()


def rewrite(path, data):
    """Writes `data` over the file at `path`, in place."""
    with open(path, "r+b", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))


def members_of(path):
    """What zipfile shows of the archive: its files' names and bytes."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info)
                for info in archive.infolist() if not info.is_dir()}
