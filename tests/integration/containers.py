"""Containers as a node makes them: namespaces, a root of their own, and volumes with mount propagation.

The steps are those of runc. The namespaces have no network. Everything is made in a mount namespace of the
test process, in which / is shared as systemd has it on a node, and which ends with it: see become_a_node().
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import traceback

import workload_answers
from mount import mounts, until

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong,
                        ctypes.c_char_p]
_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC = 1, 2, 4, 8, 32, 0x1000, 0x4000
_PRIVATE, _SLAVE, _SHARED = 1 << 18, 1 << 19, 1 << 20
_DETACH = 2
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 24, 38, 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
PROPAGATION = {"Bidirectional": _SHARED, "HostToContainer": _SLAVE, "None": _PRIVATE}


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(what, where, flags, kind=None):
    _check(_libc.mount(what and os.fsencode(what), os.fsencode(where), kind, flags, None),
           f"mounting {what} on {where}")


def unmount(where):
    _check(_libc.umount2(os.fsencode(where), _DETACH), f"unmounting {where}")


def leave_mounts_of_others():
    """For a mount namespace that is a copy: the mounts of other tests could not end while it has them."""
    for path, kind, *_ in reversed(mounts()):
        if kind == "fuse.skopsfs":
            unmount(path)


def become_a_node():
    """From now on mounts of this process are seen by it and its children alone, and / is shared."""
    _check(_libc.unshare(_NEWNS), "unshare")
    mount(None, "/", _PRIVATE | _REC)
    leave_mounts_of_others()
    mount(None, "/", _SHARED | _REC)


class VolumeMount:
    """A folder of the node, where a container has it, and how."""

    def __init__(self, source, path, propagation="None", read_only=False):
        self.source, self.path = source, path
        self.propagation, self.read_only = propagation, read_only


class Container:
    """A process in namespaces of its own: `command` is run, or else `function` called, as the first one.

    A context manager; what still runs at its end is killed.
    """

    def __init__(self, folder, image, mounts, security, command=None, function=None, environment=None):
        self._root = os.path.join(folder, "rootfs")
        self._mounts, self._security = mounts, security
        self._command, self._function = command, function
        self._environment = environment or {}
        os.makedirs(self._root)
        for volume in mounts:
            os.makedirs(image + volume.path, exist_ok=True)
        mount(image, self._root, _BIND | _REC)  # as the snapshot that containerd mounts
        self.log_path = os.path.join(folder, "log")
        self.exit_code = None
        self.pid = None
        self._stuck = []  # what was executed and may wait in the kernel until a mount is gone
        read_end, write_end = os.pipe()
        self._shim = os.fork()
        if self._shim == 0:
            os.close(read_end)
            self._run_shim(write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            told = pipe.read()
        if not told:
            self.kill()
            raise AssertionError(f"a container does not start: {self.log()}")
        self.pid = int(told)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    # --- in the child ---------------------------------------------------------------------------

    def _run_shim(self, write_end):
        """Starts the first process of the container, and ends as it does."""
        code = 125
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            null = os.open("/dev/null", os.O_RDONLY)
            for target, source in enumerate((null, log, log)):
                os.dup2(source, target)
            _check(_libc.unshare(_NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS), "unshare")
            first = os.fork()
            if first == 0:
                os.close(write_end)
                self._run_first()
            os.write(write_end, str(first).encode())
            os.close(write_end)
            code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(code if code >= 0 else 128 - code)

    def _run_first(self):
        try:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            self._make_root()
            self._drop_powers()
            if self._function:
                self._function()
                os._exit(0)
            environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                           **self._environment}
            os.execvpe(self._command[0], self._command, environment)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(126)

    def _make_root(self):
        root = self._root
        if all(volume.propagation != "Bidirectional" for volume in self._mounts):
            mount(None, "/", _SLAVE | _REC)
        mount(None, root, _PRIVATE)  # so that what is mounted in it does not get out
        mount(root, root, _BIND | _REC)
        mount("proc", root + "/proc", _NOSUID | _NODEV | _NOEXEC, b"proc")
        self._make_devices(root + "/dev")
        if self._security.get("privileged"):
            mount("/sys", root + "/sys", _BIND | _REC)
            mount(None, root + "/sys", _SLAVE | _REC)
        for volume in self._mounts:
            target = root + volume.path
            mount(volume.source, target, _BIND | _REC)
            mount(None, target, PROPAGATION[volume.propagation] | _REC)
            if volume.read_only:
                mount(None, target, _REMOUNT | _BIND | _RDONLY)
        if self._security.get("readOnlyRootFilesystem"):
            mount(None, root, _REMOUNT | _BIND | _RDONLY)
        old = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        os.chdir(root)
        _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
        os.fchdir(old)  # which lies on top of the new one now
        os.close(old)
        mount(None, ".", _SLAVE | _REC)
        unmount(".")
        os.chdir("/")

    def _make_devices(self, folder):
        mount("tmpfs", folder, _NOSUID, b"tmpfs")
        names = ["null", "zero", "urandom"] + (["fuse"] if self._security.get("privileged") else [])
        for name in names:
            with open(f"{folder}/{name}", "wb"):
                pass
            mount(f"/dev/{name}", f"{folder}/{name}", _BIND)
        os.symlink("/proc/self/fd", f"{folder}/fd")

    def _drop_powers(self):
        group = self._security.get("runAsGroup", self._security.get("runAsUser", 0))
        os.setgroups([])
        if not self._security.get("privileged"):
            for capability in range(64):
                _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setresgid(group, group, group)
        user = self._security.get("runAsUser", 0)
        os.setresuid(user, user, user)
        if self._security.get("allowPrivilegeEscalation") is False:
            _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
        # That a process has changed its user takes this away, and is no reason to outlive the test.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    # --- in the test ----------------------------------------------------------------------------

    def execute(self, command, timeout):
        """Whether a command in the container succeeds in that time, as kubelet's probes see it."""
        process = subprocess.Popen(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd=/",
             "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.stdout.close()
            self._stuck.append(process)
            return False
        return process.returncode == 0

    def answers(self, port, path, timeout):
        """Whether somebody in the container answers over HTTP in that time."""
        fetch = ("import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read()")
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
             "/usr/bin/python3", "-c", fetch, f"http://127.0.0.1:{port}{path}", str(timeout)],
            stderr=subprocess.DEVNULL, check=False).returncode == 0

    def send(self, number):
        os.kill(self.pid, number)

    def ended(self):
        if self.exit_code is None and self._shim is not None:
            pid, status = os.waitpid(self._shim, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                unmount(self._root)
        return self.exit_code is not None

    def wait(self):
        until(self.ended, f"a container ends; it said: {self.log()}")
        return self.exit_code

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait()

    def kill(self):
        if not self.ended():
            with contextlib.suppress(ProcessLookupError):  # it ends by itself at this moment
                os.kill(self.pid or self._shim, signal.SIGKILL)
            self.wait()
        for process in self._stuck:
            process.wait()


class Workload:
    """A function that runs in a container and does what it is asked to, one thing after the other.

    It is this Python without its files, so that everything it needs has to be imported before.
    """

    def __init__(self, start, **answers):
        """`start` makes a Container of a function. `answers`: what can be asked for."""
        to_it, self._ask = os.pipe()
        self._hear, from_it = os.pipe()

        def serve():
            os.close(self._ask)
            os.close(self._hear)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            with os.fdopen(to_it, "rb") as questions, os.fdopen(from_it, "wb") as replies:
                workload_answers.serve(questions, replies, answers)

        self.container = start(serve)
        os.close(to_it)
        os.close(from_it)
        self._questions = os.fdopen(self._ask, "wb")
        self._replies = os.fdopen(self._hear, "rb")

    def __call__(self, name, *arguments):
        """What it answers; raises OSError with the errno that it got."""
        return workload_answers.ask(self._questions, self._replies, name, *arguments)

    def close(self):
        self._questions.close()
        self._replies.close()
