"""The differences from zipfile that are meant to be.

Each rule has a name and a predicate that asserts all of it: a difference that is nearly as
described is not explained. docs/semantics.md gives the reasons.
"""

from __future__ import annotations

import bz2
import errno
import lzma
import zipfile
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from oracle import Archive, Member
from records import BZIP2, DEFLATED, LZMA, STORED

# --- names that are not shown -------------------------------------------------------------------

LONGEST_COMPONENT = 255
DEEPEST = 128

ZSTD = 93  # a method that zipfile does not know


def reason_to_hide(name: bytes) -> str | None:
    """The rule by which a name is not shown, whatever else is in the archive."""
    if not name:
        return "name is empty"
    if name.startswith(b"/"):
        return "name is absolute"
    components = name.removesuffix(b"/").split(b"/")
    if b"" in components:
        return "name has an empty component"
    if b"." in components or b".." in components:
        return "name has a component . or .."
    if any(len(component) > LONGEST_COMPONENT for component in components):
        return f"name has a component over {LONGEST_COMPONENT} bytes"
    if len(components) > DEEPEST + 1:
        return f"name is deeper than {DEEPEST} directories"
    return None


@dataclass
class Expected:
    """What must be shown of an archive's names."""

    directories: set[bytes]
    files: set[bytes]
    hidden: dict[bytes, str]  # with the rule


def expected_names(names: Collection[bytes]) -> Expected:
    hidden = {name: rule for name in names if (rule := reason_to_hide(name))}
    shown = [name for name in names if name not in hidden]
    directories = set()
    for name in shown:
        parts = name.split(b"/")
        directories |= {b"/".join(parts[:i]) for i in range(1, len(parts))}
    files = {name for name in shown if not name.endswith(b"/")}
    hidden |= {name: "name is a file and a directory" for name in files & directories}
    return Expected(directories, files - directories, hidden)


# --- members ------------------------------------------------------------------------------------


@dataclass
class Ours:
    """What we show of a member: bytes, or an errno and the reason."""

    data: bytes | None
    errno: int = 0
    reason: str = ""


@dataclass
class Case:
    archive: Archive
    zipfile: Member
    ours: Ours

    def refused(self, reason: str) -> bool:
        return (self.ours.data is None and self.ours.errno == errno.EIO
                and reason in self.ours.reason)

    @property
    def info(self) -> zipfile.ZipInfo:
        return self.zipfile.info


def expected_errno(error: Exception) -> int:
    """The errno that says what zipfile's exception says."""
    text = str(error)
    if isinstance(error, NotImplementedError):
        return errno.EACCES if "strong encryption" in text else errno.EOPNOTSUPP
    if isinstance(error, RuntimeError) and "is encrypted" in text:
        return errno.EACCES
    return errno.EIO


def agree(case: Case) -> bool:
    if case.zipfile.error is not None:
        return case.ours.data is None and case.ours.errno == expected_errno(case.zipfile.error)
    return case.ours.data == case.zipfile.data and len(case.ours.data) == case.info.file_size


def stored_two_sizes(case: Case) -> bool:
    """zipfile takes the smaller one, if the CRC-32 fits."""
    huge = case.info.file_size >= 1 << 63 and case.refused("larger than a file can be")
    return ((huge or case.refused("stored, but its two sizes differ"))
            and case.info.compress_type == STORED
            and case.info.compress_size != case.info.file_size and case.zipfile.error is None
            and len(case.zipfile.data or b"") == min(case.info.compress_size, case.info.file_size))


