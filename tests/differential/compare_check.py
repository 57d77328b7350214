#!/usr/bin/python3
"""`skopsfsctl check` finds wrong what Python's zipfile cannot read, and nothing else but what
docs/semantics.md lists. Usage: compare_check.py SKOPSFSCTL"""

from __future__ import annotations

import collections
import json
import lzma
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

from generate import DEFAULT_COUNT, DEFAULT_SEED, generate

# What zipfile does not mind: the differences in docs/semantics.md, and what it knows nothing of.
OURS = ("a mount does not show it: ", "schema.json is not JSON: ", "it names ",
        "methods in the central directory and the local header differ",
        "decodes to less than its size", "stored, but its two sizes differ",
        "larger than a file can be", "larger than its compressed data can be")
# What a decoder finds behind the last byte of a member, or in the data of an empty one, where we do
# not look.
DECODERS = (zlib.error, lzma.LZMAError, OSError)


def failures_of(path: str) -> "list[Exception]":
    """What zipfile raises when all members are read by their names."""
    found: "list[Exception]" = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in dict.fromkeys(info.filename for info in archive.infolist()):
                if name.endswith("/"):
                    continue
                try:
                    archive.read(name)
                except Exception as error:  # whatever it is
                    found.append(error)
    except Exception as error:
        found.append(error)
    return found


def contradiction(archive: dict) -> str:
    """What the two disagree on; empty when they do not."""
    if archive["unchecked"]:
        return f"not checked: {archive['unchecked']}"
    failures = failures_of(archive["path"])
    theirs = [error for error in failures if not isinstance(error, DECODERS)]
    reasons = [fault["reason"] for fault in archive["faults"]]
    if theirs and not reasons:
        return f"zipfile fails, check does not: {theirs[0]!r}"
    shared = [reason for reason in reasons if not reason.startswith(OURS)]
    if shared and not failures:
        return f"check fails, zipfile does not: {shared[0]}"
    return ""


def main() -> int:
    warnings.simplefilter("ignore")  # of duplicate names
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), DEFAULT_SEED, range(DEFAULT_COUNT))
        done = subprocess.run([sys.argv[1], "check", "--json", folder], stdout=subprocess.PIPE,
                              check=False)
        if done.returncode != 1:
            print(f"exit code {done.returncode}, with so many archives that are wrong")
            return 1
        archives = json.loads(done.stdout)["archives"]
        found = {archive["path"]: contradiction(archive) for archive in archives}
    for path, what in found.items():
        if what:
            print(f"{Path(path).name}: {what}")
    good = collections.Counter(archive["ok"] for archive in archives)
    print(f"{good[True]} archives are right, {good[False]} are wrong")
    return 1 if any(found.values()) or min(good[True], good[False]) < 500 else 0


if __name__ == "__main__":
    sys.exit(main())
