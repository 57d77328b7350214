"""What cannot be mounted: a non-zero exit code and one line that says why; help and version."""

import os
import re
import resource
import signal
import threading

import archives
from archives import MEMBER
from mount import Mount, MountTest, binary, detach_below, is_mounted, main, needs_root, run
from processes import mount_tmpfs, in_child, private_mounts


class StartErrors(MountTest):
    def setUp(self):
        super().setUp()
        archives.write_version(self.in_source("a.skops"), 1, pages=1)

    def refused(self, *arguments, reason="", code=1, **more):
        """Both in the background and in front."""
        for front in ((), ("-f",)):
            with self.subTest(arguments=arguments, front=front):
                # Should it be mounted after all, it must not stay.
                guard = threading.Timer(20, detach_below, [self.folder])
                guard.start()
                done = run(binary(), *front, *arguments, check=False, **more)
                guard.cancel()
                self.assertEqual(detach_below(self.folder), [])
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, r"\Askopsfs: [^\n]*\n\Z")
                self.assertIn(reason, done.stderr)
                self.assertFalse(is_mounted(self.mountpoint))

    def test_source_that_is_missing(self):
        missing = os.path.join(self.folder, "missing")
        self.refused(missing, self.mountpoint, reason=missing)
        self.refused("", self.mountpoint, code=2)

    def test_limits_that_are_too_low(self):
        """At the least that is taken, all works."""
        def limit(of, most):
            return lambda: resource.setrlimit(of, (most, most))
        limits = [(resource.RLIMIT_NOFILE, (12, 20, 63), 64,
                   "descriptors is too low, 64 are needed: raise it (ulimit -n")]
        if "SKOPSFS_SANITIZED" not in os.environ:  # which takes terabytes of addresses
            mebibyte = 1 << 20
            limits += [
                (resource.RLIMIT_DATA, (10 * mebibyte, 255 * mebibyte), 256 * mebibyte,
                 "MiB of memory is too low, 256 are needed: raise it (ulimit -d"),
                (resource.RLIMIT_AS, (100 * mebibyte, 3071 * mebibyte), 3072 * mebibyte,
                 "MiB of addresses is too low, 3072 are needed: raise it (ulimit -v")]
        for of, low, enough, reason in limits:
            for most in low:
                self.refused(self.source, self.mountpoint, reason=reason, preexec_fn=limit(of, most))
            with Mount(self.source, self.mountpoint, before=limit(of, enough)):
                with open(self.in_mount("a.skops", MEMBER), "rb") as file:
                    self.assertEqual(file.read(), archives.content(1, 1))

    def test_source_that_is_neither_folder_nor_archive(self):
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        self.refused(fifo, self.mountpoint, reason="neither a folder nor an archive")
        self.refused("/dev/null", self.mountpoint, reason="neither a folder nor an archive")

    def test_mountpoint_that_is_missing(self):
        missing = os.path.join(self.folder, "missing")
        self.refused(self.source, missing, reason=missing)
        self.assertFalse(os.path.exists(missing))

    def test_mountpoint_that_is_no_folder(self):
        self.refused(self.source, self.in_source("a.skops"), reason="not a folder")

    def test_mountpoint_that_is_not_empty(self):
        """What is there would be hidden; only who insists gets that."""
        for name in (".hidden", "sub"):
            full = self.make_folder("full", name)
            where = os.path.dirname(full)
            self.refused(self.source, where, reason=f'"{where}" is not empty, it has "{name}"')
            for options in (["-o", "nonempty"], ["-onoexec,nonempty"]):
                with Mount(self.source, where, *options):
                    self.assertEqual(os.listdir(where), ["a.skops"])
            self.assertEqual(os.listdir(where), [name])
            os.rmdir(full)

    def test_dead_mount_on_a_folder_that_is_not_empty(self):
        self.make_folder("mount", "left over")
        mount = Mount(self.source, self.mountpoint, "-o", "nonempty").start()
        mount.send(signal.SIGKILL)
        mount.wait()
        done = run(binary(), self.source, self.mountpoint, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('it has "left over"', done.stderr)
        with Mount(self.source, self.mountpoint, "-o", "nonempty"):
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        mount.exit_code = 0  # as this test has it
        mount.finish()

    def test_source_and_mountpoint_given_the_wrong_way_round(self):
        self.refused(self.mountpoint, self.source, reason=f'"{self.source}" is not empty')
        self.refused(self.mountpoint, self.source, reason="SOURCE comes first, then MOUNTPOINT")
        self.refused(self.mountpoint, self.in_source("a.skops"),
                     reason="SOURCE comes first, then MOUNTPOINT")

    def test_source_that_is_the_mountpoint(self):
        os.symlink(self.source, os.path.join(self.folder, "link"))
        for path in (self.source, self.source + "/.", os.path.join(self.folder, "link")):
            self.refused(self.source, path, reason="is the source itself")
            self.refused("-o", "nonempty", path, self.source, reason="is the source itself")

    def test_source_that_is_no_archive(self):
        for name, content, reason in (
                ("empty.skops", b"", "it is empty"),
                ("cut.skops", archives.version_bytes(1)[:-22], "it looks cut off"),
                ("page.skops", b"<html><body>log in", "a page of HTML"),
                ("lfs.skops", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
                ("model.pkl", b"x" * 200_000, "no end of central directory record")):
            archives.write(os.path.join(self.folder, name), content)
            self.refused(os.path.join(self.folder, name), self.mountpoint,
                         reason=f'{name}": not a ZIP archive: {reason}')

    def test_mountpoint_that_is_busy(self):
        with Mount(self.source, self.mountpoint):
            before = os.listdir(self.mountpoint)
            for front in ((), ("-f",)):
                done = run(binary(), *front, self.source, self.mountpoint, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"\Askopsfs: [^\n]* is busy[^\n]*\n\Z")
            self.assertEqual(os.listdir(self.mountpoint), before)

    def test_mountpoint_that_is_busy_and_was_just_used(self):
        """A live mount whose attributes the kernel remembers, and a name with odd characters."""
        odd = self.make_folder("mount of\nodd \\ names")
        with Mount(self.source, odd):
            os.stat(odd)
            done = run(binary(), self.source, odd, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("is busy", done.stderr)

    def test_mountpoint_inside_the_source(self):
        inside = self.make_folder("source", "sub", "mount")
        self.refused(self.source, inside, reason="inside the source")
        self.refused(os.path.join(self.source, "..", "source"), inside, reason="inside the source")
        os.symlink(inside, os.path.join(self.folder, "link"))
        self.refused(self.source, os.path.join(self.folder, "link"), reason="inside the source")

    def test_mountpoint_inside_a_source_that_is_a_link(self):
        inside = self.make_folder("source", "mount")
        alias = os.path.join(self.folder, "alias")
        os.symlink(self.source, alias)
        self.refused(alias, inside, reason="inside the source")
        self.refused(alias + "/", os.path.join(alias, "mount"), reason="inside the source")

    def test_bad_command_lines(self):
        both = (self.source, self.mountpoint)
        for arguments in ((), (self.source,), (*both, "more"), ("--nonsense", *both),
                          ("-x", *both), ("-fx", *both), ("-o", "nonsense", *both),
                          ("-o", "allow_other,nonsense=1", *both), (*both, "-o"),
                          ("--revalidate", *both), ("--foreground=yes", *both), ("--help=x",)):
            self.refused(*arguments, code=2)
        for value in ("", "-1", "1s", "abc", "nan", "inf", "1e9", "0x10", " 1"):
            self.refused(f"--revalidate={value}", *both, code=2, reason="revalidate")
            self.refused("-o", f"revalidate={value}", *both, code=2, reason="revalidate")

    def test_good_values_of_revalidate(self):
        for value in ("0", "0.25", "1", "86400"):
            for option in ([f"--revalidate={value}"], ["-o", f"revalidate={value}"],
                           [f"-oallow_other,revalidate={value}"]):
                with Mount(self.source, self.mountpoint, *option):
                    self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])

    def test_options_in_any_place(self):
        mount = Mount(self.source, self.mountpoint)
        mount.command = [binary(), self.source, "-f", self.mountpoint, "--revalidate=0"]
        with mount:
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
        mount = Mount(self.source, self.mountpoint)
        mount.command = [binary(), "-f", "--", self.source, self.mountpoint]
        with mount:
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])

    def test_help(self):
        for option in ("-h", "--help"):
            done = run(binary(), option)
            self.assertEqual(done.stderr, "")
            self.assertIn("skopsfs [options] SOURCE MOUNTPOINT", done.stdout)
            for word in ("--revalidate", "-f", "-o", "-V", "allow_other", "fusermount3 -u"):
                self.assertIn(word, done.stdout)
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)

    def test_version(self):
        for option in ("-V", "--version"):
            done = run(binary(), option)
            self.assertRegex(done.stdout, r"\Askopsfs \d+\.\d+\.\d+\n")
            self.assertTrue(re.search("fuse", done.stdout))
            self.assertEqual(done.stderr, "")

    @needs_root
    def test_no_fuse_device(self):
        """In a /dev of its own that has none."""
        def start():
            private_mounts()
            mount_tmpfs("/dev")
            os.mknod("/dev/null", 0o020666, os.makedev(1, 3))
            results = []
            for front in ((), ("-f",)):
                done = run(binary(), *front, self.source, self.mountpoint, check=False)
                results.append((done.returncode, done.stderr))
            return results

        for code, text in in_child(start):
            self.assertEqual(code, 1, text)
            self.assertRegex(text, r"\Askopsfs: [^\n]*fuse[^\n]*\n\Z")

    def test_closed_streams(self):
        """Started by a careless parent: no stdin, stdout and stderr."""
        def close_streams():
            for stream in range(3):
                os.close(stream)

        with Mount(self.source, self.mountpoint, before=close_streams, background=True,
                   guard=120):
            self.assertEqual(os.listdir(self.mountpoint), ["a.skops"])
            with open(self.in_mount("a.skops", archives.MEMBER), "rb") as file:
                self.assertEqual(file.read(), archives.content(1, 1))


if __name__ == "__main__":
    main()
