"""One large deflated member: read in order, at random, and by many at once."""

import contextlib
import os
import random
import shutil
import subprocess
import time
import zipfile

from machine import MIB, bytes_read_by, drop_caches, drop_pages, memory_of
from peers import Skopsfs
from rows import Row, interleaved, ratios
from samples import LARGE, write_deflated

SCANNERS = 8
TOUCHED = 1000  # pages
RESTARTS = 4  # reads of a peer that starts over for each
PAGE = 4096


def rows(bench):
    archive = os.path.join(bench.folder, "source", "deflated.skops")
    os.makedirs(os.path.dirname(archive))
    write_deflated(archive, bench.size // 2)
    yield in_order(bench, archive)
    yield from at_random(bench, archive)
    yield from by_many(bench, archive)
    shutil.rmtree(os.path.dirname(archive))


@contextlib.contextmanager
def member(bench, archive):
    """A new mount, which has nothing decoded yet, and where the member is in it."""
    with Skopsfs(bench.program, os.path.dirname(archive), os.path.join(bench.folder, "mount")) as mount:
        yield mount, os.path.join(mount.path, os.path.basename(archive), LARGE)


def seconds_of(command, *words):
    before = time.monotonic()
    subprocess.run(["sh", "-c", command + " >/dev/null", "sh", *words], check=True)
    return time.monotonic() - before


def in_order(bench, archive):
    def ours():
        drop_caches()
        with member(bench, archive) as (_, path):
            return seconds_of('cat "$1"', path)

    def unzip():
        drop_caches()
        return seconds_of('unzip -p "$1" "$2"', archive, LARGE)
    values = interleaved({"skopsfs": ours, "unzip -p": unzip}, bench.rounds)
    return Row("16", "cat of a deflated member, throughput over unzip -p", "seconds", (">=", 4), values,
               ratios(values["unzip -p"], values["skopsfs"]))


def at_random(bench, archive):
    """Pages that the mount had once, and that the kernel has let go of."""
    slowest, values = [], {"skopsfs": [], "zipfile, which starts over": []}
    for _ in range(bench.rounds):
        with member(bench, archive) as (_, path), open(path, "rb", buffering=0) as file:
            while file.read(MIB):
                pass
            drop_pages()
            found = bench.clients.one("touch", path, TOUCHED)
        slowest.append(found["p99"])
        values["skopsfs"].append(found["mean"])
        values["zipfile, which starts over"].append(restarting(archive))
    yield Row("17", "a random page of a deflated member that was read once, 99 of 100", "seconds",
              ("<=", 0.03), {"skopsfs": slowest}, slowest)
    yield Row("17", "the same, mean, over a decoder that starts over", "seconds", ("<=", 0.05), values,
              ratios(*values.values()))


def restarting(archive):
    """The mean time of a page when each is decoded from the start on."""
    choose = random.Random(1)
    with zipfile.ZipFile(archive) as opened:
        size = opened.getinfo(LARGE).file_size
        before = time.monotonic()
        for _ in range(RESTARTS):
            with opened.open(LARGE) as file:
                file.seek(choose.randrange(size - PAGE))
                file.read(PAGE)
    return (time.monotonic() - before) / RESTARTS


def by_many(bench, archive):
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(LARGE)
    read, over, held, parts = [], [], [], {"pages of the member": [], "our processes": []}
    for _ in range(bench.rounds):
        drop_caches()
        with member(bench, archive) as (mount, path):
            before = bytes_read_by(mount.worker)

            def count(path=path, mount=mount):
                parts["pages of the member"].append(bench.clients.resident(path))
                parts["our processes"].append(memory_of(mount.pids))
                held.append(parts["pages of the member"][-1] / info.file_size)
            bench.clients.at_once([("scan", path)] * SCANNERS, while_mapped=count)
            read.append(bytes_read_by(mount.worker) - before)
            over.append(read[-1] / info.compress_size)
    yield Row("18", f"deflated bytes read while {SCANNERS} processes map and scan the member, over all",
              "bytes", ("<=", 1.05), {"skopsfs": read}, over)
    yield Row("18", "memory of the member then, over its size", "bytes", ("<=", 1.01), parts, held)
    yield Row("18", "memory of our processes then", "bytes", ("<=", 64 * MIB + info.file_size / 100),
              {"skopsfs": parts["our processes"]}, parts["our processes"])
