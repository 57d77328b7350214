#!/bin/sh
# Runs a command as root on another kernel, in a virtual machine that sees all files of this one. It can
# change none of them: what it writes is lost, and /tmp is a disk of its own. There is cgroup v2 with a count
# of memory, and no capability is missing.
# Usage: virtual_machine.sh KERNEL.deb COMMAND [ARGUMENT...]
# KERNEL.deb: a package linux-image-VERSION-amd64 of Debian 13 or later (`apt-get download` brings it).
# Needs qemu-system-x86, busybox-static and cpio. Takes two cores and 3 GiB. Python takes 10 s to start.
set -eu

deb=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dpkg-deb -x "$deb" "$work/kernel"
root=$work/root
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/lower" "$root/upper" "$root/new"
cp "$(command -v busybox)" "$root/busybox"
modules="lib/crc16 fs/mbcache crypto/crc32c_generic lib/libcrc32c fs/jbd2/jbd2 fs/ext4/ext4 drivers/block/virtio_blk
  fs/netfs/netfs net/9p/9pnet net/9p/9pnet_virtio fs/9p/9p fs/overlayfs/overlay"
number=10
for module in $modules; do  # in the order in which they need each other; some may be built in
  number=$((number + 1))
  for file in "$work"/kernel/usr/lib/modules/*/kernel/"$module".ko.xz; do
    if [ -e "$file" ]; then xz -dc "$file" >"$root/$number.ko"; fi
  done
done
for word; do printf "'%s' " "$word"; done >"$root/command"
printf '%s\n' "$PWD" >"$root/folder"
cat >"$root/init" <<'END'
#!/busybox sh
/busybox --install -s / 2>/dev/null
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in /*.ko; do insmod "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /lower
mount -t tmpfs tmpfs /upper; mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /new/tmp; chmod 1777 /new/tmp
mount -t proc proc /new/proc; mount -t sysfs sysfs /new/sys; mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/shm; mount -t tmpfs tmpfs /new/dev/shm
mount -t cgroup2 cgroup /new/sys/fs/cgroup; echo +memory >/new/sys/fs/cgroup/cgroup.subtree_control
ifconfig lo 127.0.0.1
chroot /new /bin/sh -c "cd '$(cat /folder)' && PATH=/usr/sbin:/usr/bin:/sbin:/bin $(cat /command)"
echo "the command ended with $?"
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip) >"$work/initrd"
truncate -s 2G "$work/disk"
mkfs.ext4 -q "$work/disk"
qemu-system-x86_64 -M q35 -cpu max -accel tcg,thread=multi -smp 2 -m 3072 -nographic -no-reboot -nic none \
  -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" \
  -fsdev local,id=host,path=/,security_model=passthrough,readonly=on,multidevs=remap \
  -device virtio-9p-pci,fsdev=host,mount_tag=host -drive "file=$work/disk,if=virtio,format=raw" \
  </dev/null | tee "$work/log"
grep -q 'the command ended with 0' "$work/log"
