"""The rules of the tree that a compiler does not check: which folder uses which, and how long
a file may be. Usage: check_layout.py REPOSITORY"""

import pathlib
import re
import sys

# The folders of src/, and which others each uses. Its files include no other, its library is linked
# with these, and docs/architecture.md says so. That the supervisor neither opens an archive nor
# shows one is why its line is short.
USES = {
    "util": [],
    "zip": ["util"],
    "handover": ["util"],
    "source": ["util"],
    "supervisor": ["handover", "source", "util"],
    "metrics": ["handover", "util"],
    "archive": ["handover", "util", "zip"],
    "by_name": ["util", "zip"],
    "catalog": ["archive", "by_name", "handover", "source", "util"],
    "fs": ["archive", "by_name", "catalog", "handover", "metrics", "source", "util", "zip"],
    "worker": ["archive", "catalog", "fs", "handover", "source", "util"],
    "cli": ["archive", "fs", "handover", "metrics", "source", "supervisor", "util", "worker", "zip"],
    "ctl": ["archive", "by_name", "catalog", "source", "util", "zip"],
}

# Headers of libraries (and one of the language), and the only places that may see them.
ONLY_IN = {
    r"fuse(3/.*|_.*)?\.h": ["util/libfuse.h"],
    r"systemd/.*": ["supervisor/service_status.cc", "supervisor/stored_state.cc"],
    r"seccomp\.h": ["worker/seccomp_filter.cc"],
    r"zip\.h": ["archive/libzip_stream.cc", "archive/decode_stream.cc"],
    r"lzma\.h": ["archive/lzma_stream.cc"],
    r"libdeflate\.h": ["archive/crc32.h"],
    r"isa-l(/.*|\.h)": ["archive/inflate_stream.cc"],
    r"rapidjson/.*": ["util/json.h", "ctl/server_status.cc"],
    r"prometheus/.*": ["metrics/"],
    r"charconv": ["util/number.h"],
    r"CLI/.*": ["ctl/app.cc"],
}
LONGEST_FILE = 400  # lines

# The only file with a std::mutex. All other mutexes are annotated: style.clang-tidy checks what they guard.
RAW_MUTEX_IN = "util/mutex.h"

TOP_LEVEL = {"CMakeLists.txt", "src", "tests", "packaging", "docs", "README.md", "LICENSE"}


def graph_of_includes(src: pathlib.Path) -> "dict[str, list[str]]":
    used: "dict[str, set[str]]" = {}
    for path in [*src.glob("*/*.cc"), *src.glob("*/*.h")]:
        folder = path.parent.name
        names = re.findall(r'#include "(\w+)/', path.read_text())
        used.setdefault(folder, set()).update(set(names) - {folder})
    return {folder: sorted(names) for folder, names in used.items()}


def graph_of_libraries(src: pathlib.Path) -> "dict[str, list[str]]":
    lines = re.findall(r"^skopsfs_library\((\w+)([^)]*)\)", (src / "CMakeLists.txt").read_text(), re.M)
    return {folder: sorted(re.findall(r"skopsfs_(\w+)", rest)) for folder, rest in lines}


def graph_of_docs(repository: pathlib.Path) -> "dict[str, list[str]]":
    text = (repository / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| `src/(\w+)` \|.*\|([^|]*)\|$", text, re.M)
    return {folder: sorted(re.findall(r"`(\w+)`", uses)) for folder, uses in rows if folder != "python"}


def faults_of_graph(repository: pathlib.Path) -> "list[str]":
    faults = []
    for where, graph in (("what src/ includes", graph_of_includes(repository / "src")),
                         ("src/CMakeLists.txt", graph_of_libraries(repository / "src")),
                         ("docs/architecture.md", graph_of_docs(repository))):
        for folder in sorted({*USES, *graph}):
            if graph.get(folder) != USES.get(folder):
                faults.append(f"by {where} {folder} uses {graph.get(folder)}, not {USES.get(folder)}")
    return faults


def faults_of_headers(src: pathlib.Path) -> "list[str]":
    faults = []
    for path in sorted(src.rglob("*.cc")) + sorted(src.rglob("*.h")):
        place = str(path.relative_to(src))
        for name in re.findall(r"#include <([^>]+)>", path.read_text()):
            for pattern, allowed in ONLY_IN.items():
                if re.fullmatch(pattern, name) and not place.startswith(tuple(allowed)):
                    faults.append(f"{place} includes <{name}>: only {allowed} may")
    return faults


def faults_of_mutexes(src: pathlib.Path) -> "list[str]":
    return [
        f"{path.relative_to(src)} has a std::mutex: use util::Mutex"
        for path in [*sorted(src.rglob("*.cc")), *sorted(src.rglob("*.h"))]
        if str(path.relative_to(src)) != RAW_MUTEX_IN
        and re.search(r"std::(\w+_)?mutex\b", path.read_text())
    ]


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
    faults = (faults_of_graph(repository) + faults_of_headers(repository / "src")
              + faults_of_mutexes(repository / "src")
              + faults_of_length(repository)
              + faults_of_top_level(repository))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults of layout")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
