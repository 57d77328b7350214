"""SIGUSR2 replaces the whole program: first its worker, then the supervisor becomes the new one, too.

The number of rounds of the storm is SKOPSFS_UPGRADES (2 by default); for a long run:
SKOPSFS_UPGRADES=200 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_supervisor_upgrade.py
"""

import contextlib
import errno
import mmap
import os
import re
import shutil
import signal
import time

import archives
from archives import MEMBER, read
from children import METRICS, NOTIFIER, children_of
from mount import HANG, Mount, MountTest, binary, is_mounted, main, needs_root, run, until
from ordinary_user import OrdinaryUserTest
from processes import OTHER_USER
from shim import ShimTest
from test_status import fetched, free_port, metrics_in

_AT_ONCE = 10
_UPGRADES = int(os.environ.get("SKOPSFS_UPGRADES", "2"))
_DONE = "the supervisor is the new program, too"
_REFUSED = "the supervisor stays the program that it is; the new one cannot follow it: "


def settled(look):
    """What `look()` gives once that has not changed for two seconds."""
    seen, since = None, 0
    def is_settled():
        nonlocal seen, since
        last, seen = seen, look()
        if seen != last:
            since = time.monotonic()
        return time.monotonic() - since > 2
    until(is_settled, "it stays the same")
    return seen


class Upgrades:
    """A test whose mount is served by a program of its own, of which new ones are installed."""

    def setUp(self):
        super().setUp()
        self.program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), self.program)
        archives.write_version(self.in_source("a.skops"), 1)

    def start(self, *options, **more):
        return self.mount(*options, command=[self.program], **more)

    def install(self, change=None):
        """A new program takes the place of the one on disk; `change` is what it has instead of what."""
        with open(binary(), "rb") as file:
            program = file.read()
        if change:
            self.assertIn(change[0], program)
            program = program.replace(*change)
        with open(self.program + ".new", "wb") as file:
            file.write(program)
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def upgrade(self, mount, is_done):
        self.install()
        mount.send(signal.SIGUSR2)
        until(is_done, "the supervisor is the new program")
        self.assert_both_new(mount)

    @staticmethod
    def program_of(pid):
        return os.stat(f"/proc/{pid}/exe").st_ino

    def assert_both_new(self, mount):
        new = os.stat(self.program).st_ino
        self.assertEqual([self.program_of(mount.pid), self.program_of(mount.worker())], [new, new])

    def assert_served(self, number=1):
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(file.read(), archives.content(number))

    def upgraded_again(self, mount):
        self.assert_served()
        self.upgrade(mount, lambda: mount.log().rstrip().endswith(_DONE))
        self.assert_served()


