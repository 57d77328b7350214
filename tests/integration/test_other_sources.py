"""Sources that are filesystems of other programs, as network filesystems and object stores are.

bindfs stands for one whose files have identities of their own, sshfs (with an sftp-server at the other
end of a socket) for one that only knows names, sizes and whole seconds. docs/scale.md says what to
mount how.
"""

import errno
import os
import signal
import socket
import subprocess
import time
import unittest

import archives
from archives import MEMBER, PAGE, PAGES
from mount import MountTest, detach, is_served, main, needs_root, until
from processes import Child, resident_pages

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
GONE = (errno.EIO, errno.ENOTCONN)


class OtherFilesystem:
    """The other filesystem: shows `folder` at `mountpoint`. Ended, and started again, as it may be."""

    def __init__(self, folder, mountpoint):
        self.folder, self.mountpoint = folder, mountpoint
        self.processes = []

    def start(self):
        detach(self.mountpoint)
        self.processes = self._processes()
        until(lambda: is_served(self.mountpoint) or self.processes[0].poll() is not None, "it serves")
        if self.processes[0].poll() is not None:
            raise AssertionError("the other filesystem has ended")

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def clear(self):
        self.kill()
        detach(self.mountpoint)


class BindFs(OtherFilesystem):
    def _processes(self):
        return [subprocess.Popen(["bindfs", "-f", self.folder, self.mountpoint],
                                 stdin=subprocess.DEVNULL)]


