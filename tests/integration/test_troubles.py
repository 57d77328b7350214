"""What goes wrong at three in the morning: each trouble tried, with the message that names the thing,
the reason and what to do, and the exit code. See also test_start_errors.py, test_budget.py and
test_source_gone.py; docs/operations.md has a line for each.
"""

import errno
import os
import signal

import archives
from archives import MEMBER, read
from mount import Mount, MountTest, binary, is_mounted, main, needs_root, run, until
from ordinary_user import OrdinaryUserTest
from processes import OTHER_USER, in_child, mount_tmpfs, private_mounts


def without(capability):
    """A command that runs another one as root without that capability."""
    return ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]


class TroubleTest(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1, pages=1)

    def assert_one_line(self, done, *texts):
        """The program has failed with code 1, and one line that has all of `texts` in it."""
        code, line = done
        self.assertEqual(code, 1, line)
        self.assertRegex(line, r"\Askopsfs: [^\n]*\n\Z")
        for text in texts:
            self.assertIn(text, line)

    def fails(self, *arguments, command=()):
        """In the background, as people start it."""
        done = run(*command, binary(), *arguments, check=False)
        self.assertFalse(is_mounted(self.mountpoint))
        return done.returncode, done.stderr


class AtTheStart(TroubleTest):
    @needs_root
    def test_no_fuse_device(self):
        """As in a container that was not given it."""
        def start():
            private_mounts()
            mount_tmpfs("/dev")
            os.mknod("/dev/null", 0o020666, os.makedev(1, 3))
            return self.fails(self.source, self.mountpoint)

        self.assert_one_line(in_child(start), f'cannot mount on "{self.mountpoint}": ',
                             "there is no /dev/fuse: modprobe fuse", "--device /dev/fuse")

    @needs_root
    def test_a_fuse_device_that_may_not_be_opened(self):
        """As in a container that made one without being allowed to use it."""
        def start():
            private_mounts()
            mount_tmpfs("/dev")
            os.mknod("/dev/null", 0o020666, os.makedev(1, 3))
            os.mknod("/dev/fuse", 0o020666, os.makedev(10, 228))  # no device has this number
            return self.fails(self.source, self.mountpoint)

        self.assert_one_line(in_child(start), f'cannot mount on "{self.mountpoint}": ', "fuse")

    @needs_root
    def test_no_capability_to_mount(self):
        """As root in a container that was not given it: fusermount3, which is tried next, cannot help."""
        done = self.fails(self.source, self.mountpoint, command=without("sys_admin"))
        self.assert_one_line(done, f'cannot mount on "{self.mountpoint}": ',
                             "this root has no CAP_SYS_ADMIN", "--cap-add SYS_ADMIN")

    @needs_root
    def test_no_fusermount3(self):
        done = run(*without("sys_admin"), binary(), self.source, self.mountpoint, check=False,
                   env={"PATH": "/nowhere"}, executable="/usr/bin/setpriv")
        self.assert_one_line((done.returncode, done.stderr), "cannot mount on")

    def test_mountpoint_that_is_missing(self):
        missing = os.path.join(self.folder, "missing")
        self.assert_one_line(self.fails(self.source, missing),
                             f'mountpoint "{missing}": No such file', "(make the folder first)")

    def test_mountpoint_that_is_a_file(self):
        file = self.in_source("a.skops")
        self.assert_one_line(self.fails(self.source, file), f'mountpoint "{file}" is not a folder')

    def test_mountpoint_inside_the_source(self):
        inside = self.make_folder("source", "mount")
        self.assert_one_line(self.fails(self.source, inside), f'mountpoint "{inside}" lies inside',
                             f'source "{self.source}"', "choose one outside")

    def test_mountpoint_that_is_not_empty(self):
        """What was there is hidden as long as the mount lasts, by who insists."""
        with open(self.in_mount("there before"), "w", encoding="ascii"):
            pass
        self.assert_one_line(self.fails(self.source, self.mountpoint), 'it has "there before"')
        mount = self.mount("-o", "nonempty")
        self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        self.assertEqual(mount.stop(), 0)
        self.assertEqual(os.listdir(self.mountpoint), ["there before"])

    def test_source_inside_the_mountpoint(self):
        """Served although the mount hides it; an upgrade does not look for it there."""
        source = self.make_folder("mount", "models")
        archives.write_version(os.path.join(source, "b.skops"), 2, pages=1)
        with Mount(source, self.mountpoint, "-ononempty", "--revalidate=0") as mount:
            self.assertEqual(os.listdir(self.mountpoint), ["b.skops"])
            mount.send(signal.SIGUSR2)
            mount.wait_for_log("the upgrade is done")
            self.assertEqual(os.listdir(self.mountpoint), ["b.skops"])
            self.assertEqual(read(self.in_mount("b.skops", MEMBER)), archives.content(2, 1))

    def test_source_that_is_missing(self):
        missing = os.path.join(self.folder, "missing")
        self.assert_one_line(self.fails(missing, self.mountpoint),
                             f'source "{missing}": No such file or directory')

    @needs_root
    def test_archive_that_only_the_user_of_it_can_read(self):
        """Root may not, as on many network filesystems."""
        archive = self.in_source("a.skops")
        os.chmod(archive, 0o600)
        os.chown(archive, OTHER_USER, OTHER_USER)
        self.mount(f"--user={OTHER_USER}", "-oallow_other", source=archive,
                   command=["setpriv", "--bounding-set=-dac_override,-dac_read_search", binary()])
        self.assertIn(MEMBER, in_child(os.listdir, self.mountpoint, user=OTHER_USER))

    @needs_root
    def test_user_who_cannot_read_the_source(self):
        os.chmod(self.source, 0o700)
        self.assert_one_line(self.fails("--user=nobody", self.source, self.mountpoint),
                             f'the user of --user cannot read the source "{self.source}"',
                             "give it access, or name another")

    def test_user_that_is_not_there(self):
        self.assert_one_line(self.fails("--user=no-such-user", self.source, self.mountpoint),
                             'there is no user "no-such-user"' if os.geteuid() == 0 else "--user needs root")


