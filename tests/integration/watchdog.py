"""A guard against tests that hang: ends a mount that takes too long, so that requests to it fail."""

import contextlib
import os
import subprocess

# A process of its own, because a thread could be kept from running by one that waits for a page. The
# kernel is told first (umount -f aborts what waits), because a process that waits for itself cannot be
# killed.
_PROGRAM = """
import ctypes, os, select, signal, sys
pid, path, seconds = int(sys.argv[1]), os.fsencode(sys.argv[2]), float(sys.argv[3])
if not select.select([0], [], [], seconds)[0]:
    sys.stderr.write("hang guard: ending skopsfs\\n")
    MNT_FORCE, MNT_DETACH = 1, 2
    ctypes.CDLL(None).umount2(path, MNT_FORCE)
    ctypes.CDLL(None).umount2(path, MNT_DETACH)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    sys.exit(1)
"""


class Watchdog:
    """Ends process `pid` and its mount at `path` in `seconds`, unless stop() comes first."""

    def __init__(self, pid, path, seconds):
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-S", "-c", _PROGRAM, str(pid), os.fspath(path), str(seconds)],
            stdin=subprocess.PIPE)

    def stop(self):
        """Returns whether it had to end the mount."""
        with contextlib.suppress(BrokenPipeError):  # it has ended the mount already
            self._process.stdin.write(b"x")  # closing is not enough: children have copies of the pipe
            self._process.stdin.close()
        return self._process.wait() != 0
