#!/usr/bin/python3
"""Compares what skopsfs shows of archives with what Python's zipfile reads of them, and libzip.

The archives: generated ones (see generate.py), those of tests/data, and those of ../shared/corpus
where that is there. Name by name, byte by byte, error for error; what differs must be explained by
a rule of rules.py. Exits with 1 when something is not.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import generate
import oracle
import rules

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
METHODS = {0: "stored", 8: "deflated", 12: "bzip2", 14: "lzma", 93: "zstd"}
# Of archives inside the corpus's archives, which keep 65,536 members and 4 GiB of zeros there.
LARGEST_NESTED = 6_000_000  # bytes
LARGEST_UNPACKED = 64 << 20
MOST_REPORTED = 50  # differences; there are thousands when a program crashes
Json = dict[str, Any]


@dataclass
class Tally:
    archives: Counter[str] = field(default_factory=Counter)  # by where they come from
    unreadable: int = 0  # archives that both cannot open
    members: int = 0
    same_bytes: int = 0
    same_error: int = 0
    directories: int = 0
    known: Counter[str] = field(default_factory=Counter)
    libzip_full: int = 0  # archives of which libzip and zipfile read the same
    libzip_same: int = 0  # of those: where we show the same too
    unexplained: list[str] = field(default_factory=list)

    def differs(self, archive: str, what: str) -> None:
        self.unexplained.append(f"{archive}: {what}")


# --- the archives -------------------------------------------------------------------------------


def collect(folder: Path, seed: int, count: int) -> None:
    generate.generate(folder, seed, range(count))
    for path in sorted((HERE.parent / "data").glob("*.skops")):
        shutil.copy(path, folder / f"data-{path.name}")
    corpus = REPOSITORY.parent / "shared" / "corpus"
    if not corpus.is_dir():
        print(f"LEFT OUT: {corpus} is not there")
        return
    for path in sorted((corpus / "skops").glob("*.skops")):
        shutil.copy(path, folder / f"corpus-{path.name}")
    for path in sorted((corpus / "zip" / "libzip").glob("*.zip")):
        shutil.copy(path, folder / f"libzip-{path.name}.skops")
        copy_nested(path, folder)


def copy_nested(path: Path, folder: Path) -> None:
    """libzip's tests keep their largest archives compressed inside others."""
    try:
        archive = zipfile.ZipFile(path)
        for info in archive.infolist():
            if not info.filename.endswith(".zip") or info.file_size > LARGEST_NESTED:
                continue
            image = archive.read(info)
            inner = zipfile.ZipFile(io.BytesIO(image)).infolist()
            if sum(member.file_size for member in inner) <= LARGEST_UNPACKED:
                name = f"libzip-{path.name}-{Path(info.filename).name}.skops"
                (folder / name).write_bytes(image)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError):
        pass  # one of the damaged ones


# --- what the programs show ---------------------------------------------------------------------


class Shown:
    """The output of one program: JSON lines, and a file with the bytes they refer to."""

    def __init__(self, command: list[str], contents: Path) -> None:
        self._contents_path = contents
        self._command = command
        self._output = contents.with_suffix(".json")
        with self._output.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out)

    def finish(self) -> bool:
        """Waits for the program; whether it did not fail."""
        status = self._process.wait()
        if status != 0:
            print(f"{self._command[0]} ended with {status}")
        self._contents = self._contents_path.read_bytes()
        return status == 0

    def lines(self) -> Iterator[Json]:
        with self._output.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("}\n"):  # not the last words of a program that crashed
                    yield json.loads(line)

    def bytes_of(self, member: Json) -> bytes | None:
        if "content" not in member:
            return None
        offset, size = member["content"]
        return self._contents[offset:offset + size]


# --- comparison ---------------------------------------------------------------------------------


class Comparison:
    def __init__(self, shown: Shown, tally: Tally) -> None:
        self._shown = shown
        self._tally = tally

    def archive(self, line: Json, expected: oracle.Archive) -> bool:
        """Whether we and zipfile show the same, known differences not counted as that."""
        tally, name = self._tally, line["archive"]
        tally.archives[name.split("-")[0]] += 1
        for problem in line["problems"]:
            tally.differs(name, f"contradicts itself: {problem}")
        ours = line.get("error")
        if expected.error is not None or ours is not None:
            if expected.error is None or ours is None or ours["errno"] != 5:
                tally.differs(name, f"opening: zipfile {expected.error!r}, we {ours}")
            else:
                tally.unreadable += 1
            return False
        members = {member["path"].encode(): member for member in line["members"]}
        if len(members) != len(line["members"]):
            tally.differs(name, "shows a name twice")
        same = self._names(name, members, expected)
        for path, member in members.items():
            if path in expected.members and not S_ISDIR(member["mode"]):
                same &= self._member(name, member, expected, expected.members[path])
        return same

    def _names(self, name: str, members: dict[bytes, Json], expected: oracle.Archive) -> bool:
        tally = self._tally
        wanted = rules.expected_names(expected.members)
        directories = {path for path, member in members.items() if S_ISDIR(member["mode"])}
        files = members.keys() - directories
        for what, ours, theirs in (("directories", directories, wanted.directories),
                                   ("files", files, wanted.files)):
            if ours != theirs:
                tally.differs(name, f"{what}: only zipfile {theirs - ours}, "
                                    f"only we {ours - theirs}")
        tally.directories += len(directories)
        tally.known.update(f"not shown: {rule}" for rule in wanted.hidden.values())
        with_data = [member for path, member in expected.members.items()
                     if path.endswith(b"/") and path not in wanted.hidden and member.data != b""]
        tally.known["directory entry with data, or damaged: a directory"] += len(with_data)
        return not wanted.hidden and not with_data

    def _member(self, name: str, member: Json, archive: oracle.Archive,
                theirs: oracle.Member) -> bool:
        tally, failed = self._tally, member.get("error", {"errno": 0, "reason": ""})
        tally.members += 1
        ours = rules.Ours(self._shown.bytes_of(member), failed["errno"], failed["reason"])
        self._attributes(name, member, theirs, ours, archive)
        case = rules.Case(archive, theirs, ours)
        if rules.agree(case):
            if ours.data is None:
                tally.same_error += 1
            else:
                tally.same_bytes += 1
            return True
        rule = rules.explain(case)
        if rule is None:
            tally.differs(name, f"{member['path']!r}: {describe(case)}")
        else:
            tally.known[rule] += 1
        return False

    def _attributes(self, name: str, member: Json, theirs: oracle.Member, ours: rules.Ours,
                    archive: oracle.Archive) -> None:
        info, xattr = theirs.info, member["xattr"]
        wanted = {"archive": name, "member": info.filename, "crc32": f"{info.CRC:08x}",
                  "compressed_size": str(info.compress_size),
                  "method": METHODS.get(info.compress_type, str(info.compress_type))}
        if ours.data is not None:
            wanted["offset"] = str(theirs.data_start())
        given = {key: xattr.get(key) for key in wanted}
        if given != wanted:
            self._tally.differs(name, f"attributes {given}, not {wanted}")
        expected = rules.shown_size(theirs, archive.directory_start)
        if member["size"] != expected:
            self._tally.differs(name, f"size {member['size']}, not {expected}")


