"""Child processes of tests: as another user, in a mount namespace of their own, or to die in.

Also what can be learnt of pages: their frames, whether they are in memory, what they hold.
"""

import ctypes
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import traceback

from mount import HANG, until

PAGE = mmap.PAGESIZE
OTHER_USER = 54321  # an id that nobody has

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                       ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong,
                        ctypes.c_char_p]
_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


class Child:
    """A forked process that runs `function`; result() is what it returned, or raises what it did.

    A context manager that ends the process if it still runs.
    """

    def __init__(self, function, *arguments, user=None):
        self._result = None
        read_end, write_end = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read_end)
            self._run(function, arguments, user, write_end)
        os.close(write_end)
        self._read_end = read_end
        self.exit_code = None

    @staticmethod
    def _run(function, arguments, user, write_end):
        code = 1
        try:
            if user is not None:
                become(user)
            outcome = (True, function(*arguments))
            code = 0
        except BaseException as error:  # the parent judges
            error.add_note("In the child process: " + traceback.format_exc())
            outcome = (False, error)
        try:
            data = pickle.dumps(outcome)
        except Exception:  # an exception that cannot be handed over
            data = pickle.dumps((False, AssertionError(traceback.format_exc() + repr(outcome))))
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)
        os._exit(code)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()

    def _reap(self):
        self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._read_end)

    def result(self):
        data = b""
        while True:
            if not select.select([self._read_end], [], [], HANG)[0]:
                self.end()
                raise AssertionError(f"a child process did not end in {HANG} s")
            chunk = os.read(self._read_end, 1 << 20)
            if not chunk:
                break
            data += chunk
        self._reap()
        if not data:
            raise AssertionError(f"a child process ended with {self.exit_code}")
        good, value = pickle.loads(data)
        if good:
            return value
        raise value


def in_child(function, *arguments, user=None):
    """Runs `function` in a process of its own, as `user` if given; returns or raises as it does."""
    with Child(function, *arguments, user=user) as child:
        return child.result()


def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def lose_resource_power():
    """For programs that are run: root among them may not raise its limits."""
    cap_sys_resource = pr_capbset_drop = 24
    if _libc.prctl(pr_capbset_drop, cap_sys_resource, 0, 0, 0) != 0 and os.geteuid() == 0:
        raise OSError("cannot drop CAP_SYS_RESOURCE")


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def private_mounts():
    """From now on what this process mounts is seen by it and its children alone."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "making / private")


def bind(what, where):
    _check(_libc.mount(os.fsencode(what), os.fsencode(where), None, _MS_BIND, None), "bind mount")


def mount_tmpfs(where):
    _check(_libc.mount(b"tmpfs", os.fsencode(where), b"tmpfs", 0, None), "mounting a tmpfs")


def mount_autofs(where, pipe):
    """Whoever looks there waits, but for the process group of this process; who does is told `pipe`."""
    options = f"fd={pipe},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
    _check(_libc.mount(b"automounter", os.fsencode(where), b"autofs", 0, options.encode()),
           "mounting autofs")


def frames(address, pages, pid="self"):
    """The physical page frames behind `pages` touched pages of a process from `address` on; needs root."""
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(address // PAGE * 8)
        entries = struct.unpack(f"<{pages}Q", pagemap.read(pages * 8))
    present = 1 << 63
    return [entry & ((1 << 55) - 1) if entry & present else None for entry in entries]


def agreed(look):
    """What `look` finds, a list; it looks up to three times while these differ, since the kernel may
    move a page just then."""
    for _ in range(3):
        found = look()
        if all(one == found[0] for one in found):
            break
    return found


def in_two(function, *arguments):
    """What each of two processes returns, see agreed()."""
    return agreed(lambda: [in_child(function, *arguments) for _ in range(2)])


def resident_pages(file):
    """How many pages of the file, a path or a descriptor, are in memory."""
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return resident_pages(opened.fileno())
    size = os.fstat(file).st_size
    if size == 0:
        return 0
    address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        state = ctypes.create_string_buffer(-(-size // PAGE))
        _check(_libc.mincore(address, size, state), "mincore")
    finally:
        _libc.munmap(address, size)
    return sum(byte & 1 for byte in state.raw[:-(-size // PAGE)])


def drop_pages(file):
    """Nothing of an open file, which nobody has mapped, is in memory afterwards. The kernel leaves a page that it
    is just moving."""
    def is_dropped():
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return resident_pages(file.fileno()) == 0
    until(is_dropped, "no page of the file is in memory")


def in_one_of_three(look):
    """Whether `look` finds what is wanted, at the third time at the latest: the kernel may take pages back at any
    time."""
    return any(look() for _ in range(3))


SIGBUS = "SIGBUS"


def touch(mapping, numbers):
    """What each page of `mapping` holds, or SIGBUS for one that kills who touches it.

    The touching is done in child processes, which inherit the mapping.
    """
    numbers = list(numbers)
    found = mmap.mmap(-1, max(1, len(numbers)) * PAGE)
    progress = mmap.mmap(-1, PAGE)  # how many pages were touched well
    outcome = [None] * len(numbers)
    start = 0
    while start < len(numbers):
        pid = os.fork()
        if pid == 0:
            for i in range(start, len(numbers)):
                at = numbers[i] * PAGE
                found[i * PAGE:(i + 1) * PAGE] = mapping[at:at + PAGE].ljust(PAGE, b"\0")
                progress[:8] = struct.pack("<Q", i + 1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        done = max(start, struct.unpack("<Q", progress[:8])[0])
        for i in range(start, done):
            outcome[i] = found[i * PAGE:(i + 1) * PAGE]
        if code == 0:
            break
        if code != -signal.SIGBUS:
            raise AssertionError(f"touching a page ended with {code}")
        outcome[done] = SIGBUS
        start = done + 1
    found.close()
    progress.close()
    return outcome
