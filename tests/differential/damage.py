"""Archives that are wrong as a whole: where records lie, what is on top, what is cut or flipped."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import material
from records import LAYOUTS, Archive, Override, UTF8, zip64_extra
from recipes import Recipe, recipe

# --- every field of every record ----------------------------------------------------------------


def swept(rng: random.Random) -> Archive:
    """An archive with every kind of record in it."""
    archive = Archive(zip64=True)
    for i, method in enumerate((0, 8, rng.choice((12, 14)), 0)):
        archive.members.append(material.member(rng, name=b"m%d" % i, method=method, zip64=i == 3,
                                               descriptor=i == 1, comment=b"c" * i))
        archive.members[-1].flags &= ~UTF8
    archive.comment = b"comment"
    return archive


def sweep_values(width: int) -> list[Override]:
    top = (1 << (8 * width)) - 1
    return [0, 1, top, top - 1, (top >> 1) + 1, lambda v: v + 1, lambda v: v - 1,
            lambda v: v ^ 0x100, lambda v: v ^ 2]


def sweep() -> list[Recipe]:
    """One recipe for each interesting value of each field of each kind of record."""
    made: list[Recipe] = []
    for kind, layout in LAYOUTS.items():
        for field, width in layout.fields:
            for value in sweep_values(width):
                made.append(_sweep_one(kind, field, value))
    return made


def _sweep_one(kind: str, field: str, value: Override) -> Recipe:
    def make(rng: random.Random) -> bytes:
        archive = swept(rng)
        if kind in ("local", "central"):
            getattr(rng.choice(archive.members), kind)[field] = value
        else:
            archive.zip64 = kind != "end" or rng.random() < 0.5
            getattr(archive, kind)[field] = value
        return archive.build()
    make.__name__ = f"sweep_{kind}_{field}"
    return make


@recipe(8)
def fields(rng: random.Random) -> bytes:
    """A few fields at once, anywhere, with any value."""
    archive = swept(rng) if rng.random() < 0.5 else material.archive(rng)
    for _ in range(rng.randrange(1, 5)):
        kind = rng.choice(("local", "central", "central", "end", "end64", "locator"))
        field, width = rng.choice(LAYOUTS[kind].fields)
        owner = rng.choice(archive.members) if kind in ("local", "central") else archive
        value = rng.choice(sweep_values(width) + [rng.randrange(1 << (8 * width)),
                                                  rng.randrange(200)])
        if field != "signature" or rng.random() < 0.2:
            getattr(owner, kind)[field] = value
    return archive.build()


# --- where things lie ---------------------------------------------------------------------------


@recipe(6)
def overlaps(rng: random.Random) -> bytes:
    archive = material.archive(rng)
    count = len(archive.members)
    image_size = len(archive.build())
    for member in rng.sample(archive.members, rng.randrange(1, count + 1)):
        change = rng.randrange(7)
        if change == 0:  # more data than there is room for
            by = rng.choice((1, 4, 12, 16, 22, 46, 60, 200, 5000))
            for fields in (member.local, member.central):
                fields["compressed_size"] = lambda v, by=by: v + by  # type: ignore[misc]
                fields["size"] = lambda v, by=by: v + by  # type: ignore[misc]
        elif change == 1:  # an offset that is somewhere else
            member.central["offset"] = rng.choice((
                rng.randrange(image_size), image_size, image_size + 1000, 0xFFFFFFFE, 1 << 31))
        elif change == 2:  # somebody else's
            other = rng.choice(archive.members)
            member.name, member.method, member.data = other.name, other.method, other.data
            member.has_local = False
        elif change == 3:
            member.at = rng.randrange(image_size)
        elif change == 4:
            member.has_local = False
        elif change == 5:
            member.has_central = False
        else:
            member.after = rng.choice((bytes(9), b"PK\3\4", b"PK\1\2" + bytes(50)))
    archive.order = rng.sample(range(count), count)
    return archive.build()


@recipe(1)
def shared_header(rng: random.Random) -> bytes:
    """Many entries for one local header: there is room for the data of the first only."""
    member = material.member(rng)
    same = replace(member, has_local=False)
    archive = Archive(members=[member] + [same] * rng.randrange(1, 60))
    archive.members.append(material.member(rng, name=b"last"))
    for shared in archive.members[1:-1]:
        shared.at = 0
    archive.order = rng.sample(range(len(archive.members)), len(archive.members))
    return archive.build()


@recipe(4)
def past_the_directory(rng: random.Random) -> bytes:
    """A member that claims to begin past the directory, and another whose data runs into it."""
    archive = material.archive(rng)
    claims = material.member(rng, name=b"claims", has_local=False)
    claims.central["offset"] = rng.choice((1 << 20, 0xFFFFFFFE, len(archive.build()) - 5))
    runs = material.member(rng, name=b"runs", method=0, zip64=False, descriptor=False)
    by = rng.choice((1, 20, 46, 60, 5000))
    for fields in (runs.local, runs.central):
        fields["compressed_size"] = fields["size"] = lambda size: size + by
    archive.members += [runs, claims] if rng.random() < 0.5 else [claims, runs]
    image = archive.build()
    if rng.random() < 0.6:  # with the CRC of what it then has
        start = image.find(runs.name) + len(runs.name)
        runs.central["crc"] = zlib.crc32(image[start:start + len(runs.data) + by])
        image = archive.build()
    return image


@recipe(5)
def directory_places(rng: random.Random) -> bytes:
    """Directories that are shorter, longer or elsewhere than the end record says."""
    archive = material.archive(rng)
    change = rng.randrange(8)
    step = rng.choice((1, -1, 4, -4, 22, 46, -46, 1000, -1000))
    if change == 0:
        archive.end["directory_size"] = lambda size: size + step
    elif change == 1:
        archive.end["directory_offset"] = lambda offset: offset + step
    elif change == 2:
        archive.after_directory = bytes(abs(step))
    elif change == 3:
        archive.before_directory = rng.choice((bytes(abs(step)), b"PK\1\2" + bytes(42)))
    elif change == 4:
        archive.in_directory = rng.choice((b"\0", bytes(45), bytes(46), b"PK\1\2" + bytes(42),
                                           b"PK\5\5\4\0sign"))
    elif change == 5:  # its last name, extra field or comment runs past its end
        size = rng.choice(("name_size", "extra_size", "comment_size"))
        archive.members[-1].central[size] = lambda value: value + abs(step)
    elif change == 6:
        archive.prefix = bytes(rng.randrange(1, 3000))
        archive.end["directory_offset"] = rng.choice((0, 0xFFFFFFFE, lambda v: v + 5000))
    else:
        archive.members = archive.members[:rng.randrange(2)]
        archive.end["entries"] = archive.end["entries_here"] = rng.randrange(5)
    return archive.build()


@recipe(5)
def zip64_ends(rng: random.Random) -> bytes:
    archive = material.archive(rng, 3)
    archive.zip64 = True
    change = rng.randrange(9)
    if change == 0:
        archive.has_end64 = False
    elif change == 1:
        archive.has_locator = False
    elif change == 2:
        archive.extensible = rng.randbytes(rng.randrange(1, 40))
    elif change == 3:
        archive.locator["disks"] = rng.choice((0, 1, 2))
        archive.locator["disk"] = rng.choice((0, 0, 1))
    elif change == 4:
        archive.locator["record_offset"] = rng.choice((0, 1, 1 << 63, (1 << 64) - 1))
    elif change == 5:
        field = rng.choice(("directory_size", "directory_offset"))
        archive.end64[field] = rng.choice((0, 1 << 32, 1 << 63, (1 << 64) - 1, lambda v: v - 1,
                                           lambda v: v + 1))
    elif change == 6:  # both records say something, and not the same
        archive.end = {"directory_size": rng.randrange(200), "directory_offset": rng.randrange(200)}
    elif change == 7:
        archive.members = []
        archive.prefix = bytes(rng.randrange(60))
        archive.has_end64 = rng.random() < 0.5
    else:  # offsets that only 64 bits hold
        archive.end64["directory_offset"] = lambda offset: offset + (1 << 33)
        for member in archive.members:
            member.zip64 = False
            member.central["offset"] = 0xFFFFFFFF
            member.central_extra = zip64_extra(rng.choice((1 << 33, (1 << 33) + 40)))
    return archive.build()


@recipe(3)
def several_archives(rng: random.Random) -> bytes:
    """One after another, one in another, one in another's comment."""
    first, second = material.archive(rng, 3), material.archive(rng, 3)
    way = rng.randrange(4)
    if way == 0:
        return first.build() + second.build()
    if way == 1:
        second.members.append(material.member(rng, name=b"inner.skops", data=first.build(),
                                              method=rng.choice((0, 8))))
        return second.build()
    if way == 2:
        second.comment = first.build()
        return second.build()
    second.prefix = first.build()
    return second.build() + first.build()[-rng.randrange(1, 60):]


