"""The worker has nothing worth stealing: each wall is tried from inside a worker that serves."""

import errno
import os
import urllib.request

import archives
from archives import MEMBER, read
from children import METRICS, children_of
from mount import Mount, binary, main, mounts, needs_root, run, until
from processes import OTHER_USER, in_child
from shim import ShimTest
from test_status import free_port

# As in shim.c: what it tries, and what must come of it with and without Landlock.
_ATTEMPTS = ["open /etc/passwd", "create a file", "create an unnamed file", "open its own memory",
             "empty a file", "have the kernel send signals", "change what is shared", "fork",
             "exec", "make an internet socket", "make a local socket",
             "trace the supervisor", "kill the supervisor", "become root", "change mounts",
             "unlink a file", "map memory to be executed", "take a lease for writing",
             "map shared memory of no file", "map a stack that grows"]


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


class Sandbox(ShimTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.source, 0o755)
        self.archive = self.in_source("a.skops")
        archives.write_version(self.archive, 1)
        self.member = self.in_mount("a.skops", MEMBER)

    def attack(self, mount):
        """Has the worker try everything; what came of each attempt, by its name."""
        self.shim.attack_at = self.archive
        self.assertEqual(read(self.member), archives.content(1))
        until(lambda: self.shim.attempts == len(_ATTEMPTS), "all has been tried")
        self.assertEqual(len(mount.workers()), 1)
        return dict(zip(_ATTEMPTS, self.shim.results()))

    def test_every_wall(self):
        mount = self.mount()
        results = self.attack(mount)
        for name, result in results.items():
            with self.subTest(attempt=name):
                self.assertIn(result, (errno.EPERM, errno.EACCES))
        self.assertFalse(os.path.exists("/tmp/skopsfs-was-here"))

    def test_every_wall_but_landlock(self):
        """On older kernels. Archives are found beneath the source all the same."""
        os.mkdir(self.in_source("folder"))
        archives.write_version(self.in_source("folder", "b.skops"), 2)
        os.symlink("folder/b.skops", self.in_source("link.skops"))
        os.symlink("/etc/passwd", self.in_source("out.skops"))
        self.shim.no_landlock = errno.ENOSYS
        mount = self.mount()
        mount.wait_for_log("this kernel has no Landlock")
        for name, result in self.attack(mount).items():
            with self.subTest(attempt=name):
                allowed = (0,) if name == "open /etc/passwd" else (errno.EPERM, errno.EACCES)
                self.assertIn(result, allowed)
        self.assertEqual(read(self.in_mount("link.skops", MEMBER)), archives.content(2))
        self.assert_errno(errno.ENOENT, os.stat, self.in_mount("out.skops"))

    def test_why_there_is_no_landlock(self):
        for code, said in ((errno.EOPNOTSUPP, "this kernel has no Landlock:"),
                           (errno.EPERM, "Landlock: Operation not permitted:")):
            self.shim.no_landlock = code
            with Mount(self.source, self.mountpoint, env=self.shim.environment) as mount:
                mount.wait_for_log(said)
            environment = dict(os.environ, **self.shim.environment)
            version = run(binary(), "-V", env=environment).stdout
            self.assertRegex(version, r"\(Landlock, 5\.13\) +" + (
                "not known: Operation not permitted" if code == errno.EPERM else "no\n"))

    def test_every_wall_around_the_server_of_metrics(self):
        port = free_port()
        mount = self.mount(f"--metrics-address=127.0.0.1:{port}")
        self.shim.attack_at = 1
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            self.assertIn(b"skopsfs_info", answer.read())
        until(lambda: self.shim.attempts == len(_ATTEMPTS), "all has been tried")
        for name, result in zip(_ATTEMPTS, self.shim.results()):
            with self.subTest(attempt=name):
                self.assertIn(result, (errno.EPERM, errno.EACCES))
        servers = children_of(mount.pid, METRICS)
        self.assertEqual([status(pid)["Seccomp"] for pid in servers], ["2"])

    @needs_root
    def test_what_the_kernel_says_of_the_worker(self):
        os.chown(self.source, OTHER_USER, OTHER_USER)
        mount = self.mount()
        self.assertEqual(read(self.member), archives.content(1))
        worker = status(mount.worker())
        self.assertEqual(worker["Uid"].split(), [str(OTHER_USER)] * 4)
        self.assertEqual(worker["Gid"].split(), [str(OTHER_USER)] * 4)
        self.assertEqual(worker["Groups"].split(), [str(OTHER_USER)])
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(worker[kind], 16), 0, kind)
        self.assertEqual((worker["NoNewPrivs"], worker["Seccomp"]), ("1", "2"))
        self.assertEqual(os.stat(f"/proc/{mount.worker()}/maps").st_uid, 0,
                         "not to be looked into")
        if not os.environ.get("SKOPSFS_SANITIZED"):  # which takes terabytes
            with open(f"/proc/{mount.worker()}/limits", encoding="ascii") as limits:
                lines = list(limits)
            for name, most in (("Max data size", 4 << 30), ("Max address space", 8 << 30)):
                bound = next(line for line in lines if line.startswith(name))
                self.assertEqual(bound.split()[3:5], [str(most)] * 2)

    @needs_root
    def test_links_are_not_followed(self):
        """Nor is there one then, unless the worker has been taken over."""
        self.mount("-o", "noby-name")
        options = next(mount[3] for mount in mounts() if mount[0] == self.mountpoint)
        self.assertLessEqual({"nosymfollow", "ro", "nosuid", "nodev"}, options)

    def test_descriptors_of_the_parent(self):
        """What the supervisor was given, and the terminal, are not the worker's."""
        with open(os.path.join(self.folder, "secret"), "w", encoding="ascii"):
            pass
        leak = ["sh", "-c", 'exec 9<"$1"; shift; exec "$@"', "sh",
                os.path.join(self.folder, "secret"), binary()]
        mount = self.mount(command=leak)
        self.assertTrue([x for x in mount.descriptors(mount.pid) if x.endswith("secret")])
        self.assertFalse([x for x in mount.descriptors(mount.worker()) if x.endswith("secret")])
        if not os.environ.get("SKOPSFS_SANITIZED"):  # which has something to say
            streams = [os.readlink(f"/proc/{mount.worker()}/fd/{number}") for number in range(3)]
            self.assertEqual(streams, ["/dev/null"] * 3)

    @needs_root
    def test_root_without_capabilities_when_root_owns_the_source(self):
        mount = self.mount()
        worker = status(mount.worker())
        self.assertEqual(worker["Uid"].split(), ["0"] * 4)
        self.assertEqual(int(worker["CapEff"], 16), 0)

    @needs_root
    def test_another_user(self):
        for text in (f"{OTHER_USER}:{OTHER_USER + 1}", "nobody"):
            with self.subTest(user=text):
                os.chmod(self.folder, 0o755)
                mount = self.mount(f"--user={text}")
                self.assertEqual(read(self.member), archives.content(1))
                uid, gid = status(mount.worker())["Uid"], status(mount.worker())["Gid"]
                if text != "nobody":
                    self.assertEqual((uid.split()[0], gid.split()[0]), tuple(text.split(":")))
                self.assertNotEqual(uid.split()[0], "0")
                self.assertEqual(mount.stop(), 0)

    @needs_root
    def test_a_user_who_cannot_read_the_source(self):
        os.chmod(self.source, 0o700)
        with self.assertRaisesRegex(AssertionError, "--user cannot read the source"):
            self.mount(f"--user={OTHER_USER}")
        self.assertFalse(os.path.ismount(self.mountpoint))
        with self.assertRaisesRegex(AssertionError, "there is no user"):
            self.mount("--user=no-such-user")

    @needs_root
    def test_an_owner_who_cannot_read_the_source(self):
        os.chown(self.source, OTHER_USER, OTHER_USER)
        os.chmod(self.source, 0o055)
        mount = self.mount()
        self.assertEqual(status(mount.worker())["Uid"].split(), ["0"] * 4)
        mount.wait_for_log("the source's owner cannot read it")

    @needs_root
    def test_archives_that_its_user_cannot_read(self):
        os.chmod(self.archive, 0o600)
        os.chown(self.archive, OTHER_USER, OTHER_USER)
        mount = self.mount("-o", "allow_other")
        self.assert_errno(errno.EACCES, in_child, read, self.member, user=OTHER_USER)
        mount.wait_for_log("a.skops", "cannot be opened", "Permission denied")
        self.assertEqual(mount.stop(), 0)
        mount = self.mount("-o", "allow_other", "--sandbox=off")
        self.assertEqual(in_child(read, self.member, user=OTHER_USER), archives.content(1))
        mount.wait_for_log("--sandbox=off")

    def test_links_of_a_single_archive_elsewhere(self):
        elsewhere = self.make_folder("elsewhere")
        archives.write_version(os.path.join(elsewhere, "b.skops"), 2)
        os.symlink(os.path.join(elsewhere, "b.skops"), self.in_source("link.skops"))
        self.mount(source=self.in_source("link.skops"))
        self.assertEqual(read(self.in_mount(MEMBER)), archives.content(2))


if __name__ == "__main__":
    main()