# Bytes that one byte of a method can at most decode to.
MOST_OF_A_BYTE = {STORED: 1, DEFLATED: 1032, BZIP2: 180_000 * 259 // 24, LZMA: 7100, ZSTD: 32768}


def shown_size(member: Member, directory_start: int) -> int:
    """The size that stat() says: what the entry claims, if that can be."""
    info = member.info
    begin = info.header_offset + 30
    room = max(min(member.room_ends(), directory_start) - begin, 0) if begin >= 30 else 0
    held = min(info.compress_size, room)
    most = held * MOST_OF_A_BYTE.get(info.compress_type, max(MOST_OF_A_BYTE.values()))
    return min(info.file_size if info.file_size <= most else held, (1 << 63) - 1)


def beyond_the_method(case: Case) -> bool:
    """zipfile shows fewer bytes than the size, when those have the CRC-32."""
    most = MOST_OF_A_BYTE.get(case.info.compress_type, 0) * case.info.compress_size
    return (case.refused("larger than its compressed data can be") and case.info.file_size > most
            and case.info.compress_type != STORED
            and len(case.zipfile.data or b"") < case.info.file_size)


def local_method(case: Case) -> bool:
    """zipfile does not compare the methods of the two headers."""
    return (case.refused("methods in the central directory and the local header differ")
            and case.zipfile.local_method() != case.info.compress_type)


def past_the_directory(case: Case) -> bool:
    """zipfile lets data run into the directory when another member claims to begin there."""
    return (case.refused("overlaps another member or the central directory")
            and case.archive.directory_start < case.zipfile.data_end() <= case.zipfile.room_ends())


def fewer_bytes(case: Case) -> bool:
    """zipfile returns fewer bytes than the size if those have the CRC-32; st_size cannot."""
    return (case.info.compress_type != STORED and case.zipfile.data is not None
            and len(case.zipfile.data) < case.info.file_size
            and (case.refused("decodes to less than its size") or case.refused("bad LZMA data")
                 or case.refused("cannot be decoded") or case.refused("larger than a file can be")))


def too_large(case: Case) -> bool:
    """A size that no file has; zipfile looks at other things first."""
    return (case.refused("larger than a file can be") and case.info.file_size >= 1 << 63
            and case.zipfile.error is not None)


def lzma_dictionary(case: Case) -> bool:
    """A dictionary over 64 MiB is refused: memory stays bounded."""
    packed = case.zipfile.packed()
    return (case.refused("dictionary is larger than the limit") and case.zipfile.data is not None
            and case.info.compress_type == LZMA
            and int.from_bytes(packed[5:9], "little") > 64 << 20)


def decode_part(method: int, packed: bytes, size: int) -> bytes:
    """The first `size` decoded bytes, without a look at what follows."""
    if size == 0:
        return b""
    if method == DEFLATED:
        return zlib.decompressobj(-15).decompress(packed, size)
    if method == BZIP2:
        return bz2.BZ2Decompressor().decompress(packed, size)
    if method == LZMA:
        properties = lzma._decode_filter_properties(  # type: ignore[attr-defined]
            lzma.FILTER_LZMA1, packed[4:9])
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties]).decompress(packed[9:],
                                                                                       size)
    raise ValueError(method)


def damage_behind(case: Case) -> bool:
    """All bytes decode and have the right CRC-32; zipfile decodes on, into damage behind them."""
    info, shown = case.info, case.ours.data
    return (shown is not None and info.compress_type in (DEFLATED, BZIP2, LZMA)
            and isinstance(case.zipfile.error, (zlib.error, OSError, lzma.LZMAError, EOFError))
            and len(shown) == info.file_size and zlib.crc32(shown) == info.CRC
            and shown == decode_part(info.compress_type, case.zipfile.packed(), info.file_size))


def empty_and_damaged(case: Case) -> bool:
    """The same for a member without bytes: nothing of it is ever decoded."""
    return case.info.file_size == 0 and damage_behind(case)


def damaged_behind_bytes(case: Case) -> bool:
    return case.info.file_size > 0 and damage_behind(case)


def entry_first(case: Case) -> bool:
    """Damaged, too. zipfile looks at that first; we read nothing of what has no read bits."""
    flags, method = case.info.flag_bits, case.info.compress_type
    if flags & 0x20:
        said = errno.EOPNOTSUPP, "compressed patched data"
    elif flags & 0x40:
        said = errno.EACCES, "strongly encrypted"
    elif flags & 0x1:
        said = errno.EACCES, "encrypted"
    else:
        said = errno.EOPNOTSUPP, f"compression method {method} is not supported"
        if method in (STORED, DEFLATED, BZIP2, LZMA):
            return False
    return (case.ours.data is None and (case.ours.errno, case.ours.reason) == said
            and case.zipfile.error is not None and expected_errno(case.zipfile.error) == errno.EIO)


def other_method(case: Case) -> bool:
    """zstd, which a newer libzip decodes and zipfile does not know."""
    shown = case.ours.data
    return (shown is not None and case.info.compress_type == ZSTD
            and isinstance(case.zipfile.error, NotImplementedError)
            and len(shown) == case.info.file_size and zlib.crc32(shown) == case.info.CRC)


RULES: dict[str, Callable[[Case], bool]] = {
    "stored, with two sizes: EIO": stored_two_sizes,
    "method differs in the local header: EIO": local_method,
    "data runs into the central directory: EIO": past_the_directory,
    "decodes to fewer bytes than its size: EIO": fewer_bytes,
    "size that the method cannot reach: EIO": beyond_the_method,
    "size over 2^63 - 1: EIO": too_large,
    "LZMA dictionary over 64 MiB: EIO": lzma_dictionary,
    "damage behind the last byte: shown": damaged_behind_bytes,
    "empty, its compressed data damaged: shown": empty_and_damaged,
    "unreadable by its entry alone: that is said": entry_first,
    "zstd, decoded by libzip: shown": other_method,
}


def explain(case: Case) -> str | None:
    """The rule that explains a difference."""
    for name, rule in RULES.items():
        try:
            if rule(case):
                return name
        except Exception:  # a predicate that cannot even be evaluated does not hold
            continue
    return None
