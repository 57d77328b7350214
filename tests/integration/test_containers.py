"""The image of packaging/container/Dockerfile, built by buildah as it is, and run by podman with runc.

How a node's folder is shared with containers is as the DaemonSet has it: the server's volume is rshared (in
Kubernetes Bidirectional), that of readers rslave (HostToContainer). Takes a minute of both processors of a fast
machine, and Debian's packages. In namespaces of its own, of which nothing is left.
"""

import errno
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

import archives
import image
import podman
from children import METRICS, WORKER, children_of
from containers import become_a_node, leave_mounts_of_others, unmount
from csi_driver import NOBODY
from manifests import REPOSITORY
from mount import detach, is_mounted, is_served, main, mounts, run, until, why_no_mounts
from podman import Container, Reader
from processes import OTHER_USER, PAGE, frames, mount_tmpfs
from test_passed_mount import mount_device

DATA = REPOSITORY / "tests" / "data"
IMAGE = "skopsfs"
HASH = hashlib.sha256(archives.content(1)).hexdigest()


def setUpModule():
    reason = "needs root" if os.geteuid() != 0 else why_no_mounts()
    missing = [program for program in podman.PROGRAMS if shutil.which(program) is None]
    if reason or missing:
        raise unittest.SkipTest(reason or f"{', '.join(missing)} not installed")
    become_a_node()
    _Shared.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
    unittest.addModuleCleanup(shutil.rmtree, _Shared.folder)
    mount_tmpfs(_Shared.folder)
    os.chmod(_Shared.folder, 0o755)
    unittest.addModuleCleanup(unmount, _Shared.folder)
    os.environ.update(podman.settings(_Shared.folder))
    podman.import_debian(_Shared.folder)
    tried = subprocess.run(["podman", "run", "--rm", "--network", "none", "debian:12", "true"],
                           stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode != 0:
        raise unittest.SkipTest(f"podman cannot run anything here: {tried.stderr}")
    unittest.addModuleCleanup(podman.podman, "rm", "--all", "--force", "--time", "0")
    podman.build(IMAGE)


class _Shared:
    folder = None


class ContainerTest(unittest.TestCase):
    """A node with a folder of models, and a folder to mount below. In readers the latter is /skopsfs."""

    MODELS = "/skopsfs/models"
    MEMBER = f"{MODELS}/a.skops/{archives.MEMBER}"

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="node-", dir=_Shared.folder)
        os.chmod(folder, 0o755)
        self.source = os.path.join(folder, "source")
        self.above = os.path.join(folder, "mounts")
        self.mountpoint = os.path.join(self.above, "models")
        self.sockets = os.path.join(folder, "sockets")
        os.mkdir(self.source)
        os.mkdir(self.sockets)
        os.makedirs(self.mountpoint)
        for sample in DATA.glob("*.skops"):
            shutil.copy(sample, self.source)
        archives.write_version(os.path.join(self.source, "a.skops"), 1)
        self.addCleanup(self.check_nothing_is_left)

    def mounted(self):
        """Where skopsfs is mounted below this node's folder; the same path twice when two are."""
        start = os.path.dirname(self.source) + "/"
        return [mount[0] for mount in mounts() if mount[1] == "fuse.skopsfs" and mount[0].startswith(start)]

    def check_nothing_is_left(self):
        left = self.mounted()
        for path in left:
            detach(path)
        self.assertEqual(left, [])

    def serve(self):
        """A server, as the DaemonSet starts it. The next one takes the mount over from the one before."""
        server = self.enterContext(Container(
            "--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--read-only",
            "--volume", f"{self.source}:/models:ro,rslave", "--volume", f"{self.above}:/var/lib/skopsfs:rshared",
            "--volume", f"{self.sockets}:/run/skopsfs",
            IMAGE, "-o", "allow_other", "--handover=/run/skopsfs/models", "/models", "/var/lib/skopsfs/models"))
        self.wait_for(server)
        return server

    def wait_for(self, server, mountpoint=None):
        def served():
            if not server.runs():
                raise AssertionError(f"the server ended: {server.log()}")
            return is_served(mountpoint or self.mountpoint)
        until(served, "it is mounted on the node")

    def reader(self, name="reader"):
        return self.enterContext(Reader(name, "--volume", f"{self.above}:/skopsfs:ro,rslave"))

    def check_reader(self, reader, models=MODELS):
        """It sees every archive, as bytes and as a map."""
        self.assertEqual(reader("listing", models), sorted(os.listdir(self.source)))
        for name in reader("listing", models):
            self.assertTrue(reader("read", f"{models}/{name}/schema.json"))
        member = f"{models}/a.skops/{archives.MEMBER}"
        self.assertEqual(reader("read", member), archives.content(1))
        self.assertEqual(reader("map", member)[1:], (archives.PAGES * PAGE, HASH))

    def assert_fails(self, expected, reader, *question):
        with self.assertRaises(OSError) as caught:
            reader(*question)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[expected])


