"""A stand-in for systemd that keeps descriptors, as it does for a unit with FileDescriptorStoreMax.

It takes FDSTORE=1 and FDSTOREREMOVE=1 from a socket, and gives what it has to the program that it starts.
"""

import array
import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading

import archives
from archives import MEMBER
from children import METRICS, NOTIFIER, WORKER, children_of
from mount import Mount, MountTest, binary, is_mounted, until

_ROOM = 4096
_GOES_ON = "going on with the mount that the service manager has stored"
FIXED = ["counters", "fuse", "receiver", "sender", "session", "slots"]  # stored of each mount
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438  # the same on all machines

# Takes the descriptors of the manager as its own ones from 3 on, and becomes the program.
_LAUNCHER = f"""
import ctypes, fcntl, os, resource, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
manager, names, fds, command = int(sys.argv[1]), sys.argv[2], sys.argv[3].split(), sys.argv[4:]
call = ctypes.CDLL(None, use_errno=True).syscall
pid = call({_PIDFD_OPEN}, manager, 0)
taken = [fcntl.fcntl(call({_PIDFD_GETFD}, pid, int(fd), 0), fcntl.F_DUPFD, 8000) for fd in fds]
os.closerange(3, 8000)
for number, fd in enumerate(taken, 3):
    os.dup2(fd, number)
os.closerange(8000, 8000 + len(taken))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


class StoringManager:
    def __init__(self, path, room=_ROOM):
        self.path = path
        self.room = room
        self.store = []  # (name, descriptor), as systemd has it
        self.told = []
        self.refused = 0
        self.listening = threading.Event()
        self.listening.set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while True:
            self.listening.wait()
            data, extra, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(4 * 253))
            fds = array.array("i")
            for _, kind, value in extra:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(value[:len(value) - len(value) % 4])
            self._take(data.decode(), fds)
            if data == b"end":
                self._socket.close()
                return

    def _take(self, text, fds):
        lines = dict(line.partition("=")[::2] for line in text.split("\n") if line)
        self.told += text.split("\n")
        name = lines.get("FDNAME", "stored")
        if lines.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.store if entry[0] == name]:
                self.remove(entry)
        for fd in fds:
            if lines.get("FDSTORE") == "1" and len(self.store) < self.room:
                self.store.append((name, fd))
            else:
                self.refused += 1
                os.close(fd)

    def remove(self, entry):
        self.store.remove(entry)
        os.close(entry[1])

    def add(self, name, fd):
        self.store.append((name, os.dup(fd)))

    def names(self):
        return sorted(name for name, _ in self.store)

    def fd(self, name):
        return next(fd for found, fd in self.store if found == name)

    def settle(self):
        """Waits until all that was sent so far has been taken."""
        before = self.told.count("settled")
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.sendto(b"settled", self.path)
        sender.close()
        until(lambda: self.told.count("settled") > before, "the manager has taken all")

    def close(self):
        self.listening.set()
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.sendto(b"end", self.path)
        sender.close()
        self._thread.join()
        for _, fd in self.store:
            os.close(fd)
        self.store = []

    def mount(self, source, mountpoint, *options, program=None, **more):
        """Starts it with what is stored."""
        self.settle()
        launcher = [sys.executable, "-S", "-c", _LAUNCHER, str(os.getpid()),
                    ":".join(name for name, _ in self.store), " ".join(str(fd) for _, fd in self.store)]
        readies = self.told.count("READY=1")
        mount = Mount(source, mountpoint, *options, command=[*launcher, program or binary()],
                      env={"NOTIFY_SOCKET": self.path, "FDSTORE": str(self.room)}, **more).start()
        until(lambda: self.told.count("READY=1") > readies, "it is ready")
        return mount


def descriptor_of(pid, number):
    """A duplicate of a descriptor of another process."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    process = call(_PIDFD_OPEN, pid, 0)
    try:
        return call(_PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)


def kill_all(mount):
    """As systemd kills the processes of a unit: it goes on when none is left."""
    children = children_of(mount.pid, WORKER, METRICS, NOTIFIER)
    for pid in (mount.pid, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mount.wait()
    wait_for_end(children)


def wait_for_end(processes):
    until(lambda: all(_has_ended(pid) for pid in processes), "all processes have ended")


def _has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class StoreTest(MountTest):
    """With a manager that keeps descriptors."""

    room = _ROOM

    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)
        self.manager = StoringManager(os.path.join(self.folder, "notify"), self.room)
        self.addCleanup(self.manager.close)

    def start(self, *options, **more):
        mount = self.manager.mount(self.source, self.mountpoint, *options, **more)
        self.addCleanup(mount.clear)
        return mount

    def member(self, archive="a.skops"):
        return self.in_mount(archive, MEMBER)

    def stored(self, start):
        self.manager.settle()
        return [name for name in self.manager.names() if name.startswith(start)]

    def go_on(self, *options, **more):
        mount = self.start(*options, **more)
        mount.wait_for_log(_GOES_ON)
        return mount

    def assert_stops(self, mount):
        """Nothing is left, neither a mount nor anything in the store."""
        mount.finish()
        self.assertFalse(is_mounted(self.mountpoint))
        self.manager.settle()
        self.assertEqual(self.manager.names(), [])
