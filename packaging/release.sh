#!/bin/sh
# Makes what people install, in the folder OUT: the Debian package, the Python wheel, the image as an
# OCI archive, and SHA256SUMS of them. The same source makes the same bytes again, as long as Debian's
# packages are the same.
#
#   packaging/release.sh OUT [deb|wheel|image ...]     all three, if none is named
#
# The image takes buildah, and debian:12 and debian:12-slim, which are pulled unless they are there. The
# Debian package is of what is compiled here, or of a finished build in $SKOPSFS_BUILD_FOLDER.
set -eu
umask 022

[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
out=$(realpath "$1")
shift
[ $# -ge 1 ] || set -- deb wheel image
cd "$(dirname "$0")/.."
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
    SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
fi
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing comes along that an earlier build left, as a module in src/python/build that is gone from the source.
mkdir "$work/source"
tar --exclude=./src/python/build --exclude=__pycache__ --exclude='*.egg-info' \
  -c ./CMakeLists.txt ./LICENSE ./README.md ./docs ./packaging ./src |
  tar -C "$work/source" -x

make_deb() {
  build=${SKOPSFS_BUILD_FOLDER:-$work/build}
  if [ "$build" = "$work/build" ]; then
    # Without what the package is stripped of, in which the folder would be named.
    cmake -S "$work/source" -B "$build" -G Ninja -DSKOPSFS_TESTS=OFF -DCMAKE_UNITY_BUILD=ON \
      -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -DNDEBUG" >/dev/null
    cmake --build "$build" >/dev/null
  fi
  (cd "$build" && cpack -G DEB -B "$work/cpack" >/dev/null)
  # CPack has the files as old as they are here.
  package=$(ls "$work"/cpack/*.deb)
  dpkg-deb -R "$package" "$work/deb"
  find "$work/deb" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -b "$work/deb" "$out/$(basename "$package")" >/dev/null
}

make_wheel() {
  /usr/bin/python3 -m pip wheel -q --no-index --no-deps --no-build-isolation -w "$out" "$work/source/src/python"
}

make_image() {
  version=$(sed -n 's/^project(skopsfs VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
  buildah bud --isolation chroot --timestamp "$SOURCE_DATE_EPOCH" -q --iidfile "$work/image" \
    -f packaging/container/Dockerfile "$work/source"
  buildah push -q "$(cat "$work/image")" "oci:$work/oci:skopsfs:$version"
  tar -C "$work/oci" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -cf "$out/skopsfs-$version.oci.tar" .
}

for what; do
  case $what in
    deb) make_deb ;;
    wheel) make_wheel ;;
    image) make_image ;;
    *) echo "$0: $what is none of deb, wheel, image" >&2; exit 2 ;;
  esac
done
cd "$out"
find . -maxdepth 1 \( -name '*.deb' -o -name '*.whl' -o -name '*.oci.tar' \) -printf '%P\n' | sort |
  xargs sha256sum >SHA256SUMS
cat SHA256SUMS
