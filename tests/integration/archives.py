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

import numpy

PAGE = 4096
PAGES = 128  # more than the kernel reads ahead (32)
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
