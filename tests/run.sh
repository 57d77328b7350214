#!/bin/sh
# On a fresh Debian 12: installs what is needed, builds and passes all tests. As root and with
# /dev/fuse nothing is skipped but the canaries of sanitizers that a build has not, what renders manifests (it wants kubectl
# 1.21 or later, and Debian 12 has 1.20), and what compares with the real skops: test_stand_in.py and
# test_all_estimators.py. They want it on PYTHONPATH; it is then what all tests of the Python package, the documentation
# and the wheel use, instead of the stand-in. Builds into build/ beside this folder, or $SKOPSFS_BUILD.
#
#   tests/run.sh            the ordinary build, and the formatting and clang-tidy checks
#   tests/run.sh all        also with ASan+UBSan and with TSan, and fuzzes for 60 s
set -eu
cd "$(dirname "$0")/.."
build=${SKOPSFS_BUILD:-build}
fuzz_seconds=${SKOPSFS_FUZZ_SECONDS:-60}
jobs=$(($(nproc) * 2))  # as half of a test is waiting
quick="-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1"  # to compile, as is a folder as one file

sh packaging/install_packages.sh test

# configure, build and test one kind of build: its folder, the labels to leave out, CMake options
check() {
  folder=$1; without=$2; shift 2
  echo "== $folder"
  cmake -S . -B "$folder" -G Ninja -DSKOPSFS_TESTS=ON "$@" >/dev/null  # the quickstart's has none
  cmake --build "$folder"
  (cd "$folder" && ctest --no-tests=error --output-on-failure -j "$jobs" --label-exclude "$without")
}

fuzz() {
  echo "== $build-fuzz"
  cmake -S . -B "$build-fuzz" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DSKOPSFS_FUZZ=ON -DCMAKE_UNITY_BUILD=ON \
    -DSKOPSFS_SANITIZE=address,undefined >/dev/null
  cmake --build "$build-fuzz" --target fuzz_index fuzz_members fuzz_schema fuzz_npy fuzz_state
  fuzz_one fuzz_index zip.dict tests/fuzz/corpus tests/data & first=$!
  fuzz_one fuzz_members zip.dict tests/fuzz/corpus tests/data & second=$!
  fuzz_one fuzz_schema json.dict tests/fuzz/schemas & third=$!
  fuzz_one fuzz_npy npy.dict tests/fuzz/npy & fourth=$!
  fuzz_one fuzz_state state.dict tests/fuzz/states & fifth=$!
  wait "$first"; wait "$second"; wait "$third"; wait "$fourth"; wait "$fifth"
}

# fuzz_one TARGET DICTIONARY FOLDER...
fuzz_one() {
  target=$1; dictionary=$2; shift 2
  corpus=$(mktemp -d)
  "$build-fuzz/tests/$target" -max_total_time="$fuzz_seconds" -rss_limit_mb=1024 \
    -timeout=20 -print_final_stats=1 -dict="tests/fuzz/$dictionary" -artifact_prefix="$corpus/" \
    "$corpus" "$@" 2>"$corpus.log" || { tail -60 "$corpus.log"; exit 1; }
  echo "$target: $(grep -o 'stat::number_of_executed_units: .*' "$corpus.log")"
  rm -r "$corpus" "$corpus.log"
}

check "$build" none
if [ "${1:-}" = all ]; then
  check "$build-asan" style -DSKOPSFS_SANITIZE=address,undefined -DCMAKE_UNITY_BUILD=ON "$quick"
  check "$build-tsan" style -DSKOPSFS_SANITIZE=thread -DCMAKE_UNITY_BUILD=ON "$quick"
  fuzz
fi
