"""Many readers at once while archives are replaced: no wrong byte, and no error at all.

Bounded by the number of replacements, which wait for the readers; not by time.
"""

import errno
import mmap
import os
import random
import struct
import threading

import archives
from archives import MEMBER, PAGE
from mount import MountTest, main, until
from processes import Child

_THREADS = 32
_PROCESSES = 8
_PAGES = 48
_NAMES = ["a.skops", "b.skops", "folder/c.skops", "small.skops"]
_REPLACEMENTS = 60
_READS_BETWEEN = 200  # by all readers together, between two replacements


class Counters:
    """Shared by processes: what each reader has done, and whether to stop."""

    def __init__(self, readers):
        self.memory = mmap.mmap(-1, 8 * (readers + 1))

    def stop(self):
        self.memory[:8] = struct.pack("<Q", 1)

    def stopped(self):
        return self.memory[0] != 0

    def add(self, reader):
        at = 8 * (reader + 1)
        count = struct.unpack_from("<Q", self.memory, at)[0]
        struct.pack_into("<Q", self.memory, at, count + 1)

    def total(self):
        return sum(struct.unpack(f"<{len(self.memory) // 8 - 1}Q", self.memory[8:]))


class Outcome:
    def __init__(self):
        self.pages = 0
        self.wrong = []
        self.errors = []
        self.versions = set()

    def check(self, name, data, number, version):
        """`data` is page `number`; `version` what the same handle showed before, if anything."""
        self.pages += 1
        found = archives.version_of(data, number)
        if found is None or version not in (None, found):
            self.wrong.append(f"{name}, page {number}: {found} after {version}")
        return found


def read_by_calls(path, choice, outcome):
    version = None
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != _PAGES * PAGE:
            outcome.wrong.append(f"{path}: size")
        for _ in range(choice.randrange(1, 12)):
            number = choice.randrange(_PAGES)
            count = choice.randrange(1, 9)
            data = os.pread(file.fileno(), count * PAGE, number * PAGE)
            for i in range(min(count, _PAGES - number)):
                page = data[i * PAGE:(i + 1) * PAGE]
                version = outcome.check(path, page, number + i, version)
    outcome.versions.add(version)


def read_by_mapping(path, choice, outcome):
    version = None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for _ in range(choice.randrange(1, 24)):
            number = choice.randrange(_PAGES)
            page = mapped[number * PAGE:(number + 1) * PAGE]
            version = outcome.check(path, page, number, version)
    outcome.versions.add(version)


def keep_reading(folder, reader, counters):
    """One reader's life; returns its Outcome."""
    outcome, choice = Outcome(), random.Random(reader)
    while not counters.stopped() and len(outcome.errors) + len(outcome.wrong) < 10:
        path = os.path.join(folder, choice.choice(_NAMES), MEMBER)
        try:
            choice.choice((read_by_calls, read_by_mapping))(path, choice, outcome)
        except OSError as error:
            outcome.errors.append(f"{path}: {error}")
        counters.add(reader)
    return outcome


class Stress(MountTest):
    def write(self, name, version):
        method = archives.DEFLATED if name == "small.skops" else archives.STORED
        archives.write_version(self.in_source(name), version, _PAGES, method)

    def start_readers(self, counters):
        """Processes first: they must not be forked from a process that has threads."""
        children = [Child(keep_reading, self.mountpoint, n, counters) for n in range(_PROCESSES)]
        for child in children:
            self.addCleanup(child.end)
        self.addCleanup(counters.stop)
        outcomes = []
        threads = [threading.Thread(target=lambda n=n: outcomes.append(
            keep_reading(self.mountpoint, n, counters)))
            for n in range(_PROCESSES, _PROCESSES + _THREADS)]
        for thread in threads:
            thread.start()

        def finish():
            counters.stop()
            for thread in threads:
                thread.join()
            return outcomes + [child.result() for child in children]

        return finish

    def test_replaced_by_rename_under_many_readers(self):
        os.mkdir(self.in_source("folder"))
        for name in _NAMES:
            self.write(name, 1)
        mount = self.mount("--revalidate=0.05")
        counters = Counters(_PROCESSES + _THREADS)
        finish = self.start_readers(counters)
        for number in range(_REPLACEMENTS):
            goal = counters.total() + _READS_BETWEEN
            until(lambda g=goal: counters.total() >= g, "the readers have read some more")
            self.write(_NAMES[number % len(_NAMES)], 2 + number)
        outcomes = finish()
        pages = sum(outcome.pages for outcome in outcomes)
        versions = set().union(*(outcome.versions for outcome in outcomes))
        print(f"{_THREADS} threads, {_PROCESSES} processes, {_REPLACEMENTS} replacements, "
              f"{pages} pages of {len(versions)} versions ", end="", flush=True)
        self.assertEqual([x for outcome in outcomes for x in outcome.wrong], [])
        self.assertEqual([x for outcome in outcomes for x in outcome.errors], [])
        self.assertGreater(len(versions), _REPLACEMENTS // 3)
        until(lambda: not [x for x in mount.descriptors()
                           if x.startswith(self.source) and x.endswith("(deleted)")],
              "the descriptors of old versions are closed")

    def test_rewritten_in_place_under_many_readers(self):
        """Errors are what readers must expect here, but never a mix within one handle."""
        os.mkdir(self.in_source("folder"))
        for name in _NAMES:
            self.write(name, 1)
        self.mount("--revalidate=0")
        counters = Counters(_THREADS)
        outcomes = []

        def read_all(reader):
            outcome, choice = Outcome(), random.Random(reader)
            while not counters.stopped() and len(outcome.wrong) < 10:
                path = os.path.join(self.mountpoint, choice.choice(_NAMES), MEMBER)
                version = None
                try:
                    with open(path, "rb", buffering=0) as file:
                        # What the kernel remembers is no test of what is read now.
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                        for number in choice.sample(range(_PAGES), _PAGES):
                            data = os.pread(file.fileno(), PAGE, number * PAGE)
                            version = outcome.check(path, data, number, version)
                    outcome.versions.add(version)
                except OSError as error:
                    outcome.errors.append(error.errno)
                counters.add(reader)
            outcomes.append(outcome)

        threads = [threading.Thread(target=read_all, args=[n]) for n in range(8)]
        self.addCleanup(counters.stop)
        for thread in threads:
            thread.start()
        for number in range(_REPLACEMENTS):
            goal = counters.total() + 20
            until(lambda g=goal: counters.total() >= g, "the readers have read some more")
            name = _NAMES[number % len(_NAMES)]
            method = archives.DEFLATED if name == "small.skops" else archives.STORED
            data = archives.version_bytes(2 + number, _PAGES, method)
            with open(self.in_source(name), "r+b", buffering=0) as file:
                file.write(data)
        counters.stop()
        for thread in threads:
            thread.join()
        self.assertEqual([x for outcome in outcomes for x in outcome.wrong], [])
        errors = [x for outcome in outcomes for x in outcome.errors]
        print(f"{sum(x.pages for x in outcomes)} pages, {len(errors)} errors ", end="", flush=True)
        self.assertLessEqual(set(errors), {errno.EIO, errno.ESTALE})


if __name__ == "__main__":
    main()
