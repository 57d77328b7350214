"""Whoever reads the log, and does not: nobody who uses the mount waits for that."""

import errno
import fcntl
import os
import signal
import socket
import stat

import archives
from archives import MEMBER, read
from mount import Mount, MountTest, become_subreaper, main, needs_root, until
from processes import in_child, mount_tmpfs, private_mounts

BROKEN = 600  # archives with a line in the log each: more than all queues on the way have room for
GUARD = 120  # seconds


class StalledLog(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        for number in range(BROKEN):
            archives.write(self.in_source(f"broken{number}.skops"), b"no archive")

    def break_all(self):
        """Opens each broken archive; then the mount must serve as ever."""
        for number in range(BROKEN):
            self.assert_errno(errno.EIO, os.listdir, self.in_mount(f"broken{number}.skops"))
        self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(1))

    def with_syslog(self, kind, use):
        """What `use`, given the receiver's socket, returns in a place where that is /dev/log."""
        def run():
            private_mounts()
            mount_tmpfs("/dev")
            os.mknod("/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod("/dev/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
            become_subreaper()
            with socket.socket(socket.AF_UNIX, kind) as log:
                log.bind("/dev/log")
                log.settimeout(GUARD)
                return use(log)
        return in_child(run)

    @needs_root
    def test_syslog_that_nobody_reads(self):
        def use(log):
            with Mount(self.source, self.mountpoint, background=True, guard=GUARD) as mount:
                self.break_all()
                lines = []
                while not any("lines before this one were lost: nobody read them" in x for x in lines):
                    lines.append(log.recv(10_000).decode())
                return mount.stop(), lines[-1]

        code, line = self.with_syslog(socket.SOCK_DGRAM, use)
        self.assertEqual(code, 0)
        self.assertRegex(
            line, r"<28>\w{3} [ \d]\d \d\d:\d\d:\d\d skopsfs\[\d+\]: \"\S+\": \d+ lines before")

    @needs_root
    def test_ends_while_nobody_reads_syslog(self):
        def use(_):
            with Mount(self.source, self.mountpoint, background=True, guard=GUARD) as mount:
                self.break_all()
                return mount.stop()
        self.assertEqual(self.with_syslog(socket.SOCK_DGRAM, use), 0)

    @needs_root
    def test_syslog_over_a_stream(self):
        """As some servers have it. One that never takes the connection, too."""
        def use(log):
            log.listen(1)
            with Mount(self.source, self.mountpoint, background=True, guard=GUARD) as mount:
                self.break_all()
                reader, _ = log.accept()
                with reader:
                    return mount.stop(), reader.recv(1 << 20).split(b"\0")[1].decode()
        code, line = self.with_syslog(socket.SOCK_STREAM, use)
        self.assertEqual(code, 0)
        self.assertIn("cannot be opened: not a ZIP archive", line)

    @needs_root
    def test_syslog_that_is_started_anew(self):
        def use(log):
            with Mount(self.source, self.mountpoint, background=True, guard=GUARD):
                log.close()
                os.unlink("/dev/log")
                self.assert_errno(errno.EIO, os.listdir, self.in_mount("broken0.skops"))
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
                    second.bind("/dev/log")
                    second.settimeout(GUARD)
                    self.assert_errno(errno.EIO, os.listdir, self.in_mount("broken1.skops"))
                    while '"broken1.skops": cannot be opened' not in second.recv(10_000).decode():
                        pass
        self.with_syslog(socket.SOCK_DGRAM, use)

    def test_standard_error_that_nobody_reads(self):
        for kind in ("pipe", "socket"):
            with self.subTest(kind=kind):
                if kind == "pipe":
                    ours, theirs = os.pipe()
                    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
                else:
                    pair = socket.socketpair()
                    ours, theirs = pair[0].detach(), pair[1].detach()
                self.addCleanup(os.close, ours)
                mount = Mount(self.source, self.mountpoint, guard=GUARD,
                              before=lambda fd=theirs: os.dup2(fd, 2))
                with mount:
                    os.close(theirs)
                    self.break_all()
                    lines = b""

                    def told():
                        nonlocal lines
                        lines += os.read(ours, 1 << 20)
                        return b" lines before this one were lost: nobody read them" in lines
                    until(told, "it says what was lost", GUARD)
                    self.assertEqual(mount.stop(), 0)

    def test_worker_of_a_supervisor_that_is_stopped(self):
        """The worker says its lines to it, and what it could not say when it goes on."""
        mount = self.mount()
        mount.send(signal.SIGSTOP)
        try:
            for number in range(BROKEN):
                self.assert_errno(errno.EIO, os.listdir, self.in_mount(f"broken{number}.skops"))
            self.assertEqual(len(os.listdir(self.mountpoint)), BROKEN + 1)
        finally:
            mount.send(signal.SIGCONT)
        mount.wait_for_log(" lines before this one were lost: nobody read them")


if __name__ == "__main__":
    main()
