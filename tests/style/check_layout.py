"""The rules of the tree that a compiler does not check: which folder may include which, and how
long a file may be. Usage: check_layout.py REPOSITORY"""

import pathlib
import re
import sys

# Each may include itself and what stands to its right.
ORDER = ["cli", "fuse", "ctl", "fs", "catalog", "by_name", "archive", "zip", "metrics", "util"]

# Programs beside skopsfs, which nobody else includes.
PROGRAMS = {"ctl"}

# Headers of libraries, and the only places that may see them.
ONLY_IN = {
    r"fuse(3/.*|_.*)?\.h": ["fuse/"],
    r"systemd/.*": ["fuse/service_manager.cc"],
    r"zip\.h": ["archive/libzip_stream.cc", "archive/decode_stream.cc"],
    r"lzma\.h": ["archive/lzma_stream.cc"],
    r"libdeflate\.h": ["archive/crc32.h"],
    r"isa-l(/.*|\.h)": ["archive/inflate_stream.cc"],
    r"rapidjson/.*": ["fs/status.cc", "ctl/json.h",
                      "ctl/server_status.cc"],
    r"prometheus/.*": ["metrics/"],
    r"CLI/.*": ["ctl/app.cc"],
}
LONGEST_FILE = 400  # lines

TOP_LEVEL = {"CMakeLists.txt", "src", "tests", "packaging", "docs", "README.md", "LICENSE"}


def faults_of_includes(src: pathlib.Path) -> "list[str]":
    faults = []
    for path in sorted(src.rglob("*.cc")) + sorted(src.rglob("*.h")):
        place = path.relative_to(src)
        for kind, name in re.findall(r'#include (["<])([^">]+)', path.read_text()):
            folder = name.split("/")[0]
            if kind == '"' and len(place.parts) > 1:
                own = place.parts[0]
                if (ORDER.index(folder) < ORDER.index(own)
                        or (folder in PROGRAMS and folder != own)):
                    faults.append(f"{place} includes {name}: {place.parts[0]} may not know it")
            for pattern, allowed in ONLY_IN.items():
                if kind == "<" and re.fullmatch(pattern, name):
                    if not any(str(place).startswith(prefix) for prefix in allowed):
                        faults.append(f"{place} includes <{name}>: only {allowed} may")
    return faults


def faults_of_length(repository: pathlib.Path) -> "list[str]":
    faults = []
    for folder in ("src", "tests", "packaging"):
        for path in sorted((repository / folder).rglob("*")):
            if path.suffix in {".cc", ".h", ".py", ".sh"}:
                lines = len(path.read_text().splitlines())
                if lines > LONGEST_FILE:
                    faults.append(f"{path.relative_to(repository)} has {lines} lines")
    return faults


def faults_of_top_level(repository: pathlib.Path) -> "list[str]":
    return [
        f"{path.name} does not belong at the top level"
        for path in repository.iterdir()
        if not path.name.startswith(".") and not path.name.startswith("build")
        and path.name not in TOP_LEVEL
    ]


def main() -> int:
    repository = pathlib.Path(sys.argv[1])
    faults = (faults_of_includes(repository / "src") + faults_of_length(repository)
              + faults_of_top_level(repository))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults of layout")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
