#!/bin/sh
# Run by fresh_debian.sh inside of a Debian that systemd has started: the unit of the package in /debs,
# from the first start to the purge. The last line says that all went well.
set -eu

until_true() { until "$@" >/dev/null 2>&1; do sleep 0.1; done; }  # whoever runs this has a time limit
shows() { systemctl show --value -p "$1" skopsfs@models; }
shows_that() { shows "$1" | grep -q "$2"; }
mounted() { grep -q ' /mnt/skops .* fuse.skopsfs ' /proc/1/mountinfo; }  # for all, so for systemd
upgraded() { [ "$(journalctl -u skopsfs@models | grep -c 'the upgrade is done')" = "$1" ]; }
gone_on() { [ "$(journalctl -u skopsfs@models | grep -c 'going on with the mount')" = "$1" ]; }
read_as_somebody() {
  setpriv --reuid 54321 --clear-groups head -c 40 /mnt/skops/kmeans.skops/schema.json >/dev/null
}

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt-get install -y -qq --no-install-recommends /debs/skopsfs_*.deb >/dev/null
cp /usr/share/doc/skopsfs/examples/systemd/models.conf /etc/skopsfs
mkdir -p /etc/systemd/system/skopsfs@.service.d  # so that it is said what the hardening leaves
printf '[Service]\nExecStartPre=/usr/bin/skopsfs -V\n' >/etc/systemd/system/skopsfs@.service.d/try.conf
systemctl daemon-reload

systemctl enable --now skopsfs@models
mounted
read_as_somebody
systemctl status --no-pager skopsfs@models

supervisor=$(shows MainPID)
kill -9 "$(pgrep -P "$supervisor" | head -n 1)"
until_true shows_that StatusText 'workers that crashed: 1'
read_as_somebody
shows StatusText

systemctl reload skopsfs@models
until_true upgraded 1
apt-get install -y -qq --reinstall /debs/skopsfs_*.deb >/dev/null
until_true upgraded 2
[ "$(shows MainPID)" = "$supervisor" ]
read_as_somebody
echo "an upgrade of the package goes on with the mount"

# Memory is short, and the kernel kills the worker: systemd has to leave the service alone.
[ "$(shows OOMPolicy)" = continue ]
group=/sys/fs/cgroup$(shows ControlGroup)
if [ -e "$group/memory.events" ]; then
  worker=$(pgrep -P "$supervisor" | head -n 1)
  choom -p "$worker" -n 1000 >/dev/null  # the first to be killed, and the next one the last
  systemctl set-property --runtime skopsfs@models MemoryMax=64M
  # shellcheck disable=SC2016 # the inner shell puts it in
  sh -c 'echo $$ >"$0/cgroup.procs" && exec choom -n -1000 -- sh -c "head -c 64M /dev/zero | tail"' \
    "$group" >/dev/null &
  until_true eval '! kill -0 "$worker"'
  systemctl set-property --runtime skopsfs@models MemoryMax=infinity
  wait
  until_true shows_that StatusText 'workers that crashed: 1'
  until_true grep -q 'oom_kill [1-9]' "$group/memory.events"
  read_as_somebody
  [ "$(shows MainPID)" = "$supervisor" ]
  echo "a worker that is killed for want of memory is followed by another one"
else
  echo "skipped: a worker that is killed for want of memory, as this system does not count memory"
fi

# All processes are killed, and the service is restarted, while members are open of an archive that has been
# replaced: nobody but systemd has its descriptor.
cp /mnt/skops/kmeans.skops/schema.json /expected
exec 3</mnt/skops/kmeans.skops/schema.json 4</mnt/skops/kmeans.skops/schema.json
cp /models/kmeans.skops /models/new
mv /models/new /models/kmeans.skops
systemctl kill --signal=KILL skopsfs@models
until_true shows_that NRestarts 1
until_true gone_on 1
cmp /expected - <&3
read_as_somebody
systemctl restart skopsfs@models
gone_on 2
cmp /expected - <&4
exec 3<&- 4<&-
read_as_somebody
echo "a kill of all processes and a restart go on with the mount"

sed -i 's/^OPTIONS=.*/& --revalidate=2/' /etc/skopsfs/models.conf
systemctl restart skopsfs@models
journalctl --no-pager -u skopsfs@models | grep 'is not gone on with: skopsfs was started with other options'
read_as_somebody
echo "with other options it is mounted anew"

kill -STOP "$(shows MainPID)"  # it has to be killed
mkdir -p /run/systemd/system/skopsfs@.service.d
printf '[Service]\nTimeoutStopSec=1\n' >/run/systemd/system/skopsfs@.service.d/try.conf
systemctl daemon-reload
systemctl stop skopsfs@models
if mounted; then exit 1; fi
[ "$(shows NFileDescriptorStore)" = 0 ]
rm /run/systemd/system/skopsfs@.service.d/try.conf
systemctl daemon-reload
systemctl start skopsfs@models
read_as_somebody
systemctl stop skopsfs@models
if mounted; then exit 1; fi
[ "$(shows NFileDescriptorStore)" = 0 ]
echo "a stop leaves nothing, neither mounted nor stored"

systemctl start skopsfs@models
umount /mnt/skops
until_true shows_that ActiveState inactive
[ "$(shows Result)" = success ]
echo "umount ends the service"

systemctl start skopsfs@models
read_as_somebody
apt-get purge -y -qq skopsfs >/dev/null
if mounted; then exit 1; fi
[ -z "$(pgrep skopsfs)" ]
echo "the purge ends it"
echo "the unit does what it should"
