"""Many archives, many members, many threads."""

import os
import shutil
import subprocess
import time
import zipfile

from machine import drop_caches, memory_of, run
from peers import Skopsfs
from rows import Row, ratios
from samples import LARGE, write_folder, write_large

MEMBERS = 20
THREADS = 16
LATER = 2000  # lookups in the archive with many members
LATER_ROUNDS = 5  # a mount


def rows(bench):
    yield from folder(bench)
    yield from large_directory(bench)
    yield threads(bench, 16 << 10, 1.8)
    yield threads(bench, 128 << 10, None)


def seconds_of(*command):
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - begin, done.stdout.count(b"\n")


def folder(bench):
    """Mounting, listing and walking a folder of very many archives."""
    source, point = os.path.join(bench.folder, "many"), os.path.join(bench.folder, "mount")
    os.makedirs(point, exist_ok=True)
    write_folder(source, bench.archives, MEMBERS)
    usable, listed, after, looked_at = [], [], [], []
    walked = {"skopsfs": [], "with -o noby-name": []}
    for _ in range(bench.few_rounds):
        drop_caches()
        run(bench.program, "--version")  # the program is not what is to be read from the disk here
        begin = time.perf_counter()
        subprocess.run([bench.program, source, point], check=True)  # in the background, when it is up
        os.stat(os.path.join(point, "model-000000.skops"))
        usable.append(time.perf_counter() - begin)
        subprocess.run(["umount", point], check=True)
        with Skopsfs(bench.program, source, point) as mounted:
            drop_caches()
            seconds, lines = seconds_of("ls", "-U", point)
            check(lines == bench.archives)
            listed.append(seconds)
            seconds, lines = seconds_of("find", point)
            check(lines == bench.archives * (MEMBERS + 2) + 1)  # with by-name
            walked["skopsfs"].append(lines / seconds)
            after.append(memory_of(mounted.pids))
        with Skopsfs(bench.program, source, point, "-o", "noby-name"):
            drop_caches()
            seconds, lines = seconds_of("find", point)
            check(lines == bench.archives * (MEMBERS + 1) + 1)
            walked["with -o noby-name"].append(lines / seconds)
        drop_caches()
        seconds, lines = seconds_of("ls", "-lU", source)
        check(lines == bench.archives + 1)
        looked_at.append(seconds)
    shutil.rmtree(source)
    yield Row("9", f"mount of a folder with {bench.archives:,} archives until an archive is seen, the folder cold",
              "seconds", ("<=", 0.05), {"skopsfs": usable}, usable)
    yield Row("10", "ls -U of that folder", "seconds", ("<=", 1.0),
              {"skopsfs": listed, "ls -lU of the source": looked_at}, listed)
    # The last ones of all: nobody's job needs them.
    yield Row("22", f"find over all of it, {MEMBERS} members each", "entries a second",
              (">=", 100_000), walked, walked["skopsfs"])
    mib = [value / (1 << 20) for value in after]
    yield Row("22", "memory of our processes after that find", "MiB", ("<=", 256), {"skopsfs": mib}, mib)


def check(holds):
    if not holds:
        raise RuntimeError("not everything is there")


def write_large_directory(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            archive.writestr(f"{140117532755408 + 16 * number}.npy", b"")


def large_directory(bench):
    source, point = os.path.join(bench.folder, "wide"), os.path.join(bench.folder, "mount")
    os.makedirs(source)
    archive = os.path.join(source, "wide.skops")
    write_large_directory(archive, bench.members)
    inside = os.path.join(point, "wide.skops")
    values = {"skopsfs": [], "zipfile": []}
    added, later = [], []
    for _ in range(bench.few_rounds):
        with Skopsfs(bench.program, source, point) as mounted:
            os.stat(inside)
            before = memory_of(mounted.pids)
            begin = time.perf_counter()
            os.stat(os.path.join(inside, "140117532755408.npy"))
            values["skopsfs"].append(time.perf_counter() - begin)
            added.append((memory_of(mounted.pids) - before) / (1 << 20))
            step = bench.members // LATER or 1
            for first in range(1, 1 + LATER_ROUNDS):  # each name once: the kernel remembers them
                names = [os.path.join(inside, f"{140117532755408 + 16 * number}.npy")
                         for number in range(first, bench.members, step)]
                later.append(bench.clients.one("look", *names)["median"]
                             / bench.clients.one("ask", inside, len(names))["median"])
        begin = time.perf_counter()
        with zipfile.ZipFile(archive) as opened:
            opened.getinfo("140117532755408.npy")
        values["zipfile"].append(time.perf_counter() - begin)
    shutil.rmtree(source)
    what = f"first lookup in an archive with {bench.members:,} members"
    yield Row("12", what, "seconds", ("<=", 0.6), values, values["skopsfs"])
    yield Row("12", f"{what}, over Python's zipfile", "seconds", ("<=", 0.2), values,
              ratios(values["skopsfs"], values["zipfile"]))
    yield Row("12", "memory that it adds", "MiB", ("<=", 80), {"skopsfs": added}, added)
    yield Row("12", "a later lookup, over an empty request", "round trips", ("<=", 1.5),
              {"skopsfs": later}, later)


def threads(bench, block, least):
    """Pages that the mount does not have, of archives that are cached. Large blocks are bounded by what
    two processors can copy at once."""
    source, point = os.path.join(bench.folder, "sixteen"), os.path.join(bench.folder, "mount")
    os.makedirs(source)
    names = [f"{number}.skops" for number in range(THREADS)]
    for name in names:
        write_large(os.path.join(source, name), bench.size // THREADS)
    values = {f"{THREADS} threads": [], "one thread": []}
    for _ in range(bench.rounds):
        for way, count in zip(values, (THREADS, 1)):
            drop_caches()
            for name in names:
                with open(os.path.join(source, name), "rb") as file:
                    while file.read(1 << 20):
                        pass
            with Skopsfs(bench.program, source, point):
                paths = [os.path.join(point, name, LARGE) for name in names]
                values[way].append(bench.clients.one("spread", count, block, *paths)["seconds"])
    shutil.rmtree(source)
    return Row("13", f"{THREADS} threads reading {THREADS} archives at random by {block >> 10} KiB, "
                     "throughput over one thread", "seconds", least and (">=", least), values,
               ratios(values["one thread"], values[f"{THREADS} threads"]))
