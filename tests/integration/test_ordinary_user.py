"""An ordinary user mounts through fusermount3. The background's log is caught there too."""

import errno
import os
import signal
import socket
import stat

import archives
from archives import MEMBER, read
from mount import Mount, become_subreaper, is_mounted, main, needs_root, run, until
from ordinary_user import OrdinaryUserTest
from processes import OTHER_USER, Child, in_child, mount_tmpfs, private_mounts


@needs_root
class OrdinaryUser(OrdinaryUserTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        archives.write_version(self.in_source("private.skops"), 2)
        os.chmod(self.in_source("private.skops"), 0o600)
        self.member = self.in_mount("a.skops", MEMBER)

    def start(self, *options, **more):
        return Mount(self.source, self.mountpoint, *options,
                     command=[self.program], **more)

    def test_mount_read_unmount(self):
        def use(background):
            with self.start(background=background) as mount:
                assert os.getuid() == OTHER_USER
                status = os.stat(f"/proc/{mount.pid}")
                return read(self.member), sorted(os.listdir(self.mountpoint)), status.st_uid

        for background in (False, True):
            data, names, user = self.as_user(use, background)
            self.assertEqual(data, archives.content(1))
            self.assertEqual(names, ["a.skops", "private.skops"])
            self.assertEqual(user, OTHER_USER)
            self.assertFalse(is_mounted(self.mountpoint))  # and never was, out here

    def test_what_the_user_may_not_read(self):
        """Shown as it is in the source, and refused as there."""
        def use():
            with self.start():
                codes = []
                for call, path in ((os.listdir, self.in_mount("private.skops")),
                                   (read, self.in_mount("private.skops", MEMBER))):
                    try:
                        call(path)
                        codes.append(0)
                    except OSError as error:
                        codes.append(error.errno)
                return codes
        self.assertEqual(self.as_user(use), [errno.EACCES, errno.EACCES])

    def test_signals_with_open_files(self):
        def use(number):
            mount = self.start().start()
            try:
                read(self.member)  # from the first close(2) on none asks the server
                with open(self.member, "rb", buffering=0) as file:
                    file.read(archives.PAGE)
                    code = mount.stop(number)
                    return code, is_mounted(self.mountpoint)
            finally:
                mount.clear()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.assertEqual(self.as_user(use, number), (0, False))

    def test_unmounted_with_fusermount3(self):
        def use(background):
            mount = self.start(background=background).start()
            try:
                read(self.member)
                run("fusermount3", "-u", self.mountpoint)
                return mount.wait(), is_mounted(self.mountpoint)
            finally:
                mount.clear()
        for background in (False, True):
            self.assertEqual(self.as_user(use, background), (0, False))

    def test_killed_and_started_again(self):
        def use():
            mount = self.start().start()
            mount.stop(signal.SIGKILL)
            try:
                os.stat(self.mountpoint)
                dead = 0
            except OSError as error:
                dead = error.errno
            with self.start():
                data = read(self.member)
            mount.clear()
            return dead, data, is_mounted(self.mountpoint)
        dead, data, left = self.as_user(use)
        self.assertIn(dead, (errno.ENOTCONN, errno.ECONNABORTED))
        self.assertEqual(data, archives.content(1))
        self.assertFalse(left)

    def test_root_is_not_let_in(self):
        """As with every FUSE mount of a user, unless allow_root."""
        def use():
            with self.start() as mount:
                open(os.path.join(self.source, "ready"), "w", encoding="ascii").close()
                until(lambda: os.path.exists(os.path.join(self.source, "done")), "it was tried")
                return mount.pid

        def look():
            private_mounts()
            ready = os.path.join(self.source, "ready")
            until(lambda: os.path.exists(ready), "it is mounted")
            node = [p for p in os.listdir("/proc") if p.isdigit() and _runs(p, self.program)]
            try:
                os.listdir(f"/proc/{node[0]}/root{self.mountpoint}")
                code = 0
            except OSError as error:
                code = error.errno
            finally:
                open(os.path.join(self.source, "done"), "w", encoding="ascii").close()
            return code

        with Child(look) as looker:
            self.as_user(use)
            self.assertEqual(looker.result(), errno.EACCES)

    def test_allow_other_that_is_not_configured(self):
        def use():
            done = run(self.program, "-o", "allow_other", self.source, self.mountpoint,
                       check=False)
            return done.returncode, done.stderr, is_mounted(self.mountpoint)
        code, text, mounted = self.as_user(use)
        self.assertEqual(code, 1)
        self.assertRegex(text, r"\Askopsfs: cannot mount on [^\n]* allow_other [^\n]*"
                               r"user_allow_other[^\n]* /etc/fuse.conf\n\Z")
        self.assertFalse(mounted)

    def test_without_permission_for_the_device(self):
        """fusermount3 may open /dev/fuse all the same; a mountpoint of somebody else it refuses."""
        os.chown(self.mountpoint, 0, 0)

        def use():
            done = run(self.program, self.source, self.mountpoint, check=False)
            return done.returncode, done.stderr, is_mounted(self.mountpoint)
        code, text, mounted = self.as_user(use)
        self.assertEqual(code, 1)
        self.assertIn("skopsfs: ", text)
        self.assertFalse(mounted)

    def test_the_background_logs_to_syslog(self):
        """Caught at a /dev/log of its own. Each line says which mount it is about."""
        archives.write(self.in_source("broken.skops"), b"no archive")

        def use():
            private_mounts()
            mount_tmpfs("/dev")
            os.mknod("/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod("/dev/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.bind("/dev/log")
                log.settimeout(60)
                become_subreaper()
                with Mount(self.source, self.mountpoint, background=True) as mount:
                    try:
                        os.listdir(self.in_mount("broken.skops"))
                    except OSError:
                        pass
                    return mount.pid, [log.recv(10_000).decode() for _ in range(2)]
        pid, lines = in_child(use)
        start = f'skopsfs[{pid}]: "{self.mountpoint}": '
        self.assertIn(f'{start}serving "{self.source}" at "{self.mountpoint}", skopsfs ', lines[0])
        self.assertIn(f'{start}"broken.skops": cannot be opened: ', lines[1])


def _runs(pid, program):
    try:  # by the file, because its path is another in another mount namespace
        return os.path.samefile(f"/proc/{pid}/exe", program)
    except OSError:
        return False


if __name__ == "__main__":
    main()
