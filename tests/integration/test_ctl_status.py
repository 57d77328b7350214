"""skopsfsctl status: what servers say of themselves, and the kernel of the processes."""

import ctypes
import json
import os
import re
import signal
import stat
import subprocess

import numpy

import archives
from ctl import GOOD, NOT_DONE, WRONG, binary, ctl
from mount import MountTest, detach, main, mounts, needs_root, run, until
from processes import OTHER_USER, become, in_one_of_three, private_mounts
from test_broken import with_flag
from test_ctl import damaged
from test_passed_mount import Server, mount_device

_libc = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


def maps(pid, path):
    """Whether the process has that file mapped."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines:
        return path in lines.read()


def alone(folder):
    """For a child: leaves it no mounts of skopsfs but those below `folder`. Other tests have some, which
    they want nobody to look into."""
    private_mounts()
    for path, kind, *_ in mounts():
        if kind.startswith("fuse") and not path.startswith(folder + "/"):
            _libc.umount2(os.fsencode(path), _MNT_DETACH)


class Status(MountTest):
    def test_a_mount_that_is_dead(self):
        mount = self.mount()
        os.kill(mount.pid, signal.SIGSTOP)  # so that it starts no worker
        os.kill(mount.worker(), signal.SIGKILL)
        os.kill(mount.pid, signal.SIGKILL)
        mount.wait()
        try:
            out, _ = ctl("status", self.mountpoint, code=WRONG)
            self.assertIn("its server is dead", out)
            _, err = ctl("check", self.mountpoint, code=NOT_DONE)
            self.assertIn("its mount is dead", err)
        finally:
            detach(self.mountpoint)
            mount.exit_code = 0  # as this test has it

    def test_a_mount_that_hangs_is_not_waited_for(self):
        mount = self.mount()
        processes = mount.processes()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            # A pipe that the child which is left behind does not hold open.
            out, _ = ctl("status", self.mountpoint, code=WRONG)
            self.assertIn("it does not answer", out)
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def test_no_mountpoint(self):
        _, err = ctl("status", self.mountpoint, code=NOT_DONE)
        self.assertIn("it is not a mountpoint of skopsfs", err)

    def mapper(self, path):
        """A process that has all of a file mapped and touched."""
        program = ("import mmap, sys; f = open(sys.argv[1], 'rb');"
                   "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); sum(m[::4096]);"
                   "print('mapped', flush=True); sys.stdin.read()")
        process = subprocess.Popen(["/usr/bin/python3", "-c", program, path],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            process.communicate()

        self.addCleanup(end)
        self.assertEqual(process.stdout.readline(), "mapped\n")
        return process

    def status(self):
        found = json.loads(ctl("status", "--json", self.mountpoint)[0])
        self.assertEqual(len(found["mounts"]), 1)
        return found["mounts"][0]

    def archive(self, name, current=True):
        """What the status says of an archive."""
        found = [item for item in self.status()["archives"]
                 if item["path"] == name and item["current"] == current]
        self.assertEqual(len(found), 1, found)
        return found[0]

    @needs_root
    def test_processes_share_what_they_map(self):
        size = archives.PAGE * archives.PAGES
        archives.write_version(self.in_source("a.skops"), 1)
        archives.write_version(self.in_source("b.skops"), 2)
        archives.write(self.in_source("bad.skops"), b"no archive")
        self.mount()
        with self.assertRaises(OSError):
            os.listdir(self.in_mount("bad.skops"))
        os.listdir(self.in_mount("b.skops"))
        path = self.in_mount("a.skops", archives.MEMBER)
        mappers = [self.mapper(path) for _ in range(3)]
        for mapper in mappers:
            self.assertTrue(maps(mapper.pid, path))
        found = {}

        def is_counted():
            found.update(self.archive("a.skops"))
            return [found[f"{what}_bytes"] for what in ("mapped", "resident", "saved")] == [3 * size, size, 2 * size]
        self.assertTrue(in_one_of_three(is_counted), found)
        self.assertEqual(sorted(found["processes"]), sorted(m.pid for m in mappers))
        self.assertEqual(found["state"], "open")
        self.assertEqual(found["size"], os.path.getsize(self.in_source("a.skops")))
        self.assertEqual(self.archive("b.skops")["processes"], [])
        bad = self.archive("bad.skops")
        self.assertEqual(bad["state"], "failed")
        self.assertIn("not a ZIP archive", bad["reason"])
        out, _ = ctl("status", self.mountpoint)
        self.assertRegex(out, f"^{re.escape(self.mountpoint)}: {re.escape(self.source)}, skopsfs ")
        self.assertRegex(out, r"(?m)^  a\.skops +0\.5 MiB +open +0\.5 MiB +3 +1\.0 MiB$")
        self.assertRegex(out, r"(?m)^  bad\.skops: not a ZIP archive")

    @needs_root
    def test_arrays_in_an_npz_count_for_their_archive(self):
        array = archives.npy(numpy.zeros(1 << 16))
        archives.write_members(self.in_source("a.skops"), {
            "1.npz": archives.archive_of({"data.npy": array}),
            "schema.json": b'{"__loader__": "SparseMatrixNode", "file": "1.npz"}'})
        self.mount()
        path = self.in_mount("a.skops", "by-name", "root", "data.npy")
        mappers = [self.mapper(path) for _ in range(2)]
        found = {}

        def is_counted():
            found.update(self.archive("a.skops"))
            size = found["resident_bytes"]
            return size >= len(array) and found["mapped_bytes"] == 2 * size and found["saved_bytes"] == size
        self.assertTrue(in_one_of_three(is_counted), found)
        self.assertEqual(sorted(found["processes"]), sorted(m.pid for m in mappers))
        self.assertNotIn("(others)", ctl("status", self.mountpoint)[0])
        # Those of a version that was replaced are not counted for the one that is there now.
        archives.write_version(self.in_source("a.skops"), 1)
        until(lambda: self.archive("a.skops")["processes"] == [], "nobody has that one mapped")

    def test_right_after_mounting(self):
        """It lists all archives, in order, though nobody has looked at them; and reads none."""
        for name in ("b", "a", "sub/c"):
            os.makedirs(os.path.dirname(self.in_source(name)), exist_ok=True)
            archives.write_version(self.in_source(name + ".skops"), 1)
        self.mount()
        for _ in range(2):  # the second time they are known
            found = self.status()
            self.assertEqual([item["path"] for item in found["archives"]],
                             ["a.skops", "b.skops", "sub/c.skops"])
            for item in found["archives"]:
                self.assertEqual((item["state"], item["resident_bytes"]), ("idle", 0))
        self.assertFalse(found["more_archives"])
        out, _ = ctl("status", self.mountpoint)
        self.assertIn(", 3 archives (0 open, 0 failed)", out)

    def test_a_folder_with_many_archives(self):
        """So many are listed, and that there are more is said."""
        data = archives.version_bytes(1, 1)
        for number in range(1100):
            archives.write(self.in_source(f"{number}.skops"), data)
        self.mount()
        self.assertTrue(self.status()["more_archives"])
        self.assertIn("there are more, which nobody has looked at", ctl("status", self.mountpoint)[0])

    @needs_root
    def test_in_a_container(self):
        """In another PID namespace the processes of others are not seen, and not said to be none."""
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount()
        mapper = self.mapper(self.in_mount("a.skops", archives.MEMBER))
        inside = ["unshare", "--pid", "--fork", "--mount-proc", binary(), "status", self.mountpoint]
        out = run(*inside).stdout
        self.assertRegex(out, r"(?m)^  a\.skops .* -  +-$")
        self.assertIn("processes outside of this PID namespace", out)
        found = json.loads(run(*inside, "--json").stdout)
        self.assertFalse(found["sees_all_processes"])
        self.assertIsNone(found["mounts"][0]["archives"][0]["processes"])
        out, _ = ctl("status", "--processes", self.mountpoint)
        self.assertIn(f"\n  a.skops: {mapper.pid} python3\n", out)

    @needs_root
    def test_a_version_that_was_replaced_just_now(self):
        """Whoever maps the old one is not counted for the new one, although nobody has looked."""
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount("--revalidate=0")
        mapper = self.mapper(self.in_mount("a.skops", archives.MEMBER))
        archives.write_version(self.in_source("a.skops"), 2)
        found = self.status()["archives"]
        self.assertEqual([(item["current"], item["processes"]) for item in found],
                         [(True, []), (False, [mapper.pid])])

    @needs_root
    def test_a_version_that_was_replaced(self):
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount("--revalidate=0")
        mapper = self.mapper(self.in_mount("a.skops", archives.MEMBER))
        archives.write_version(self.in_source("a.skops"), 2)
        until(lambda: os.stat(self.in_mount("a.skops", archives.MEMBER)), "it is looked at")
        old = self.archive("a.skops", current=False)
        self.assertEqual(old["processes"], [mapper.pid])
        self.assertIsNone(old["resident_bytes"])
        self.assertEqual(self.archive("a.skops")["processes"], [])

    def test_a_mount_of_one_archive(self):
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount(source=self.in_source("a.skops"))
        os.listdir(self.mountpoint)
        out, _ = ctl("status", self.mountpoint)
        self.assertRegex(out, r"(?m)^  \(the archive\) +0\.5 MiB ")

    def test_members_are_not_read_to_look_at_them(self):
        archives.write(self.in_source("a.skops"),
                       damaged(archives.version_bytes(1), archives.MEMBER))
        mount = self.mount("--verify=read")
        os.listdir(self.in_mount("a.skops"))
        self.assertEqual(self.archive("a.skops")["resident_bytes"], 0)
        self.assertNotIn("bad CRC-32", mount.log())

    @needs_root
    def test_members_without_read_bits_to_an_ordinary_user(self):
        """Whom the kernel does not let read their attributes."""
        archives.write(self.in_source("a.skops"),
                       with_flag(archives.version_bytes(1), archives.MEMBER, 1))
        mount = self.mount("-o", "allow_other")
        member = self.in_mount("a.skops", archives.MEMBER)
        self.assertEqual(os.stat(member).st_mode, stat.S_IFREG)
        for command, code in (("check", WRONG), ("tree", GOOD)):
            out, _ = ctl(command, self.in_mount("a.skops"), code=code,
                         preexec_fn=lambda: become(OTHER_USER))
            self.assertIn("it cannot be read; the log of the mount says why", out)
        until(lambda: f'member "{archives.MEMBER}" cannot be read: encrypted' in mount.log(),
              "the log says why")

    def all(self):
        """The mountpoints in the status of all mounts below this test's folder."""
        out, _ = ctl("status", "--json", preexec_fn=lambda: alone(self.folder))
        return {mount["mountpoint"] for mount in json.loads(out)["mounts"]}

    @needs_root
    def test_all_mounts(self):
        other = self.make_folder("other")
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount()
        self.mount(mountpoint=other)
        self.assertEqual(self.all(), {self.mountpoint, other})

    @needs_root
    def test_a_mount_that_somebody_else_made_and_gave_another_name(self):
        archives.write_version(self.in_source("a.skops"), 1)
        device = mount_device(self.mountpoint, kind="fuse")
        try:
            server = Server(self.source, device)
        finally:
            os.close(device)
        with server:
            ctl("warm", self.in_mount("a.skops"))
            ctl("check", self.mountpoint)
            self.assertIsNotNone(self.archive("a.skops")["resident_bytes"])
            self.assertEqual(self.all(), {self.mountpoint})
            detach(self.mountpoint)

    def test_watching(self):
        self.mount()
        process = subprocess.Popen([binary(), "status", "--json", "--watch=0.1", self.mountpoint],
                                   stdout=subprocess.PIPE, text=True)
        try:
            for _ in range(3):
                self.assertIsNone(json.loads(process.stdout.readline())["mounts"][0]["problem"])
        finally:
            process.kill()
            process.communicate()

    @needs_root
    def test_another_user_is_told_what_is_not_known(self):
        archives.write_version(self.in_source("a.skops"), 1)
        self.mount("-o", "allow_other")
        out, _ = ctl("status", self.mountpoint, code=WRONG, preexec_fn=lambda: become(54321))
        self.assertIn("its status is for the owner of its source", out)
        self.assertRegex(out, r"(?m)^\d+ processes could not be looked at")


if __name__ == "__main__":
    main()
