"""Modes and owners follow the source; other users get no more than they would get there."""

import errno
import mmap
import os
import stat

import archives
from archives import MEMBER, read
from mount import MountTest, main, needs_root
from processes import OTHER_USER, in_child


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@needs_root
class Permissions(MountTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.source, 0o755)

    def add(self, name, bits, owner=0, group=0):
        path = self.in_source(name)
        archives.write_members(path, {MEMBER: archives.content(1, 2), "d/inside": b"inside"})
        os.chown(path, owner, group)
        os.chmod(path, bits)

    def as_other(self, function, *arguments, user=OTHER_USER):
        return in_child(function, *arguments, user=user)

    def test_modes_and_owners(self):
        for bits, directory, file in ((0o644, 0o555, 0o444), (0o640, 0o550, 0o440),
                                      (0o600, 0o500, 0o400), (0o755, 0o555, 0o444),
                                      (0o604, 0o505, 0o404), (0o200, 0o000, 0o000),
                                      (0o6777, 0o555, 0o444), (0o000, 0o000, 0o000)):
            name = f"{bits:o}.skops"
            self.add(name, bits, 1000 + bits, 2000 + bits)
            with self.subTest(mode=name):
                if not os.path.ismount(self.mountpoint):
                    self.mount("--sandbox=off")  # for root to look into all of them
                top = self.in_mount(name)
                self.assertEqual(mode(top), directory)
                self.assertEqual(mode(os.path.join(top, "d")), directory)
                self.assertEqual(mode(os.path.join(top, MEMBER)), file)
                self.assertEqual(mode(os.path.join(top, "d", "inside")), file)
                for path in (top, os.path.join(top, "d"), os.path.join(top, MEMBER)):
                    status = os.stat(path)
                    self.assertEqual((status.st_uid, status.st_gid), (1000 + bits, 2000 + bits))

    def test_folders_have_the_mode_and_owner_of_the_source(self):
        for bits in (0o755, 0o700, 0o2750, 0o1777):
            path = self.make_folder("source", f"{bits:o}")
            os.chown(path, 3000, 4000)
            os.chmod(path, bits)
        os.chown(self.source, 5000, 6000)
        self.mount("--revalidate=0")
        for bits in (0o755, 0o700, 0o2750, 0o1777):
            status = os.stat(self.in_mount(f"{bits:o}"))
            self.assertEqual(stat.S_IMODE(status.st_mode), bits)
            self.assertEqual((status.st_uid, status.st_gid), (3000, 4000))
        status = os.stat(self.mountpoint)
        self.assertEqual((status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)),
                         (5000, 6000, 0o755))
        os.chmod(self.in_source("755"), 0o711)
        self.assertEqual(mode(self.in_mount("755")), 0o711)

    def test_links_count_as_what_they_lead_to(self):
        self.add("private.skops", 0o600, 7000)
        os.symlink("private.skops", self.in_source("link.skops"))
        os.lchown(self.in_source("link.skops"), OTHER_USER, OTHER_USER)
        self.mount("-o", "allow_other")
        self.assertEqual(os.stat(self.in_mount("link.skops")).st_uid, 7000)
        self.assertEqual(mode(self.in_mount("link.skops")), 0o500)

    def test_single_archive(self):
        self.add("a.skops", 0o640, 7000, 8000)
        self.mount(source=self.in_source("a.skops"))
        status = os.stat(self.mountpoint)
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid),
                         (0o550, 7000, 8000))
        self.assertEqual(mode(self.in_mount(MEMBER)), 0o440)

    def test_another_user_without_allow_other(self):
        self.add("a.skops", 0o644)
        self.mount()
        for call in (os.listdir, os.stat):
            self.assert_errno(errno.EACCES, self.as_other, call, self.mountpoint)
            self.assert_errno(errno.EACCES, self.as_other, call, self.in_mount("a.skops"))
        self.assert_errno(errno.EACCES, self.as_other, read, self.in_mount("a.skops", MEMBER))
        self.assertEqual(read(self.in_mount("a.skops", MEMBER)), archives.content(1, 2))

    def test_another_user_with_allow_other(self):
        """What the user may do is what he may do in the source."""
        self.add("everyone.skops", 0o644)
        self.add("owner-only.skops", 0o600)
        self.add("others-own.skops", 0o400, OTHER_USER, 0)
        self.add("others-group.skops", 0o040, 0, OTHER_USER)
        self.add("all-but-group.skops", 0o604, 0, OTHER_USER)
        self.add("nobody.skops", 0o000, OTHER_USER, OTHER_USER)
        self.mount("-o", "allow_other", "--sandbox=off")  # it serves what many own
        self.assertEqual(len(self.as_other(os.listdir, self.mountpoint)), 6)
        for name in os.listdir(self.source):
            with self.subTest(archive=name):
                try:
                    self.as_other(read, self.in_source(name))
                    allowed = True
                except PermissionError:
                    allowed = False
                top = self.in_mount(name)
                member = os.path.join(top, MEMBER)
                if allowed:
                    self.assertEqual(sorted(self.as_other(os.listdir, top)), ["d", MEMBER])
                    self.assertEqual(self.as_other(read, member), archives.content(1, 2))
                    self.assertEqual(self.as_other(read, os.path.join(top, "d/inside")), b"inside")
                else:
                    self.assert_errno(errno.EACCES, self.as_other, os.listdir, top)
                    self.assert_errno(errno.EACCES, self.as_other, os.stat, member)
                    self.assert_errno(errno.EACCES, self.as_other, read, member)
                    # It is the same when root has looked at it before.
                    read(member)
                    self.assert_errno(errno.EACCES, self.as_other, read, member)

    def test_another_user_with_allow_root(self):
        """Only who has mounted and root are let in, whoever owns the source."""
        self.add("everyone.skops", 0o644)
        os.chown(self.source, OTHER_USER, OTHER_USER)  # whom the worker becomes
        self.mount("-o", "allow_root")
        top = self.in_mount("everyone.skops")
        for call, path in ((os.listdir, self.mountpoint), (os.stat, top), (os.listdir, top),
                           (os.statvfs, self.mountpoint), (read, os.path.join(top, MEMBER))):
            self.assert_errno(errno.EACCES, self.as_other, call, path)
        # All of it is in memory then, and is used.
        with open(os.path.join(top, MEMBER), "rb") as file, \
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
            self.assertEqual(file.read(), archives.content(1, 2))
            self.assertEqual(mapping[:], archives.content(1, 2))
            for flags in (os.O_RDONLY, os.O_RDONLY | os.O_NOATIME, os.O_RDWR):
                self.assert_errno((errno.EACCES, errno.EPERM, errno.EROFS), self.as_other, os.open,
                                  os.path.join(top, MEMBER), flags)
            self.assert_errno(errno.EACCES, self.as_other, read, os.path.join(top, MEMBER))
            self.assert_errno(errno.EACCES, self.as_other, os.listdir, top)

    def test_another_user_in_private_folders(self):
        for name, bits in (("private", 0o700), ("pass", 0o711), ("list", 0o744)):
            os.makedirs(self.in_source(name))
            self.add(f"{name}/a.skops", 0o644)
            os.chmod(self.in_source(name), bits)
        self.mount("-o", "allow_other")
        self.assert_errno(errno.EACCES, self.as_other, os.listdir, self.in_mount("private"))
        self.assert_errno(errno.EACCES, self.as_other, read,
                          self.in_mount("private/a.skops", MEMBER))
        self.assert_errno(errno.EACCES, self.as_other, os.listdir, self.in_mount("pass"))
        self.assertEqual(self.as_other(read, self.in_mount("pass/a.skops", MEMBER)),
                         archives.content(1, 2))
        self.assertEqual(self.as_other(os.listdir, self.in_mount("list")), ["a.skops"])
        self.assert_errno(errno.EACCES, self.as_other, read, self.in_mount("list/a.skops", MEMBER))

    def test_permissions_taken_away(self):
        """New opens see the new mode; what is open stays open, as on every Unix."""
        self.add("a.skops", 0o644)
        self.mount("-o", "allow_other", "--revalidate=0")
        member = self.in_mount("a.skops", MEMBER)
        self.assertEqual(self.as_other(read, member), archives.content(1, 2))
        os.chmod(self.in_source("a.skops"), 0o600)
        self.assert_errno(errno.EACCES, self.as_other, read, member)
        os.chmod(self.in_source("a.skops"), 0o644)
        self.assertEqual(self.as_other(read, member), archives.content(1, 2))

    def test_access(self):
        self.add("a.skops", 0o644)
        self.mount("-o", "allow_other")
        for path, bits in ((self.in_mount("a.skops"), os.R_OK | os.X_OK),
                           (self.in_mount("a.skops", MEMBER), os.R_OK)):
            self.assertTrue(os.access(path, bits))
            self.assertTrue(self.as_other(os.access, path, bits))
            self.assertFalse(os.access(path, os.W_OK))
            self.assertFalse(self.as_other(os.access, path, os.W_OK))
        self.assertFalse(os.access(self.in_mount("a.skops", MEMBER), os.X_OK))


if __name__ == "__main__":
    main()
