"""A mount that comes to lie in its own source: it never asks itself, and so never waits for itself."""

import concurrent.futures
import errno
import os
import signal

import archives
from archives import MEMBER, read
from mount import Mount, MountTest, main, needs_root, run
from processes import bind, in_child, private_mounts

GUARD = 120  # seconds; what waits for itself is failed by then
SHOWN = "this mount itself"  # in the log


class OwnMount(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1)

    def many(self, call, *arguments):
        """What comes of it for more callers than the worker has threads."""
        def result(_):
            try:
                return call(*arguments)
            except OSError as error:
                return error.errno
        with concurrent.futures.ThreadPoolExecutor(80) as callers:
            return set(callers.map(result, range(160)))

    def test_parent_of_the_mountpoint_that_is_moved_into_the_source(self):
        place = self.make_folder("place")
        os.mkdir(os.path.join(place, "mnt"))
        mount = self.mount("--revalidate=0", mountpoint=os.path.join(place, "mnt"), guard=GUARD)
        os.symlink("place/mnt/a.skops", self.in_source("link.skops"))
        os.rename(place, self.in_source("place"))
        try:
            inside = self.in_source("place", "mnt")
            found = run("find", inside, "-name", "*.skops", guard=GUARD).stdout.split()
            self.assertEqual(found, [os.path.join(inside, "a.skops")])
            self.assertEqual(os.listdir(os.path.join(inside, "place")), [])
            for path in (("place", "mnt"), ("place", "mnt", "a.skops"), ("link.skops",)):
                self.assertEqual(self.many(os.stat, os.path.join(inside, *path)), {errno.ENOENT})
            mount.wait_for_log('"place/mnt": not shown', SHOWN)
            mount.wait_for_log('"link.skops": not shown: ', SHOWN)
            self.assertEqual(read(os.path.join(inside, "a.skops", MEMBER)), archives.content(1))
        finally:
            os.rename(self.in_source("place"), place)

    def test_single_archive_whose_name_is_turned_into_the_mount(self):
        link = os.path.join(self.folder, "link.skops")
        other = os.path.join(self.folder, "other")
        os.symlink(self.mountpoint, other)
        os.symlink(self.in_source("a.skops"), link)
        mount = self.mount("--revalidate=0", source=link, guard=GUARD)
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(1))
        for target in (self.in_mount(MEMBER), self.in_mount("nothing", "there"), "mount",
                       os.path.join(other, MEMBER)):
            os.unlink(link)
            os.symlink(target, link)
            self.assertEqual(self.many(os.stat, self.mountpoint), {errno.ELOOP})
            mount.wait_for_log("cannot be looked up: ", "leads into", SHOWN)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("no upgrade", "the old one stays")
        os.unlink(link)
        os.symlink(self.in_source("a.skops"), link)
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(1))

    def test_folder_that_is_turned_into_the_mount(self):
        link = os.path.join(self.folder, "link")
        os.symlink("source", link)
        os.mkdir(self.in_source("sub"))
        mount = self.mount("--revalidate=0", source=link, guard=GUARD)
        os.unlink(link)
        os.symlink("mount/sub", link)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log(f'source "{link}": ', "leads into", SHOWN)
        mount.wait_for_log("no upgrade", "the old one stays")
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["a.skops", "sub"])

    @needs_root
    def test_bound_into_the_source(self):
        """As a whole, a folder of it, a file of it."""
        archives.write_members(self.in_source("b.skops"), {"inner.skops": b"x", "d/x": b"x"})
        for name in ("whole", "folder", "whole.skops"):
            os.mkdir(self.in_source(name))
        archives.write(self.in_source("file.skops"), b"")

        def use():
            private_mounts()
            with Mount(self.source, self.mountpoint, "--revalidate=0", guard=GUARD) as mount:
                bind(self.mountpoint, self.in_source("whole"))
                bind(self.mountpoint, self.in_source("whole.skops"))
                bind(self.in_mount("b.skops", "d"), self.in_source("folder"))
                bind(self.in_mount("b.skops", "inner.skops"), self.in_source("file.skops"))
                found = self.many(lambda: tuple(sorted(os.listdir(self.mountpoint))))
                for name in ("whole", "folder", "whole.skops", "file.skops"):
                    found |= self.many(os.stat, self.in_mount(name))
                    mount.wait_for_log(f'"{name}": not shown', SHOWN)
                for name in ("whole", "folder", "whole.skops", "file.skops"):
                    run("umount", self.in_source(name))
                return found
        self.assertEqual(in_child(use), {("a.skops", "b.skops"), errno.ENOENT})

    @needs_root
    def test_other_mounts_in_the_source_are_shown(self):
        os.mkdir(self.in_source("bound"))
        elsewhere = self.make_folder("elsewhere", "deep")
        archives.write_version(os.path.join(elsewhere, "b.skops"), 2)
        os.symlink("bound/deep/b.skops", self.in_source("link.skops"))

        def use():
            private_mounts()
            bind(os.path.dirname(elsewhere), self.in_source("bound"))
            with Mount(self.source, self.mountpoint, "--revalidate=0", guard=GUARD):
                return [read(self.in_mount(*path, MEMBER))
                        for path in (("bound", "deep", "b.skops"), ("link.skops",))]
        self.assertEqual(in_child(use), [archives.content(2)] * 2)


if __name__ == "__main__":
    main()
