"""Builds ZIP archives in which every field of every record can be set.

Names are those of PKWARE's APPNOTE.TXT, shortened. Nothing here checks anything: damage is the
point.
"""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
ENCRYPTED, DESCRIPTOR, PATCHED, STRONG, UTF8 = 1 << 0, 1 << 3, 1 << 5, 1 << 6, 1 << 11

# What a field says: a number, or what to make of the number that would be true.
Override = int | Callable[[int], int]
Overrides = Mapping[str, Override]


@dataclass(frozen=True)
class Layout:
    """The fields of one kind of record: name and width in bytes."""

    fields: tuple[tuple[str, int], ...]

    def pack(self, truth: Mapping[str, int], overrides: Overrides) -> bytes:
        out = b""
        for name, width in self.fields:
            value = truth.get(name, 0)
            said = overrides.get(name, value)
            if callable(said):
                said = said(value)
            out += (said & ((1 << (8 * width)) - 1)).to_bytes(width, "little")
        return out


LOCAL = Layout((
    ("signature", 4), ("version", 1), ("system", 1), ("flags", 2), ("method", 2), ("time", 2),
    ("date", 2), ("crc", 4), ("compressed_size", 4), ("size", 4), ("name_size", 2),
    ("extra_size", 2)))
CENTRAL = Layout((
    ("signature", 4), ("made_version", 1), ("made_system", 1), ("version", 1), ("system", 1),
    ("flags", 2), ("method", 2), ("time", 2), ("date", 2), ("crc", 4), ("compressed_size", 4),
    ("size", 4), ("name_size", 2), ("extra_size", 2), ("comment_size", 2), ("disk", 2),
    ("internal", 2), ("external", 4), ("offset", 4)))
END = Layout((
    ("signature", 4), ("disk", 2), ("directory_disk", 2), ("entries_here", 2), ("entries", 2),
    ("directory_size", 4), ("directory_offset", 4), ("comment_size", 2)))
END64 = Layout((
    ("signature", 4), ("record_size", 8), ("made_version", 1), ("made_system", 1),
    ("version", 1), ("system", 1), ("disk", 4), ("directory_disk", 4), ("entries_here", 8),
    ("entries", 8), ("directory_size", 8), ("directory_offset", 8)))
LOCATOR = Layout((("signature", 4), ("disk", 4), ("record_offset", 8), ("disks", 4)))

LAYOUTS = {"local": LOCAL, "central": CENTRAL, "end": END, "end64": END64, "locator": LOCATOR}


def extra(identifier: int, data: bytes) -> bytes:
    return struct.pack("<HH", identifier, len(data)) + data


def zip64_extra(*values: int) -> bytes:
    return extra(1, b"".join(value.to_bytes(8, "little") for value in values))


def compress(method: int, data: bytes, level: int = 6) -> bytes:
    """As zipfile does; the data itself for a method that it does not know."""
    if method == DEFLATED:
        deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
        return deflate.compress(data) + deflate.flush()
    if method == BZIP2:
        return bz2.compress(data, max(level, 1))
    if method == LZMA:
        lzma = zipfile.LZMACompressor()  # type: ignore[attr-defined]
        return lzma.compress(data) + lzma.flush()
    return data


@dataclass
class Member:
    """One member: true by itself, and whatever else `local` and `central` say."""

    name: bytes
    data: bytes = b""
    method: int = STORED
    flags: int = 0
    compressed: bytes | None = None  # what lies in the archive; by default made of `data`
    level: int = 6
    descriptor: bool = False  # the local header then has no sizes and no CRC
    zip64: bool = False  # sizes and offset in extra fields
    local: dict[str, Override] = field(default_factory=dict)
    central: dict[str, Override] = field(default_factory=dict)
    local_name: bytes | None = None
    local_extra: bytes = b""
    central_extra: bytes = b""
    comment: bytes = b""
    after: bytes = b""  # between the data and whatever follows
    has_local: bool = True
    has_central: bool = True
    at: int | None = None  # position in the file, over what is there already

    def packed(self) -> bytes:
        if self.compressed is not None:
            return self.compressed
        return compress(self.method, self.data, self.level)

    def truth(self) -> dict[str, int]:
        return {
            "version": 20, "made_version": 20, "made_system": 3, "method": self.method,
            "flags": self.flags | (DESCRIPTOR if self.descriptor else 0),
            "time": 0x6000, "date": 0x5A21, "crc": zlib.crc32(self.data),
            "compressed_size": len(self.packed()), "size": len(self.data),
            "name_size": len(self.name), "external": 0o100644 << 16}


