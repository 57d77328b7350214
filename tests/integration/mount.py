"""Real mounts for tests: starts skopsfs, waits until it serves, clears up whatever happens.

The program is taken from the environment variable SKOPSFS_BINARY. Nothing here depends on how fast
things are: waiting ends with an event, and HANG is only a guard against waiting forever.
"""

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from children import METRICS, WORKER, children_of, words_of
from read_ahead import read_ahead
from watchdog import Watchdog

HANG = 300  # seconds; nothing that works takes this long, on no machine

_libc = ctypes.CDLL(None, use_errno=True)
_MNT_FORCE = 1
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def binary():
    path = os.environ.get("SKOPSFS_BINARY")
    if not path:
        raise RuntimeError("set SKOPSFS_BINARY to the skopsfs to be tested")
    return os.path.abspath(path)


def why_no_mounts():
    """Why nothing can be mounted here; empty when it can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    return ""


needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


def until(condition, what, guard=HANG):
    """Polls until `condition()` is true and returns what it returned."""
    end = time.monotonic() + guard
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {guard} s in vain until {what}")
        time.sleep(0.01)


def mounts():
    """Of each mount its path, type, source and options, the topmost on a path last."""
    found = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            fields = line.split()
            path = fields[4].decode("unicode_escape").encode("latin-1")
            at = fields.index(b"-")
            options = set((fields[5] + b"," + fields[at + 3]).decode().split(","))
            source = os.fsdecode(fields[at + 2].decode("unicode_escape").encode("latin-1"))
            found.append((os.fsdecode(path), fields[at + 1].decode(), source, options))
    return found


def _real(path):
    """`path` as mountinfo has it; touches only what is above it, for what is there may be dead."""
    path = os.path.normpath(os.path.abspath(path))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def is_mounted(path):
    path = _real(path)
    return any(mount[0] == path for mount in mounts())


def is_served(path):
    """Whether a mount at `path` answers; waits until it does or is dead."""
    if not is_mounted(path):
        return False
    try:
        os.statvfs(path)
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
            raise
        return False
    return is_mounted(path)


def detach(path):
    """Takes away what is left at `path`, dead mounts included, and fails what waits for them."""
    path = _real(path)
    while is_mounted(path):
        _libc.umount2(os.fsencode(path), _MNT_FORCE)
        if not is_mounted(path) or _libc.umount2(os.fsencode(path), _MNT_DETACH) == 0:
            continue
        done = subprocess.run(["fusermount3", "-uzq", "--", path], check=False)
        if done.returncode != 0:
            raise AssertionError(f"{path} cannot be unmounted")


def detach_below(folder):
    """The same for every mount in `folder`; returns their paths."""
    found = [mount[0] for mount in mounts() if mount[0].startswith(folder + "/")]
    for path in found:
        detach(path)
    return found


def become_subreaper():
    """What goes into the background becomes a child of this process, so it can be waited for."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def background_pid(mountpoint):
    """The skopsfs with that argument that runs in the background as a child of this process."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and os.fsencode(mountpoint) in words_of(entry)[1:]:
            return int(entry)
    return None


# A worker that such a report ends is replaced by another, so that a test may not notice. Addresses of
# no memory are left out: tests have workers crash at one.
_FINDING = re.compile(r"runtime error: |ERROR: AddressSanitizer: (?!SEGV)|ERROR: LeakSanitizer|"
                      r"WARNING: ThreadSanitizer: ")


class Mount:
    """One skopsfs. A context manager: mounted inside, checked to be gone without a trace after.

    `options` are those of the command line; it stays in front (-f, with the log captured) unless
    `background`. `before` is called in the child just before the program starts.
    """

    def __init__(self, source, mountpoint, *options, background=False, before=None, env=None,
                 cwd=None, command=None, guard=HANG):
        self.source = source
        self.path = mountpoint
        self.background = background
        self.pid = None
        self.exit_code = None
        self._absolute = _real(os.path.join(cwd or os.getcwd(), mountpoint))
        self._before = before
        self._environment = dict(os.environ, **(env or {}))
        self._cwd = cwd
        self._guard = guard
        self._process = None
        self._watchdog = None
        self._hung = False
        self._log = None
        self._last_log = ""
        front = [] if background else ["-f"]
        self.command = [*(command or [binary()]), *front, *options, source, mountpoint]

    def __enter__(self):
        return self if self.pid is not None else self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.finish()
        else:
            self.clear()

    def start(self):
        self._log = tempfile.TemporaryFile()
        if self.background:
            become_subreaper()

        def prepare():
            if not self.background:
                _end_with_parent()
            if self._before:
                self._before()

        self._process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            preexec_fn=prepare, env=self._environment, cwd=self._cwd)
        try:
            if self.background:
                self._wait_for_background()
            else:
                self.pid = self._process.pid
                self._watch()
                until(lambda: is_served(self._absolute) or self._ended(), "it is mounted")
            if self.pid is None or self._ended():
                raise AssertionError(f"skopsfs ended: exit {self.exit_code}\n{self.log()}")
        except BaseException:
            self.clear()
            raise
        return self

    def _wait_for_background(self):
        code = self._process.wait(self._guard)
        if code != 0:
            self.exit_code = code
            return
        if not is_mounted(self._absolute):
            raise AssertionError("it said it was mounted and is not")
        self.pid = until(lambda: background_pid(self.path), "its process is found")
        self._watch()

    def _watch(self):
        self._watchdog = Watchdog(self.pid, self._absolute, self._guard)

    def _unwatch(self):
        if self._watchdog:
            self._hung = self._watchdog.stop()
            self._watchdog = None

    def _ended(self):
        """Whether the process has ended; reaps it."""
        if self.exit_code is not None or self.pid is None:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return False
        self._unwatch()
        self.exit_code = os.waitstatus_to_exitcode(status)
        self._process.returncode = self.exit_code
        return True

    def log(self):
        """What it wrote so far."""
        if self._log is None:
            return self._last_log
        return os.pread(self._log.fileno(), 1 << 26, 0).decode(errors="replace")

    def wait_for_log(self, *texts, guard=HANG):
        """Waits for a line that has all of `texts` in it."""
        def line():
            return next((x for x in self.log().splitlines() if all(t in x for t in texts)), None)
        try:
            return until(line, f"the log has {texts}", guard)
        except AssertionError as error:
            raise AssertionError(f"{error}; it has:\n{self.log()}") from None

    def send(self, number):
        os.kill(self.pid, number)

    def wait(self):
        """Waits for the end of the process; returns its exit code, negative for a signal."""
        until(self._ended, "skopsfs ends")
        return self.exit_code

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait()

    def finish(self):
        """Ends it if it still runs; raises unless it ended well and left nothing."""
        try:
            if self.exit_code is None and self.pid is not None:
                self.stop()
            if self._hung:
                raise AssertionError(f"it took more than {self._guard} s")
            if self.exit_code != 0:
                raise AssertionError(f"skopsfs ended with {self.exit_code}\n{self.log()}")
            if _FINDING.search(self.log()):
                raise AssertionError(f"a sanitizer found something\n{self.log()}")
            if is_mounted(self._absolute):
                raise AssertionError(f"{self.path} is still mounted")
        finally:
            self.clear()

    def clear(self):
        """Ends it by force if need be and takes the mount away."""
        if self.background and self._process is not None and self.pid is None:
            self._process.kill()
            self._process.wait()
            self.pid = background_pid(self.path)
        if self.pid is not None and not self._ended():
            self.send(signal.SIGKILL)
            detach(self._absolute)  # or a process that waits for itself could not end
            self.wait()
        self._unwatch()
        detach(self._absolute)
        self.pid = None
        if self._log:
            self._last_log = self.log()
            self._log.close()
            self._log = None

    def workers(self):
        """The process ids of its workers, the oldest first: one, but for the time of a takeover."""
        return children_of(self.pid, WORKER)

    def worker(self):
        """The process id of the worker, waiting for one if there is none now."""
        return until(self.workers, "it has a worker")[-1]

    def processes(self):
        return [self.pid, *children_of(self.pid, WORKER, METRICS)]

    def descriptors(self, *processes):
        """What its processes, or these ones, have open, as /proc shows it."""
        found = []
        for process in processes or self.processes():
            with contextlib.suppress(FileNotFoundError):
                for number in os.listdir(f"/proc/{process}/fd"):
                    with contextlib.suppress(FileNotFoundError):
                        found.append(os.readlink(f"/proc/{process}/fd/{number}"))
        return found


class MountTest(unittest.TestCase):
    """A test with a temporary folder, a source folder in it and mounts that end with the test."""

    @classmethod
    def setUpClass(cls):
        reason = why_no_mounts()
        if reason:
            raise unittest.SkipTest(reason)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(detach_below, self.folder)
        os.chmod(self.folder, 0o755)
        self.source = os.path.join(self.folder, "source")
        self.mountpoint = os.path.join(self.folder, "mount")
        os.mkdir(self.source)
        os.mkdir(self.mountpoint)

    def in_source(self, *parts):
        return os.path.join(self.source, *parts)

    def in_mount(self, *parts):
        return os.path.join(self.mountpoint, *parts)

    def make_folder(self, *parts):
        path = os.path.join(self.folder, *parts)
        os.makedirs(path, exist_ok=True)
        return path

    def mount(self, *options, source=None, mountpoint=None, **more):
        """Mounts until the test ends; it then has to end well."""
        mount = Mount(source or self.source, mountpoint or self.mountpoint, *options, **more)
        mount.start()
        self.addCleanup(mount.finish)
        return mount

    def mount_reading_little_ahead(self, *options, **more):
        """With the kernel's 128 KiB, where root's mounts would read as far ahead as the disk does."""
        if os.geteuid() != 0:
            return self.mount(*options, **more)
        mount = self.mount(*options, "--readahead=128", **more)
        until(lambda: read_ahead(self.mountpoint) == 128, "the read-ahead is set")
        return mount

    def superseded(self):
        """How many versions the kernel knows that are no more."""
        with open(self.in_mount(".skopsfs", "status.json"), "rb") as file:
            return json.load(file)["counts"]["superseded"]

    def assert_errno(self, expected, call, *arguments, **more):
        """`call` must fail with the errno (or one of a tuple) `expected`."""
        expected = expected if isinstance(expected, tuple) else (expected,)
        with self.assertRaises(OSError) as caught:
            call(*arguments, **more)
        names = [os.strerror(number) for number in expected]
        self.assertIn(caught.exception.errno, expected,
                      f"{caught.exception}, expected {' or '.join(names)}")


def run(*command, check=True, guard=HANG, **more):
    """Runs a program to its end and returns what subprocess.run() returns, with text output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=guard, check=False, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def main():
    if not os.environ.get("SKOPSFS_BINARY"):
        sys.exit("set SKOPSFS_BINARY to the skopsfs to be tested")
    unittest.main(verbosity=2)
