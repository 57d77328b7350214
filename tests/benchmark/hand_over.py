"""How long nobody answers while one process takes a mount over from another."""

import contextlib
import os
import shutil
import signal
import time

import python_workers as python
from peers import Skopsfs
from rows import Row, interleaved
from samples import write_small

PATIENCE = 60  # seconds, until another one serves


def rows(bench):
    source, point = os.path.join(bench.folder, "source"), os.path.join(bench.folder, "mount")
    program, socket = os.path.join(bench.folder, "skopsfs"), os.path.join(bench.folder, "socket")
    os.makedirs(source)
    write_small(os.path.join(source, "small.skops"), 10)

    def install():
        """Another file each time, as a package does it."""
        shutil.copy(bench.program, f"{program}.new")
        os.rename(f"{program}.new", program)

    def mount(*options):
        return Skopsfs(program, source, point, *options)

    def nothing():
        with mount():
            return asked(point, lambda: time.sleep(1))

    def killed():
        with mount() as mounted:
            worker = mounted.worker
            return asked(point, lambda: (os.kill(worker, signal.SIGKILL),
                                         until(lambda: mounted.worker not in (worker, None))))

    def upgraded():
        with mount() as mounted:
            program_of_supervisor, pid = f"/proc/{mounted.pids[0]}/exe", mounted.pids[0]
            before = os.stat(program_of_supervisor).st_ino
            install()
            return asked(point, lambda: (os.kill(pid, signal.SIGUSR2),
                                         until(lambda: os.stat(program_of_supervisor).st_ino != before)))

    def followed():
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(mount(f"--handover={socket}"))

            def hand_over():
                stack.enter_context(mount(f"--handover={socket}"))
                until(lambda: first.worker is None)
                first.end()
            return asked(point, hand_over)
    install()
    found = interleaved({"nothing happens, for a second": nothing, "its worker is killed": killed,
                         "it becomes another program (SIGUSR2)": upgraded,
                         "the next server takes it over (--handover)": followed}, bench.rounds)
    for way, values in found.items():
        yield Row("21", f"the longest time without an answer of a mount: {way}", "seconds", None,
                  {"skopsfs": values}, values)
    shutil.rmtree(source)


def asked(path, event):
    """The longest time, in seconds, that somebody who asks all the time waited during the event, and a second more."""
    asker = python.Worker(python.ask_all_the_time, path)
    asker.answer()
    event()
    time.sleep(1)
    asker.go_on()
    longest = asker.answer()
    asker.end()
    return longest


def until(holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody took over in {PATIENCE} s")
        time.sleep(0.01)
