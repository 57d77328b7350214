"""What Python's zipfile reads of an archive, and the facts about it that the rules need."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

LOCAL_HEADER = struct.Struct("<4s2B4HL2L2H")


@dataclass
class Member:
    """One name of an archive: the bytes that zipfile reads, or what it raises."""

    info: zipfile.ZipInfo
    image: bytes  # the whole archive
    data: bytes | None = None
    error: Exception | None = None

    @property
    def name(self) -> bytes:
        return self.info.filename.encode()

    def local(self) -> tuple[int, ...] | None:
        """The fields of the local header, if there is room for one."""
        start = self.info.header_offset
        if start < 0 or start + LOCAL_HEADER.size > len(self.image):
            return None
        return LOCAL_HEADER.unpack_from(self.image, start)

    def local_method(self) -> int | None:
        local = self.local()
        return None if local is None else local[4]

    def data_start(self) -> int:
        local = self.local()
        if local is None:
            return -1
        return self.info.header_offset + LOCAL_HEADER.size + local[10] + local[11]

    def data_end(self) -> int:
        return self.data_start() + self.info.compress_size

    def packed(self) -> bytes:
        return self.image[self.data_start():self.data_end()]

    def room_ends(self) -> int:
        """Where zipfile lets the member's data end."""
        return self.info._end_offset  # type: ignore[attr-defined]


@dataclass
class Archive:
    """`error` is why it cannot be opened; otherwise `members` has the last one of each name."""

    path: Path
    error: Exception | None
    members: dict[bytes, Member]
    directory_start: int = 0
    entries: int = 0  # duplicates counted

    def full_contents(self) -> dict[bytes, bytes] | None:
        """All names with their bytes, if nothing at all is wrong or twice."""
        if self.error is not None or self.entries != len(self.members):
            return None
        found = {name: member.data for name, member in self.members.items()}
        return None if None in found.values() else found  # type: ignore[return-value]


def read(path: Path) -> Archive:
    try:
        opened = zipfile.ZipFile(path)
    except Exception as error:  # whatever it is: there is no archive
        return Archive(path, error, {})
    image = path.read_bytes()
    archive = Archive(path, None, {}, opened.start_dir, len(opened.filelist))  # type: ignore
    with opened:
        for name, info in opened.NameToInfo.items():
            member = Member(info, image)
            try:
                member.data = opened.read(name)
            except Exception as error:
                member.error = error
            archive.members[member.name] = member
    return archive
