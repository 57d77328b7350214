"""Nobody waits for what they did not ask for: nothing is opened before its time.

inotify tells what is opened and read in the source.
"""

import contextlib
import os
import subprocess

import archives
from archives import MEMBER, PAGE
from inotify import OPEN, READ, Opens
from mount import MountTest, detach, main, run, until
from processes import Child, resident_pages

_MANY = 2000


def drop_from_memory(path):
    """Takes a file's pages out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_end(path):
    with open(path, "rb", buffering=0) as file:
        os.pread(file.fileno(), 1, os.fstat(file.fileno()).st_size - 1)


def waits_for_bytes(child):
    """Whether the process is in an uninterruptible sleep: here, for a page to be read."""
    with open(f"/proc/{child.pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "D"


class Lazy(MountTest):
    def setUp(self):
        super().setUp()
        self.folders = [self.source]
        archives.write_version(self.in_source("0.skops"), 1, pages=2)
        for number in range(1, _MANY):
            if number % 200 == 0:
                self.folders.append(self.make_folder("source", f"folder{number}"))
            folder = self.folders[-1 if number % 2 else 0]
            path = os.path.join(folder, f"{number}.skops")
            if number % 10 == 0:
                archives.write(path, b"broken\n" * number)  # which only opening would tell
            else:
                os.link(self.in_source("0.skops"), path)

    def watch(self, events=OPEN | READ):
        opens = Opens(*self.folders, events=events)
        self.addCleanup(opens.close)
        return opens

    def test_mounting_looks_at_nothing(self):
        """It opens the source folder, to see that it may, but lists nothing and opens no other."""
        opens, reads = self.watch(), self.watch(READ)
        self.mount()
        self.assertLessEqual(opens.take(folders=True), {self.source})
        self.assertEqual(reads.take(folders=True), set())

    def test_listing_opens_no_archive(self):
        opens = self.watch()
        mount = self.mount()
        folders = [self.in_mount(os.path.relpath(folder, self.source)) for folder in self.folders]
        lines = run("ls", "-l", "--full-time", *folders).stdout.splitlines()
        self.assertEqual(sum(line.endswith(".skops") for line in lines), _MANY)
        found = run("find", self.mountpoint, "-name", "*.skops", "-prune", "-ls").stdout
        self.assertEqual(len(found.splitlines()), _MANY)
        self.assertEqual(opens.take(), set())
        self.assertFalse([x for x in mount.descriptors() if x.endswith(".skops")])
        self.assertRegex(mount.log(), r"\A(skopsfs: serving .*\n)?\Z")  # so nobody has seen the broken ones

    def test_status_opens_no_archive(self):
        opens = self.watch()
        self.mount("--revalidate=0")
        for _ in range(3):
            for number in range(0, 100, 2):
                os.stat(self.in_mount(f"{number}.skops"))
                os.access(self.in_mount(f"{number}.skops"), os.R_OK)
        os.statvfs(self.mountpoint)
        self.assertEqual(opens.take(), set())

    def test_opening_one_archive_opens_no_other(self):
        opens = self.watch()
        self.mount()
        with open(self.in_mount("2.skops", MEMBER), "rb") as file:
            self.assertEqual(file.read(), archives.content(1, 2))
        self.assertEqual(opens.take(), {self.in_source("2.skops")})

    def test_opening_an_archive_reads_its_directory_only(self):
        path = self.in_source("big.skops")
        archives.write_members(path, {f"m{n}": bytes(1 << 20) for n in range(64)})
        drop_from_memory(path)
        if resident_pages(path) > 0:
            self.skipTest(f"the file system of {self.folder} keeps its pages in memory")
        self.mount()
        self.assertEqual(len(os.listdir(self.in_mount("big.skops"))), 64)
        run("ls", "-l", self.in_mount("big.skops"))
        self.assertLess(resident_pages(path) * PAGE, 1 << 20)

    def test_reads_that_take_long_leave_threads_for_others(self):
        """More far reads into deflated members than there are threads: all else is answered."""
        bomb = self.in_source("bomb.skops")
        archives.write(bomb, archives.deflated_zeros("zeros", 254))
        names = [f"bomb{number}.skops" for number in range(100)]
        for name in names:
            os.link(bomb, self.in_source(name))
        mount = self.mount()
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(Child(read_end, self.in_mount(name, "zeros")))
                       for name in names]

            def more_wait_than_there_are_threads():
                return sum(map(waits_for_bytes, readers)) > len(os.listdir(f"/proc/{mount.worker()}/task"))
            until(more_wait_than_there_are_threads, "readers wait for their bytes")
            self.assertIn("1.skops", os.listdir(self.mountpoint))
            with open(self.in_mount("2.skops", MEMBER), "rb") as file:
                self.assertEqual(file.read(), archives.content(1, 2))
            self.assertTrue(more_wait_than_there_are_threads())
            detach(self.mountpoint)  # or they could not end

    def test_descriptors_of_a_walk_are_few(self):
        """In the supervisor, too; all go with the archives."""
        mount = self.mount()

        def held():
            return max(sum(".skops" in name for name in mount.descriptors(pid))
                       for pid in (mount.pid, mount.worker()))
        subprocess.run(["find", self.mountpoint, "-type", "f"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        until(lambda: held() <= 1000, "most are closed again")
        for folder in self.folders:
            for name in os.listdir(folder):
                if name.endswith(".skops"):
                    os.unlink(os.path.join(folder, name))
        until(lambda: not held(), "all are closed")


if __name__ == "__main__":
    main()
