"""What benchmarks need of the machine: a folder on a disk, disks in memory, a cold page cache, counters
of the kernel, and clients that begin at the same moment. Wants root for most of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading

MIB = 1 << 20


def run(*command, timeout=600):
    """The output of a program that must end well."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def drop_caches():
    """Nothing of any file is in memory afterwards, and no inode and no name either."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")


def drop_pages():
    """Nothing of any file is in memory afterwards, but who has which open stays."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("1")


@contextlib.contextmanager
def folder(parent):
    path = tempfile.mkdtemp(prefix="skopsfs-benchmark-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def disk_in_memory(size):
    """A mounted ext4 on a loop device over a file in /dev/shm: its folder and its block device."""
    with folder("/dev/shm") as own:
        image, point = os.path.join(own, "image"), os.path.join(own, "disk")
        with open(image, "wb") as file:
            file.truncate(size)
        os.mkdir(point)
        run("mkfs.ext4", "-q", "-m", "0", image)
        device = run("losetup", "--find", "--show", image).strip()
        try:
            run("mount", device, point)
            try:
                yield point, os.path.basename(device)
            finally:
                run("umount", point)
        finally:
            run("losetup", "--detach", device)


def bytes_read_from(device):
    """By everybody since the machine started."""
    with open(f"/sys/block/{device}/stat", encoding="ascii") as file:
        return int(file.read().split()[2]) * 512


def memory_of(pids):
    """Of processes, in bytes; what is shared with others counts in parts."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    return total


def processor_seconds(pids):
    """That processes have used, their own and the kernel's on their behalf."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def storage_reads(pid):
    """Bytes that a process had fetched from disks, read-ahead on its behalf included."""
    with open(f"/proc/{pid}/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def bytes_read_by(pid):
    """Bytes that a process has read, from wherever."""
    with open(f"/proc/{pid}/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))


def read_calls(pid):
    """How often a process has called read, or the like, with success: of a server that does nothing
    else, the requests that reached it and what it read to answer them."""
    with open(f"/proc/{pid}/io", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("syscr:"))


def describe():
    """This machine, as a benchmark's reader wants to know it."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": model, "processors": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory / 2**30), "kernel": os.uname().release}


class Clients:
    """Runs client.cc's program, see there. One that takes longer than `patience` seconds is killed,
    which is a TimeoutError."""

    def __init__(self, program, patience=120):
        self.program = program
        self.patience = patience

    def resident(self, path):
        """Bytes of a file in the page cache."""
        return json.loads(run(self.program, "resident", path))["bytes"]

    def one(self, *words):
        """What a single client prints."""
        return self.at_once([words])[0]

    def at_once(self, commands, while_mapped=None):
        """What each client prints, when all begin at the same moment. `while_mapped` is called before
        those that map end."""
        running = [subprocess.Popen([self.program, *map(str, words)], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                   for words in commands]
        guard = threading.Timer(self.patience, lambda: [client.kill() for client in running])
        guard.start()
        try:
            for client in running:
                client.stdin.write("\n")
                client.stdin.flush()
            printed = [json.loads(client.stdout.readline() or "null") for client in running]
            if while_mapped and None not in printed:
                while_mapped()
            for client in running:
                client.communicate("\n")
        finally:
            guard.cancel()
        if any(client.returncode == -signal.SIGKILL for client in running):
            raise TimeoutError(f"not done in {self.patience} s")
        for client in running:
            if client.returncode != 0:
                raise RuntimeError(f"{' '.join(client.args)}: exit {client.returncode}")
        return printed
