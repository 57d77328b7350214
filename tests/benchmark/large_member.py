"""One large stored member: what it takes of memory, how fast it is read, cold and warm, and by many."""

import contextlib
import os
import shutil
import time

import numpy as np

from machine import (MIB, bytes_read_from, disk_in_memory, drop_caches, memory_of, processor_seconds,
                     read_calls, run)
from peers import PEERS, Skopsfs, in_shared_memory, unzipped
from rows import Row, interleaved, ratios
from samples import LARGE, write_large

SCANNERS = 8
TOUCHED = 2000  # pages, and empty requests to compare them with


def rows(bench):
    archive = os.path.join(bench.folder, "source", "large.skops")
    os.makedirs(os.path.dirname(archive))
    offset = write_large(archive, bench.size)
    yield memory(bench, archive)
    yield from cold(bench, archive, offset, bench.folder, PEERS, "2", "on the disk", 0.95)
    yield from on_a_fast_disk(bench, archive, offset)
    yield from warm(bench, archive)
    yield first_touch(bench, archive)
    yield processor_time(bench, archive)
    shutil.rmtree(os.path.dirname(archive))


def mount(bench, archive, *options):
    return Skopsfs(bench.program, os.path.dirname(archive), os.path.join(bench.folder, "mount"),
                   *options)


def member_of(mounted, archive):
    return os.path.join(mounted.path, os.path.basename(archive), LARGE)


def memory(bench, archive):
    """All that is in memory once everybody has mapped and read everything."""
    parts = {"pages of the member": [], "pages of the archive": [], "our processes": []}
    sums = []
    for _ in range(bench.rounds):
        drop_caches()
        with mount(bench, archive) as mounted:
            member = member_of(mounted, archive)

            def count(member=member, mounted=mounted):
                found = [bench.clients.resident(member), bench.clients.resident(archive),
                         memory_of(mounted.pids)]
                for part, value in zip(parts.values(), found):
                    part.append(value)
                sums.append(sum(found) / os.path.getsize(member))
            bench.clients.at_once([("scan", member)] * SCANNERS, while_mapped=count)
    return Row("1", f"memory once {SCANNERS} processes have mapped and scanned the member, over its "
                    "size", "bytes", ("<=", 1.02), parts, sums)


def cold(bench, archive, offset, folder, peers, number, where, least):
    """Throughput from start to end. Peers are there to be seen."""
    with contextlib.ExitStack() as opened:
        paths = {"skopsfs": member_of(opened.enter_context(mount(bench, archive)), archive)}
        for name, peer in peers.items():
            try:
                paths[name] = os.path.join(opened.enter_context(peer(archive, folder)), LARGE)
            except (OSError, RuntimeError, TimeoutError) as error:
                print(f"       {name} is left out: {error}")
        for what, words in (("scan of a map", ("scan",)), ("read()", ("read", 0, 0))):
            ways = {name: timed(bench, words[0], path, *words[1:]) for name, path in paths.items()}
            if words[0] == "read":
                size = os.path.getsize(paths["skopsfs"])
                ways["pread of the archive"] = timed(bench, "read", archive, offset, size)
            values = interleaved(ways, bench.cold_rounds)
            yield Row(number, f"cold {what} {where}, throughput over the unzipped copy", "seconds",
                      (">=", least), values, ratios(values["unzipped on ext4"], values["skopsfs"]))


def timed(bench, *words):
    def measure():
        drop_caches()
        return bench.clients.one(*words)["seconds"]
    return measure


