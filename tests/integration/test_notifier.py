"""The process that tells the kernel which names to drop, where it does not take nodes."""

import contextlib
import json
import os
import signal
import subprocess

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

        def count(what):
            with open(os.open("status.json", os.O_RDONLY, dir_fd=status), "rb") as file:
                return json.load(file)["counts"][what]
        self.count = count

    @contextlib.contextmanager
    def old_version(self, name="b.skops"):
        with open(self.in_mount(name, MEMBER), "rb") as file:
            file.read(1)
            archives.write_version(self.in_source(name), 2, pages=4)
            os.stat(self.in_mount(name))
            yield

    def drop_one(self):
        with self.old_version():
            self.assertEqual(self.count("superseded"), 1)
        until(lambda: self.count("superseded") == 0, "the kernel has forgotten it")

    def notifiers(self):
        return children_of(self.mounted.pid, NOTIFIER)

    def notifier(self):
        return until(self.notifiers, "there is one")[-1]

    def one_that_was_replaced(self):
        """Which is stuck, so that it cannot end, while there is another one."""
        for pid in self.notifiers()[:-1]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                    open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "D":
                    return pid
        return None

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

    def test_one_that_is_stuck_is_replaced(self):
        """It waits for a folder's lock, whose holder waits for the source."""
        with self.old_version():
            with open(self.in_mount("a.skops", MEMBER), "rb") as file:
                file.read(1)
                os.unlink(self.in_source("a.skops"))
                os.kill(self.mounted.worker(), signal.SIGKILL)
                self.assertIn("b.skops", os.listdir(self.mountpoint))
                # As long as it is open, its name is to be dropped from the folder that is listed.
                self.slow.stalled = 1
                listing = subprocess.Popen(["ls", self.mountpoint], stdout=subprocess.PIPE)
                stuck = until(self.one_that_was_replaced, "one is stuck, and there is another one")
        until(lambda: self.count("descriptors") == 1, "the one whose name nobody has to drop goes")
        self.assertIsNone(listing.poll())
        self.slow.stalled = 0
        self.assertEqual(listing.communicate()[0].split(), [b"b.skops", b"stalls"])
        until(lambda: self.count("archives") == 1, "the kernel has forgotten them")
        until(lambda: self.count("descriptors") == 0, "what they had open is closed")
        until(lambda: stuck not in self.notifiers(), "it has ended")


if __name__ == "__main__":
    main()