@needs_root
class AsAnOrdinaryUser(OrdinaryUserTest, TroubleTest):
    def starts(self, *arguments):
        def start():
            done = run(self.program, *arguments, self.source, self.mountpoint, check=False)
            return done.returncode, done.stderr
        return self.as_user(start)

    def test_allow_other_that_is_not_configured(self):
        self.assert_one_line(self.starts("-o", "allow_other"),
                             f'cannot mount on "{self.mountpoint}": ', "allow_other",
                             "'user_allow_other' is set in /etc/fuse.conf")

    def test_mountpoint_of_somebody_else(self):
        os.chown(self.mountpoint, 0, 0)
        self.assert_one_line(self.starts(), f'cannot mount on "{self.mountpoint}": ',
                             "user has no write access to mountpoint")

    def test_source_of_somebody_else(self):
        os.chown(self.source, 0, 0)
        os.chmod(self.source, 0o700)
        self.assert_one_line(self.starts(), f'source "{self.source}": Permission denied')

    def test_user_option(self):
        self.assert_one_line(self.starts("--user=nobody"), "--user needs root")


@needs_root
class WhileItServes(TroubleTest):
    def test_archives_and_folders_of_others(self):
        """The worker has given its powers up: what its user may not read, it cannot read."""
        self.make_folder("source", "private")
        for path, mode in ((self.in_source("private"), 0o700), (self.in_source("a.skops"), 0o600)):
            os.chown(path, OTHER_USER, OTHER_USER)
            os.chmod(path, mode)
        mount = self.mount()
        self.assert_errno(errno.EACCES, os.listdir, self.in_mount("private"))
        self.assert_errno(errno.EACCES, os.listdir, self.in_mount("a.skops"))
        mount.wait_for_log('"private": cannot be looked into: ', "Permission denied")
        mount.wait_for_log('"a.skops": cannot be opened: ', "Permission denied")
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["a.skops", "private"])

    def test_single_archive_that_is_gone(self):
        path = self.in_source("a.skops")
        mount = self.mount("--revalidate=0", source=path)
        self.assertIn(MEMBER, os.listdir(self.mountpoint))
        os.unlink(path)
        self.assert_errno(errno.ENOENT, os.listdir, self.mountpoint)
        mount.wait_for_log(f'"{path}": cannot be looked up: ', "No such file or directory")
        archives.write_version(path, 2, pages=1)
        until(lambda: read(self.in_mount(MEMBER)) == archives.content(2, 1), "it is there again")


if __name__ == "__main__":
    main()
