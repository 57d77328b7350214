"""As a service: what systemd is told and when, started by the unit's own command lines, with a socket
that stands for systemd."""

import errno
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import threading
import time

import archives
from archives import MEMBER
from installed import Installed
from mount import HANG, Mount, MountTest, is_mounted, main, needs_root, run, until

WATCHDOG = 1.0  # seconds


class Manager:
    """Collects what it is told, with the time at which it came."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self.path = path
        self.told = []  # (time, process, line)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while True:
            try:
                data, extra, _, _ = self._socket.recvmsg(65536, 64)
            except OSError:
                return
            if not data:
                return  # closed
            process = next(int.from_bytes(value[:4], "little") for _, kind, value in extra
                           if kind == socket.SCM_CREDENTIALS)
            now = time.monotonic()
            self.told += [(now, process, line) for line in data.decode().split("\n") if line]

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def lines(self, start="", since=0):
        return [line for _, _, line in self.told[since:] if line.startswith(start)]

    def wait_for(self, pattern, since=0):
        """Waits for a line that matches."""
        return until(lambda: next((x for x in self.lines(since=since) if re.search(pattern, x)), None),
                     f"systemd is told {pattern!r}; it was told {self.told}")

    def statuses(self, since=0):
        return self.lines("STATUS=", since)


class Service(MountTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.installed = Installed(folder)

    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        self.member = self.in_mount("a.skops", MEMBER)
        self.manager = Manager(os.path.join(self.folder, "notify"))
        self.addCleanup(self.manager.close)
        self.variables = {"SOURCE": self.source, "MOUNTPOINT": self.mountpoint,
                          "OPTIONS": "-o allow_other" if os.geteuid() == 0 else ""}

    def service(self, watchdog=None, **more):
        """Started as the unit says."""
        environment = {"NOTIFY_SOCKET": self.manager.path}
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        mount = Mount(self.source, self.mountpoint, env=environment, **more)
        mount.command = self.installed.command("ExecStart", self.variables)
        self.assertIn("-f", mount.command)
        mount.start()
        self.addCleanup(mount.clear)
        return mount

    def read(self):
        with open(self.member, "rb") as file:
            return file.read()

    def test_ready_once_it_answers_and_stopping(self):
        mount = self.service()
        self.manager.wait_for("^READY=1$")
        self.assertEqual(self.read(), archives.content(1))
        self.assertIn(f'STATUS=serving "{self.source}" at "{self.mountpoint}"', self.manager.statuses())
        self.assertEqual(self.manager.lines("STOPPING"), [])
        self.assertEqual(self.manager.lines("WATCHDOG"), [], "nobody wants to be told")
        mount.finish()  # SIGTERM, as systemd stops it
        self.assertFalse(is_mounted(self.mountpoint))
        self.manager.wait_for("^STOPPING=1$")
        self.assertEqual({process for _, process, _ in self.manager.told}, {mount_pid(self.manager)},
                         "the supervisor alone talks")

    def test_the_mountpoint_is_made(self):
        """But not where something is: a folder, a file, a dead mount."""
        place = os.path.join(self.folder, 'of "any" name $HOME')
        command = self.installed.command("ExecStartPre", {})
        for _ in range(2):
            run(*command, env=dict(os.environ, MOUNTPOINT=place), preexec_fn=lambda: os.umask(0o077))
            self.assertEqual(os.stat(place).st_mode, stat.S_IFDIR | 0o755)
        missing = os.path.join(self.folder, "missing", "mountpoint")
        run(*command, env=dict(os.environ, MOUNTPOINT=missing))
        self.assertFalse(os.path.exists(os.path.dirname(missing)))

    def test_not_ready_before(self):
        """What cannot be mounted never says that it is ready, but what is wrong."""
        self.variables["SOURCE"] = self.in_source("missing")
        mount = Mount(self.source, self.mountpoint, env={"NOTIFY_SOCKET": self.manager.path})
        mount.command = self.installed.command("ExecStart", self.variables)
        with self.assertRaises(AssertionError):
            mount.start()
        self.manager.wait_for("^STATUS=.*missing.*No such file or directory")
        self.assertEqual(self.manager.lines("READY"), [])

    def test_unmounting_ends_the_service(self):
        mount = self.service()
        self.manager.wait_for("^READY=1$")
        run(*(["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]), self.mountpoint)
        self.assertEqual(mount.wait(), 0)
        self.manager.wait_for("^STOPPING=1$")
        self.manager.wait_for("^STATUS=it was unmounted")

    def test_worker_knows_nothing_of_the_service(self):
        mount = self.service(watchdog=60)
        self.manager.wait_for("^READY=1$")
        with open(f"/proc/{mount.pid}/environ", "rb") as file:
            self.assertIn(b"NOTIFY_SOCKET", file.read())
        if os.geteuid() != 0:
            self.skipTest("only root may look into the worker")
        with open(f"/proc/{mount.worker()}/environ", "rb") as file:
            environment = file.read()
        self.assertNotIn(b"NOTIFY_SOCKET", environment)
        self.assertNotIn(b"WATCHDOG", environment)

    def test_worker_that_dies(self):
        mount = self.service()
        self.manager.wait_for("^READY=1$")
        since = len(self.manager.told)
        worker = mount.worker()
        os.kill(worker, signal.SIGKILL)
        self.manager.wait_for("^STATUS=no worker serves.*killed by SIGKILL", since)
        self.manager.wait_for(r"^STATUS=serving .*; workers that crashed: 1, the last at "
                              r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: it was killed by SIGKILL", since)
        self.assertEqual(self.read(), archives.content(1))
        self.assertEqual(self.manager.lines("READY"), ["READY=1"], "it has been ready all the time")
        mount.finish()

    def test_reload_is_an_upgrade(self):
        mount = self.service()
        self.manager.wait_for("^READY=1$")
        since = len(self.manager.told)
        before = mount.worker()
        run(*self.installed.command("ExecReload", {"MAINPID": str(mount.pid)}))
        mount.wait_for_log("the upgrade is done")
        self.manager.wait_for("^STATUS=serving", since)
        self.assertNotEqual(mount.worker(), before)
        mount.finish()

    def test_watchdog(self):
        mount = self.service(watchdog=WATCHDOG)
        self.manager.wait_for("^READY=1$")
        until(lambda: len(self.manager.lines("WATCHDOG=1")) > 4, "it lives")

        # Stopped, with nothing to do: that nobody waits is no fault.
        worker = mount.worker()
        os.kill(worker, signal.SIGSTOP)
        since = len(self.manager.told)
        until(lambda: len(self.manager.lines("WATCHDOG=1", since)) > 4, "it lives")

        # Somebody waits.
        asking = threading.Thread(target=self.read, daemon=True)
        since = len(self.manager.told)  # a slow machine may have seen such a wait before
        asking.start()
        self.manager.wait_for("^STATUS=requests wait, and the worker has taken none", since)
        since = len(self.manager.told)
        until(lambda: len(self.manager.statuses(since)) > 4, "it goes on saying so")
        self.assertEqual(self.manager.lines("WATCHDOG=1", since), [])

        # It is served again.
        os.kill(worker, signal.SIGCONT)
        asking.join(HANG)
        self.assertFalse(asking.is_alive())
        self.manager.wait_for("^WATCHDOG=1", since)
        self.manager.wait_for("^STATUS=serving", since)
        mount.finish()

    def test_watchdog_while_workers_are_replaced(self):
        mount = self.service(watchdog=WATCHDOG)
        self.manager.wait_for("^READY=1$")
        for _ in range(5):
            since = len(self.manager.told)
            os.kill(mount.worker(), signal.SIGKILL)
            self.manager.wait_for("^WATCHDOG=1", since)
            self.assertEqual(self.read(), archives.content(1))
        mount.finish()

    def test_in_the_background_it_is_nobodys_service(self):
        """Whoever mounts from a service of another kind must not have it spoken for."""
        mount = Mount(self.source, self.mountpoint, background=True,
                      env={"NOTIFY_SOCKET": self.manager.path, "WATCHDOG_USEC": "1000000"})
        with mount:
            self.assertEqual(self.read(), archives.content(1))
        self.assertEqual(self.manager.told, [])

    @needs_root
    def test_a_killed_server_leaves_no_dead_mount(self):
        after_stop = self.installed.command("ExecStopPost", self.variables)
        mount = self.service()
        run(*after_stop)
        self.assertEqual(self.read(), archives.content(1), "a mount that is alive stays")
        mount.stop(signal.SIGKILL)
        self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED), os.listdir, self.mountpoint)
        run(*after_stop)
        self.assertFalse(is_mounted(self.mountpoint))
        run(*after_stop)  # there is nothing to be done
        self.assertEqual(os.listdir(self.mountpoint), [])

    @needs_root
    def test_what_is_no_dead_skopsfs_stays(self):
        odd = self.make_folder("a b\n\\")
        run("mount", "-t", "tmpfs", "tmpfs", odd)
        run(*self.installed.command("ExecStopPost", dict(self.variables, MOUNTPOINT=odd)))
        self.assertTrue(is_mounted(odd))
        run("umount", odd)
        mount = Mount(self.source, odd).start()
        self.addCleanup(mount.clear)
        mount.stop(signal.SIGKILL)
        run(*self.installed.command("ExecStopPost", dict(self.variables, MOUNTPOINT=odd)))
        self.assertFalse(is_mounted(odd))


def mount_pid(manager):
    return next(process for _, process, line in manager.told if line == "READY=1")


if __name__ == "__main__":
    main()