@dataclass
class Archive:
    members: list[Member] = field(default_factory=list)
    prefix: bytes = b""  # not counted by the offsets in the archive, unless:
    counts_prefix: bool = False
    before_directory: bytes = b""
    after_directory: bytes = b""
    in_directory: bytes = b""  # after the last record, and counted in the directory's size
    comment: bytes = b""
    trailing: bytes = b""  # after the comment, and not counted in it
    order: list[int] | None = None  # of the members in the directory
    end: dict[str, Override] = field(default_factory=dict)
    zip64: bool = False  # with ZIP64 end records
    end64: dict[str, Override] = field(default_factory=dict)
    locator: dict[str, Override] = field(default_factory=dict)
    extensible: bytes = b""  # between the ZIP64 end record and its locator
    has_end: bool = True
    has_end64: bool = True
    has_locator: bool = True
    # Set by build(): where each record and each part of one begins.
    marks: list[int] = field(default_factory=list)

    def build(self) -> bytes:
        image = bytearray(self.prefix)
        self.marks = [0, len(image)]
        base = 0 if self.counts_prefix else len(image)
        offsets = [self._put_local(image, member, base) for member in self.members]
        image += self.before_directory
        start = len(image)
        order = self.order if self.order is not None else range(len(self.members))
        listed = [i for i in order if self.members[i].has_central]
        for i in listed:
            self._put(image, *self._central(self.members[i], offsets[i]))
        image += self.in_directory
        size = len(image) - start
        image += self.after_directory
        self._put_ends(image, size, start - base, len(listed))
        self._put(image, self.comment, self.trailing)
        self.marks.append(len(image))
        return bytes(image)

    def _put(self, image: bytearray, *parts: bytes) -> None:
        for part in parts:
            self.marks.append(len(image))
            image += part

    def _put_local(self, image: bytearray, member: Member, base: int) -> int:
        start = len(image) if member.at is None else member.at + base
        if not member.has_local:
            return start - base
        truth = member.truth() | {"signature": 0x04034B50}
        more = member.local_extra
        tail = b""
        sizes = (truth["size"], truth["compressed_size"])
        if member.descriptor:
            width = "<IIQQ" if member.zip64 else "<IIII"
            tail = struct.pack(width, 0x08074B50, truth["crc"], sizes[1], sizes[0])
            truth |= {"crc": 0, "size": 0, "compressed_size": 0}
        elif member.zip64:
            more = zip64_extra(*sizes) + more
            truth |= {"size": 0xFFFFFFFF, "compressed_size": 0xFFFFFFFF}
        name = member.name if member.local_name is None else member.local_name
        truth |= {"name_size": len(name), "extra_size": len(more)}
        parts = (LOCAL.pack(truth, member.local), name, more, member.packed(), tail, member.after)
        if member.at is None:
            self._put(image, *parts)
        else:
            record = b"".join(parts)
            image[start:start + len(record)] = record
        return start - base

    def _central(self, member: Member, offset: int) -> tuple[bytes, ...]:
        truth = member.truth() | {"signature": 0x02014B50, "offset": offset}
        more = member.central_extra
        if member.zip64:
            more = zip64_extra(truth["size"], truth["compressed_size"], offset) + more
            truth |= dict.fromkeys(("size", "compressed_size", "offset"), 0xFFFFFFFF)
        truth |= {"extra_size": len(more), "comment_size": len(member.comment)}
        return (CENTRAL.pack(truth, member.central), member.name, more, member.comment)

    def _put_ends(self, image: bytearray, size: int, start: int, entries: int) -> None:
        truth = {"directory_size": size, "directory_offset": start, "entries": entries,
                 "entries_here": entries, "comment_size": len(self.comment)}
        if self.zip64:
            at = len(image)
            truth64 = truth | {"signature": 0x06064B50, "record_size": 44 + len(self.extensible),
                               "version": 45, "made_version": 45}
            if self.has_end64:
                self._put(image, END64.pack(truth64, self.end64), self.extensible)
            if self.has_locator:
                locator = {"signature": 0x07064B50, "record_offset": at, "disks": 1}
                self._put(image, LOCATOR.pack(locator, self.locator))
            truth |= {"entries": 0xFFFF, "entries_here": 0xFFFF,
                      "directory_size": 0xFFFFFFFF, "directory_offset": 0xFFFFFFFF}
        if self.has_end:
            self._put(image, END.pack(truth | {"signature": 0x06054B50}, self.end))


class Unseekable(io.RawIOBase):
    """A pipe, as zipfile sees it: makes it write data descriptors."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def,override]
        self.written += data
        return len(data)
