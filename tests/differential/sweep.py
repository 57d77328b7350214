#!/usr/bin/python3
"""Small archives, cut off at every length and with every byte of their headers changed.

What skopsfs shows of each must be what zipfile reads, or an error; see compare.py, whose rules hold
here too. By default each byte takes a few other values; with --all every byte of the headers takes
all 255 others and those of data a sample. Prints the counts.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import compare

BATCH = 4000  # archives at a time
VALUES = 3  # that a byte takes, where not all


def archive(method: int, comment: bytes = b"", extra: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in (("a.npy", b"abcdefgh" * 3), ("d/b", b"xyz")):
            info = zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10))
            info.extra = extra
            made.writestr(info, data, method)
        made.comment = comment
    return buffer.getvalue()


def with_zip64(image: bytes) -> bytes:
    """The same archive with ZIP64 end records before its own."""
    end = image.rindex(b"PK\5\6")
    count, size, start = struct.unpack_from("<HLL", image, end + 10)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    return image[:end] + record + locator + struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF,
                                                        0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


TIMESTAMP = struct.pack("<HHBL", 0x5455, 5, 1, 1_700_000_000)
SUBJECTS: dict[str, Callable[[], bytes]] = {
    "stored": lambda: archive(zipfile.ZIP_STORED, b"comment", TIMESTAMP),
    "deflated": lambda: archive(zipfile.ZIP_DEFLATED),
    "zip64": lambda: with_zip64(archive(zipfile.ZIP_STORED)),
    "prepended": lambda: b"#!/bin/sh\n" + archive(zipfile.ZIP_BZIP2),
    "lzma": lambda: archive(zipfile.ZIP_LZMA),
}


def data_bytes(image: bytes) -> set[int]:
    """The offsets of members' data."""
    found = set()
    for info in zipfile.ZipFile(io.BytesIO(image)).infolist():
        name, extra = struct.unpack_from("<HH", image, info.header_offset + 26)
        start = info.header_offset + 30 + name + extra
        found |= set(range(start, start + info.compress_size))
    return found


def variants(name: str, image: bytes, everything: bool) -> Iterator[tuple[str, bytes]]:
    for size in range(len(image)):
        yield f"truncated-{name}-{size:05}", image[:size]
    rng = random.Random(name)
    data = data_bytes(image)
    for at, byte in enumerate(image):
        others = [value for value in range(256) if value != byte]
        if not everything or at in data:
            likely = [value for value in (byte ^ 1, byte ^ 0x80, 0, 0xFF) if value != byte]
            others = rng.sample(likely, 1) + rng.sample(others, VALUES - 1)
        for value in others:
            yield (f"changed-{name}-{at:05}-{value:02x}",
                   image[:at] + bytes([value]) + image[at + 1:])


def batches(items: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    batch: dict[str, bytes] = {}
    for name, image in items:
        batch[f"{name}.skops"] = image
        if len(batch) == BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def write_all(batch: dict[str, bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name, image in batch.items():
            (folder / name).write_bytes(image)
    return write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", required=True, help="the program show_archives")
    parser.add_argument("--libzip", required=True, help="the program libzip_archives")
    parser.add_argument("--all", action="store_true", help="all values of all header bytes: long")
    parser.add_argument("--only", help=f"one of {', '.join(SUBJECTS)}")
    args = parser.parse_args()
    args.seed = 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    worst = compare.Tally()
    for name, make in SUBJECTS.items():
        if args.only not in (None, name):
            continue
        total = compare.Tally()
        for batch in batches(variants(name, make(), args.all)):
            with tempfile.TemporaryDirectory(prefix="skopsfs-sweep-") as folder:
                tally = compare.run(args, Path(folder), write_all(batch))
            total.archives += tally.archives
            total.unreadable += tally.unreadable
            total.members += tally.members
            total.same_bytes += tally.same_bytes
            total.same_error += tally.same_error
            total.known += tally.known
            total.unexplained += tally.unexplained
        print(f"{name}: {total.archives['truncated']} truncated and {total.archives['changed']} "
              f"changed; {total.unreadable} that cannot be opened; of {total.members} members "
              f"{total.same_bytes} with the same bytes, {total.same_error} that fail alike, "
              f"{total.known.total()} known differences, {len(total.unexplained)} unexplained",
              flush=True)
        for difference in total.unexplained[:compare.MOST_REPORTED]:
            print(f"UNEXPLAINED: {difference}")
        worst.unexplained += total.unexplained
        worst.archives += total.archives
    return 1 if worst.unexplained or not worst.archives else 0


if __name__ == "__main__":
    sys.exit(main())
