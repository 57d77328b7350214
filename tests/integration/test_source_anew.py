"""SOURCE is opened anew, by its path, as the user who serves it: what that user may not read stays so.

The served folder's owner turns it into a link to a folder of root's that everybody could read, were it
not below one that nobody but root may look into.
"""

import errno
import os
import signal

import archives
from archives import MEMBER, read
from mount import Mount, MountTest, is_served, main, needs_root, until
from processes import OTHER_USER, in_child


@needs_root
class SourceAnew(MountTest):
    def setUp(self):
        super().setUp()
        self.private = self.make_folder("private", "models")
        archives.write_version(os.path.join(self.private, "secret.skops"), 66)
        os.chmod(os.path.dirname(self.private), 0o700)
        os.chown(self.source, OTHER_USER, OTHER_USER)
        self.models = self.make_folder("source", "models")
        archives.write_version(os.path.join(self.models, "a.skops"), 1)
        for path in (self.models, os.path.join(self.models, "a.skops")):
            os.chown(path, OTHER_USER, OTHER_USER)

    def as_owner(self, function, *arguments):
        return in_child(function, *arguments, user=OTHER_USER)

    def turn(self, path, target):
        """What the owner does, who cannot read the target."""
        self.assert_errno(errno.EACCES, self.as_owner, os.stat, target)
        self.as_owner(os.rename, path, path + ".before")
        self.as_owner(os.symlink, target, path)

    def assert_secret(self, *name):
        self.assert_errno((errno.ENOENT, errno.EACCES, errno.EIO), self.as_owner, read,
                          self.in_mount(*name, MEMBER))

    def upgrade(self, mount):
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("the upgrade is done")

    def test_owner_turns_the_folder_into_a_link(self):
        for options in ((), (f"--user={OTHER_USER}",)):
            with self.subTest(options=options):
                with Mount(self.models, self.mountpoint, "-o", "allow_other", "--revalidate=0",
                           *options) as mount:
                    self.turn(self.models, self.private)
                    self.upgrade(mount)
                    self.assert_secret("secret.skops")
                    mount.wait_for_log(f'source "{self.models}": ', "can no longer reach it")
                    self.assertEqual(self.as_owner(read, self.in_mount("a.skops", MEMBER)),
                                     archives.content(1))
                    os.unlink(self.models)
                    os.rename(self.models + ".before", self.models)

    def test_owner_who_could_not_read_the_folder(self):
        """Then root serves it, without capabilities; but nothing that is not the owner's."""
        os.chmod(self.models, 0o055)
        mount = self.mount("-o", "allow_other", "--revalidate=0", source=self.models)
        mount.wait_for_log("the source's owner cannot read it")
        self.upgrade(mount)
        self.turn(self.models, self.private)
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("belongs to another user")
        mount.wait_for_log("no upgrade", "the old one stays")
        self.assert_secret("secret.skops")

    def test_folder_that_becomes_unreadable(self):
        """The user who serves stays the same, whatever the owner does."""
        mount = self.mount("--revalidate=0", source=self.models)
        os.chmod(self.models, 0o055)
        os.kill(mount.worker(), signal.SIGKILL)
        self.assert_errno(errno.EACCES, os.listdir, self.mountpoint)
        with open(f"/proc/{mount.worker()}/status", encoding="ascii") as status:
            self.assertIn(f"Uid:\t{OTHER_USER}\t{OTHER_USER}\t", status.read())

    def test_single_archive(self):
        archive = os.path.join(self.models, "a.skops")
        secret = os.path.join(self.private, "secret.skops")
        mount = self.mount("-o", "allow_other", "--revalidate=0", source=archive)
        self.assertEqual(self.as_owner(read, self.in_mount(MEMBER)), archives.content(1))
        self.turn(archive, secret)
        self.assert_secret()
        mount.send(signal.SIGUSR2)
        mount.wait_for_log("no upgrade", "the old one stays")
        self.assert_secret()

    def test_source_that_was_gone(self):
        """The same when it is looked for."""
        below = self.make_folder("below")
        archives.write_members(self.in_source("outer.skops"),
                               {"sub/a.skops": archives.version_bytes(1)})
        os.chown(self.in_source("outer.skops"), OTHER_USER, OTHER_USER)
        lower = Mount(self.source, below, "-o", "allow_other").start()
        self.addCleanup(lower.clear)
        link = self.in_source("link")
        os.symlink(os.path.join(below, "outer.skops", "sub"), link)
        mount = self.mount("-o", "allow_other", "--revalidate=0", source=link)
        self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        self.turn(link, self.private)
        lower.stop(signal.SIGKILL)
        until(lambda: not is_served(below), "its worker has ended, too")
        self.assert_errno(errno.EIO, os.listdir, self.mountpoint)
        mount.wait_for_log(f'source "{link}": Permission denied')
        self.assert_secret("secret.skops")

    def test_user_who_may_not_reach_the_source(self):
        """--user is to open all of the path, from the start."""
        with self.assertRaisesRegex(AssertionError, "--user cannot read the source"):
            self.mount(f"--user={OTHER_USER}", source=self.private)

    def test_folder_below_one_that_its_owner_may_not_reach(self):
        """Root has named it. It is served as it was opened, also by the next program."""
        os.chown(self.private, OTHER_USER, OTHER_USER)
        mount = self.mount("--revalidate=0", source=self.private)
        self.upgrade(mount)
        mount.wait_for_log("can no longer reach it")
        self.assertEqual(read(self.in_mount("secret.skops", MEMBER)), archives.content(66))


if __name__ == "__main__":
    main()
