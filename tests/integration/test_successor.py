"""`--handover=PATH`: the next skopsfs takes the mount over from the one that listens there.

The number of rounds of the storm is SKOPSFS_HANDOVERS (5 by default); for a long run:
SKOPSFS_HANDOVERS=200 SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/test_successor.py
"""

import contextlib
import mmap
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time

import archives
from archives import MEMBER, read
from children import METRICS, WORKER, children_of
from mount import HANG, Mount, binary, detach, is_mounted, is_served, main, needs_root, run, until
from processes import OTHER_USER, in_child
from shim import ShimTest
from storing_manager import StoringManager
from test_passed_mount import Server, mount_device
from test_status import fetched, free_port

_ROUNDS = int(os.environ.get("SKOPSFS_HANDOVERS", "5"))
_TAKEN = "another server has taken the mount over"


# As in src/handover/channel.h.
_PREPARED, _SUCCESSOR = 8, 20
_SERVE, _HELLO, _STATE = (number.to_bytes(4, "little") for number in (11, 19, 21))


def _message(tell, number=0, slot=0, text=b""):
    return struct.pack("<IIQQ", tell, len(text), number, slot) + text


class HandoverTest(ShimTest):
    def setUp(self):
        super().setUp()
        self.socket = os.path.join(self.folder, "socket")
        archives.write_version(self.in_source("a.skops"), 1)

    def start(self, *options, **more):
        """Another skopsfs of the same mount, if there is one; none of them is to leave anything."""
        mount = Mount(more.pop("source", self.source), more.pop("mountpoint", self.mountpoint),
                      f"--handover={self.socket}", *options, env=self.shim.environment, **more)
        self.addCleanup(mount.clear)
        return mount.start()

    def follow(self, mount, *options, **more):
        """A successor, once it serves."""
        following = self.start(*options, **more)
        following.wait_for_log("serving ")
        mount.wait_for_log(_TAKEN)
        return following

    def refused(self, *options, **more):
        """What a successor says that cannot take the mount over."""
        words = [binary(), "-f", f"--handover={self.socket}", *options, more.get("source", self.source),
                 more.get("mountpoint", self.mountpoint)]
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True, timeout=HANG, check=False,
                              env={**os.environ, **self.shim.environment})
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def assert_served(self, number=1):
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(file.read(), archives.content(number))


