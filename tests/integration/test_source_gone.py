"""A source that goes away while it is served, and comes back.

The source is a folder on another FUSE filesystem, whose server is killed: a skopsfs, which shows the
archives that are members of an archive. And a folder on a filesystem that is unmounted below us.
"""

import errno
import mmap
import os
import shutil
import signal
import time

import archives
from archives import MEMBER, PAGE, read
from mount import (Mount, MountTest, binary, detach, is_mounted, is_served, main, needs_root, run,
                   until)
from processes import SIGBUS, drop_pages, in_child, mount_tmpfs, private_mounts, touch


class SourceGone(MountTest):
    def setUp(self):
        super().setUp()
        self.below = self.make_folder("below")
        self.lower = None
        self.write(1)
        self.start_source()

    def write(self, version):
        """What the source shows: an archive of that version, in a folder."""
        archives.write_members(self.in_source("outer.skops"),
                               {"sub/a.skops": archives.version_bytes(version)})

    def start_source(self):
        self.lower = Mount(self.source, self.below).start()
        self.addCleanup(self.lower.clear)

    def kill_source(self):
        self.lower.stop(signal.SIGKILL)
        until(lambda: not is_served(self.below), "its worker has ended, too")

    def start_source_again(self):
        detach(self.below)
        self.start_source()

    def serve(self, *parts):
        return self.mount("--revalidate=0", source=os.path.join(self.below, "outer.skops", *parts))

    def test_what_lies_below_a_source_that_was_mounted_is_not_taken_for_it(self):
        mount = self.mount("--revalidate=0", source=self.below)
        self.assertEqual(os.listdir(self.mountpoint), ["outer.skops"])
        self.kill_source()
        detach(self.below)
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        mount.wait_for_log("nothing is mounted there")
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        self.assert_errno(errno.EIO, read, self.in_mount(".skopsfs", "health"))
        time.sleep(5)  # for others to look, and to find the same
        self.start_source()
        mount.wait_for_log("is back")
        self.assertEqual(mount.log().count("nothing is mounted there"), 1)
        self.assertEqual(os.listdir(self.mountpoint), ["outer.skops"])
        self.assertEqual(mount.stop(), 0)

    def test_what_users_and_the_log_are_told(self):
        mount = self.serve()
        member = self.in_mount("sub", "a.skops", MEMBER)
        with open(member, "rb", buffering=0) as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            mapping.madvise(mmap.MADV_RANDOM)  # no page but the one
            self.assertEqual(mapping[:PAGE], archives.page(1, 0))
            self.kill_source()
            # EIO, not ENOTCONN, which would say that skopsfs is gone.
            self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
            self.assert_errno(errno.EIO, os.statvfs, self.mountpoint)
            self.assert_errno(errno.EIO, read, self.in_mount(".skopsfs", "health"))
            self.assert_errno(errno.EIO, read, member)
            self.assert_errno(errno.EIO, os.pread, file.fileno(), PAGE, 100 * PAGE)
            # What is in memory is still right.
            found = touch(mapping, [0, 100])
            self.assertEqual(found, [archives.page(1, 0), SIGBUS])
        mount.wait_for_log("cannot be looked into: ", "Transport endpoint is not connected")
        mount.wait_for_log(MEMBER, "cannot be read: ", "Transport endpoint is not connected")
        mount.wait_for_log(f'the source "{mount.source}" is gone: mount it again', "skopsfs looks for it")
        # Nor does another start take the mount for a dead one.
        done = run(binary(), mount.source, self.mountpoint, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Transport endpoint is not connected", done.stderr)
        done = run(binary(), self.source, self.mountpoint, check=False)
        self.assertIn("is busy", done.stderr)
        self.assertTrue(is_mounted(self.mountpoint))
        self.assertEqual(mount.stop(), 0)

    def test_comes_back(self):
        mount = self.serve()
        member = self.in_mount("sub", "a.skops", MEMBER)
        with open(member, "rb", buffering=0) as old:
            self.assertEqual(read(member), archives.content(1))
            self.kill_source()
            self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
            mount.wait_for_log("is gone: mount it again")
            self.write(2)
            self.start_source_again()
            mount.wait_for_log(f'the source "{mount.source}" is back')
            self.assertEqual(os.listdir(self.mountpoint), ["sub"])
            self.assertEqual(read(member), archives.content(2))
            drop_pages(old)
            self.assert_errno(errno.EIO, old.read)  # it was of the other
        worker = mount.worker()
        os.kill(worker, signal.SIGKILL)  # its successor, too, has the source that is there now
        self.assertEqual(read(member), archives.content(2))
        self.assertNotIn("no upgrade", mount.log())

    def served_again_by_its_node(self, mount, member, is_told):
        """`member`, whose names the kernel does not ask for again."""
        device = os.stat(self.below).st_dev
        old = os.open(member, os.O_RDONLY)
        self.addCleanup(os.close, old)
        os.posix_fadvise(old, 0, 0, os.POSIX_FADV_RANDOM)
        self.assertEqual(os.pread(old, PAGE, 0), archives.page(1, 0))
        self.kill_source()
        self.assert_errno(errno.EIO, os.pread, old, PAGE, 100 * PAGE)
        self.assert_errno(errno.EIO, read, member)
        if is_told:
            self.assert_errno(errno.EIO, read, self.in_mount(".skopsfs", "health"))
            mount.wait_for_log("is gone: mount it again")
        self.start_source_again()
        if is_told:
            mount.wait_for_log("is back")

        def is_right():
            """Who reads first may be told that what was open is lost."""
            os.posix_fadvise(old, 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                return os.pread(old, 1 << 20, 0) == archives.content(1)
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                return False
        if os.stat(self.below).st_dev != device:
            self.assertFalse(is_right())  # another file system, whose files are others
            return
        until(is_right, "what is open is served again")
        self.assertEqual(read(member), archives.content(1))

    def test_what_the_kernel_still_knows_is_served_again(self):
        mount = self.mount("--revalidate=86400", source=os.path.join(self.below, "outer.skops"))
        self.served_again_by_its_node(mount, self.in_mount("sub", "a.skops", MEMBER), True)

    def test_what_the_kernel_still_knows_below_the_source_is_served_again(self):
        """Where only a folder in the source was on it."""
        above = self.make_folder("above", "models")
        self.lower.finish()
        self.below = above
        self.start_source()
        mount = self.mount("--revalidate=86400", source=os.path.dirname(above))
        member = self.in_mount("models", "outer.skops", "sub", "a.skops", MEMBER)
        self.served_again_by_its_node(mount, member, False)

    def test_goes_away_twice(self):
        mount = self.serve("sub")
        for count in (1, 2):
            self.kill_source()
            self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
            until(lambda n=count: mount.log().count("is gone") == n, "the log says so")
            self.start_source_again()
            until(lambda n=count: mount.log().count("is back") == n, "it is found")
            self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(1))

    def test_goes_away_right_after_an_upgrade(self):
        """Who looks for it is the new program, and the supervisor becomes that, too."""
        program = os.path.join(self.folder, "skopsfs")
        shutil.copy(binary(), program)
        mount = self.mount("--revalidate=0", source=os.path.join(self.below, "outer.skops", "sub"), command=[program])
        shutil.copy(binary(), program + ".new")
        os.rename(program + ".new", program)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the upgrade is done")
        self.kill_source()
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        mount.wait_for_log("is gone")
        mount.wait_for_log("the supervisor is the new program, too")
        self.start_source_again()
        mount.wait_for_log("is back")
        self.assertTrue(os.path.samefile(f"/proc/{mount.worker()}/exe", program))
        self.assertNotIn("no upgrade", mount.log())
        self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(1))

    def test_single_archive(self):
        """Which nobody asks for anything but a probe."""
        mount = self.serve("sub", "a.skops")
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(1))
        self.kill_source()
        self.assert_errno(errno.EIO, read, self.in_mount(".skopsfs", "health"))
        mount.wait_for_log("is gone")
        self.write(2)
        self.start_source_again()
        mount.wait_for_log("is back")
        self.assertEqual(read(self.in_mount(".skopsfs", "health")), b"ok\n")
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(2))

    def test_ends_well_meanwhile(self):
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            mount = self.serve()
            self.kill_source()
            self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
            mount.wait_for_log("is gone")
            self.assertEqual(mount.stop(signal_number), 0)
            self.assertFalse(is_mounted(self.mountpoint))
            self.start_source_again()


