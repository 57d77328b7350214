"""Archives that are valid, odd, or wrong in one chosen way. Each recipe makes one archive."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

import material
from records import (BZIP2, DEFLATED, ENCRYPTED, LZMA, PATCHED, STORED, STRONG, UTF8, Archive,
                     Member, Override, Unseekable, compress, extra, zip64_extra)

Recipe = Callable[[random.Random], bytes]
RECIPES: list[tuple[int, Recipe]] = []


def recipe(weight: int) -> Callable[[Recipe], Recipe]:
    def register(function: Recipe) -> Recipe:
        RECIPES.append((weight, function))
        return function
    return register


# --- what zipfile writes ------------------------------------------------------------------------


def write_with_zipfile(rng: random.Random, target, mode: str = "w") -> None:  # type: ignore
    warnings.filterwarnings("ignore", "Duplicate name", UserWarning)  # they are wanted
    with zipfile.ZipFile(target, mode) as archive:  # type: ignore[arg-type]
        for _ in range(rng.randrange(1, 6)):
            name = rng.choice(material.PLAIN_NAMES).decode() + rng.choice(("", "", "é", "/"))
            info = zipfile.ZipInfo(name, (rng.randrange(1980, 2108), 1, 31, 23, 59, 58))
            info.compress_type = rng.choice(material.METHODS)
            if rng.random() < 0.3:
                with archive.open(info, "w", force_zip64=rng.random() < 0.5) as member:
                    member.write(material.contents(rng))
            else:
                archive.writestr(info, material.contents(rng), compresslevel=rng.randrange(1, 10))
        if rng.random() < 0.3:
            archive.comment = rng.randbytes(rng.randrange(100))


@recipe(6)
def zipfile_written(rng: random.Random) -> bytes:
    target = io.BytesIO()
    if rng.random() < 0.3:  # appended to a file that is no archive
        target.write(rng.randbytes(rng.randrange(1, 200)))
        write_with_zipfile(rng, target, "a")
    else:
        write_with_zipfile(rng, target)
    if rng.random() < 0.3:  # added to: duplicates
        write_with_zipfile(rng, target, "a")
    return target.getvalue()


@recipe(3)
def zipfile_streamed(rng: random.Random) -> bytes:
    target = Unseekable()
    write_with_zipfile(rng, target)
    return bytes(target.written)


@recipe(5)
def valid(rng: random.Random) -> bytes:
    return material.archive(rng).build()


@recipe(2)
def comments(rng: random.Random) -> bytes:
    """With what looks like records inside, or not as long as it says."""
    archive = material.archive(rng)
    inside = (b"PK\5\6", b"PK\5\6" + bytes(18), b"PK\5\6" + bytes(17), b"PK\6\7" + bytes(16),
              b"PK\1\2", b"PK\3\4", b"PK\5", material.archive(rng, 1).build())
    comment = b"".join(rng.choice((rng.randbytes(rng.randrange(30)), rng.choice(inside)))
                       for _ in range(rng.randrange(1, 4)))
    archive.comment = comment
    archive.members[0].comment = rng.choice(inside)
    archive.end["comment_size"] = rng.choice((len(comment), 0, len(comment) + 1, 0xFFFF))
    return archive.build()


@recipe(2)
def trailing(rng: random.Random) -> bytes:
    """Data after the end record, up to where zipfile looks no further: 64 KiB."""
    archive = material.archive(rng, 2)
    archive.comment = b""
    archive.trailing = bytes(rng.choice((1, 2, 22, 65514, 65535, 65536, 65536, 65537, 70000)))
    return archive.build()


# --- names --------------------------------------------------------------------------------------


@recipe(10)
def names(rng: random.Random) -> bytes:
    archive = Archive()
    for _ in range(rng.randrange(1, 9)):
        name = rng.choice(material.ODD_NAMES if rng.random() < 0.7 else material.PLAIN_NAMES)
        utf8 = rng.random() < (0.5 if not name.isascii() else 0.15)
        try:
            name.decode()
        except UnicodeDecodeError:
            utf8 = utf8 and rng.random() < 0.2  # the whole archive fails
        data = b"" if name.endswith(b"/") and rng.random() < 0.7 else material.short_contents(rng)
        archive.members.append(Member(name, data, flags=UTF8 if utf8 else 0,
                                      method=rng.choice(material.METHODS)))
    return archive.build()


@recipe(4)
def conflicts(rng: random.Random) -> bytes:
    """Few components in many combinations: files that are directories, duplicates, order."""
    archive = Archive()
    for i in range(rng.randrange(2, 12)):
        parts = [rng.choice((b"a", b"b", b"a-", b"a.", b"", b".")[:rng.choice((2, 4, 6))])
                 for _ in range(rng.randrange(1, 4))]
        name = b"/".join(parts) + (b"/" if rng.random() < 0.3 else b"")
        if rng.random() < 0.1:
            name += b"\0" + rng.choice((b"", b"/", b"x"))
        archive.members.append(Member(name, b"%d" % i * rng.randrange(3)))
    archive.order = rng.sample(range(len(archive.members)), len(archive.members))
    return archive.build()


@recipe(3)
def local_names(rng: random.Random) -> bytes:
    """The local header's name, or what it says about it, is not the directory's."""
    archive = material.archive(rng)
    member = rng.choice(archive.members)
    change = rng.randrange(5)
    if change == 0:
        member.local_name = rng.choice((b"", b"other", member.name + b"\0", member.name[:-1],
                                        member.name.upper(), member.name + b"/", b"\xff"))
    elif change == 1:
        member.local["flags"] = lambda flags: flags ^ UTF8
        member.name = rng.choice((member.name, b"caf\x82", b"\xc3\xa9"))
    elif change == 2:  # the same name, once in each encoding
        member.name, member.local_name = "é".encode(), "é".encode("cp437")
        member.flags |= UTF8
        member.local["flags"] = 0
    elif change == 3:
        member.local["name_size"] = rng.choice((0, 1, len(member.name) + 1, 0xFFFF))
    else:
        member.name = member.name + b"\0" + rng.choice((b"", b"x", b"/"))
        member.local_name = rng.choice((member.name, member.name.split(b"\0")[0]))
    return archive.build()


# --- flags, methods, versions -------------------------------------------------------------------


@recipe(4)
def flags(rng: random.Random) -> bytes:
    archive = material.archive(rng)
    for member in archive.members:
        if rng.random() < 0.5:
            bit = rng.choice((ENCRYPTED, PATCHED, STRONG, UTF8, 1 << rng.randrange(16),
                              ENCRYPTED | STRONG, PATCHED | ENCRYPTED))
            where = rng.choice(((member.local,), (member.central,), (member.local, member.central)))
            for fields in where:
                fields["flags"] = lambda value, bit=bit: value ^ bit  # type: ignore[misc]
            if rng.random() < 0.2:
                member.central["compressed_size"] = rng.choice((0, 5, 0xFFFFFF))
    return archive.build()


@recipe(4)
def methods(rng: random.Random) -> bytes:
    archive = material.archive(rng)
    for member in archive.members:
        if rng.random() < 0.6:
            method = rng.choice((0, 1, 2, 6, 7, 8, 9, 10, 12, 14, 19, 93, 95, 97, 98, 99, 0xFFFF))
            for fields in rng.choice(((member.local,), (member.central,),
                                      (member.local, member.central))):
                fields["method"] = method
            if rng.random() < 0.2:
                member.flags |= ENCRYPTED
            if rng.random() < 0.1:
                member.data = b""
    if rng.random() < 0.1:
        archive.members[-1].central["version"] = rng.choice((45, 63, 64, 255))
    return archive.build()


# --- numbers ------------------------------------------------------------------------------------


@recipe(8)
def numbers(rng: random.Random) -> bytes:
    """Sizes and CRCs that are not those of the data, in one header or both."""
    archive = material.archive(rng)
    for member in archive.members:
        if rng.random() < 0.4:
            continue
        size, packed = len(member.data), len(member.packed())
        changes: list[dict[str, Override]] = [
            {"crc": rng.choice((0, 1, 0xFFFFFFFF, zlib.crc32(member.data) ^ 1))},
            {"size": rng.choice((0, 1, size + 1, size + 100_000, size - 1, 0xFFFFFFFE))},
            {"compressed_size": rng.choice((0, 1, packed + 1, packed - 1, 0xFFFFFFFE))},
            {"size": size + 1, "compressed_size": packed + 1},
            {"size": packed, "crc": zlib.crc32(member.packed())},
        ]
        # Fewer bytes than there are, with the CRC that goes with them.
        part = rng.randrange(size + 1)
        changes.append({"size": part, "crc": zlib.crc32(member.data[:part])})
        changes.append({"size": part, "compressed_size": part,
                        "crc": zlib.crc32(member.packed()[:part])})
        change = rng.choice(changes)
        for fields in rng.choice(((member.local,), (member.central,),
                                  (member.local, member.central))):
            fields.update(change)
    return archive.build()


@recipe(3)
def sizes_64(rng: random.Random) -> bytes:
    """Sizes and offsets of any length, in ZIP64 extra fields."""
    archive = material.archive(rng, 3)
    member = rng.choice(archive.members)
    member.zip64 = False
    big = (0, 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
    size, packed = len(member.data), len(member.packed())
    values = [rng.choice((size, rng.choice(big))), rng.choice((packed, packed, rng.choice(big))),
              rng.choice((0, rng.choice(big)))]
    fields = ("size", "compressed_size", "offset")
    used = sorted(rng.sample(range(3), rng.randrange(1, 4)))
    for i in used:
        member.central[fields[i]] = 0xFFFFFFFF
    given = [values[i] for i in used][:rng.choice((3, 3, 1, 2))]
    member.central_extra = zip64_extra(*given) + member.central_extra
    if rng.random() < 0.3:
        member.central_extra += zip64_extra(*rng.choices((size, packed, *big), k=3))
    return archive.build()


@recipe(5)
def empty_members(rng: random.Random) -> bytes:
    """No bytes to show, but a CRC, compressed data or sizes that say otherwise."""
    archive = material.archive(rng, 2)
    for method in rng.sample((0, 8, 12, 14, 93, 9), 3):
        member = Member(b"empty%d" % method, b"", method)
        packed = compress(method, b"")
        member.compressed = rng.choice((None, b"", packed, packed[:-1], packed + b"x", b"\xff" * 9,
                                        compress(method, b"not empty"), rng.randbytes(20)))
        if rng.random() < 0.3:
            member.central["crc"] = rng.choice((1, 0xFFFFFFFF))
        if rng.random() < 0.2:
            member.central["compressed_size"] = rng.choice((0, 1))
        archive.members.append(member)
    return archive.build()


# --- compressed data ----------------------------------------------------------------------------


def odd_stream(rng: random.Random, method: int, data: bytes) -> bytes:
    packed = bytearray(compress(method, data, rng.choice((1, 9))))
    at = rng.randrange(len(packed))
    change = rng.randrange(9)
    if change == 0:
        return bytes(packed[:at])
    if change == 1:
        return bytes(packed[:-rng.randrange(1, 6)])
    if change == 2:
        return bytes(packed) + rng.randbytes(rng.randrange(1, 9))
    if change == 3:
        return bytes(packed) + compress(method, b"a second stream")
    if change == 4:
        packed[at] ^= 1 << rng.randrange(8)
    if change == 5:
        packed[-rng.randrange(1, min(12, len(packed)) + 1)] ^= rng.randrange(1, 256)
    if change == 6:
        packed[rng.randrange(min(16, len(packed)))] ^= rng.randrange(1, 256)
    if change == 7:
        return rng.randbytes(rng.randrange(40))
    if change == 8 and method == DEFLATED:  # flushed, never finished
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
        return stream.compress(data) + stream.flush(rng.choice((zlib.Z_SYNC_FLUSH,
                                                                zlib.Z_FULL_FLUSH)))
    return bytes(packed)


@recipe(12)
def streams(rng: random.Random) -> bytes:
    archive = material.archive(rng, 2)
    for _ in range(rng.randrange(1, 4)):
        member = material.member(rng, method=rng.choice((DEFLATED, DEFLATED, BZIP2, LZMA)))
        member.name += b"%d" % len(archive.members)
        if rng.random() < 0.1:
            member.data = material.contents(rng)
        member.compressed = odd_stream(rng, member.method, member.data)
        if rng.random() < 0.2 and member.data:
            part = rng.randrange(len(member.data))
            member.central |= {"size": part, "crc": zlib.crc32(member.data[:part])}
        archive.members.append(member)
    return archive.build()


@recipe(4)
def lzma_headers(rng: random.Random) -> bytes:
    archive = Archive()
    for i in range(3):
        data = material.short_contents(rng)
        packed = compress(LZMA, data)
        head, stream = packed[:4], packed[9:]
        bits, dictionary = packed[4], struct.unpack("<I", packed[5:9])[0]
        change = rng.randrange(6)
        if change == 0:
            head = rng.choice((b"\0\0\5\0", b"\xff\xff\5\0", head[:2] + b"\4\0", head[:2] + b"\6\0",
                               head[:2] + b"\0\0", head[:2] + b"\xff\xff"))
        elif change == 1:
            bits = rng.choice((0, 4, 224, 225, 255, rng.randrange(256)))
        elif change == 2:
            dictionary = rng.choice((0, 1, 4095, 4096, 1 << 16, 1 << 26, (1 << 26) + 1, 3 << 26))
        elif change == 3:
            stream = stream[:-rng.randrange(1, len(stream))]
        whole = head + struct.pack("<BI", bits, dictionary) + stream
        if change == 4:
            whole = whole[:rng.randrange(12)]
        archive.members.append(Member(b"m%d" % i, data, LZMA, rng.choice((0, 2)), whole))
        if rng.random() < 0.2:
            archive.members[-1].central |= {"size": 0, "crc": 0}
    return archive.build()


# --- extra fields -------------------------------------------------------------------------------


@recipe(5)
def extras(rng: random.Random) -> bytes:
    archive = material.archive(rng, 3)
    for member in archive.members:
        pool = (b"", b"\1", b"\1\0\0", b"\1\0\0\0", zip64_extra(), zip64_extra(7), b"\1\0\xff\xff",
                extra(0x5455, b"\1\0\0\0\0"), extra(0x5455, b"\1\0"), extra(0x5455, b""),
                extra(0x7075, b"\1" + bytes(4) + b"other"), extra(0xCAFE, rng.randbytes(9)),
                extra(0x9901, b"\2\0AE\3\0\0"), b"\x99\x99\1\0", rng.randbytes(5), bytes(3),
                extra(1, rng.randbytes(rng.randrange(30))))
        if rng.random() < 0.7:
            member.central_extra = b"".join(rng.choices(pool, k=rng.randrange(1, 4)))
        if rng.random() < 0.15:  # twice: the second counts where the first says "see there"
            member.central["size"] = 0xFFFFFFFF
            member.central_extra = (zip64_extra(rng.choice((0xFFFFFFFF, (1 << 64) - 1)))
                                    + zip64_extra(len(member.data)))
        if rng.random() < 0.5:
            member.local_extra = b"".join(rng.choices(pool, k=rng.randrange(1, 4)))
        if rng.random() < 0.3:
            for fields in (member.local, member.central):
                fields["extra_size"] = lambda size, by=rng.choice((-1, 1, 4)): size + by
    return archive.build()
