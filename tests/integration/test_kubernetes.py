"""The manifests of packaging/kubernetes, run without a cluster: what a node would do, step by step.

See containers.py and pods.py for what stands for what, and docs/kubernetes.md for what this cannot show.
The image itself, and containers of podman: test_containers.py.
"""

import errno
import hashlib
import os
import pathlib
import shutil
import signal
import tempfile
import unittest
import zipfile

import archives
import image
from containers import become_a_node, unmount
from csi_driver import NOBODY, Driver, starter
from ksm import ksm, needs_ksm, setting
from manifests import REPOSITORY, container_of, need_kubectl
from mount import detach, is_mounted, main, until, why_no_mounts
from pods import Node, Pod
from processes import PAGE, frames, mount_tmpfs
from test_other_sources import BindFs
from test_passed_mount import Server, mount_device
from workload_answers import ANSWERS

MODEL = REPOSITORY / "tests" / "data" / "logistic_regression.skops"


def setUpModule():
    reason = "needs root" if os.geteuid() != 0 else why_no_mounts()
    if reason:
        raise unittest.SkipTest(reason)
    need_kubectl()
    become_a_node()
    _Shared.folder = tempfile.mkdtemp(prefix="skopsfs-test-")
    unittest.addModuleCleanup(shutil.rmtree, _Shared.folder)
    os.chmod(_Shared.folder, 0o755)
    _Shared.image = os.path.join(_Shared.folder, "image")
    os.mkdir(_Shared.image)
    mount_tmpfs(_Shared.image)  # of this namespace; dpkg syncs each file on a disk, for a minute in all
    unittest.addModuleCleanup(unmount, _Shared.image)
    image.make(_Shared.image)


class _Shared:
    folder = image = None


class KubernetesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="node-", dir=_Shared.folder)
        os.chmod(folder, 0o755)
        self.node = Node(folder, _Shared.image)
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self):
        left = self.node.mounted()
        for path in left:
            detach(path)
        self.assertEqual(left, [])

    def pod(self, manifest, **more):
        pod = Pod(self.node, manifest, **more)
        self.addCleanup(pod.clear)
        return pod

    def put_models(self, folder):
        shutil.copy(MODEL, os.path.join(folder, "model.skops"))
        archives.write_version(os.path.join(folder, "a.skops"), 1)

    def member_of_model(self):
        """The name and the bytes of its largest array."""
        with zipfile.ZipFile(MODEL) as archive:
            info = max((info for info in archive.infolist() if info.filename.endswith(".npy")),
                       key=lambda info: info.file_size)
            return info.filename, archive.read(info)

    def check_workload(self, workload, models):
        """It sees what is there, as bytes and as a map, and may not write."""
        self.assertEqual(workload("listing", models), ["a.skops", "model.skops"])
        name, data = self.member_of_model()
        self.assertEqual(workload("read", f"{models}/model.skops/{name}"), data)
        _, size, found = workload("map", f"{models}/a.skops/{archives.MEMBER}")
        self.assertEqual(size, archives.PAGES * PAGE)
        self.assertEqual(found, hashlib.sha256(archives.content(1)).hexdigest())

    def frames_of(self, workload):
        address, _, _ = workload("map", f"{self.MODELS}/a.skops/{archives.MEMBER}")
        return frames(address, archives.PAGES, workload.container.pid)

    def assert_fails(self, expected, workload, *question):
        with self.assertRaises(OSError) as caught:
            workload(*question)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[expected])

    def check_probe_without_mount(self, pod, name, mountpoint):
        """Neither the folder alone, nor a mount that nobody serves, passes for one."""
        with pod.start(name, command=["sleep", "1000"]):
            self.assertTrue(os.path.isdir(mountpoint))
            self.assertTrue(pod.containers[name].execute(["ls", "/"], 10))  # what is false is not the running
            for kind in ("startupProbe", "readinessProbe"):
                if kind in container_of(pod.spec, name):
                    self.assertFalse(pod.probe(name, kind))
            device = mount_device(mountpoint, ",allow_other")
            try:
                self.assertTrue(is_mounted(mountpoint))
                self.assertFalse(pod.probe(name, "startupProbe"))
            finally:
                os.close(device)
                detach(mountpoint)