@needs_root
class UnmountedBelow(MountTest):
    def test_lazily_unmounted(self):
        """Then it is still there for who has it open, which is us; SIGUSR2 has it opened anew."""
        def use():
            private_mounts()
            mount_tmpfs(self.source)
            archives.write_version(self.in_source("old.skops"), 1, pages=1)
            with Mount(self.source, self.mountpoint, "--revalidate=0") as mount:
                done = run("umount", self.source, check=False)
                assert done.returncode != 0 and "busy" in done.stderr, done
                run("umount", "-l", self.source)
                assert os.listdir(self.mountpoint) == ["old.skops"]
                data = read(self.in_mount("old.skops", MEMBER))
                mount_tmpfs(self.source)
                archives.write_version(self.in_source("new.skops"), 2, pages=1)
                assert os.listdir(self.mountpoint) == ["old.skops"]
                mount.send(signal.SIGUSR2)
                mount.wait_for_log("the upgrade is done")
                return data, os.listdir(self.mountpoint), read(self.in_mount("new.skops", MEMBER))

        old, names, new = in_child(use)
        self.assertEqual(old, archives.content(1, 1))
        self.assertEqual(names, ["new.skops"])
        self.assertEqual(new, archives.content(2, 1))

    def test_upgraded_while_it_is_not_there(self):
        """The old worker stays, and says why."""
        mount = self.mount()
        os.rename(self.source, self.source + ".moved")
        mount.send(signal.SIGUSR2)
        mount.wait_for_log(f'source "{self.source}": No such file or directory')
        mount.wait_for_log("no upgrade: the new worker ended with 1; the old one stays")
        self.assertEqual(os.listdir(self.mountpoint), [])
        os.rename(self.source + ".moved", self.source)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the upgrade is done")


if __name__ == "__main__":
    main()
