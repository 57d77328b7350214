"""A source that does not answer for a while: another FUSE filesystem (bindfs) whose server is stopped.

--worker-timeout is for such sources, so all are mounted with it.
"""

import mmap
import os
import shutil
import signal
import subprocess
import threading
import time
import unittest

import archives
from archives import MEMBER, PAGE, PAGES, read
from mount import Mount, MountTest, detach, is_mounted, is_served, main, needs_root, until


@needs_root
class SourceStops(MountTest):
    def setUp(self):
        super().setUp()
        if shutil.which("bindfs") is None:
            raise unittest.SkipTest("bindfs is not installed")
        self.below = self.make_folder("below")
        archives.write_version(os.path.join(self.below, "a.skops"), 1)
        archives.write_version(os.path.join(self.below, "b.skops"), 2)
        self.server = subprocess.Popen(["bindfs", "-f", self.below, self.source],
                                       stdin=subprocess.DEVNULL)
        self.addCleanup(self.end_source)
        until(lambda: is_served(self.source) or self.server.poll() is not None, "the source is there")

    def end_source(self):
        self.server.kill()
        self.server.wait()
        detach(self.source)

    def stop(self):
        self.server.send_signal(signal.SIGSTOP)
        self.addCleanup(self.server.send_signal, signal.SIGCONT)

    def start(self):
        mount = Mount(self.source, self.mountpoint, "--worker-timeout=3", "--revalidate=0").start()
        self.addCleanup(mount.clear)
        return mount

    @staticmethod
    def later(function, *arguments):
        """Calls it in a thread; returns how to wait for the result."""
        results = []
        thread = threading.Thread(target=lambda: results.append(function(*arguments)), daemon=True)
        thread.start()

        def result():
            thread.join()
            return results[0]
        return result

    def test_with_nothing_open(self):
        """Nor is the mount given up when the worker dies meanwhile: the next one waits, too."""
        mount = self.start()
        worker = mount.worker()
        self.stop()
        readers = [self.later(read, self.in_mount(name, MEMBER)) for name in ("a.skops", "b.skops")]
        mount.wait_for_log("the source does not answer")
        time.sleep(7)
        self.assertEqual(mount.workers(), [worker])
        self.assertNotIn("worker", mount.log())
        os.kill(worker, signal.SIGKILL)
        mount.wait_for_log("waits for the source", "which does not answer")
        self.server.send_signal(signal.SIGCONT)
        self.assertEqual([result() for result in readers],
                         [archives.content(1), archives.content(2)])
        self.assertEqual(mount.stop(), 0)
        self.assertEqual(mount.log().count("another one takes over"), 1)

    def test_with_an_archive_open(self):
        mount = self.start()
        worker = mount.worker()
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            mapping.madvise(mmap.MADV_RANDOM)
            self.assertEqual(mapping[:PAGE], archives.page(1, 0))
            self.stop()
            rest = self.later(lambda: os.pread(file.fileno(), PAGES * PAGE, 0))
            other = self.later(read, self.in_mount("b.skops", MEMBER))
            mount.wait_for_log("the source does not answer")
            time.sleep(7)
            self.assertEqual(mapping[:PAGE], archives.page(1, 0))
            self.assertEqual(mount.workers(), [worker])
            self.assertNotIn("worker", mount.log())
            self.server.send_signal(signal.SIGCONT)
            self.assertEqual(rest(), archives.content(1))
            self.assertEqual(other(), archives.content(2))
            self.assertEqual(mount.workers(), [worker])
        self.assertEqual(mount.stop(), 0)

    def test_ends_meanwhile(self):
        """Descriptors that the supervisor has kept are of files whose closing asks the source."""
        mount = self.start()
        read(self.in_mount("b.skops", MEMBER))  # from the first close(2) on none asks the server
        with open(self.in_mount("a.skops", MEMBER), "rb", buffering=0) as file:
            self.assertEqual(os.pread(file.fileno(), PAGE, 0), archives.page(1, 0))
            until(lambda: any("a.skops" in name for name in mount.descriptors(mount.pid)), "it is kept")
            self.stop()
            self.later(lambda: os.path.exists(self.in_mount("b.skops")))
            mount.wait_for_log("the source does not answer")
            mount.send(signal.SIGTERM)
            self.assertEqual(mount.wait(), 0)  # while the source is still stopped
            self.assertFalse(is_mounted(self.mountpoint))


if __name__ == "__main__":
    main()