class DaemonSet(KubernetesTest):
    MODELS = "/skopsfs/models"

    def setUp(self):
        super().setUp()
        self.put_models(self.node.make("/srv/models"))
        self.server = self.pod("daemonset")
        self.server.run("make-mountpoint")
        self.mountpoint = self.node.path("/var/lib/skopsfs/models")

    def serve(self):
        container = self.server.start("skopsfs")
        self.server.wait_for("skopsfs")
        return container

    def workload(self, manifest="examples/gunicorn-daemonset"):
        """Another pod on the node, its init container run to the end."""
        pod = self.pod(manifest)
        pod.run("warm")
        return pod.start_workload(**ANSWERS)

    def test_rolling_update(self):
        """The next pod takes the mount over, and is not ready before it has; then the one before ends."""
        self.serve()
        workload = self.workload()
        self.check_workload(workload, self.MODELS)
        for _ in range(2):
            following = self.pod("daemonset")
            following.run("make-mountpoint")
            with following.start("skopsfs", command=["sleep", "1000"]):
                self.assertFalse(following.probe("skopsfs", "startupProbe"))
            following.start("skopsfs")
            following.wait_for("skopsfs")
            self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])
            self.assertEqual(self.node.mounted(), [self.mountpoint])
            self.check_workload(workload, self.MODELS)
            self.check_workload(self.workload(), self.MODELS)
            self.server = following
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_probes(self):
        self.check_probe_without_mount(self.server, "skopsfs", self.mountpoint)
        self.serve()
        self.assertTrue(self.server.probe("skopsfs", "startupProbe"))
        self.assertTrue(self.server.probe("skopsfs", "readinessProbe"))
        container = self.server.containers["skopsfs"]
        self.assertTrue(container.execute(["skopsfsctl", "status", "/var/lib/skopsfs/models"], 10))
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_server_is_killed_and_started_again(self):
        """The workload goes on without a restart, because the folder above the mount is what it has."""
        server = self.serve()
        before = self.workload()
        self.check_workload(before, self.MODELS)
        self.assertEqual(server.stop(signal.SIGKILL), 128 + signal.SIGKILL)
        self.assertEqual(self.node.mounted(), [self.mountpoint])  # a dead one
        self.assert_fails(errno.ENOTCONN, before, "listing", self.MODELS)
        # A pod that comes meanwhile waits for the server.
        late = self.pod("examples/gunicorn-daemonset")
        waiting = late.start("warm")
        until(lambda: "Transport endpoint is not connected" in waiting.log(), "it has looked")

        server = self.serve()
        self.assertIn("a dead mount was found", server.log())
        self.assertEqual(self.node.mounted(), [self.mountpoint])  # and no second one below it
        self.check_workload(before, self.MODELS)
        self.assertEqual(waiting.wait(), 0)
        self.check_workload(late.start_workload(**ANSWERS), self.MODELS)
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_pod_is_replaced_after_its_node_crashed_it(self):
        """The init container of a new pod finds a dead mount where it would make the folder."""
        self.serve().stop(signal.SIGKILL)
        self.server = self.pod("daemonset")
        self.server.run("make-mountpoint")
        self.serve()
        self.check_workload(self.workload(), self.MODELS)
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_workload_with_a_claim(self):
        """It sees the mount, and one that is made anew, as one with a hostPath does."""
        server = self.serve()
        workload = self.workload("examples/gunicorn-daemonset-claim")
        self.check_workload(workload, self.MODELS)
        server.stop(signal.SIGKILL)
        self.assert_fails(errno.ENOTCONN, workload, "listing", self.MODELS)
        self.serve()
        self.check_workload(workload, self.MODELS)
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_source_is_a_claim(self):
        shutil.rmtree(self.node.path("/srv/models"))
        self.put_models(self.node.make("claims", "models"))
        self.server = self.pod("daemonset-claim")
        self.serve()
        self.check_workload(self.workload(), self.MODELS)
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_source_that_is_away(self):
        """The pod is not ready, and not killed; readers of what is there go on; it mends itself."""
        server = self.serve()
        models = self.node.path("/srv/models")
        os.chmod(models, 0)
        until(lambda: not self.server.probe("skopsfs", "readinessProbe"), "it is not ready")
        os.chmod(models, 0o755)
        self.server.wait_for("skopsfs", "readinessProbe")
        self.assertFalse(server.ended())
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    def test_source_that_is_mounted_anew(self):
        """Below the volume of the source, it is seen through two propagations, without a restart."""
        elsewhere = self.node.make("/srv/elsewhere")
        self.put_models(elsewhere)
        other = BindFs(elsewhere, self.node.make("/srv/models/filer"))
        self.addCleanup(other.clear)
        other.start()
        self.serve()
        workload = self.workload()
        self.check_workload(workload, f"{self.MODELS}/filer")
        other.kill()
        until(lambda: self.fails(workload, "listing", f"{self.MODELS}/filer"), "it is away")
        self.assertTrue(workload("read", f"{self.MODELS}/a.skops/schema.json"))  # what is not on it
        other.start()
        until(lambda: not self.fails(workload, "listing", f"{self.MODELS}/filer"), "it is back")
        self.check_workload(workload, f"{self.MODELS}/filer")
        self.assertEqual(self.server.end_containers(), [("skopsfs", 0)])

    @staticmethod
    def fails(workload, *question):
        try:
            workload(*question)
        except OSError:
            return True
        return False

    def test_end_that_comes_before_the_mount(self):
        """To the first process of a container a signal that it does not wait for is lost, so it waits from
        the start: here while the source, which is a mount that nobody serves yet, keeps it waiting."""
        source = self.node.path("/srv/models")
        device = mount_device(source, ",allow_other")
        try:
            server = self.server.start("skopsfs")
            waits = pathlib.Path(f"/proc/{server.pid}/wchan")
            until(lambda: "fuse" in waits.read_text(encoding="ascii"), "it waits for the source")
            server.send(signal.SIGTERM)
            with Server(self.node.make("/srv/elsewhere"), device):
                self.assertEqual(server.wait(), 0)
        finally:
            os.close(device)
            detach(source)


