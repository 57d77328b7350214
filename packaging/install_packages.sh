#!/bin/sh
# Installs Debian's packages for one purpose: `build` (compile skopsfs), `package` (build, and make a
# Debian package of it), `run` (build, and NumPy to try it with), `test` (all of that, and what the
# tests use), `benchmark` (all of that, and the peers and pictures of the benchmarks). Does nothing
# when all are there.
set -eu

build="cmake ninja-build g++ pkg-config fuse3 libfuse3-dev libzip-dev libfmt-dev liblzma-dev
  libdeflate-dev libisal-dev libseccomp-dev libsystemd-dev prometheus-cpp-dev rapidjson-dev
  zlib1g-dev libcli11-dev"
package="$build dpkg-dev file"
run="$build python3 python3-numpy attr"
test="$run libgtest-dev libgmock-dev python3-scipy python3-sklearn clang clang-format clang-tidy
  libclang-rt-14-dev libbenchmark-dev mypy e2fsprogs rsync ripgrep tar unzip util-linux procps mount
  python3-kubernetes python3-yaml python3-venv python3-pip python3-wheel debootstrap gunicorn prometheus
  python3-fastapi uvicorn uwsgi-core uwsgi-plugin-python3 python3-distributed python3-nbclient python3-ipykernel jq
  bindfs sshfs openssh-sftp-server systemd lintian dpkg-dev file man-db zsh fish buildah podman runc"
benchmark="$test fuse-zip archivemount squashfuse squashfs-tools python3-matplotlib"

case "${1:-}" in
  build) packages=$build ;;
  package) packages=$package ;;
  run) packages=$run ;;
  test) packages=$test ;;
  benchmark) packages=$benchmark ;;
  *) echo "usage: $0 build|package|run|test|benchmark" >&2; exit 2 ;;
esac

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
# The tests compare with zipfile as it is since the fix of CVE-2025-8291, which a machine that is
# not up to date lacks.
if [ "$1" = test ] && [ -x /usr/bin/python3 ] && ! /usr/bin/python3 -c '
import inspect, sys, zipfile
sys.exit("extrasz" not in inspect.getsource(zipfile._EndRecData64))' 2>/dev/null; then
  missing="$missing python3.11"
fi
[ -n "$missing" ] || exit 0

root=""
if [ "$(id -u)" -ne 0 ]; then
  root="sudo"
  command -v sudo >/dev/null || { echo "$0: needs root to install:$missing" >&2; exit 1; }
fi
echo "installing:$missing"
# Programs are wanted, not services: prometheus is there for its promtool.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
  $root chmod +x "$policy"
fi
$root apt-get update -qq
# shellcheck disable=SC2086 # one word a package
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
  >/dev/null
