"""Loading as programs do it, with NumPy: rows at random, small members, whole models."""

import glob
import os
import shutil
import time
import zipfile

import python_workers as python
from machine import drop_caches, memory_of, storage_reads
from peers import Skopsfs, in_shared_memory, unzip
from rows import Curve, Row, interleaved, ratios
from samples import LARGE, write_large, write_small

FEW_ROWS = 200
ROWS = 10_000
WORKERS = 4
LOADS = 2000  # of a small member
MANY = 1000  # members under 1 KiB
TERMINALS = 3  # questions whether a file is one, a load: NumPy opens the file three times
SMALL = "140117532755408.npy"


def rows(bench):
    source, plain = os.path.join(bench.folder, "source"), os.path.join(bench.folder, "plain")
    point = os.path.join(bench.folder, "mount")
    os.makedirs(source)
    write_large(os.path.join(source, "large.skops"), bench.size)
    write_large(os.path.join(source, "model.skops"), bench.size // 2)
    write_small(os.path.join(source, "small.skops"), 10)
    write_small(os.path.join(source, "many.skops"), MANY + 1)
    for path in bench.genuine:
        shutil.copy(path, source)
    for name in os.listdir(source):
        unzip(os.path.join(source, name), os.path.join(plain, name))
    yield from random_rows(bench, source, plain, point, ROWS, 1.0)
    yield from random_rows(bench, source, plain, point, FEW_ROWS, None)
    with Skopsfs(bench.program, source, point) as mounted:
        yield mapped_member(bench, plain, point)
        for asks, most in ((True, 3.0), (False, 1.3)):
            yield small_member(bench, plain, point, asks, most)
            yield requests(bench, mounted.worker, point, asks)
        yield many_members(bench, plain, point)
        yield from genuine(bench, source, plain, point)
    yield from model(bench, source, plain, point)
    yield from by_processes(bench, source, plain, point)
    shutil.rmtree(source)
    shutil.rmtree(plain)


def random_rows(bench, source, plain, point, count, least):
    """Plain np.load(mmap_mode="r"), no advice given."""
    member = os.path.join("large.skops", LARGE)

    def ours():
        with Skopsfs(bench.program, source, point) as mounted:
            drop_caches()
            before = storage_reads(mounted.worker)
            seconds, _, total = python.call(python.read_random_rows, os.path.join(point, member), count)
            return seconds, storage_reads(mounted.worker) - before, total

    def unzipped():
        drop_caches()
        return python.call(python.read_random_rows, os.path.join(plain, member), count)
    found = interleaved({"skopsfs": ours, "unzipped on ext4": unzipped}, bench.cold_rounds)
    if len({total for values in found.values() for _, _, total in values}) != 1:
        raise RuntimeError("they do not read the same")
    for index, (what, unit) in enumerate((("time", "seconds"), ("bytes read from the source", "bytes"))):
        values = {way: [value[index] for value in found[way]] for way in found}
        yield Row("6", f"{count:,} random rows of a mapped array, cold: {what} over the unzipped copy",
                  unit, least and ("<=", least), values,
                  ratios(values["skopsfs"], values["unzipped on ext4"]))


def mapped_member(bench, plain, point):
    member = os.path.join("small.skops", SMALL)
    found = interleaved(
        {way: lambda at=at: bench.clients.one("map", os.path.join(at, member), LOADS)["median"]
         for way, at in (("skopsfs", point), ("unzipped on ext4", plain))}, bench.rounds)
    return Row("7", "warm open, fstat, pread of 128 bytes, mmap, close of a small member, time over the "
                    "unzipped copy",
               "seconds", ("<=", 1.5), found, ratios(found["skopsfs"], found["unzipped on ext4"]))


def many_members(bench, plain, point):
    def paths(at):
        folder = os.path.join(at, "many.skops")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".npy")]
    ways = {"skopsfs": paths(point), "unzipped on ext4": paths(plain)}
    if {len(names) for names in ways.values()} != {MANY}:
        raise RuntimeError("they do not have the same members")
    found = interleaved({way: lambda names=names: bench.clients.one("open", *names)["seconds"]
                         for way, names in ways.items()}, bench.cold_rounds)
    return Row("15", f"{MANY:,} members under 1 KiB, opened and read, warm: time over unzipped on ext4",
               "seconds", ("<=", 1.5), found, ratios(found["skopsfs"], found["unzipped on ext4"]))


LEFT_OUT = {True: "", False: ", whether it is a terminal not asked (a buffer given to open())"}


def requests(bench, server, point, asks):
    member = os.path.join(point, "small.skops", SMALL)
    found = [python.call(python.requests_of_load, member, server, asks) for _ in range(bench.rounds)]
    return Row("7", f"requests of a second warm np.load of a small member{LEFT_OUT[asks]}", "requests",
               ("<=", TERMINALS if asks else 0), {"skopsfs": found}, found)


def small_member(bench, plain, point, asks, most):
    member = os.path.join("small.skops", SMALL)
    values = {"skopsfs": [], "unzipped on ext4": []}
    for _ in range(bench.rounds):
        seconds = python.call(python.load_often,
                              [os.path.join(point, member), os.path.join(plain, member)], LOADS, asks)
        for way, value in zip(values, seconds):
            values[way].append(value)
    return Row("7", f"warm np.load(mmap_mode='r') of a small member{LEFT_OUT[asks]}, time over the "
                    "unzipped copy", "seconds", ("<=", most), values, ratios(values["skopsfs"], values["unzipped on ext4"]))


