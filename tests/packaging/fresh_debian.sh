#!/bin/sh
# On a fresh Debian 12: README's first command works, and the Debian package installs, mounts, and is
# removed without a trace. By hand, as root, because it takes ten minutes; with --tests also
# README's second command, which takes longer.
#
#   tests/packaging/fresh_debian.sh FOLDER [--tests]
#
# FOLDER is made, or used again: the systems in it are thrown away, and what was bootstrapped stays in
# FOLDER/base.tar. It takes 4 GB, debootstrap, the mirror that this machine's apt uses, and for the unit
# systemd-nspawn (package systemd-container), without which that is left out.
set -eu

say() { echo "== $(date +%T) $*"; }
die() { echo "fresh_debian.sh: $*" >&2; exit 1; }

[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" -eq 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "debootstrap is not installed"
if [ "${SKOPSFS_IN_NAMESPACE:-}" != yes ]; then  # what is mounted below is gone with this process
  SKOPSFS_IN_NAMESPACE=yes exec unshare --mount --propagation private -- sh "$0" "$@"
fi
mkdir -p "$1"
folder=$(realpath "$1")
tests=${2:-}
untried=""
repository=$(realpath "$(dirname "$0")/../..")

# The archive that apt takes Debian's main from.
# shellcheck disable=SC2016 # apt puts these in
mirror() {
  apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(COMPONENT) $(REPO_URI)' |
    awk '$1 == "Packages" && $2 == "bookworm" && $3 == "main" { print $4; exit }'
}

bootstrap() {
  [ ! -e "$folder/base.tar" ] || return 0
  say "bootstrapping"
  rm -rf "$folder/base"
  debootstrap --variant=minbase bookworm "$folder/base" "$(mirror)" >"$folder/debootstrap.log" ||
    die "debootstrap failed; see $folder/debootstrap.log"
  # apt finds its way as here, and updates are there, too.
  rm -f "$folder/base/etc/apt/sources.list"
  cp -r /etc/apt/. "$folder/base/etc/apt"
  rm -rf "$folder/base/etc/apt/preferences.d/"*
  tar -C "$folder/base" -cf "$folder/base.tar" .
  rm -rf "$folder/base"
}

# fresh NAME: a new system in $folder/NAME, with what a host has
fresh() {
  rm -rf "$folder/${1:?}"
  mkdir "$folder/$1"
  tar -C "$folder/$1" -xf "$folder/base.tar"
  mount --bind "$folder/$1" "$folder/$1"  # the root of a system is a mount
  cp -L /etc/resolv.conf "$folder/$1/etc/resolv.conf"
  mount -t proc proc "$folder/$1/proc"
  mount --rbind /sys "$folder/$1/sys"
  mount --rbind /dev "$folder/$1/dev"
}

# inside NAME COMMAND...
inside() {
  name=$1; shift
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    chroot "$folder/$name" "$@"
}

# Every file with its size, but for what apt and dpkg say about themselves, and what they keep.
files() {
  (cd "$folder/$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \
      -o -path ./root -o -path ./var/cache -o -path ./var/log -o -path ./var/lib/apt \
      -o -path ./var/lib/dpkg \) -prune -o ! -type d -printf '%p %s\n' -o -printf '%p/\n') |
    grep -v -e '^./etc/ld.so.cache ' -e '^./var/lib/systemd/' | LC_ALL=C sort
}

# Installs the package, uses it, purges it again.
try_package() {
  say "$1: installing the package"
  cp "$package" "$folder/$1/tmp"
  files "$1" >"$folder/$1.before"
  inside "$1" apt-get update -qq
  inside "$1" apt-get install -y -qq --no-install-recommends "/tmp/$(basename "$package")" >/dev/null
  inside "$1" skopsfs -V
  mkdir -p "$folder/$1/tmp/models" "$folder/$1/tmp/mnt"
  cp "$repository"/tests/data/*.skops "$folder/$1/tmp/models"
  say "$1: mount(8), a member, umount(8)"
  inside "$1" mount -t fuse.skopsfs /tmp/models /tmp/mnt -o ro,allow_other
  inside "$1" grep ' /tmp/mnt ' /proc/mounts
  inside "$1" ls /tmp/mnt/kmeans.skops
  inside "$1" head -c 60 /tmp/mnt/kmeans.skops/schema.json; echo
  if [ "$2" = python ]; then
    inside "$1" /usr/bin/python3 -c '
import skopsfs
print(type(skopsfs.array("/tmp/mnt/kmeans.skops", "cluster_centers_")), skopsfs.__file__)'
  fi
  inside "$1" umount /tmp/mnt
  say "$1: purging it"
  inside "$1" apt-get purge -y -qq --auto-remove skopsfs >/dev/null
  rm -rf "$folder/$1/tmp/models" "$folder/$1/tmp/mnt"
  files "$1" >"$folder/$1.after"
  diff "$folder/$1.before" "$folder/$1.after" || die "$1: something of it is left"
  say "$1: nothing of it is left"
}

# Starts a system with systemd and the package, and tries the unit in it.
try_service() {
  if ! command -v systemd-nspawn >/dev/null; then
    untried="the unit, for want of systemd-nspawn"
    return 0
  fi
  fresh boot
  inside boot apt-get update -qq
  inside boot apt-get install -y -qq --no-install-recommends systemd systemd-sysv procps >/dev/null
  umount -R "$folder/boot/dev" "$folder/boot/sys" "$folder/boot/proc"
  mkdir "$folder/boot/models" "$folder/boot/debs"
  cp "$repository"/tests/data/*.skops "$folder/boot/models"
  cp "$package" "$folder/boot/debs"
  cp "$repository/tests/packaging/service_in_debian.sh" "$folder/boot/try.sh"
  cat >"$folder/boot/etc/systemd/system/try.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh /try.sh >/try.log 2>&1; systemctl --no-block poweroff'
UNIT
  mkdir -p "$folder/boot/etc/systemd/system/multi-user.target.wants"
  ln -s ../try.service "$folder/boot/etc/systemd/system/multi-user.target.wants/try.service"
  # Its own filter of system calls is left out, because it knows no Landlock.
  SYSTEMD_SECCOMP=0 timeout 120 systemd-nspawn --quiet --register=no --keep-unit --bind=/dev/fuse \
    -D "$folder/boot" --boot </dev/null >"$folder/boot.log" 2>&1 ||
    die "the system did not start, or did not end; see $folder/boot.log"
  [ -e "$folder/boot/try.log" ] || die "the unit was not tried; see $folder/boot.log"
  cat "$folder/boot/try.log"
  [ "$(tail -n 1 "$folder/boot/try.log")" = "the unit does what it should" ] ||
    die "the unit does not do what it should; see $folder/boot.log"
}

bootstrap
say "a system to build in"
fresh build
mkdir "$folder/build/skopsfs"
git -C "$repository" archive HEAD | tar -C "$folder/build/skopsfs" -x
say "sh packaging/quickstart.sh"
inside build sh -c 'cd /skopsfs && sh packaging/quickstart.sh'
inside build sh -c 'umount /tmp/skopsfs-quickstart.*/mnt'
if [ "$tests" = --tests ]; then
  say "sh tests/run.sh"
  inside build sh -c 'cd /skopsfs && sh tests/run.sh'
fi
say "cpack -G DEB"
inside build sh -c 'cd /skopsfs && sh packaging/install_packages.sh package &&
  cmake -S . -B build -G Ninja -DSKOPSFS_TESTS=OFF >/dev/null && cmake --build build &&
  cd build && cpack -G DEB'
package=$(ls "$folder"/build/skopsfs/build/skopsfs_*.deb)
try_package build python

say "a system that nothing was installed on"
fresh bare
try_package bare ""

say "a system that systemd starts"
try_service
[ -z "$untried" ] || say "skipped: $untried"
say "all that was tried is well"
