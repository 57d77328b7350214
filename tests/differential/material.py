"""What archives are made of: names, contents, members."""

from __future__ import annotations

import random
from pathlib import Path

from records import BZIP2, DEFLATED, LZMA, STORED, UTF8, Archive, Member

METHODS = (STORED, DEFLATED, BZIP2, LZMA)
DATA = Path(__file__).resolve().parent.parent / "data"

PLAIN_NAMES = [b"schema.json", b"140211.npy", b"a", b"b.npy", b"dir/c.npz", b"dir/d", b"x/y/z.npy"]

# Names that zipfile reads and a file system may not show, or shows otherwise.
ODD_NAMES = [
    b"", b"/", b"//", b"/etc/passwd", b"//a", b"a//b", b"a//", b".", b"..", b"./a", b"a/.",
    b"a/./b", b"../a", b"a/..", b"a/../b", b"a/../../b", b"...", b".hidden", b"a/", b"a/b/",
    b"dir", b"dir/", b"dir/c.npz/", b"dir/c.npz/x", b"a\\b", b"..\\a", b"C:\\a", b"C:/a", b"a:b",
    b"a b", b" ", b"a\nb", b"a\tb", b"\x01", b"\x7f", b"\x1b[31m", b'a"b', b"a'b", b"a\\", b"*?",
    b"a\0b", b"\0", b"\0a", b"a/\0b", b"a\0/b", b"dir\0", b"schema.json\0", b"schema.json\0.txt",
    b"\x81\x82\xff", b"\xe1\xe2", b"r\x82sum\x82", b"\x80/\x80", b"caf\xc3\xa9",
    b"\xf0\x9f\x98\x80", b"\xc3", b"\xff\xfe", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xf8\x88\x80\x80\x80",
    b"\xef\xbb\xbfbom", b"\xef\xbf\xbf", b"\xe0\x80\xaf", b"A", b"SCHEMA.JSON", b"e\xcc\x81",
    b"\xc3\xa9", b"con", b"nul.txt", b"a.", b"a.skops", b"-rf", b"x" * 255, b"x" * 256,
    b"x" * 300 + b"/a", b"a/" + b"y" * 256, b"\x81" * 127, b"\x81" * 128, b"\xe2\x82\xac" * 85,
    b"\xe2\x82\xac" * 86, b"d/" * 127 + b"f", b"d/" * 128 + b"f", b"d/" * 129 + b"f", b"d/" * 128,
    b"d/" * 129, b"d/" * 130, b"d/" * 600 + b"f", b"z" * 65535, b"a-", b"a.b", b"a/b", b"a0",
    b"a/b/c", b"a/b.c", b"a-/b", b"a/-", b"\xc3\xa9/", b"\xc3\xa9/a",
]


def contents(rng: random.Random) -> bytes:
    """Some bytes: often few, now and then more than the reader keeps at a time."""
    kind = rng.randrange(100)
    if kind < 8:
        return b""
    if kind < 20:
        return rng.randbytes(rng.randrange(1, 4))
    if kind < 45:
        return rng.randbytes(rng.randrange(1, 400))
    if kind < 70:
        word = rng.randbytes(rng.randrange(1, 30))
        return word * rng.randrange(1, 60)
    if kind < 80:
        return bytes(rng.choices(b"{}[]\":, 0123456789\n", k=rng.randrange(1, 3000)))
    if kind < 88:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9,)}"
        return header.ljust(127) + b"\n" + rng.randbytes(72)
    if kind < 97:
        return bytes(rng.randrange(1, 9000))
    if kind < 99:
        return rng.randbytes(100) * rng.randrange(600, 1400)
    return (rng.randbytes(1000) + bytes(9000)) * rng.randrange(60, 160)


def short_contents(rng: random.Random) -> bytes:
    return contents(rng)[:rng.randrange(1, 3000)]


def name(rng: random.Random) -> bytes:
    return rng.choice(PLAIN_NAMES) if rng.random() < 0.8 else rng.choice(ODD_NAMES[:-60])


def member(rng: random.Random, **settings) -> Member:  # type: ignore[no-untyped-def]
    """A member that is what it says, in one of the ways that archives are written."""
    made = Member(
        name=name(rng), data=short_contents(rng), method=rng.choice(METHODS),
        level=rng.choice((1, 6, 9)), descriptor=rng.random() < 0.2, zip64=rng.random() < 0.15)
    if rng.random() < 0.1:
        made.flags |= UTF8
        made.name = rng.choice((b"caf\xc3\xa9", b"plain", b"\xe2\x82\xac/\xf0\x9f\x98\x80"))
    for key, value in settings.items():
        setattr(made, key, value)
    return made


def archive(rng: random.Random, most: int = 5) -> Archive:
    """A valid archive, with names that may come twice."""
    made = Archive(members=[member(rng) for _ in range(rng.randrange(1, most + 1))])
    if rng.random() < 0.15:
        made.prefix = rng.randbytes(rng.randrange(1, 100))
        made.counts_prefix = rng.random() < 0.5
    made.zip64 = rng.random() < 0.2
    if rng.random() < 0.15:
        made.comment = rng.randbytes(rng.randrange(1, 100))
    return made


_genuine: list[bytes] = []


def genuine(rng: random.Random) -> bytes:
    """An archive that skops wrote, from tests/data; the smaller ones more often."""
    if not _genuine:
        _genuine.extend(sorted((path.read_bytes() for path in DATA.glob("*.skops")), key=len))
    return _genuine[min(rng.randrange(len(_genuine)), rng.randrange(len(_genuine)))]
