#!/bin/sh
# Installs on a fresh Debian 12 what is needed, builds, mounts a folder of sample archives and
# shows three processes that share the pages of one array.
set -eu
cd "$(dirname "$0")/.."

sh packaging/install_packages.sh run
cmake -S . -B build -G Ninja -DSKOPSFS_TESTS=OFF -DCMAKE_UNITY_BUILD=ON >/dev/null
cmake --build build

if [ ! -c /dev/fuse ]; then
  echo "There is no /dev/fuse here, so nothing can be mounted. On a host: modprobe fuse. In a" >&2
  echo "container: run it with --device /dev/fuse --cap-add SYS_ADMIN." >&2
  exit 1
fi

place=$(mktemp -d "${TMPDIR:-/tmp}/skopsfs-quickstart.XXXXXX")
mkdir "$place/models" "$place/mnt"
cp tests/data/*.skops "$place/models"
/usr/bin/python3 packaging/quickstart_demo.py make "$place/models/large.skops"

build/src/skopsfs "$place/models" "$place/mnt"
/usr/bin/python3 packaging/quickstart_demo.py show "$place/models/large.skops" \
  "$place/mnt/large.skops"

cat <<TEXT

It is mounted, look around:
  ls -l $place/mnt $place/mnt/kmeans.skops
  getfattr -d $place/mnt/kmeans.skops/schema.json
  build/src/skopsfsctl tree $place/mnt/kmeans.skops
  build/src/skopsfsctl status $place/mnt
  /usr/bin/python3 -c "import numpy; print(numpy.load('$place/mnt/large.skops/weights.npy', mmap_mode='r'))"
and when done, unmount and delete the sample:
  fusermount3 -u $place/mnt && rm -r $place

To install both programs, with their pages of the manual (as root):
  cmake --install build
TEXT