class SupervisorUpgrade(Upgrades, MountTest):
    def test_worker_and_supervisor_are_the_new_program(self):
        """Readers of what was replaced meanwhile go on, after the next worker's death as well."""
        mount = self.start()
        pid = mount.pid
        with open(self.in_mount("a.skops", MEMBER), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            archives.write_version(self.in_source("a.skops"), 2)
            until(lambda: read(self.in_mount("a.skops", MEMBER)) == archives.content(2), "the new version is there")
            for count in (1, 2):
                self.upgrade(mount, lambda: mount.log().count(_DONE) == count)
                self.assertEqual(mount.pid, pid)
                os.kill(mount.worker(), signal.SIGKILL)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(mapped[:], archives.content(1))
                self.assert_served(2)
                with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                    self.assertEqual(comm.read(), "skopsfs\n")
        self.assertEqual(mount.stop(), 0)

    def test_in_the_background(self):
        mount = self.start(background=True)
        self.upgrade(mount, lambda: self.program_of(mount.pid) == os.stat(self.program).st_ino)
        self.assert_served()

    def test_one_that_is_unmounted_ends(self):
        mount = self.start()
        self.upgrade(mount, lambda: _DONE in mount.log())
        run("umount", self.mountpoint)
        self.assertEqual(mount.wait(), 0)

    def test_metrics_go_on(self):
        """At the same address, with what was counted before."""
        port = free_port()
        mount = self.start(f"--metrics-address=127.0.0.1:{port}")
        self.assert_served()
        before = children_of(mount.pid, METRICS)
        self.upgrade(mount, lambda: _DONE in mount.log())
        def other():
            now = children_of(mount.pid, METRICS)
            return now and not set(now) & set(before)
        until(other, "another process serves them")
        mount.worker()
        self.assertEqual(metrics_in(until(lambda: fetched(port), "it serves"))["skopsfs_worker_restarts_total"], 1)
        self.assertNotIn("it is tried again", mount.log())

    def test_one_that_knows_another_form_of_the_state(self):
        self.refused((b"skopsfs-state", b"skopsfs-statf"), "the state of the mount ")

    def test_one_that_cannot_take_over_at_all(self):
        self.refused((b"--check-state=", b"--check-stati="), "it ended with ")

    def test_one_that_fails_goes_back(self):
        """It is executed and cannot go on: then the process is the old program again."""
        mount = self.start()
        old = self.program_of(mount.pid)
        self.install((b"descriptor", b"descriptos"))  # the name of a fact that only such a supervisor reads
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the new program cannot take over: the state of the mount lacks a ")
        mount.wait_for_log("the supervisor is the old program again")
        self.assertEqual(self.program_of(mount.pid), old)
        os.kill(mount.worker(), signal.SIGKILL)
        self.upgraded_again(mount)

    def test_the_same_program(self):
        """SIGUSR2 that opens SOURCE anew leaves the supervisor as it is."""
        mount = self.start()
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the upgrade is done")
        time.sleep(11)
        self.assertNotIn(_DONE, mount.log())
        self.assertNotIn(b"--supervisor=", read(f"/proc/{mount.pid}/cmdline"))

    def test_descriptors(self):
        """None is lost, none is left, and none is for programs that the supervisor runs."""
        mount = self.start()
        with open(self.in_mount("a.skops", MEMBER), "rb"):
            found = []
            while len(found) < 2:
                self.upgrade(mount, lambda: mount.log().count(_DONE) == len(found) + 1)
                until(lambda: not self.inherited_by_programs(mount.pid), "those that it was given are closed")
                until(lambda: "anon_inode:[signalfd]" in mount.descriptors(mount.pid), "it has all that it opens")
                found.append(settled(lambda: sorted(re.sub(r"\d+", "N", name) for name in mount.descriptors(mount.pid))))
        self.assertEqual(*found)

    @staticmethod
    def inherited_by_programs(pid):
        flags = {}
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                flags[number] = int(read(f"/proc/{pid}/fdinfo/{number}").split()[3], 8)
        return [number for number in flags if int(number) > 2 and not flags[number] & os.O_CLOEXEC]

    def test_a_worker_that_dies_right_after(self):
        mount = self.start()
        self.upgrade(mount, lambda: _DONE in mount.log())
        os.kill(mount.worker(), signal.SIGKILL)
        mount.wait_for_log("another one takes over")
        self.assert_served()
        self.assert_both_new(mount)
        self.assertNotIn("from before the upgrade", mount.log())

    def refused(self, change, why):
        """The worker is the new program, the supervisor stays; a good program replaces both."""
        mount = self.start()
        old = self.program_of(mount.pid)
        self.install(change)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log(_REFUSED + why)
        self.assertEqual(self.program_of(mount.pid), old)
        self.assertEqual(self.program_of(mount.worker()), os.stat(self.program).st_ino)
        self.upgraded_again(mount)

    def test_a_single_archive(self):
        mount = self.mount(source=self.in_source("a.skops"), command=[self.program])
        self.upgrade(mount, lambda: _DONE in mount.log())
        archives.write_version(self.in_source("a.skops"), 2)
        until(lambda: read(self.in_mount(MEMBER)) == archives.content(2), "the new version is there")

    @needs_root
    def test_another_user_serves(self):
        mount = self.start("--user=nobody")
        self.upgrade(mount, lambda: _DONE in mount.log())
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_served()
        self.assertNotEqual(os.stat(f"/proc/{mount.worker()}").st_uid, 0)

    def test_one_that_is_told_to_end_just_then(self):
        """Or unmounted: at any moment around the one at which it becomes the new program."""
        mounts = []
        for number in range(_AT_ONCE):
            folder = self.make_folder(f"mount-{number}")
            mounts.append(Mount(self.source, folder, command=[self.program]).start())
            self.addCleanup(mounts[-1].clear)
        self.install()
        for mount in mounts:
            mount.send(signal.SIGUSR2)
        until(lambda: any(_DONE in mount.log() for mount in mounts), "the first is the new program")
        for number, mount in enumerate(mounts):
            if number % 2:
                mount.send(signal.SIGTERM)
            else:
                run("umount", "-l", mount.path)
            time.sleep(0.01)
        self.assertEqual([mount.wait() for mount in mounts], [0] * _AT_ONCE)
        self.assertEqual([mount.path for mount in mounts if is_mounted(mount.path)], [])

    def test_storm(self):
        """Readers and mappings see no wrong byte while the program is replaced again and again."""
        mount = self.start(guard=HANG + 60 * _UPGRADES)
        self.assert_served()
        with open(self.in_mount("a.skops", MEMBER), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            wrong = 0
            for count in range(1, _UPGRADES + 1):
                self.install()
                mount.send(signal.SIGUSR2)
                while mount.log().count(_DONE) < count:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    wrong += mapped[:] != archives.content(1)
                    wrong += read(self.in_mount("a.skops", MEMBER)) != archives.content(1)
                    time.sleep(0.02)
        self.assertEqual(wrong, 0)


class AgainstOdds(Upgrades, ShimTest):
    def test_one_that_crashes_goes_back(self):
        self.goes_back("crash_taking_over")

    def test_one_that_hangs_goes_back(self):
        self.goes_back("hang_taking_over")

    def goes_back(self, fault):
        mount = self.start()
        old = self.program_of(mount.pid)
        self.install()
        setattr(self.shim, fault, self.program)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the supervisor is the old program again, as the new one did not take over")
        self.assertEqual(self.program_of(mount.pid), old)
        os.kill(mount.worker(), signal.SIGKILL)
        self.upgraded_again(mount)

    def test_what_crashes_workers_stays_shut_out(self):
        poison = self.in_source("poison.skops")
        archives.write_version(poison, 3)
        mount = self.start("--revalidate=0")
        self.shim.crash_at = poison
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("poison.skops"))
        self.upgrade(mount, lambda: _DONE in mount.log())
        crashes = mount.log().count("another one takes over")
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_errno(errno.EIO, os.listdir, self.in_mount("poison.skops"))
        self.assert_served()
        self.assertEqual(mount.log().count("another one takes over"), crashes + 1)

    def test_one_process_tells_the_kernel(self):
        """The one that the old supervisor had is not left behind."""
        self.shim.no_prune = 1
        mount = self.start("--revalidate=0")
        for number in (1, 2):
            with open(self.in_mount("a.skops", MEMBER), "rb"):
                archives.write_version(self.in_source("a.skops"), number + 1)
                self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(number + 1))
            until(lambda: len(children_of(mount.pid, NOTIFIER)) == 1, "there is one")
            if number == 1:
                self.upgrade(mount, lambda: _DONE in mount.log())


@needs_root
class OfAnOrdinaryUser(OrdinaryUserTest):
    def test_it_unmounts_what_another_program_mounted(self):
        programs = os.path.join(self.folder, "programs")
        program, new = (os.path.join(programs, name) for name in ("skopsfs", "new"))
        os.mkdir(programs)
        os.chown(programs, OTHER_USER, OTHER_USER)
        for path in program, new:
            shutil.copy(self.program, path)

        def use():
            mount = Mount(self.source, self.mountpoint, command=[program]).start()
            os.rename(new, program)
            mount.send(signal.SIGUSR2)
            mount.wait_for_log(_DONE)
            return mount.stop(), is_mounted(self.mountpoint)
        self.assertEqual(self.as_user(use), (0, False))


if __name__ == "__main__":
    main()
