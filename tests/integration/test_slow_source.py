"""Workers that die, or are replaced, while the source answers slowly or not at all: nobody is stuck.

The number of kills in the storm is SKOPSFS_KILLS (25 by default), that of upgrades two fifths of it;
SKOPSFS_DELAY is how long each call of the source takes, in microseconds (2,000 by default).
docs/contributing.md has the command for the long run.
"""

import contextlib
import errno
import os
import random
import signal
import threading
import time

import archives
from archives import MEMBER, PAGE
from mount import HANG, Mount, detach, is_mounted, main, until
from processes import Child
from shim import ShimTest
from slow_source import SlowSource
from test_stress import Counters

_KILLS = int(os.environ.get("SKOPSFS_KILLS", "25"))
_UPGRADES = _KILLS * 2 // 5
_DELAY = int(os.environ.get("SKOPSFS_DELAY", "2000"))
_MOST_LEFT_BEHIND = 4  # as in src/supervisor/supervisor.h
_READERS = 6
_MANY = {f"{number}.skops" for number in range(_READERS)}


def read(path):
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


class SlowSourceTest(ShimTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.in_source("stalls"))
        for name in ("a.skops", "b.skops", "stalls/c.skops"):
            archives.write_version(self.in_source(name), 1, pages=4)
        self.below = self.make_folder("below")
        self.slow = SlowSource(self, self.source, self.below)

    def serve(self, *options, **more):
        return self.mount("--revalidate=0", *options, source=self.below, **more)

    def kill(self, mount):
        os.kill(mount.worker(), signal.SIGKILL)

    def next_worker(self, mount, before):
        until(lambda: mount.worker() not in before, "another worker is there")

    def in_background(self, call, *arguments):
        """Calls it on a thread; returns the thread, whose `outcome` it will be."""
        def run():
            try:
                thread.outcome = call(*arguments)
            except OSError as error:
                thread.outcome = error
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def result(self, thread):
        thread.join(HANG)
        self.assertFalse(thread.is_alive(), "it is stuck")
        return thread.outcome

    def assert_nobody_is_left(self, mount):
        """No worker but one, and the mount ends well."""
        until(lambda: len(mount.workers()) == 1, "old workers are gone")
        self.assertEqual(mount.stop(), 0)
        self.assertFalse(is_mounted(self.mountpoint))

    @contextlib.contextmanager
    def old_version_that_was_inherited(self, mount):
        """Of an archive that is deleted, in the folder of the others."""
        read(self.in_mount("b.skops", MEMBER))  # from the first close(2) on none asks the server
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            file.read(1)
            os.unlink(self.in_source("a.skops"))
            self.kill(mount)
            self.assertEqual(sorted(os.listdir(self.mountpoint)), ["b.skops", "stalls"])
            yield

    def stall(self):
        """The source answers no more for one folder; lists the folder around, on a thread."""
        self.slow.stalled = 1
        listing = self.in_background(os.listdir, self.mountpoint)
        until(lambda: self.slow.waiting, "the source is asked")
        time.sleep(1.5)  # for housekeeping
        return listing

    def assert_listed(self, listing):
        self.slow.stalled = 0
        self.assertEqual(sorted(self.result(listing)), ["b.skops", "stalls"])

    def test_killed_while_a_folder_is_looked_into(self):
        """Whose lock may be waited for, to have a name dropped there."""
        for self.shim.no_prune in (0, 1):
            with self.subTest(no_prune=self.shim.no_prune):
                archives.write_version(self.in_source("a.skops"), 1, pages=4)
                mount = self.serve()
                with self.old_version_that_was_inherited(mount):
                    listing = self.stall()
                    self.kill(mount)
                    time.sleep(0.5)
                    self.assert_listed(listing)
                self.assert_nobody_is_left(mount)

    def test_upgraded_while_the_source_stalls(self):
        """The new worker serves although the old one cannot end."""
        self.shim.no_prune = 1
        mount = self.serve()
        member = self.in_mount("b.skops", MEMBER)
        with self.old_version_that_was_inherited(mount), open(member, "rb", buffering=0) as file:
            listing = self.stall()
            for count in (1, 2):
                mount.send(signal.SIGUSR2)
                until(lambda n=count: mount.log().count("the upgrade is done") == n,
                      "another worker serves")
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(os.pread(file.fileno(), 1 << 20, 0), archives.content(1, 4))
            self.assertEqual(len(mount.workers()), 3)
            self.assert_listed(listing)
        self.assert_nobody_is_left(mount)

    def test_killed_again_and_again_while_the_source_stalls(self):
        """So many are left behind, and no more; with the source all is well again."""
        mount = self.serve()
        with self.old_version_that_was_inherited(mount):
            listing = self.stall()
            for count in range(1, _MOST_LEFT_BEHIND + 2):
                before = mount.workers()
                self.kill(mount)
                if count <= _MOST_LEFT_BEHIND:
                    until(lambda b=before: set(mount.workers()) - set(b), "there is another one")
                    until(lambda n=count: self.slow.waiting > n, "it asks the source")
            mount.wait_for_log("no other takes over before one of them ends")
            mount.send(signal.SIGUSR2)
            self.assert_listed(listing)
        self.assert_nobody_is_left(mount)

    def test_ended_while_the_source_stalls(self):
        """Who waits for the mount does not wait for ever, and nothing is left of it."""
        mount = self.serve()
        with self.old_version_that_was_inherited(mount):
            listing = self.stall()
            self.assertEqual(mount.stop(), 0)
            self.assertIn(self.result(listing).errno, (errno.ENOTCONN, errno.ECONNABORTED))
        self.assertFalse(is_mounted(self.mountpoint))

    def test_ended_while_the_source_stalls_and_the_mount_is_at_no_place(self):
        """Detached lazily: then it has a number only."""
        mount = self.serve()
        with self.old_version_that_was_inherited(mount):
            listing = self.stall()
            detach(self.mountpoint)
            self.assertEqual(mount.stop(), 0)
            self.assertIn(self.result(listing).errno, (errno.ENOTCONN, errno.ECONNABORTED))

    def test_given_up_while_the_source_stalls(self):
        mount = Mount(self.below, self.mountpoint, env=self.shim.environment).start()
        self.addCleanup(mount.clear)
        with self.old_version_that_was_inherited(mount):
            listing = self.stall()
            self.shim.no_exec = 1
            self.kill(mount)
            self.assertEqual(mount.wait(), 1)
            self.assertIn(self.result(listing).errno, (errno.ENOTCONN, errno.ECONNABORTED))
        self.assertFalse(is_mounted(self.mountpoint))

    # Storms.

    def keep_looking(self, counters, number):
        """Lists and reads; says what went wrong."""
        wrong = []
        while not counters.stopped():
            try:
                names = set(os.listdir(self.in_mount("many")))
                data = read(self.in_mount("many", f"{number}.skops", MEMBER))
            except OSError as error:
                wrong.append(str(error))
            else:
                if names != _MANY or archives.version_of(data[:PAGE], 0) is None:
                    wrong.append(f"{names} {data[:100]}")
            counters.add(number)
        return wrong

    def storm(self, times, disturb):
        """`disturb`s a mount in whose folder look-ups and listings are slow, and archives are
        replaced while they are open."""
        os.mkdir(self.in_source("many"))
        for name in _MANY:
            archives.write_version(self.in_source("many", name), 1, pages=4)
        mount = self.serve(guard=HANG + 10 * times)
        self.slow.delay = _DELAY
        counters = Counters(_READERS)
        children = [Child(self.keep_looking, counters, number) for number in range(_READERS)]
        for child in children:
            self.addCleanup(child.end)
        choice = random.Random(times)
        held = []
        for count in range(times):
            name = choice.choice(sorted(_MANY))
            held.append(open(self.in_mount("many", name, MEMBER), "rb"))
            archives.write_version(self.in_source("many", name), 2 + count, pages=4)
            os.listdir(self.in_mount("many", name))
            if len(held) > 5:
                held.pop(0).close()
            time.sleep(choice.uniform(0, 0.3))
            disturb(mount)
        for file in held:
            file.close()
        counters.stop()
        self.assertEqual([wrong for child in children for wrong in child.result()], [])
        self.assertNotIn("no longer served", mount.log())
        print(f"{times} times, {counters.total()} listings and reads ", end="", flush=True)
        self.slow.delay = 0
        self.assert_nobody_is_left(mount)

    def test_kill_storm(self):
        def kill(mount):
            before = mount.workers()
            os.kill(before[-1], signal.SIGKILL)
            until(lambda: set(mount.workers()) - set(before), "there is another one")
        self.storm(_KILLS, kill)

    def test_upgrade_storm(self):
        self.shim.no_prune = 1

        def upgrade(mount):
            before = mount.worker()
            mount.send(signal.SIGUSR2)
            until(lambda: mount.workers() and before not in mount.workers(), "it is upgraded")
        self.storm(_UPGRADES, upgrade)


if __name__ == "__main__":
    main()
