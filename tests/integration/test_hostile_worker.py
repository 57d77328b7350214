"""What a worker that has been taken over can do to its supervisor and to its successor: end this
mount at worst."""

import errno
import os
import resource
import signal

import archives
from archives import MEMBER, read
from mount import Mount, is_mounted, main, until
from shim import ShimTest

# As in shim.c.
LIES = ["damaged message", "unknown message", "message out of turn", "no more messages",
        "many descriptors", "many lines", "flipped bits", "no memory", "false end", "old requests"]
_SEEDS = 10


class HostileWorker(ShimTest):
    def setUp(self):
        super().setUp()
        self.versions = 0
        self.write("good.skops")
        self.liar = self.in_source("liar.skops")

    def write(self, name):
        self.versions += 1
        archives.write_version(self.in_source(name), self.versions)
        return self.versions

    def start(self):
        """A mount that does not end well, and is not to."""
        mount = Mount(self.source, self.mountpoint, "--revalidate=0",
                      env=self.shim.environment).start()
        self.addCleanup(mount.clear)
        return mount

    def lie(self, lie, seed=0):
        """Has the worker that reads liar.skops next do it. What reading comes to is not said: a liar
        answers what it likes."""
        self.write("liar.skops")
        self.shim.lie = LIES.index(lie) | seed << 8
        self.shim.lie_at = self.liar
        try:
            read(self.in_mount("liar.skops", MEMBER))
        except OSError:
            pass
        self.assertEqual(self.shim.lie_at, 0, "it has lied")

    def assert_good(self):
        version = self.write("good.skops")
        self.assertEqual(read(self.in_mount("good.skops", MEMBER)), archives.content(version))

    def test_messages_that_make_no_sense(self):
        mount = self.mount("--revalidate=0")
        for lie, line in (("damaged message", "is damaged"),
                          ("unknown message", "sent a message that a worker does not send"),
                          ("message out of turn", "it is prepared twice")):
            with self.subTest(lie=lie):
                liar = mount.worker()
                self.lie(lie)
                mount.wait_for_log("the worker", line)
                until(lambda: mount.workers() not in ([], [liar]), "another one takes over")
                self.assert_good()
        self.assertEqual(mount.stop(), 0)

    def test_a_worker_that_talks_no_more_is_replaced(self):
        mount = self.mount("--revalidate=0")
        liar = mount.worker()
        self.lie("no more messages")
        until(lambda: mount.workers() not in ([], [liar]), "another one takes over")
        self.assert_good()
        self.assertEqual(mount.stop(), 0)

    def test_descriptors_to_keep_without_end(self):
        def few_descriptors():
            resource.setrlimit(resource.RLIMIT_NOFILE, (600, 600))

        mount = self.mount("--revalidate=0", before=few_descriptors)
        self.assert_good()
        before = len(mount.descriptors(mount.pid))
        self.lie("many descriptors")
        mount.wait_for_log("no descriptor is left to keep an open archive")
        self.assertLess(len(mount.descriptors(mount.pid)), 600)
        self.assert_good()
        # They are of no slot that a successor knows.
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_good()
        until(lambda: len(mount.descriptors(mount.pid)) <= before + 1, "they are dropped")
        self.assertEqual(mount.stop(), 0)

    def test_lines_without_end(self):
        mount = self.mount("--revalidate=0")
        self.lie("many lines")
        self.assert_good()
        mount.send(signal.SIGUSR2)  # of which the supervisor speaks all the same
        mount.wait_for_log("a new worker is started")
        self.assertEqual(mount.stop(), 0)
        lines = mount.log().splitlines()
        self.assertGreater(sum("of a liar" in line for line in lines), 100)
        self.assertLess(len(lines), 2100)
        for line in lines:
            self.assertFalse(line.startswith("root:"))
            self.assertNotIn("\033", line)
            self.assertNotIn("\x9b", line)

    def test_records_with_flipped_bits(self):
        """Whatever a successor finds in them: what is looked up anew is right."""
        mount = self.mount("--revalidate=0")
        for seed in range(_SEEDS):
            with self.subTest(seed=seed):
                self.lie("flipped bits", seed)
                self.assert_good()
        mount.wait_for_log("damaged records of slots were left out")
        self.assertEqual(mount.stop(), 0)

    def test_requests_and_records_without_end(self):
        """The supervisor does not look long at what it is told."""
        mount = self.mount("--revalidate=0")
        self.lie("old requests")
        self.assert_good()
        mount.wait_for_log("request lookup of", "takes")
        self.assertEqual(mount.stop(), 0)

    def test_memory_that_is_no_more(self):
        mount = self.start()
        self.lie("no memory")
        self.assertEqual(mount.wait(), 1)
        self.assertIn("of another version of skopsfs", mount.log())
        self.assertIn("no worker can be started", mount.log())
        self.assertFalse(is_mounted(self.mountpoint))

    def test_a_worker_of_another_protocol(self):
        """It is refused, and the one that serves goes on."""
        mount = self.mount("--revalidate=0")
        before = mount.workers()
        self.shim.other_protocol = 1
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("supervisor and worker do not understand each other", "here, 999 there")
        mount.wait_for_log("no upgrade", "the old one stays")
        self.assertEqual(mount.workers(), before)
        self.assert_good()

    def test_a_worker_that_says_all_is_over(self):
        mount = self.start()
        self.lie("false end")
        self.assertEqual(mount.wait(), 1)
        self.assertIn("the kernel has given the mount up", mount.log())
        self.assertFalse(is_mounted(self.mountpoint))


if __name__ == "__main__":
    main()
