"""Every call that would write is EROFS, on every kind of node, and changes nothing."""

import errno
import hashlib
import os
import stat

import archives
from archives import MEMBER
from mount import MountTest, main, needs_root, run

_EXISTING = ["", "folder", "a.skops", "folder/b.skops", "a.skops/d", f"a.skops/{MEMBER}",
             "a.skops/d/inside"]


def open_for(flags):
    def call(path):
        os.close(os.open(path, flags, 0o644))
    call.__name__ = f"open with flags {flags:#o}"
    return call


def write_to(flags):
    def call(path):
        file = os.open(path, flags, 0o644)
        try:
            os.write(file, b"x")
        finally:
            os.close(file)
    call.__name__ = f"write with flags {flags:#o}"
    return call


def state_of(folder):
    """Everything below `folder`: names, status and bytes."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in folders + names + ["."]:
            full = os.path.join(path, name)
            status = os.lstat(full)
            data = b""
            if stat.S_ISREG(status.st_mode):
                with open(full, "rb") as file:
                    data = file.read()
            found[full] = (status.st_mode, status.st_size, status.st_uid, status.st_mtime_ns,
                           status.st_ctime_ns, hashlib.sha256(data).digest())
    return found


class ReadOnly(MountTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.in_source("folder"))
        for name in ("a.skops", "folder/b.skops"):
            archives.write_members(self.in_source(name),
                                   {MEMBER: archives.content(1, 2), "d/inside": b"inside"})

    def read_only(self, call, *arguments):
        self.assert_errno(errno.EROFS, call, *arguments)

    def every_write_call(self, asks=True):
        """All of them, as they come; returns how many."""
        calls = 0
        for name in _EXISTING:
            path = self.in_mount(name) if name else self.mountpoint
            changing = [
                (os.chmod, path, 0o777), (os.chown, path, 1, 1), (os.utime, path),
                (os.utime, path, (1, 1)), (os.setxattr, path, "user.x", b"y"),
                (os.removexattr, path, "user.skopsfs.archive"),
                (os.setxattr, path, "user.skopsfs.archive", b"y"),
            ]
            if os.path.isdir(path):
                inside = os.path.join(path, "new")
                changing += [
                    (os.mkdir, inside), (os.mkfifo, inside), (os.symlink, "target", inside),
                    (os.link, self.in_mount(f"a.skops/{MEMBER}"), inside),
                    (open_for(os.O_WRONLY | os.O_CREAT), inside),
                    (open_for(os.O_RDONLY | os.O_CREAT), inside),
                    (open_for(os.O_RDWR | os.O_CREAT | os.O_EXCL), inside),
                    (open_for(os.O_WRONLY | os.O_CREAT), os.path.join(path, "new.skops")),
                ]
                if name:
                    changing += [(os.rmdir, path), (os.rename, path, path + "2")]
            else:
                changing += [
                    (os.truncate, path, 0), (os.truncate, path, 1 << 30), (os.unlink, path),
                    (os.rename, path, path + "2"), (os.replace, path, path + "2"),
                    (open_for(os.O_RDWR | os.O_TRUNC), path),
                    (open_for(os.O_RDONLY | os.O_TRUNC), path),
                ]
                for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_CREAT):
                    changing.append((open_for(flags) if asks else write_to(flags), path))
            for call in changing:
                with self.subTest(path=name, call=call[0].__name__, arguments=call[2:]):
                    self.read_only(*call)
                calls += 1
        return calls

    def test_every_write_call(self):
        before = state_of(self.source)
        self.mount()
        shown = state_of(self.mountpoint)
        calls = self.every_write_call()
        self.assertGreater(calls, 90)
        self.assertEqual(state_of(self.mountpoint), shown)
        self.assertEqual(state_of(self.source), before)
        print(f"{calls} calls refused ", end="", flush=True)

    def test_write_calls_on_open_files(self):
        self.mount()
        file = os.open(self.in_mount("a.skops", MEMBER), os.O_RDONLY)
        self.addCleanup(os.close, file)
        self.assert_errno((errno.EBADF, errno.EROFS), os.write, file, b"x")
        self.assert_errno((errno.EINVAL, errno.EBADF, errno.EROFS), os.ftruncate, file, 0)
        self.assert_errno((errno.EBADF, errno.EROFS), os.posix_fallocate, file, 0, 10)
        self.read_only(os.fchmod, file, 0o777)
        self.read_only(os.fchown, file, 1, 1)
        self.read_only(os.utime, file)
        self.read_only(os.setxattr, file, "user.x", b"y")

    def test_mount_flags(self):
        self.mount()
        flags = os.statvfs(self.mountpoint).f_flag
        for flag in (os.ST_RDONLY, os.ST_NOSUID, os.ST_NODEV):
            self.assertTrue(flags & flag)

    def test_programs_that_write(self):
        self.mount()
        for command in (["touch", self.in_mount("new")], ["rm", "-rf", self.in_mount("a.skops")],
                        ["cp", "/etc/hostname", self.in_mount("folder")],
                        ["mv", self.in_mount("a.skops"), self.in_mount("folder")],
                        ["sed", "-i", "s/a/b/", self.in_mount("a.skops/d/inside")]):
            done = run(*command, check=False)
            self.assertNotEqual(done.returncode, 0, command)
            self.assertIn("Read-only file system", done.stderr)

    @needs_root
    def test_remounted_for_writing(self):
        """Somebody may take the kernel's flag away. Then files can be opened, but not written to."""
        before = state_of(self.source)
        self.mount()
        shown = state_of(self.mountpoint)
        done = run("mount", "-i", "-o", "remount,rw", self.mountpoint, check=False)
        if done.returncode != 0 or os.statvfs(self.mountpoint).f_flag & os.ST_RDONLY:
            return  # even better
        self.every_write_call(asks=False)
        self.assertEqual(state_of(self.mountpoint), shown)
        self.assertEqual(state_of(self.source), before)


if __name__ == "__main__":
    main()
