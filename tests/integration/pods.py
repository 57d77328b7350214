"""Pods as a kubelet runs them, from the manifests of packaging/kubernetes: volumes, order, probes, the end.

What stands for what: a folder for the node's filesystem, in which paths of hostPath volumes begin; the
image of image.py for every image; Workload for the program of a workload.
"""

import itertools
import os
import shutil

from containers import Container, VolumeMount, Workload
from image import Dockerfile
from manifests import container_of, pod_of, source_of
from mount import mounts, until


class Node:
    """A folder that stands for a node's disk, and the image that is on it."""

    def __init__(self, folder, image):
        self.folder, self.image = folder, image
        self.entrypoint = Dockerfile().entrypoint
        self._numbers = itertools.count(1)

    def path(self, *parts):
        return os.path.join(self.folder, *(part.lstrip("/") for part in parts))

    def make(self, *parts):
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        return path

    def new_folder(self, kind):
        return self.make("kubelet", f"{kind}-{next(self._numbers)}")

    def mounted(self):
        """Where on the node skopsfs is mounted; the same path twice when two are."""
        start = self.folder + "/"
        return [mount[0] for mount in mounts() if mount[1] == "fuse.skopsfs"
                and mount[0].startswith(start)]


class Pod:
    """A pod of a manifest. `driver(folder, volume, others)` mounts volumes of the kind csi."""

    def __init__(self, node, manifest, driver=None):
        self._node, self._driver = node, driver
        self.spec = pod_of(manifest)
        self.folder = node.new_folder("pod")
        self._volumes = {}
        self.containers = {}
        self._workloads = []
        for volume in self.spec["volumes"]:
            self._volumes[volume["name"]] = self._prepare(volume["name"], source_of(manifest, volume))
        for volume in self.spec["volumes"]:
            if "csi" in volume:
                driver(self._volumes[volume["name"]], volume["csi"], self._volumes)

    def _prepare(self, name, volume):
        if "hostPath" in volume:
            path = self._node.path(volume["hostPath"]["path"])
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                os.makedirs(path, exist_ok=True)
            elif not os.path.isdir(path):
                raise AssertionError(f"hostPath {path} is not there")
            return path
        if "persistentVolumeClaim" in volume:
            return self._node.make("claims", volume["persistentVolumeClaim"]["claimName"])
        path = os.path.join(self.folder, "volumes", name)
        os.makedirs(path)
        if "emptyDir" in volume:
            os.chmod(path, 0o777)
        return path

    def volume(self, name):
        return self._volumes[name]

    def _new(self, name, command, function=None):
        container = container_of(self.spec, name)
        security = {**self.spec.get("securityContext", {}), **container.get("securityContext", {})}
        if security.get("runAsNonRoot") and security.get("runAsUser", 0) == 0:
            raise AssertionError(f"{name} would be root")
        volumes = [VolumeMount(self._volumes[volume["name"]], volume["mountPath"],
                               volume.get("mountPropagation", "None"), volume.get("readOnly", False))
                   for volume in container.get("volumeMounts", ())]
        environment = {item["name"]: item["value"] for item in container.get("env", ())}
        return Container(self._node.new_folder(name), self._node.image, volumes, security,
                         command, function, environment)

    def start(self, name, command=None, function=None):
        """Starts a container, which may have been running before; `command` takes the place of its own."""
        container = container_of(self.spec, name)
        words = command or container.get("command") or self._node.entrypoint
        if not command:
            words = words + container.get("args", [])
        self.containers[name] = self._new(name, words, function)
        return self.containers[name]

    def run(self, name):
        """Runs an init container to its end, which has to be a good one."""
        code = self.start(name).wait()
        if code != 0:
            raise AssertionError(f"{name} ended with {code}: {self.containers[name].log()}")

    def probe(self, name, kind):
        """Whether a probe of a container succeeds, once."""
        container = container_of(self.spec, name)
        probe = container[kind]
        if "exec" in probe:
            return self.containers[name].execute(probe["exec"]["command"], probe["timeoutSeconds"])
        port = next(port["containerPort"] for port in container["ports"] if port["name"] == probe["httpGet"]["port"])
        return self.containers[name].answers(port, probe["httpGet"]["path"], probe["timeoutSeconds"])

    def wait_for(self, name, kind="startupProbe"):
        container = self.containers[name]

        def passed():
            if container.ended():
                raise AssertionError(f"{name} ended with {container.exit_code}: {container.log()}")
            return self.probe(name, kind)
        until(passed, f"{kind} of {name} succeeds; it said: {container.log()}")

    def start_up(self):
        """Init containers in their order, those that are sidecars until their startupProbe passes, then all
        others but the workload, which start_workload() starts."""
        for container in self.spec.get("initContainers", ()):
            if container.get("restartPolicy") == "Always":
                self.start(container["name"])
                self.wait_for(container["name"])
            else:
                self.run(container["name"])
        for container in self.spec["containers"]:
            if container["name"] != "workload":
                self.start(container["name"])
                self.wait_for(container["name"])

    def start_workload(self, **answers):
        workload = Workload(lambda function: self.start("workload", function=function), **answers)
        self._workloads.append(workload)
        return workload

    def end_containers(self):
        """SIGTERM to ordinary containers, then to sidecars, the last one first, each when those before it
        have ended. Returns the names in the order of their ends, with the exit codes."""
        codes = []
        sidecars = [container["name"] for container in self.spec.get("initContainers", ())
                    if container.get("restartPolicy") == "Always"]
        ordinary = [container["name"] for container in self.spec["containers"]]
        for name in ordinary + sidecars[::-1]:
            container = self.containers.get(name)
            if container is not None and not container.ended():
                codes.append((name, container.stop()))
        return codes

    def delete_folder(self):
        """As the kubelet does when all containers have ended; fails where something is still mounted."""
        shutil.rmtree(self.folder)

    def clear(self):
        for workload in self._workloads:
            workload.close()
        for container in self.containers.values():
            container.kill()