def on_a_fast_disk(bench, archive, offset):
    """Where the disk is no bound: what we cost; and how often the source is read by many at once."""
    with contextlib.ExitStack() as opened:
        try:
            disk, device = opened.enter_context(disk_in_memory(2 * bench.size + 512 * MIB))
        except RuntimeError as error:
            print(f"       rows 2b and 3 are left out: {error}")
            return
        source = os.path.join(disk, "source")
        os.mkdir(source)
        copy = shutil.copy(archive, source)
        yield from cold(bench, copy, offset, disk, {"unzipped on ext4": unzipped}, "2b",
                        "on a disk of RAM speed", 0.5)
        found, over = [], []
        for _ in range(bench.rounds):
            with mount(bench, copy) as mounted:
                member = member_of(mounted, copy)
                drop_caches()
                before = bytes_read_from(device)
                bench.clients.at_once([("scan", member)] * SCANNERS)
                found.append(bytes_read_from(device) - before)
                over.append(found[-1] / os.path.getsize(member))
        yield Row("3", f"bytes read from the source while {SCANNERS} processes scan the cold member, "
                       "over its size", "bytes", ("<=", 1.05), {"skopsfs": found}, over)


def warm(bench, archive):
    with mount(bench, archive) as mounted, in_shared_memory(archive, None) as copy, \
         unzipped(archive, bench.folder) as plain:
        paths = {"skopsfs": member_of(mounted, archive),
                 "copy on /dev/shm": os.path.join(copy, LARGE),
                 "unzipped on ext4": os.path.join(plain, LARGE)}

        def scan(path):
            return bench.clients.one("scan", path)["seconds"]
        for path in paths.values():
            scan(path)
        values = interleaved({name: lambda path=path: scan(path) for name, path in paths.items()},
                             bench.rounds)
        requests = [requests_of_a_scan(paths["skopsfs"], mounted.worker) for _ in range(bench.rounds)]
    yield Row("4", "warm scan of a map, throughput over the copy on /dev/shm", "seconds",
              (">=", 0.98), values, ratios(values["copy on /dev/shm"], values["skopsfs"]))
    yield Row("4", "the same over the unzipped copy, which ext4 keeps in larger pages", "seconds", None,
              values, ratios(values["unzipped on ext4"], values["skopsfs"]))
    yield Row("4", "requests that reach our process in such a scan", "requests", ("<=", 0),
              {"skopsfs": requests}, requests)


def requests_of_a_scan(path, worker):
    """Of what is mapped already."""
    data = np.memmap(path, np.uint8, "r")
    time.sleep(0.1)  # closing it has been answered, too
    before = read_calls(worker)
    data.sum(dtype=np.uint64)
    return read_calls(worker) - before


def first_touch(bench, archive):
    """Of a page that the mount does not have yet, while the archive is cached."""
    values = {"page": [], "empty request": []}
    for _ in range(bench.rounds):
        drop_caches()
        with mount(bench, archive) as mounted:
            with open(archive, "rb", buffering=0) as file:
                while file.read(MIB):
                    pass
            member = member_of(mounted, archive)
            values["page"].append(bench.clients.one("touch", member, TOUCHED)["median"])
            values["empty request"].append(bench.clients.one("ask", member, TOUCHED)["median"])
    return Row("5", "first touch of a random page, archive cached, over an empty request", "seconds",
               ("<=", 1.5), values, ratios(values["page"], values["empty request"]))


def processor_time(bench, archive):
    """Of the server for a cold read, over that of cat."""
    def ours():
        with mount(bench, archive) as mounted:
            drop_caches()
            before = processor_seconds(mounted.pids)
            bench.clients.one("read", member_of(mounted, archive), 0, 0)
            return processor_seconds(mounted.pids) - before

    def cat():
        drop_caches()
        before = os.times()
        run("sh", "-c", 'cat "$1" >/dev/null', "sh", archive)
        after = os.times()
        return (after.children_user + after.children_system
                - before.children_user - before.children_system)
    values = interleaved({"skopsfs": ours, "cat": cat}, bench.rounds)
    return Row("14", "processor time of the server for a cold read, over that of cat of the archive",
               "seconds", ("<=", 1.6), values,
               ratios(values["skopsfs"], [max(value, 0.01) for value in values["cat"]]))