def describe(case: rules.Case) -> str:
    def say(data: bytes | None, failure: object) -> str:
        return f"{len(data)} bytes {data[:16]!r}" if data is not None else str(failure)
    return (f"{case.info!r}: zipfile {say(case.zipfile.data, repr(case.zipfile.error))}, "
            f"we {say(case.ours.data, (case.ours.errno, case.ours.reason))}")


def compare_libzip(line: Json, libzip: Shown, expected: oracle.Archive, we_agree: bool,
                   tally: Tally) -> None:
    """Where libzip and zipfile read the same of a whole archive, so must we."""
    full = expected.full_contents()
    if full is None or "members" not in line:
        return
    theirs = {member["path"].encode(): libzip.bytes_of(member) for member in line["members"]}
    if len(line["members"]) != len(full) or theirs != full:
        return
    tally.libzip_full += 1
    # Otherwise the differences have been counted, or reported, by now.
    tally.libzip_same += we_agree


def run(args: argparse.Namespace, folder: Path, make: Callable[[Path], None]) -> Tally:
    """Compares the archives that `make` writes to a folder."""
    source = folder / "archives"
    source.mkdir(parents=True)
    make(source)
    shown = Shown([args.show, str(source), str(folder / "ours"), str(args.seed)], folder / "ours")
    libzip = Shown([args.libzip, str(source), str(folder / "libzip")], folder / "libzip")
    tally = Tally()
    expected = {path.name: oracle.read(path) for path in sorted(source.iterdir())}
    if not shown.finish():
        tally.differs(str(source), "the program that shows the archives failed")
    agreed: dict[str, bool] = {}
    comparison = Comparison(shown, tally)
    for line in shown.lines():
        if "slots_left" in line:
            if line["slots_left"] != 0:
                tally.differs("all archives", f"{line['slots_left']} slots are never forgotten")
            continue
        agreed[line["archive"]] = comparison.archive(line, expected[line["archive"]])
    for name in sorted(expected.keys() - agreed.keys()):
        tally.differs(name, "not shown at all")
    libzip.finish()  # where it crashes, the archives before still count
    for line in libzip.lines():
        name = line["archive"]
        compare_libzip(line, libzip, expected[name], agreed.get(name, False), tally)
    return tally


def report(tally: Tally, seed: int) -> None:
    origins = ", ".join(f"{count} {origin}" for origin, count in tally.archives.items())
    print(f"seed {seed}: {tally.archives.total()} archives ({origins}), {tally.members} members, "
          f"{tally.directories} directories")
    print(f"agreement: {tally.same_bytes} members with the same bytes, {tally.same_error} that "
          f"fail alike, {tally.unreadable} archives that cannot be opened")
    print(f"libzip agrees with zipfile on all of {tally.libzip_full} archives; we show the same of "
          f"{tally.libzip_same}, and of the others all but known differences")
    print(f"known differences: {tally.known.total()}")
    for rule, count in sorted(tally.known.items()):
        if count:
            print(f"  {count:6}  {rule}")
    for difference in tally.unexplained[:MOST_REPORTED]:
        print(f"UNEXPLAINED: {difference}")
    print(f"{len(tally.unexplained)} unexplained differences")
    if tally.unexplained:
        print("To see an archive again: --keep FOLDER; to make generated-SEED-NUMBER-* alone: "
              "generate.py --seed SEED --only NUMBER FOLDER")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", required=True, help="the program show_archives")
    parser.add_argument("--libzip", required=True, help="the program libzip_archives")
    parser.add_argument("--seed", type=int, default=generate.DEFAULT_SEED)
    parser.add_argument("--count", type=int, default=generate.DEFAULT_COUNT)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which stays")
    args = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with tempfile.TemporaryDirectory(prefix="skopsfs-differential-") as temporary:
        tally = run(args, args.keep or Path(temporary),
                    lambda source: collect(source, args.seed, args.count))
    report(tally, args.seed)
    return 1 if tally.unexplained or not tally.archives else 0


if __name__ == "__main__":
    sys.exit(main())