class Node(ContainerTest):
    """One server for all containers of a node."""

    def test_containers_share_pages(self):
        server = self.serve()
        readers = self.reader("first"), self.reader("second")
        for reader in readers:
            self.check_reader(reader)

        def are_shared():
            one, other = (frames(reader("map", self.MEMBER)[0], archives.PAGES, reader.pid) for reader in readers)
            return one == other and None not in one
        until(are_shared, "both have the same page frames")  # the kernel may move one between the looks
        self.assertEqual(server.stop(), 0)

    def test_stop(self):
        """Also while a reader maps a file, the mount is gone from the node and from the reader."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.mounted(), [])
        self.assertEqual(os.listdir(self.mountpoint), [])
        self.assertEqual(reader("listing", self.MODELS), [])
        self.assertEqual(reader("hash", self.MEMBER), HASH)  # it is in memory

    def test_restart(self):
        """A reader that was there before sees the new mount, because the folder above it is what it has."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        server.restart()
        self.wait_for(server)
        self.assertEqual(self.mounted(), [self.mountpoint])
        self.check_reader(reader)
        self.assertEqual(server.stop(), 0)

    def test_worker_is_killed(self):
        """Nobody notices: not who has the file mapped, and not who opens it then."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        supervisor = server.pid
        for _ in range(10):
            worker = until(lambda: children_of(supervisor, WORKER), "it has a worker")[-1]
            os.kill(worker, signal.SIGKILL)
            until(lambda: worker not in children_of(supervisor, WORKER), "it is reaped")
            self.assertEqual(reader("hash", self.MEMBER), HASH)
            self.check_reader(reader)
        self.assertEqual(server.pid, supervisor)
        self.assertEqual(server.stop(), 0)

    def test_container_is_killed(self):
        """A dead mount stays on the node, until the next start, which detaches it."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        self.assertEqual(server.kill(), 128 + signal.SIGKILL)
        self.assertEqual(self.mounted(), [self.mountpoint])
        self.assertFalse(is_served(self.mountpoint))
        self.assert_fails(errno.ENOTCONN, reader, "listing", self.MODELS)
        self.assertEqual(reader("hash", self.MEMBER), HASH)  # it is in memory
        server.start()
        self.wait_for(server)
        self.assertIn("a dead mount was found", server.log())
        self.assertEqual(self.mounted(), [self.mountpoint])  # and no second one below it
        self.check_reader(reader)
        self.assertEqual(server.stop(), 0)

    def test_container_is_replaced(self):
        """Another container after one that was killed and removed does the same."""
        self.serve().kill()
        server = self.serve()
        self.assertEqual(self.mounted(), [self.mountpoint])
        self.check_reader(self.reader())
        self.assertEqual(server.stop(), 0)

    def test_rolling_update(self):
        """The next container takes the mount over; readers go on, and so does what was replaced meanwhile."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        before = reader("map", self.MEMBER)
        for _ in range(3):
            following = self.serve()
            until(lambda: "serving " in following.log(), "the next one serves")
            self.assertEqual(reader("hash", self.MEMBER), HASH)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(self.mounted(), [self.mountpoint])
            os.kill(children_of(following.pid, WORKER)[-1], signal.SIGKILL)
            self.check_reader(reader)
            self.check_reader(self.enterContext(Reader(f"reader-{following.name[:12]}", "--volume",
                                                       f"{self.above}:/skopsfs:ro,rslave")))
            server = following
        self.assertEqual(reader("map", self.MEMBER)[1:], before[1:])
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.mounted(), [])

    def test_next_container_that_cannot_serve(self):
        """As an image that is broken: the server goes on, and is followed by a good one."""
        server = self.serve()
        reader = self.reader()
        self.check_reader(reader)
        broken = self.enterContext(Container(
            "--device", "/dev/fuse", "--read-only", "--volume", f"{self.sockets}:/run/skopsfs",
            "--volume", f"{self.source}:/models:ro,rslave",
            IMAGE, "--handover=/run/skopsfs/models", "/models", "/mnt"))
        self.assertEqual(broken.wait(), 1)
        self.assertIn("does not see this mount", server.log())
        self.check_reader(reader)
        following = self.serve()
        until(lambda: "serving " in following.log(), "the next one serves")
        self.assertEqual(server.stop(), 0)
        self.check_reader(reader)
        self.assertEqual(following.stop(), 0)

    def test_first_process_of_the_container(self):
        """It reaps what is left to it."""
        server = self.serve()
        pid = server.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            self.assertTrue(next(line for line in status if line.startswith("NSpid:")).endswith("\t1\n"))

        def strangers():
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return set(map(int, file.read().split())) - set(children_of(pid, WORKER, METRICS))
        # The shell ends first, so that its child becomes one of the first process, and ends then.
        server.execute("sh", "-c", "sleep 0.3 & echo done")
        until(lambda: not strangers(), "what was left to it is gone")
        self.assertEqual(server.stop(), 0)


class Command(ContainerTest):
    def test_command_in_the_dockerfile(self):
        """The command that the Dockerfile gives, with other folders."""
        text = image.DOCKERFILE.read_text(encoding="utf-8")
        command = re.search(r"#   docker (run(?:.*\\\n#)*.*)", text)[1].replace("\\\n#", "").split()
        self.assertEqual(command[:2], ["run", "--rm"])
        words = [re.sub("^/srv/models:", f"{self.source}:", re.sub("^/mnt/skops:", f"{self.above}:", word))
                 for word in command[2:]]
        os.rmdir(self.mountpoint)  # it mounts on the folder above
        server = self.enterContext(Container(*words))
        self.wait_for(server, self.above)
        self.check_reader(self.reader(), "/skopsfs")
        podman.podman("stop", server.name)
        until(lambda: not is_mounted(self.above), "it is unmounted")


class PassedDescriptor(ContainerTest):
    """Somebody else has mounted, and the server has no power at all."""

    def test_from_start_to_end(self):
        device = mount_device(self.mountpoint, ",allow_other,default_permissions")
        try:
            os.dup2(device, 3)
            server = self.enterContext(Container(
                "--preserve-fds", "1", "--user", f"{NOBODY}:{NOBODY}", "--cap-drop", "ALL", "--read-only",
                "--security-opt", "no-new-privileges", "--volume", f"{self.source}:/models:ro",
                IMAGE, "/models", "/dev/fd/3", pass_fds=[3]))
        finally:
            os.close(3)
            if device != 3:
                os.close(device)
        self.wait_for(server)
        with open(f"/proc/{server.pid}/status", encoding="ascii") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
        self.assertEqual(status["Uid"].split(), [str(NOBODY)] * 4)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(status[name], 16), 0)
        self.check_reader(self.reader())
        self.assertEqual(server.stop(), 0)
        # Whoever mounted it has to unmount it.
        self.assertEqual(self.mounted(), [self.mountpoint])
        detach(self.mountpoint)


class OrdinaryUser(ContainerTest):
    """podman of a user who is nobody on the node. Its containers have that one user, as their root."""

    def setUp(self):
        super().setUp()
        home = tempfile.mkdtemp(prefix="home-", dir=_Shared.folder)
        self.addCleanup(shutil.rmtree, home)
        self.root = os.path.join(home, "image")
        podman.copy_image(IMAGE, self.root)
        self.fuse = os.path.join(home, "fuse")
        os.mknod(self.fuse, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
        os.chmod(self.fuse, 0o666)  # as udev makes it
        self.user = {"user": OTHER_USER, "group": OTHER_USER, "extra_groups": [], "cwd": home,
                     "env": {**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home, **podman.settings(home)}}
        for folder in (home, self.root, self.source, self.above):
            run("chown", "-R", f"{OTHER_USER}:{OTHER_USER}", folder)
        tried = run("podman", "unshare", "true", check=False, **self.user)
        if tried.returncode != 0:
            self.skipTest(f"podman cannot run for an ordinary user here: {tried.stderr}")

    def podman(self, *words):
        return podman.podman(*words, **self.user)

    def start(self, name, *words):
        self.podman("run", "--detach", "--network", "none", "--name", name, *words)
        self.addCleanup(self.podman, "rm", "--force", "--time", "0", name)

    def test_its_mount_is_its_own(self):
        """The processes of the container see it. The node and other containers do not."""
        volume = f"{self.above}:/var/lib/skopsfs"
        mountpoint = "/var/lib/skopsfs/models"
        self.start("server", "--device", f"{self.fuse}:/dev/fuse", "--cap-add", "SYS_ADMIN",
                   "--volume", f"{self.source}:/models:ro", "--volume", f"{volume}:rshared",
                   "--rootfs", self.root, "/usr/bin/skopsfs", "-f", "/models", mountpoint)
        self.start("other", "--volume", f"{volume}:rslave", "--rootfs", self.root, "sleep", "infinity")
        until(lambda: self.podman("exec", "server", "ls", "-A", mountpoint), "it is mounted")
        served = self.podman("exec", "server", "sha256sum", f"{mountpoint}/a.skops/{archives.MEMBER}")
        self.assertEqual(served.split()[0], HASH)
        self.assertEqual(self.mounted(), [])
        self.assertEqual(self.podman("exec", "other", "ls", "-A", mountpoint), "")
        self.podman("stop", "server")
        self.assertEqual(self.podman("inspect", "--format", "{{.State.ExitCode}}", "server"), "0")


class Image(unittest.TestCase):
    def run_in(self, *command):
        return podman.podman("run", "--rm", "--network", "none", "--entrypoint", command[0], IMAGE, *command[1:])

    def test_packages(self):
        """Those that the Dockerfile installs are all that the programs need, and none is too many."""
        listed = self.run_in("ldd", "/usr/bin/skopsfs", "/usr/bin/skopsfsctl")
        self.assertNotIn("not found", listed)
        libraries = {os.path.basename(line.split()[2]) for line in listed.splitlines() if "=>" in line}
        owners = self.run_in("dpkg-query", "--search", *(f"*/{library}*" for library in libraries))
        needed = {line.split(":")[0] for line in owners.splitlines()}
        wanted = set(image.Dockerfile().packages)
        self.assertEqual(wanted - needed, set(), "is installed and not used")

    def test_what_it_says_of_itself(self):
        configuration = podman.podman("inspect", "--format", "{{.Config.StopSignal}} {{.Config.Entrypoint}}", IMAGE)
        self.assertEqual(configuration, "SIGTERM [/usr/bin/skopsfs -f]")
        self.assertTrue(self.run_in("/usr/bin/skopsfs", "-V").startswith("skopsfs "))
        self.assertTrue(self.run_in("/usr/bin/skopsfsctl", "--version").startswith("skopsfsctl "))


if __name__ == "__main__":
    if os.environ.get("SKOPSFS_OWN_PROCESSES") != "yes":  # so that all of them end with this one, and are reaped
        os.environ["SKOPSFS_OWN_PROCESSES"] = "yes"
        os.execvp("unshare", ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                              '"$@"; exit $?', "sh", sys.executable, "-B", *sys.argv])
    leave_mounts_of_others()
    main()
