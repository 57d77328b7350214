"""mount(8), umount(8) and lines of fstab, in a mount namespace of the test with an fstab of its own.

The program is installed below a folder of the test. mount(8) takes no notice of PATH, so in that
namespace there is a link to it in the first of the folders that programs are looked for in.
"""

import fcntl
import os
import select
import shutil
import struct
import subprocess

import archives
from archives import MEMBER
from installed import Installed, output
from mount import (MountTest, background_pid, become_subreaper, is_mounted, main, mounts, needs_root,
                   run, until)
from processes import (OTHER_USER, become, in_child, mount_autofs, mount_tmpfs, private_mounts)

_AUTOFS_READY, _AUTOFS_FAIL = 0x9360, 0x9361  # ioctls


@needs_root
class MountHelper(MountTest):
    def setUp(self):
        super().setUp()
        if shutil.which("mount.fuse3") is None:
            self.skipTest("mount.fuse3 is not installed")
        archives.write_version(self.in_source("a.skops"), 1)
        self.member = self.in_mount("a.skops", MEMBER)
        self.installed = Installed(self.make_folder("installed"))
        self.fstab = os.path.join(self.folder, "fstab")

    def enter_namespace(self):
        private_mounts()
        mount_tmpfs("/usr/local/sbin")
        os.symlink(self.installed.binary, "/usr/local/sbin/skopsfs")
        become_subreaper()

    def mount_with(self, *command, as_user=None):
        """Runs `command`, looks at the mount as it is then, and unmounts with umount(8). Returns what
        mount said and its exit code, the mount's type, source and options, what a member holds, and
        the exit code of the server."""
        def use():
            self.enter_namespace()
            said = output(*command)
            found = next((m for m in mounts() if m[0] == self.mountpoint), None)
            if found is None:
                return said, None, None, None
            server = background_pid(self.mountpoint)

            def read():
                if as_user:
                    become(as_user)
                with open(self.member, "rb") as file:
                    return file.read()
            data = in_child(read)
            run("umount", self.mountpoint)
            code = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])
            assert not is_mounted(self.mountpoint)
            return said, found, data, code
        return in_child(use)

    def assert_works(self, *command, options=(), **more):
        said, found, data, code = self.mount_with(*command, **more)
        self.assertEqual(said, ("", 0))
        self.assertIsNotNone(found)
        _, kind, source, found_options = found
        self.assertEqual(kind, "fuse.skopsfs")
        self.assertEqual(source, self.source)
        self.assertLessEqual({"ro", "nosuid", "nodev", "default_permissions", *options}, found_options)
        self.assertEqual(data, archives.content(1))
        self.assertEqual(code, 0, "umount ends the server")
        self.assertFalse(is_mounted(self.mountpoint), "and never was, out here")

    def write_fstab(self, options):
        with open(self.fstab, "w", encoding="utf-8") as file:
            file.write(f"{self.source} {self.mountpoint} fuse.skopsfs {options} 0 0\n")

    def test_command_line(self):
        self.assert_works("mount", "-t", "fuse.skopsfs", self.source, self.mountpoint)
        self.assert_works("mount", "-t", "fuse.skopsfs", self.source, self.mountpoint,
                          "-o", "ro,allow_other", options=["allow_other"], as_user=OTHER_USER)

    def test_options_of_skopsfs(self):
        self.assert_works("mount", "-t", "fuse.skopsfs", self.source, self.mountpoint,
                          "-o", "noexec,allow_other,revalidate=0.5,verify=read,noby-name",
                          options=["noexec", "allow_other"])

    def test_a_single_archive(self):
        self.member = self.in_mount(MEMBER)
        archive = self.in_source("a.skops")
        self.source = archive
        self.assert_works("mount", "-t", "fuse.skopsfs", archive, self.mountpoint)

    def test_lines_of_fstab(self):
        """Those that systemd and mount(8) understand are left to them, alone and all together."""
        words = ["noauto", "x-systemd.automount", "_netdev", "nofail", "user", "users", "owner",
                 "group", "defaults", "noatime", "nodiratime", "relatime", "async", "suid", "dev",
                 "exec", "comment=models", "x-systemd.requires=network-online.target",
                 "X-mount.mkdir"]
        for options in ("ro,allow_other,noauto,x-systemd.automount,_netdev,nofail,user",
                        ",".join(words), *words):
            with self.subTest(options=options):
                self.write_fstab(options)
                self.assert_works("mount", "-T", self.fstab, self.mountpoint)

    def test_examples(self):
        """Every line of the fstab that is installed."""
        path = os.path.join(self.installed.prefix, "share", "doc", "skopsfs", "examples", "systemd", "fstab")
        with open(path, encoding="utf-8") as file:
            lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
        self.assertGreater(len(lines), 1)
        for words in lines:
            self.assertEqual(words[2], "fuse.skopsfs")
            self.write_fstab(words[3])
            self.assert_works("mount", "-T", self.fstab, self.mountpoint, options=["allow_other"],
                              as_user=OTHER_USER)

    def test_all_of_fstab(self):
        self.write_fstab("ro")
        self.assert_works("mount", "-T", self.fstab, "-a")
        self.write_fstab("ro,noauto")
        said, found, _, _ = self.mount_with("mount", "-T", self.fstab, "-a")
        self.assertEqual(said, ("", 0))
        self.assertIsNone(found)

    def test_by_an_automounter(self):
        """As systemd has it with x-systemd.automount: who looks waits for the mount."""
        with open("/proc/filesystems", encoding="ascii") as known:
            if "autofs" not in known.read():
                self.skipTest("there is no autofs")

        def use():
            self.enter_namespace()
            os.setpgid(0, 0)
            asked, told = os.pipe()
            mount_autofs(self.mountpoint, told)
            os.close(told)
            folder = os.open(self.mountpoint, os.O_RDONLY | os.O_DIRECTORY)
            with subprocess.Popen(["ls", self.mountpoint], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, start_new_session=True) as ls:
                token = struct.unpack_from("=iiI", os.read(asked, 4096))[2]
                said = output("mount", "-t", "fuse.skopsfs", self.source, self.mountpoint)
                fcntl.ioctl(folder, _AUTOFS_READY if said == ("", 0) else _AUTOFS_FAIL, token)
                listed = ls.communicate()[0]
            run("umount", self.mountpoint)
            return said, listed
        self.assertEqual(in_child(use), (("", 0), "a.skops\n"))

    def test_source_of_an_automounter(self):
        """What is to be there is mounted when skopsfs looks for it (mount(8) would do so before)."""
        with open("/proc/filesystems", encoding="ascii") as known:
            if "autofs" not in known.read():
                self.skipTest("there is no autofs")
        place = self.make_folder("place")

        def use(source):
            self.enter_namespace()
            os.setpgid(0, 0)
            asked, told = os.pipe()
            mount_autofs(place, told)
            os.close(told)
            folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            with subprocess.Popen([self.installed.binary, source, self.mountpoint],
                                  start_new_session=True) as mount:
                until(lambda: select.select([asked], [], [], 0)[0] or mount.poll() is not None,
                      "the automounter is asked")
                if mount.poll() is not None:
                    return mount.returncode, "the automounter was not asked"
                token = struct.unpack_from("=iiI", os.read(asked, 4096))[2]
                run("mount", "--bind", self.folder, place)
                fcntl.ioctl(folder, _AUTOFS_READY, token)
            listed = os.listdir(self.mountpoint)
            run("umount", self.mountpoint)
            return mount.returncode, listed
        below = os.path.relpath(self.source, self.folder)
        self.assertEqual(in_child(use, os.path.join(place, below)), (0, ["a.skops"]))

    def test_what_is_wrong_is_said(self):
        missing = self.in_source("missing")
        (said, code), found, _, _ = self.mount_with("mount", "-t", "fuse.skopsfs", missing,
                                                    self.mountpoint)
        self.assertIsNone(found)
        self.assertNotEqual(code, 0)
        self.assertIn(missing, said)
        (said, code), found, _, _ = self.mount_with("mount", "-t", "fuse.skopsfs", self.source,
                                                    self.mountpoint, "-o", "nonsense")
        self.assertIsNone(found)
        self.assertNotEqual(code, 0)
        self.assertIn("unknown mount option 'nonsense'", said)

    def test_mounted_twice(self):
        def use():
            self.enter_namespace()
            command = ("mount", "-t", "fuse.skopsfs", self.source, self.mountpoint)
            first = output(*command)
            second = output(*command)
            server = background_pid(self.mountpoint)
            run("umount", self.mountpoint)
            until(lambda: os.waitpid(server, os.WNOHANG)[0], "the server ends")
            return first, second
        first, (said, code) = in_child(use)
        self.assertEqual(first, ("", 0))
        self.assertNotEqual(code, 0)
        self.assertIn("busy", said)


if __name__ == "__main__":
    main()