# --- cuts and flips -----------------------------------------------------------------------------


def _some_archive(rng: random.Random) -> tuple[bytes, list[int]]:
    if rng.random() < 0.35:
        image = material.genuine(rng)
        return image, [0, len(image), len(image) - 22]
    archive = swept(rng) if rng.random() < 0.4 else material.archive(rng)
    return archive.build(), archive.marks


@recipe(8)
def truncated(rng: random.Random) -> bytes:
    """Cut at the end, at the beginning or in between, at the edge of a record or anywhere."""
    image, marks = _some_archive(rng)

    def place() -> int:
        if rng.random() < 0.3:
            return rng.randrange(len(image) + 1)
        return min(max(rng.choice(marks) + rng.randrange(-2, 3), 0), len(image))

    start, end = sorted((place(), place()))
    return rng.choice((image[:start], image[:start], image[start:], image[:start] + image[end:]))


@recipe(14)
def flipped(rng: random.Random) -> bytes:
    image = bytearray(_some_archive(rng)[0])
    tail = min(len(image), 400)  # the directory is where most of the meaning is
    for _ in range(rng.choice((1, 1, 1, 2, 3, 10))):
        at = rng.randrange(len(image))
        if rng.random() < 0.5:
            at = len(image) - 1 - rng.randrange(tail)
        image[at] = rng.choice((image[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255))
    return bytes(image)


@recipe(4)
def spliced(rng: random.Random) -> bytes:
    """Pieces put in, taken out, doubled, overwritten with zeros or with another archive's."""
    image, marks = _some_archive(rng)
    other, _ = _some_archive(rng)
    at = min(max(rng.choice(marks + [rng.randrange(len(image) + 1)]), 0), len(image))
    size = rng.choice((1, 4, 12, 22, 30, 46, 100, 4096))
    piece = rng.choice((bytes(size), rng.randbytes(size), image[at:at + size],
                        other[rng.randrange(len(other)):][:size]))
    return image[:at] + piece + image[rng.choice((at, at + len(piece), at + size)):]


@recipe(1)
def no_archive(rng: random.Random) -> bytes:
    return rng.choice((b"", b"PK", b"PK\5\6", b"PK\5\6" + bytes(18), b"PK\5\6" + bytes(17),
                       rng.randbytes(rng.randrange(100)), bytes(rng.randrange(100)),
                       b"PK\5\6" * rng.randrange(1, 20), b"PK\3\4" + bytes(60),
                       b"PK\6\7" + bytes(16) + b"PK\5\6" + bytes(18)))