def genuine(bench, source, plain, point):
    """All members of archives that skops wrote, by a process that has not seen them before: warm, and
    as the first after the mount has forgotten them."""
    for path in bench.genuine:
        name = os.path.basename(path)
        ways = {"skopsfs": lambda n=name: python.call(python.read_all, os.path.join(point, n)),
                "unzipped on ext4":
                    lambda n=name: python.call(python.read_all, os.path.join(plain, n)),
                "zipfile":
                    lambda n=name: python.call(python.read_all_zipped, os.path.join(source, n))}

        def cold(way):
            drop_caches()
            return way()
        for state, ways_of in (("warm", ways),
                               ("cold", {k: lambda w=way: cold(w) for k, way in ways.items()})):
            found = interleaved(ways_of, bench.cold_rounds)
            values = {way: [seconds for seconds, _ in found[way]] for way in found}
            for over, most in (("unzipped on ext4", 2.0), ("zipfile", 1.0)):
                yield Row("15", f"all members of {name}, opened and read, {state}: time over {over}",
                          "seconds", ("<=", most), values, ratios(values["skopsfs"], values[over]))


def use_by_all(count, path, mapped, servers=()):
    """`count` new processes load the array and predict with it, cold: seconds until the last is done,
    and the memory of all of them and the servers. What they map counts once."""
    drop_caches()
    begin = time.perf_counter()
    workers = [python.Worker(python.predict, path, mapped) for _ in range(count)]
    answers = {worker.answer()[1] for worker in workers}
    seconds = time.perf_counter() - begin
    taken = memory_of([worker.pid for worker in workers] + list(servers))
    for worker in workers:
        worker.end()
    if len(answers) != 1:
        raise RuntimeError("they do not predict the same")
    return seconds, taken


def model(bench, source, plain, point):
    """To the first prediction in all workers, the start of Python included."""
    member = os.path.join("model.skops", LARGE)

    def ours():
        with Skopsfs(bench.program, source, point) as mounted:
            return use_by_all(WORKERS, os.path.join(point, member), True, mounted.pids)
    found = interleaved(
        {"skopsfs": ours,
         "unzipped on ext4": lambda: use_by_all(WORKERS, os.path.join(plain, member), True),
         "zipfile": lambda: use_by_all(WORKERS, os.path.join(source, member), False)},
        bench.cold_rounds)
    for index, over, what, unit, most in ((0, "unzipped on ext4", "time", "seconds", 1.05),
                                          (0, "zipfile", "time", "seconds", 0.15),
                                          (1, "zipfile", "memory", "bytes", 0.26)):
        values = {way: [value[index] for value in found[way]] for way in found}
        yield Row("8", f"from start to first prediction in {WORKERS} processes, cold: {what} over "
                       f"{over}", unit, ("<=", most), values, ratios(values["skopsfs"], values[over]))


def by_processes(bench, source, plain, point):
    """Two pictures: what a model takes of memory, and how much of it is used a second."""
    member = os.path.join("model.skops", LARGE)
    size = os.path.getsize(os.path.join(plain, member))
    archive = os.path.join(source, "model.skops")

    def use(count, path, mapped, servers=()):
        """What nobody maps of the archive is in memory, too."""
        seconds, taken = use_by_all(count, path, mapped, servers)
        return seconds, taken + bench.clients.resident(archive)
    with in_shared_memory(archive, None) as copy:
        def ours(count):
            with Skopsfs(bench.program, source, point) as mounted:
                return use(count, os.path.join(point, member), True, mounted.pids)
        ways = {"skopsfs": ours,
                "unzipped on ext4": lambda n: use(n, os.path.join(plain, member), True),
                "copy on /dev/shm": lambda n: use(n, os.path.join(copy, LARGE), True),
                "zipfile": lambda n: use(n, os.path.join(source, member), False)}
        memory = {way: {} for way in ways}
        throughput = {way: {} for way in ways}
        for count in bench.processes:
            found = interleaved({way: lambda w=way, n=count: ways[w](n) for way in ways},
                                bench.few_rounds)
            for way, values in found.items():
                memory[way][count] = [taken for _, taken in values]
                throughput[way][count] = [count * size / seconds for seconds, _ in values]
    yield Curve("memory", f"memory that a model of {size >> 20:,} MiB takes, page cache and all",
                "bytes", memory)
    yield Curve("throughput", "the model used, cold, the start of Python included", "bytes a second",
                throughput)


def genuine_archives():
    """With the most members, and the most typical one."""
    here = os.path.dirname(os.path.abspath(__file__))
    found = glob.glob(os.path.join(here, "../../../shared/corpus/skops/*.skops"))
    found = found or glob.glob(os.path.join(here, "../data/*.skops"))

    def infos(path):
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    found = [path for path in found
             if all(info.compress_type == zipfile.ZIP_STORED for info in infos(path))]
    found.sort(key=lambda path: len(infos(path)))
    return sorted({found[-1], found[len(found) // 2]})