class SshFs(OtherFilesystem):
    """Without sshd: in passive mode sshfs speaks with an sftp-server that it has at its standard streams."""

    def _processes(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = subprocess.Popen([SFTP_SERVER, "-R"], stdin=theirs, stdout=theirs)
            client = subprocess.Popen(
                # What it knows of a file is right for as long as skopsfs asks again: half a second.
                ["sshfs", "-f", "-o", "passive,ro,dir_cache=no,entry_timeout=0,attr_timeout=0",
                 f":{self.folder}", self.mountpoint], stdin=ours, stdout=ours)
        return [client, server]


class OtherSource:
    """The tests, for each of them. SOURCE is the folder above the other filesystem's mountpoint."""

    def setUp(self):
        super().setUp()
        self.below = self.make_folder("below")
        self.other = self.filesystem(self.below, self.make_folder("source", "models"))
        self.addCleanup(self.other.clear)
        archives.write_version(os.path.join(self.below, "a.skops"), 1)
        self.other.start()
        self.member = self.in_mount("models", "a.skops", MEMBER)

    def read(self, path=None):
        with open(path or self.member, "rb") as file:
            return file.read()

    def health(self):
        with open(self.in_mount(".skopsfs", "health"), encoding="ascii") as file:
            return file.read()

    def test_right_data(self):
        archives.write_version(os.path.join(self.below, "deflated.skops"), 2, method=archives.DEFLATED)
        self.mount()
        for name in ("a.skops", "deflated.skops"):
            path = os.path.join(self.below, name)
            for member, data in archives.members_of(path).items():
                self.assertEqual(self.read(self.in_mount("models", name, member)), data)
        self.assertEqual(sorted(os.listdir(self.in_mount("models"))), ["a.skops", "deflated.skops"])

    def test_replaced_archive_is_seen(self):
        """The new version for who comes; who has the old one open keeps it, or gets EIO.

        The latter where the filesystem answers by name what it is asked of an open file, as both do.
        """
        self.mount("--revalidate=0")
        with open(self.member, "rb", buffering=0) as old:
            self.assertEqual(os.pread(old.fileno(), PAGE, 0), archives.page(1, 0))
            # Of another size: sftp tells times in whole seconds, and no inode numbers.
            archives.write_version(os.path.join(self.below, "a.skops"), 2, pages=PAGES + 1)
            until(lambda: self.read() == archives.content(2, PAGES + 1), "the new version is seen")
            self.assert_old_or_error(old)

    def assert_old_or_error(self, old):
        """Each page of an open member is of version 1, or cannot be read; what was in memory is dropped."""
        os.posix_fadvise(old.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for number in range(PAGES):
            try:
                page = os.pread(old.fileno(), PAGE, number * PAGE)
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
            else:
                self.assertEqual(archives.version_of(page, number), 1)

    def test_rewritten_archive(self):
        """Likewise."""
        self.mount("--revalidate=0")
        path = os.path.join(self.below, "a.skops")
        with open(self.member, "rb", buffering=0) as old:
            self.assertEqual(os.pread(old.fileno(), PAGE, 0), archives.page(1, 0))
            time.sleep(1.1)  # until sftp's times say so
            archives.rewrite(path, archives.version_bytes(3))
            self.assert_old_or_error(old)
        until(lambda: self.read() == archives.content(3), "the new version is seen")

    def test_nothing_is_kept_twice(self):
        """Neither in our processes nor in pages of the source: those of the member are all there is."""
        pages = 16384  # 64 MiB
        archives.write_version(os.path.join(self.below, "large.skops"), 4, pages)
        mount = self.mount()
        self.read()
        before = self.private_memory(mount)
        member = self.in_mount("models", "large.skops", MEMBER)
        self.assertEqual(self.read(member), archives.content(4, pages))
        self.assertGreater(resident_pages(member), 0.9 * pages)  # but for what was reclaimed
        source = self.in_source("models", "large.skops")
        until(lambda: resident_pages(source) < pages // 100, "pages of the source are dropped")
        if "SKOPSFS_SANITIZED" not in os.environ:  # they keep what is freed for a while
            self.assertLess(self.private_memory(mount) - before, pages * PAGE // 4)

    @staticmethod
    def private_memory(mount):
        total = 0
        for process in mount.processes():
            with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as lines:
                total += sum(int(line.split()[1]) * 1024 for line in lines
                             if line.startswith(("Private_Clean:", "Private_Dirty:")))
        return total

    def test_source_goes_away_and_comes_back(self):
        """New reads fail at once with the reason; all is well again without a restart of skopsfs."""
        mount = self.mount("--revalidate=0")
        with open(self.member, "rb", buffering=0) as old:
            self.assertEqual(os.pread(old.fileno(), PAGE, 0), archives.page(1, 0))
            device = os.stat(self.in_source("models")).st_dev
            self.other.kill()
            self.assert_errno(GONE, self.read)
            self.assert_errno(GONE, os.listdir, self.in_mount("models"))
            until(lambda: self.is_lost(old), "what is not in memory cannot be read")
            mount.wait_for_log("models", "not connected")
            self.other.start()
            self.assertEqual(self.read(), archives.content(1))
            self.assertEqual(os.listdir(self.in_mount("models")), ["a.skops"])
            # It is the same file as before, where the file system has got its number again.
            if os.stat(self.in_source("models")).st_dev == device:
                self.assertFalse(self.is_lost(old))

    def is_lost(self, file):
        """Whether an open member cannot be read; until the kernel asks the source again it is right."""
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            self.assertEqual(os.pread(file.fileno(), PAGE, 0), archives.page(1, 0))
        except OSError as error:
            self.assertIn(error.errno, GONE)
            return True
        return False


@needs_root
class OnBindFs(OtherSource, MountTest):
    filesystem = BindFs

    def test_source_that_is_the_mount_itself(self):
        """Then skopsfs holds on to that mount: it says so, until a new worker finds another one there."""
        models = self.in_source("models")
        mount = self.mount("--revalidate=0", source=models)
        self.assertEqual(self.health(), "ok\n")
        member = self.in_mount("a.skops", MEMBER)
        self.assertEqual(self.read(member), archives.content(1))
        self.other.kill()
        self.assert_errno(GONE, self.read, member)
        self.assert_errno(GONE, self.health)
        mount.wait_for_log(f'the source "{models}" is gone: mount it again')
        self.other.start()
        mount.wait_for_log(f'the source "{models}" is back')
        self.assertEqual(self.health(), "ok\n")
        self.assertEqual(self.read(member), archives.content(1))


@needs_root
class OnSshFs(OtherSource, MountTest):
    filesystem = SshFs

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.path.exists(SFTP_SERVER):
            raise unittest.SkipTest(f"{SFTP_SERVER} is not installed")

    def test_server_at_the_other_end_stops_for_a_while(self):
        """What is in memory is read on; what is not is there when the server goes on."""
        archives.write_version(os.path.join(self.below, "b.skops"), 2)
        self.mount()
        server = self.other.processes[1]
        with open(self.member, "rb", buffering=0) as warm:
            self.assertEqual(warm.read(), archives.content(1))
            server.send_signal(signal.SIGSTOP)
            try:
                with Child(self.read, self.in_mount("models", "b.skops", MEMBER)) as waiting:
                    self.assertEqual(os.pread(warm.fileno(), PAGES * PAGE, 0), archives.content(1))
                    server.send_signal(signal.SIGCONT)
                    self.assertEqual(waiting.result(), archives.content(2))
            finally:
                server.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    main()
