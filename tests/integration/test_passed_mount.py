"""`skopsfs SOURCE /dev/fd/N`: somebody else has mounted, and the server needs no privileges at all.

As CSI drivers do for sidecars, and mount.fuse3 with drop_privileges.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import stat
import subprocess
import tempfile

import numpy

import archives
from archives import MEMBER
from children import WORKER, children_of
from mount import MountTest, binary, detach, is_mounted, main, needs_root, run, until
from processes import OTHER_USER, become, frames, in_child, in_two

_libc = ctypes.CDLL(None, use_errno=True)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def mount_device(mountpoint, options="", user=0, kind="fuse.skopsfs", flags=0):
    """What a CSI driver does: mounts as the kernel wants it, and is left with the descriptor."""
    device = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={device},rootmode=40000,user_id={user},group_id={user}{options}"
    if _libc.mount(b"skopsfs", os.fsencode(mountpoint), kind.encode(),
                   flags | _MS_NOSUID | _MS_NODEV, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    return device


class Server:
    """A skopsfs that serves a descriptor. A context manager, ended by force if it must be."""

    def __init__(self, source, device, *options, command=(), user=None, at=None):
        self._log = tempfile.TemporaryFile()

        def prepare():
            if user is not None:
                become(user)
            if at is not None:
                os.dup2(device, at)

        self._process = subprocess.Popen(
            [*command, shutil.which("skopsfs") or binary(), "-f", *options, source,
             f"/dev/fd/{device if at is None else at}"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            pass_fds=[device], preexec_fn=prepare)
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._log.close()

    def log(self):
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def workers(self):
        return children_of(self.pid, WORKER)

    def wait(self):
        return until(lambda: self._process.poll() is not None, "it ends") and \
            self._process.returncode

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        return self.wait()


@needs_root
class PassedMount(MountTest):
    def setUp(self):
        super().setUp()
        # The user may not be let in where the program was built.
        program = os.path.join(self.folder, "bin", "skopsfs")
        os.mkdir(os.path.dirname(program))
        shutil.copy(binary(), program)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{os.path.dirname(program)}:{path}"
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        archives.write_version(self.in_source("a.skops"), 1)
        archives.write_version(self.in_source("private.skops"), 2)
        os.chmod(self.in_source("private.skops"), 0o600)
        for path in (self.source, self.in_source("a.skops"), self.in_source("private.skops")):
            os.chown(path, OTHER_USER, OTHER_USER)
        self.member = self.in_mount("a.skops", MEMBER)

    @contextlib.contextmanager
    def served(self, *options, mounted_with=",allow_other", flags=0, **more):
        device = mount_device(self.mountpoint, mounted_with, flags=flags)
        try:
            server = Server(self.source, device, *options, **more)
        finally:
            os.close(device)
        with server:
            yield server

    def read(self, path=None):
        with open(path or self.member, "rb") as file:
            return file.read()

    def test_server_of_nobody_without_capabilities(self):
        """Everything as on a mount of one's own, and the server has no power at any time."""
        with self.served(user=OTHER_USER) as server:
            self.assertEqual(self.read(), archives.content(1))
            self.assertEqual(sorted(os.listdir(self.mountpoint)), ["a.skops", "private.skops"])
            for pid in (server.pid, *server.workers()):
                with open(f"/proc/{pid}/status", encoding="ascii") as lines:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
                self.assertEqual(status["Uid"].split(), [str(OTHER_USER)] * 4)
                for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                    self.assertEqual(int(status[name], 16), 0)
            self.assertEqual(server.stop(), 0)
            self.assertRegex(server.log(), r"\Askopsfs: serving .*\n\Z")
        # It was not the server's to unmount.
        self.assertTrue(is_mounted(self.mountpoint))
        self.assert_errno(errno.ENOTCONN, os.stat, self.member)

    def test_pages_are_shared(self):
        with self.served(user=OTHER_USER):
            def map_it():
                mapped = numpy.memmap(self.member, numpy.uint8, "r")
                assert bytes(mapped) == archives.content(1)
                return frames(mapped.ctypes.data, archives.PAGES)
            first, second = in_two(map_it)
            self.assertNotIn(None, first)
            self.assertEqual(first, second)

    def test_read_ahead_is_not_ours_to_set(self):
        with self.served("--readahead=256") as server:
            self.read()
            until(lambda: "read-ahead of a mount that was passed is not set" in server.log(), "said")

    def test_opens_are_seen_unless_it_is_said_to_be_read_only(self):
        def opens():
            with open(self.in_mount(".skopsfs", "metrics"), encoding="utf-8") as file:
                return next(float(line.split()[1]) for line in file
                            if line.startswith('skopsfs_requests_total{operation="open"}'))

        for options, least in (((), 20), (("-o", "ro"), 1)):
            with self.subTest(options=options), self.served(*options, flags=_MS_RDONLY):
                for _ in range(20):
                    self.read()
                # One is counted once it has been answered.
                until(lambda: opens() >= least, "they are counted")
                if least == 1:
                    self.assertEqual(opens(), 1)
                run("umount", self.mountpoint)

    def test_worker_that_is_killed(self):
        with self.served(user=OTHER_USER) as server, open(self.member, "rb", buffering=0) as file:
            for _ in range(3):
                worker = until(server.workers, "there is a worker")[0]
                os.kill(worker, signal.SIGKILL)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1))
                until(lambda old=worker: server.workers() and old not in server.workers(), "another one serves")
            self.assertEqual(server.log().count("another one takes over"), 3)

    def test_in_the_background(self):
        device = mount_device(self.mountpoint)
        with open(os.devnull, "rb") as null:
            done = subprocess.run(["skopsfs", self.source, f"/dev/fd/{device}"], pass_fds=[device],
                                  stdin=null, check=False, timeout=120)
        os.close(device)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.read(), archives.content(1))
        detach(self.mountpoint)  # the server ends with the mount
        until(lambda: not _processes_with(self.source), "it has ended")

    def test_descriptor_that_is_a_standard_stream(self):
        with self.served(at=0) as server:
            self.assertEqual(self.read(), archives.content(1))
            self.assertEqual(os.readlink(f"/proc/{server.pid}/fd/0"), "/dev/null")

    def test_descriptor_that_does_not_block(self):
        device = mount_device(self.mountpoint)
        os.set_blocking(device, False)
        with Server(self.source, device) as server:
            os.close(device)
            self.assertEqual(self.read(), archives.content(1))
            self.assertEqual(server.stop(), 0)

    def test_unmounted_by_who_has_mounted(self):
        with self.served(user=OTHER_USER) as server:
            self.assertEqual(self.read(), archives.content(1))
            run("umount", self.mountpoint)
            self.assertEqual(server.wait(), 0)
            self.assertRegex(server.log(), r"\Askopsfs: serving .*\n\Z")

    def test_permissions_although_nobody_asked_for_them(self):
        """Without default_permissions the kernel would let everybody read everything."""
        for options in (",allow_other", ",allow_other,default_permissions"):
            with self.subTest(options), self.served(user=OTHER_USER, mounted_with=options):
                self.assertEqual(stat.S_IMODE(os.stat(self.in_mount("private.skops")).st_mode),
                                 0o500)

                def tries():
                    codes = []
                    for call, path in ((self.read, self.member),
                                       (os.listdir, self.in_mount("private.skops")),
                                       (self.read, self.in_mount("private.skops", MEMBER))):
                        try:
                            call(path)
                            codes.append(0)
                        except OSError as error:
                            codes.append(error.errno)
                    return codes
                self.assertEqual(in_child(tries, user=OTHER_USER), [0, 0, 0])
                self.assertEqual(in_child(tries, user=OTHER_USER + 1),
                                 [0, errno.EACCES, errno.EACCES])
            detach(self.mountpoint)

    def test_mounted_for_writing(self):
        """Who has mounted forgot `ro`; all is refused the same."""
        with self.served(user=OTHER_USER):
            self.assertFalse(os.statvfs(self.mountpoint).f_flag & os.ST_RDONLY)
            self.assertEqual(self.read(), archives.content(1))  # it is opened with no message then
            new = self.in_mount("new")
            for call in ((os.mkdir, new), (os.mknod, new), (os.symlink, "x", new),
                         (os.open, new, os.O_CREAT | os.O_WRONLY), (os.unlink, self.member),
                         (os.rename, self.member, new), (os.link, self.member, new),
                         (os.open, self.member, os.O_WRONLY), (os.truncate, self.member, 0),
                         (os.chmod, self.member, 0o777), (os.utime, self.member),
                         (os.rmdir, self.in_mount("a.skops")),
                         (os.setxattr, self.member, "user.x", b"x"),
                         (os.removexattr, self.member, "user.x")):
                with self.subTest(call):
                    self.assert_errno(errno.EROFS, *call)

    def test_root_without_capabilities(self):
        """As in a container that has dropped them all; the owner of the source it cannot become."""
        with self.served(command=NO_CAPABILITIES) as server:
            self.assertEqual(self.read(), archives.content(1))
            self.assertIn("this root may not become the source's owner", server.log())
        detach(self.mountpoint)
        with self.served("--user=nobody", command=NO_CAPABILITIES) as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("this root may not become another user", server.log())

    def test_mount_fuse3_with_drop_privileges(self):
        """What /etc/fstab would have run."""
        if shutil.which("mount.fuse3") is None:
            self.skipTest("mount.fuse3 is not installed")
        run("mount.fuse3", f"skopsfs#{self.source}", self.mountpoint, "-o",
            "ro,allow_other,drop_privileges")
        self.assertEqual(self.read(), archives.content(1))
        pid = _processes_with(self.source)[0]
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            self.assertIn("CapPrm:\t0000000000000000\n", status.read())
        run("umount", self.mountpoint)
        until(lambda: not _processes_with(self.source), "it has ended")

    def refused(self, reason, number, **more):
        for front in ((), ("-f",)):
            done = run(binary(), *front, self.source, f"/dev/fd/{number}", check=False, **more)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Askopsfs: [^\n]*\n\Z")
            self.assertIn(reason, done.stderr)

    def test_descriptors_that_are_no_mount(self):
        self.refused("/dev/fd/77 is not open", 77)
        with open("/dev/null", "rb") as file:
            self.refused("is not a descriptor of /dev/fuse", file.fileno(), pass_fds=[file.fileno()])
        device = os.open("/dev/fuse", os.O_RDWR)
        self.refused("has not been mounted", device, pass_fds=[device])
        os.close(device)
        device = mount_device(self.mountpoint)
        detach(self.mountpoint)
        self.refused("is no longer mounted", device, pass_fds=[device])
        os.close(device)
        for path in ("/dev/fd/x", "/dev/fd/", "/dev/fd/1x", "/dev/fd/99999999999"):
            done = run(binary(), "-f", self.source, path, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f'"{path}" names no descriptor', done.stderr)

    def test_mount_that_was_served_before(self):
        """Whoever kept the descriptor for a second server learns that it takes a second mount."""
        device = mount_device(self.mountpoint)
        with Server(self.source, device) as server:
            self.assertEqual(self.read(), archives.content(1))
            self.assertEqual(server.stop(), 0)
        with Server(self.source, device) as server:
            self.assert_errno((errno.EIO, errno.ENOTCONN), in_child, os.statvfs, self.mountpoint)
            self.assertEqual(server.wait(), 1)
            self.assertIn("another server has served this mount before", server.log())
        os.close(device)


def _processes_with(argument):
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if words[0].endswith(b"skopsfs") and os.fsencode(argument) in words:
                found.append(int(entry))
    return sorted(found)


if __name__ == "__main__":
    main()
