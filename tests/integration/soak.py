"""A mount under everything at once, for an hour or as long as asked for: started by hand.

    SKOPSFS_BINARY=build/src/skopsfs /usr/bin/python3 tests/integration/soak.py [MINUTES]

16 readers check every byte while archives are replaced, added and deleted, and workers are killed and
upgraded. Every minute it prints what the processes hold; at the end, when nobody reads any more and
the kernel has been told to forget, all of it must be as it was at the beginning.
"""

import contextlib
import os
import random
import signal
import struct
import sys
import time
import unittest

import archives
from archives import DEFLATED, MEMBER, STORED
from mount import MountTest, needs_root, until
from processes import Child
from test_stress import Counters, Outcome, keep_reading
from test_takeover import ARRAY, keep_using, load_array, probe_mapping, read_whole, scan_mapping

MINUTES = float(sys.argv.pop(1)) if len(sys.argv) > 1 and sys.argv[1][0].isdigit() else 60
PAGES = 48  # as test_stress and test_takeover have it
NAMES = ["a.skops", "b.skops", "folder/c.skops", "small.skops"]  # likewise
EXTRA = 40  # archives that come and go
READERS = 16
RECORD = "<IIQ"  # the front of a slot's record, src/handover/slot_store.h


def read_what_comes_and_goes(folder, reader, counters):
    outcome, choice = Outcome(), random.Random(reader)
    while not counters.stopped() and not outcome.wrong:
        path = os.path.join(folder, "extra", f"{choice.randrange(EXTRA)}.skops", MEMBER)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
            version = None
            for number in range(PAGES):
                version = outcome.check(path, data[number * 4096:(number + 1) * 4096], number,
                                        version)
        except (FileNotFoundError, NotADirectoryError):
            outcome.pages += 1
        except OSError as error:
            outcome.errors.append(f"{path}: {error}")
        counters.add(reader)
    return outcome


def list_everything(folder, reader, counters):
    outcome = Outcome()
    while not counters.stopped():
        try:
            for path, _, names in os.walk(folder):
                for name in names:
                    try:
                        os.stat(os.path.join(path, name))
                    except FileNotFoundError:
                        pass
                outcome.pages += len(names)
        except OSError as error:
            outcome.errors.append(str(error))
        counters.add(reader)
    return outcome


@needs_root
class Soak(MountTest):
    def write(self, name, version):
        method = DEFLATED if name == "small.skops" else STORED
        archives.write_version(self.in_source(name), version, PAGES, method)

    def slots(self, mount):
        """How many slots there are, and the lookups of all."""
        folder = f"/proc/{mount.pid}/fd"
        # Held from the beginning, before all that comes and goes and so among the lowest.
        path = next(path for path in (f"{folder}/{number}" for number in range(100))
                    if os.path.islink(path) and "skopsfs-slots" in os.readlink(path))
        with open(path, "rb") as memory:
            _, size, _, _, used = struct.unpack("<QQQQI", memory.read(36))
            memory.seek(4096)
            data = memory.read(size * used)
        live = [record for record in (struct.unpack_from(RECORD, data, i * size)
                                      for i in range(used)) if record[0] == 0x4C495645]
        return len(live), sum(record[2] for record in live)

    def held(self, mount):
        """What the processes hold: descriptors, MiB of their own, slots, lookups."""
        rss = 0
        for process in mount.processes():
            with contextlib.suppress(OSError, StopIteration):  # it has just been killed
                with open(f"/proc/{process}/status", encoding="ascii") as status:
                    rss += int(next(x for x in status if x.startswith("RssAnon")).split()[1])
        return (len(mount.descriptors()), rss // 1024, *self.slots(mount))

    def show(self, mount, when, more=""):
        descriptors, rss, slots, lookups = self.held(mount)
        print(f"{when}: {descriptors} descriptors, {rss} MiB, {slots} slots, {lookups} lookups "
              f"{more}", flush=True)

    def forget(self):
        """Has the kernel forget what nobody uses, which takes several passes."""
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("3")

    def disturb(self, mount, choice, version):
        what = choice.random()
        if what < 0.25:
            os.kill(mount.worker(), choice.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)))
            return "kills"
        if what < 0.3:
            mount.send(signal.SIGUSR2)
            return "upgrades"
        if what < 0.6:
            self.write(choice.choice(NAMES), version)
            return "replaced"
        name = os.path.join("extra", f"{choice.randrange(EXTRA)}.skops")
        if what < 0.8 or not os.path.exists(self.in_source(name)):
            self.write(name, version)
            return "added"
        os.unlink(self.in_source(name))
        return "deleted"

    def test_soak(self):
        for folder in ("folder", "extra"):
            os.mkdir(self.in_source(folder))
        for name in NAMES:
            self.write(name, 1)
        archives.write_members(self.in_source("array.skops"), {"x.npy": archives.npy(ARRAY)})
        mount = self.mount("--revalidate=0.1", guard=MINUTES * 60 + 600)
        os.listdir(self.mountpoint)
        self.forget()
        before = self.held(mount)
        self.show(mount, "at the beginning")
        counters = Counters(READERS)
        uses = [(keep_using, read_whole), (keep_using, scan_mapping), (keep_using, probe_mapping),
                (keep_using, load_array), (keep_reading,), (keep_reading,),
                (read_what_comes_and_goes,), (list_everything,)] * 2
        children = [Child(use, *arguments, self.mountpoint, number, counters)
                    for number, (use, *arguments) in enumerate(uses)]
        for child in children:
            self.addCleanup(child.end)
        choice = random.Random(1)
        done = {}
        version = 2
        end = time.monotonic() + MINUTES * 60
        next_line = time.monotonic() + 60
        while time.monotonic() < end:
            what = self.disturb(mount, choice, version)
            done[what] = done.get(what, 0) + 1
            version += 1
            time.sleep(choice.uniform(0, 1))
            if time.monotonic() > next_line:
                next_line += 60
                self.show(mount, time.strftime("%H:%M"), str(done))
        counters.stop()
        outcomes = [child.result() for child in children]
        wrong = [text for outcome in outcomes for text in outcome.wrong]
        errors = [text for outcome in outcomes for text in outcome.errors]
        print(f"{sum(x.pages for x in outcomes)} pages and entries, {len(wrong)} wrong, "
              f"{len(errors)} errors", flush=True)
        self.show(mount, "when nobody reads any more")

        def is_as_before():
            self.forget()
            now = self.held(mount)
            return (now[0] <= before[0] + 4 and now[2] <= before[2] + 4
                    and now[3] <= before[3] + 4)
        try:
            until(is_as_before, "all is as it was", 60)
        finally:
            self.show(mount, "at the end")
        self.assertEqual((wrong, errors), ([], []))
        self.assertNotIn("no longer served", mount.log())
        self.assertLess(self.held(mount)[1], before[1] + 64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
