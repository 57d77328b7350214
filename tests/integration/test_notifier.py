"""The process that tells the kernel which names to drop, where it does not take nodes."""

import contextlib
import json
import os
import signal
import subprocess
import unittest

import archives
from archives import MEMBER
from children import NOTIFIER, children_of
from mount import main, until
from shim import ShimTest
from slow_source import SlowSource


class Notifier(ShimTest):
    def setUp(self):
        super().setUp()
        self.shim.no_prune = 1
        self.below = self.make_folder("below")
        os.mkdir(self.in_source("stalls"))
        for name in ("a.skops", "b.skops"):
            archives.write_version(self.in_source(name), 1, pages=4)
        self.slow = SlowSource(self, self.source, self.below)
        self.mounted = self.mount("--revalidate=0", source=self.below)
        status = os.open(self.in_mount(".skopsfs"), os.O_RDONLY)
        self.addCleanup(os.close, status)

        def superseded():
            with open(os.open("status.json", os.O_RDONLY, dir_fd=status), "rb") as file:
                return json.load(file)["counts"]["superseded"]
        self.superseded = superseded

    @contextlib.contextmanager
    def old_version(self, name="b.skops"):
        with open(self.in_mount(name, MEMBER), "rb"):
            archives.write_version(self.in_source(name), 2, pages=4)
            os.stat(self.in_mount(name))
            yield

    def drop_one(self):
        with self.old_version():
            self.assertEqual(self.superseded(), 1)
        until(lambda: self.superseded() == 0, "the kernel has forgotten it")

    def is_stuck(self, pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "D"

    def notifiers(self):
        return children_of(self.mounted.pid, NOTIFIER)

    def notifier(self):
        return until(self.notifiers, "there is one")[-1]

    def test_it_is_started_when_there_is_something_to_tell_and_again_when_it_dies(self):
        self.assertEqual(self.notifiers(), [])
        self.drop_one()
        first = self.notifier()
        self.drop_one()
        self.assertEqual(self.notifiers(), [first])
        os.kill(first, signal.SIGKILL)
        self.mounted.wait_for_log("the process that has the kernel drop names has ended")
        self.drop_one()
        self.assertNotEqual(self.notifiers(), [first])

    def test_it_keeps_no_powers(self):
        self.drop_one()
        notifier = self.notifier()
        with open(f"/proc/{notifier}/status", encoding="ascii") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual({status[name].strip("0") for name in ("CapEff", "CapPrm", "CapInh")}, {""})
        if os.geteuid() == 0:
            self.assertEqual(set(status["Uid"].split()), {"65534"})
            self.assertEqual(set(status["Gid"].split()), {"65534"})
        if not os.environ.get("SKOPSFS_SANITIZED"):
            self.assertEqual(status["Seccomp"], "2")
            self.assertEqual(len(self.mounted.descriptors(notifier)), 5)  # three to /dev/null

    @unittest.skipIf(os.environ.get("SKOPSFS_SANITIZED"),
                     "in these builds it fails now and then, which is not understood yet")
    def test_one_that_is_stuck_is_replaced(self):
        """It waits for a folder's lock, whose holder waits for the source."""
        with self.old_version():
            with open(self.in_mount("a.skops", MEMBER), "rb"):
                os.unlink(self.in_source("a.skops"))
                os.kill(self.mounted.worker(), signal.SIGKILL)
                self.assertIn("b.skops", os.listdir(self.mountpoint))
                # Its name is to be dropped from the folder that is being listed.
                first = self.notifier()
                self.slow.stalled = 1
                listing = subprocess.Popen(["ls", self.mountpoint], stdout=subprocess.PIPE)
                until(lambda: self.is_stuck(first), "it is stuck")
        until(lambda: self.notifier() != first, "there is another one")
        self.assertIsNone(listing.poll())
        self.slow.stalled = 0
        self.assertEqual(listing.communicate()[0].split(), [b"b.skops", b"stalls"])
        until(lambda: self.superseded() == 0 and first not in self.notifiers(),
              "all is as before")


if __name__ == "__main__":
    main()