class Successor(HandoverTest):
    def test_one_after_the_other(self):
        """What was replaced meanwhile is read and mapped on; each one ends by itself."""
        mount = self.start("--revalidate=0")
        with open(self.in_mount("a.skops", MEMBER), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            archives.write_version(self.in_source("a.skops"), 2)
            self.assert_served(2)
            for _ in range(3):
                following = self.follow(mount, "--revalidate=0")
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(mapped[:], archives.content(1))
                self.assert_served(2)
                self.assertEqual(mount.stop(), 0)
                self.assert_served(2)
                os.kill(following.worker(), signal.SIGKILL)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(mapped[:], archives.content(1))
                mount = following
        self.assertEqual(mount.stop(), 0)
        self.assertFalse(is_mounted(self.mountpoint))

    def test_one_that_waits_to_be_told_to_end_has_nothing(self):
        mount = self.start()
        self.assert_served()
        self.follow(mount)
        def left():
            return [name for name in mount.descriptors(mount.pid)
                    if name == "/dev/fuse" or name.startswith((self.source, "/memfd:", "socket:"))]
        until(lambda: not left(), "it keeps no descriptor of the mount")
        until(lambda: not children_of(mount.pid, WORKER, METRICS), "it has no process")

    @needs_root
    def test_a_mount_that_was_passed(self):
        """The next one needs no descriptor."""
        device = mount_device(self.mountpoint)
        try:
            mount = Server(self.source, device, f"--handover={self.socket}")
        finally:
            os.close(device)
        self.addCleanup(detach, self.mountpoint)
        with mount:
            self.assert_served()
            following = subprocess.Popen([binary(), "-f", f"--handover={self.socket}", self.source, "/dev/fd/100"])
            until(lambda: _TAKEN in mount.log(), "the next one serves")
            self.assertEqual(mount.stop(), 0)
            self.assert_served()
            run("umount", self.mountpoint)
            self.assertEqual(following.wait(HANG), 0)

    def test_in_the_background(self):
        mount = self.start()
        run(binary(), f"--handover={self.socket}", self.source, self.mountpoint)
        mount.wait_for_log(_TAKEN)
        self.assert_served()
        run("umount", self.mountpoint)

    def test_as_a_service(self):
        """Nothing is stored, which the next start could take beside the next server. The one that waits gives signs
        of life."""
        manager = StoringManager(os.path.join(self.folder, "notify"))
        self.addCleanup(manager.close)
        self.shim.environment.update(NOTIFY_SOCKET=manager.path, FDSTORE="4096", WATCHDOG_USEC="1000000")
        mount = self.start()
        self.assert_served()
        for name in ("NOTIFY_SOCKET", "FDSTORE", "WATCHDOG_USEC"):
            del self.shim.environment[name]
        self.follow(mount)
        signs = manager.told.count("WATCHDOG=1")
        until(lambda: manager.told.count("WATCHDOG=1") > signs + 2, "it gives signs of life")
        self.assertEqual(manager.names(), [])
        self.assertEqual(mount.stop(), 0)

    def test_metrics(self):
        """At the same address, which the one before gives up."""
        port = free_port()
        mount = self.start(f"--metrics-address={port}")
        self.follow(mount, f"--metrics-address={port}")
        self.assertIn("skopsfs_", until(lambda: fetched(port), "it serves them"))

    def test_the_mode_of_the_socket(self):
        self.start()
        status = os.lstat(self.socket)
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)

    def test_a_socket_that_was_left(self):
        mount = self.start()
        mount.stop()
        self.assertTrue(os.path.exists(self.socket))
        mount = self.start()
        self.assert_served()
        mount.stop(signal.SIGKILL)
        self.start()
        self.assert_served()

    def test_something_else_is_there(self):
        with open(self.socket, "w", encoding="ascii") as file:
            file.write("precious")
        self.assertIn("something else is there", self.refused())
        self.assertEqual(read(self.socket), b"precious")
        self.assertFalse(is_mounted(self.mountpoint))

    @needs_root
    def test_another_user(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.bind(self.socket)
            os.chown(self.socket, OTHER_USER, OTHER_USER)
            self.assertIn("it belongs to another user", self.refused())
            self.assertTrue(os.path.exists(self.socket))
        os.unlink(self.socket)
        self.start()
        os.chmod(self.socket, 0o666)
        os.chmod(self.folder, 0o755)
        def come():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
                other.settimeout(HANG)
                other.connect(self.socket)
                return other.recv(1)  # not even a greeting
        self.assertEqual(in_child(come, user=OTHER_USER), b"")
        self.assert_served()

    def test_another_source(self):
        other = self.make_folder("other")
        mount = self.start()
        self.assertIn("its source is", self.refused(source=other))
        mount.wait_for_log("a successor does not take the mount over: its source is")
        self.assert_served()

    def test_another_place(self):
        other = self.make_folder("elsewhere")
        self.start()
        self.assertIn("does not see this mount at its mountpoint", self.refused(mountpoint=other))
        self.assert_served()

    def successor(self, version=1):
        """One that asks for the mount, and can then say what it likes."""
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(other.close)
        other.settimeout(HANG)
        other.connect(self.socket)
        self.assertEqual(other.recv(1000)[:4], _HELLO)
        other.send(_message(_SUCCESSOR, version, os.stat(self.mountpoint).st_dev, self.source.encode()))
        return other

    def test_another_version_of_the_state(self):
        self.start()
        self.assertIn(b"it wants the state of version 999", self.successor(999).recv(1000))
        self.assert_served()

    def test_one_that_says_no_more(self):
        """It has the mount's descriptors, and is not waited for."""
        mount = self.start()
        other = self.successor()
        self.assertEqual(other.recv(1000)[:4], _STATE)
        mount.wait_for_log("a successor does not take the mount over: it takes too long")
        self.assert_served()
        other.close()
        self.follow(mount)
        self.assert_served()

    def test_one_that_was_to_serve_and_has_died(self):
        mount = self.start()
        other = self.successor()
        self.assertEqual(other.recv(1000)[:4], _STATE)
        other.send(_message(_PREPARED))
        while (said := other.recv(1000)[:4]) != _SERVE:
            self.assertTrue(said)
        self.assertEqual(mount.workers(), [])
        other.close()
        mount.wait_for_log("a successor does not take the mount over: it has ended")
        self.assert_served()
        self.assertEqual(mount.stop(), 0)

    def test_told_to_end_while_one_takes_over(self):
        """It ends once it is clear who has the mount: here itself, as the other one dies."""
        mount = self.start()
        other = self.successor()
        self.assertEqual(other.recv(1000)[:4], _STATE)
        mount.send(signal.SIGTERM)
        time.sleep(0.2)
        self.assertTrue(is_mounted(self.mountpoint))
        other.close()
        self.assertEqual(mount.wait(), 0)
        self.assertFalse(is_mounted(self.mountpoint))

    def test_one_that_talks_nonsense(self):
        self.start()
        for words in (b"", b"x", b"x" * 5000, bytes(24)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
                other.connect(self.socket)
                other.send(words)
                other.settimeout(HANG)
                with contextlib.suppress(ConnectionResetError):
                    while other.recv(1000):
                        pass
        self.assert_served()

    def test_one_that_dies_half_way(self):
        """At whatever step: the one before goes on, with what is open."""
        mount = self.start()
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            for number in range(10):
                process = subprocess.Popen([binary(), "-f", f"--handover={self.socket}", self.source, self.mountpoint],
                                           stderr=subprocess.DEVNULL)
                time.sleep(0.02 * number * random.random())
                process.kill()
                process.wait()
                if _TAKEN in mount.log():
                    break  # it has served before it died
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                try:
                    self.assertEqual(os.pread(file.fileno(), 1 << 30, 0), archives.content(1))
                except OSError:  # it has served, which the log says a little later
                    mount.wait_for_log(_TAKEN)
                    break
            else:
                self.follow(mount)
                self.assert_served()

    def test_one_whose_worker_cannot_serve(self):
        mount = self.start()
        self.shim.die_at_start = 1
        # Where starts take long it is not waited for.
        self.assertRegex(self.refused(), "no worker can be started|it takes too long")
        self.shim.die_at_start = 0
        mount.wait_for_log("a successor does not take the mount over: it ")
        self.assert_served()
        self.follow(mount)
        self.assert_served()

    def test_two_at_once(self):
        """One mounts, and the others follow, whoever comes first."""
        log = tempfile.NamedTemporaryFile()
        self.addCleanup(log.close)
        started = [subprocess.Popen([binary(), "-f", f"--handover={self.socket}", self.source, self.mountpoint],
                                    stderr=log) for _ in range(4)]
        try:
            until(lambda: is_served(self.mountpoint), "it is mounted")
            until(lambda: [self.serves(process) for process in started].count(True) == 1 and
                  read(log.name).count(b"another server has taken") == 3, "the last one serves")
            self.assert_served()
            self.assertEqual(run("findmnt", "-n", "-t", "fuse.skopsfs", self.mountpoint).stdout.count("\n"), 1)
        finally:
            started.sort(key=self.serves)  # who serves ends last
            for process in started:
                process.terminate()
            self.assertEqual([process.wait(HANG) for process in started], [0] * 4)
        self.assertFalse(is_mounted(self.mountpoint))

    @staticmethod
    def serves(process):
        return process.poll() is None and bool(children_of(process.pid, WORKER))

    def test_it_becomes_another_program_and_is_followed(self):
        """The listener goes on with the program that the supervisor becomes."""
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        mount = self.start(command=[program])
        shutil.copy(binary(), program + ".new")
        os.rename(program + ".new", program)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the supervisor is the new program, too")
        self.follow(self.follow(mount))
        self.assert_served()

    def test_told_to_end_meanwhile(self):
        """The next one serves all the same, what it has taken over or mounted anew."""
        for delay in range(10):
            mount = self.start()
            with subprocess.Popen([binary(), "-f", f"--handover={self.socket}", self.source, self.mountpoint],
                                  stderr=subprocess.PIPE, text=True) as following:
                time.sleep(delay / 100)
                self.assertEqual(mount.stop(), 0)
                self.assertIn("serving ", following.stderr.readline())
                self.assert_served()
                following.terminate()
                self.assertEqual(following.wait(HANG), 0)
            self.assertFalse(is_mounted(self.mountpoint))

    def test_unmounted_meanwhile(self):
        mount = self.start()
        following = self.start()
        following.wait_for_log("serving ")
        run("umount", self.mountpoint)
        self.assertEqual(following.wait(), 0)
        self.assertEqual(mount.stop(), 0)

    def test_storm(self):
        """Readers and mappings see no wrong byte while one follows the other."""
        mount = self.start()
        self.assert_served()
        wrong = uses = 0
        with open(self.in_mount("a.skops", MEMBER), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            for _ in range(_ROUNDS):
                following = self.start()
                while _TAKEN not in mount.log():
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    wrong += mapped[:] != archives.content(1)
                    wrong += read(self.in_mount("a.skops", MEMBER)) != archives.content(1)
                    uses += 2
                self.assertEqual(mount.stop(), 0)
                mount = following
        print(f"{_ROUNDS} handovers, {uses} uses, {wrong} wrong")
        self.assertEqual(wrong, 0)


if __name__ == "__main__":
    main()