class DaemonSetThatMerges(KubernetesTest):
    @needs_ksm
    def test_turns_merging_on(self):
        self.node.make("/srv/models")
        with ksm():
            setting("run", "0")
            self.pod("daemonset-ksm").run("merge-equal-memory")
            self.assertEqual((setting("run"), setting("pages_to_scan")), ("1", "1000"))


class Sidecar(KubernetesTest):
    MODELS = "/skopsfs/models"

    def setUp(self):
        super().setUp()
        self.put_models(self.node.make("claims", "models"))

    def mountpoint(self, pod):
        return os.path.join(pod.volume("skopsfs"), "models")

    def test_probe(self):
        pod = self.pod("sidecar")
        pod.run("make-mountpoint")
        self.check_probe_without_mount(pod, "skopsfs", self.mountpoint(pod))
        pod.start("skopsfs")
        pod.wait_for("skopsfs")
        self.assertEqual(pod.end_containers(), [("skopsfs", 0)])

    def test_from_start_to_end(self):
        pod = self.pod("sidecar")
        pod.start_up()
        workload = pod.start_workload(**ANSWERS)
        self.check_workload(workload, self.MODELS)
        self.assertEqual(self.node.mounted(), [self.mountpoint(pod)])
        self.assertEqual(pod.end_containers(), [("workload", 0), ("skopsfs", 0)])
        self.assertEqual(self.node.mounted(), [])
        pod.delete_folder()

    def test_sidecar_is_killed_and_started_again(self):
        pod = self.pod("sidecar")
        pod.start_up()
        workload = pod.start_workload(**ANSWERS)
        self.check_workload(workload, self.MODELS)
        pod.containers["skopsfs"].stop(signal.SIGKILL)
        self.assert_fails(errno.ENOTCONN, workload, "listing", self.MODELS)
        pod.start("skopsfs")
        pod.wait_for("skopsfs")
        self.check_workload(workload, self.MODELS)
        self.assertEqual(self.node.mounted(), [self.mountpoint(pod)])
        self.assertEqual(pod.end_containers(), [("workload", 0), ("skopsfs", 0)])
        pod.delete_folder()

    def test_pages_are_shared_inside_of_a_pod_only(self):
        workloads = []
        pods = [self.pod("sidecar") for _ in range(2)]
        for pod in pods:
            pod.start_up()
            workloads.append(pod.start_workload(**ANSWERS))

        def are_apart():
            one, other = (self.frames_of(workload) for workload in workloads)
            return None not in one + other and not set(one) & set(other)
        until(are_apart, "each has frames of its own")  # the kernel may move one between the looks
        for pod in pods:
            self.assertEqual(pod.end_containers(), [("workload", 0), ("skopsfs", 0)])


class PassedDescriptor(KubernetesTest):
    MODELS = "/skopsfs"

    def setUp(self):
        super().setUp()
        self.put_models(self.node.make("claims", "models"))
        self.driver = Driver()
        self.addCleanup(self.driver.unpublish)
        self.pod = self.pod("passed-descriptor", driver=self.driver)

    def test_from_start_to_end(self):
        command = container_of(self.pod.spec, "skopsfs")["command"]
        with self.pod.start("skopsfs", command=["sleep", "1000"]):
            self.assertFalse(self.pod.probe("skopsfs", "startupProbe"))
        server = self.pod.start("skopsfs", function=starter(command))
        self.pod.wait_for("skopsfs")
        with open(f"/proc/{server.pid}/status", encoding="ascii") as lines:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
        self.assertEqual(status["Uid"].split(), [str(NOBODY)] * 4)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(status[name], 16), 0)
        self.assertEqual(status["NoNewPrivs"], "1")

        workload = self.pod.start_workload(**ANSWERS)
        self.check_workload(workload, self.MODELS)
        self.assertEqual(self.pod.end_containers(), [("workload", 0), ("skopsfs", 0)])
        self.assertEqual(self.driver.unpublish(), [self.pod.volume("skopsfs")])
        self.pod.delete_folder()


if __name__ == "__main__":
    main()
