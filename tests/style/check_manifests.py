"""The manifests of packaging/kubernetes: rendered by kubectl, held to the API's own models, without a cluster.

Usage: check_manifests.py

A server would refuse, or drop silently, what this finds: fields that there are not, values of a wrong type,
missing ones, and what the API's validation says of mounts and sidecars.
"""

import copy
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import kubernetes.client
import yaml
from kubernetes.client import models

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import manifests  # noqa: E402  (lies beside the tests that run what is in them)
import pod_security  # noqa: E402

KINDS = {
    ("v1", "Namespace"): models.V1Namespace,
    ("v1", "ConfigMap"): models.V1ConfigMap,
    ("v1", "PersistentVolume"): models.V1PersistentVolume,
    ("v1", "PersistentVolumeClaim"): models.V1PersistentVolumeClaim,
    ("apps/v1", "DaemonSet"): models.V1DaemonSet,
    ("apps/v1", "Deployment"): models.V1Deployment,
    ("scheduling.k8s.io/v1", "PriorityClass"): models.V1PriorityClass,
    ("networking.k8s.io/v1", "NetworkPolicy"): models.V1NetworkPolicy,
}

# Fields that Debian's client does not know yet: the model, the field, its type, and the version of
# Kubernetes from which they are there without being asked for.
NEWER = {
    (models.V1Container, "restartPolicy"): ("str", "1.29"),
}

ENUMS = {  # that the models have as mere texts
    "mountPropagation": {"None", "HostToContainer", "Bidirectional"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
}
HOST_PATHS = {"", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice"}
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
LABEL = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
PLAIN = {"str": str, "int": int, "bool": bool, "float": float, "object": object}


class Checker:
    """Collects what is wrong with one object."""

    def __init__(self, name):
        self._name = name
        self.faults = []

    def fault(self, path, what):
        self.faults.append(f"{self._name}: {path}: {what}")

    def typed(self, kind, value, path):
        """Checks `value` against a type as the models write it; returns what a model may be made of."""
        inner = re.fullmatch(r"list\[(.+)\]", kind)
        if inner:
            if not isinstance(value, list):
                return self.fault(path, f"a list is wanted, not {value!r}")
            return [self.typed(inner[1], item, f"{path}[{number}]") for number, item in enumerate(value)]
        inner = re.fullmatch(r"dict\(str, (.+)\)", kind)
        if inner:
            if not isinstance(value, dict):
                return self.fault(path, f"names with values are wanted, not {value!r}")
            for key, item in value.items():
                if not isinstance(key, str) or not LABEL.fullmatch(key):
                    self.fault(path, f"{key!r} is no name")
                self.typed(inner[1], item, f"{path}.{key}")
            return value
        if kind in PLAIN:
            right = PLAIN[kind]
            if not isinstance(value, right) or (isinstance(value, bool) and right not in (bool, object)):
                self.fault(path, f"{kind} is wanted, not {value!r}")
            return value
        return self.model(getattr(models, kind), value, path)

    def model(self, model, value, path):
        if not isinstance(value, dict):
            return self.fault(path, f"{model.__name__} is wanted, not {value!r}")
        fields = {there: here for here, there in model.attribute_map.items()}
        made = {}
        for key, item in value.items():
            at = f"{path}.{key}"
            newer = NEWER.get((model, key))
            if newer:
                self.typed(newer[0], item, at)
            elif key not in fields:
                self.fault(at, f"{model.__name__} has no such field")
            else:
                made[fields[key]] = self.typed(model.openapi_types[fields[key]], item, at)
                if key in ENUMS and item not in ENUMS[key]:
                    self.fault(at, f"{item!r} is none of {sorted(ENUMS[key])}")
        try:  # the models refuse to be made when something is missing, or is none of the values allowed
            return model(**made)
        except ValueError as error:
            return self.fault(path, error)

    # --- what the API's validation says beyond the schema -------------------------------------------

    def pod(self, pod):
        inits, ordinary = pod.get("initContainers", []), pod["containers"]
        volumes = [volume["name"] for volume in pod.get("volumes", [])]
        names = [container["name"] for container in inits + ordinary]
        for what in (names, volumes):
            for name in {name for name in what if what.count(name) > 1}:
                self.fault("pod", f"two are called {name}")
        used = set()
        for container in inits + ordinary:
            used |= self.container(container, container in inits, volumes)
        for name in set(volumes) - used:
            self.fault("pod", f"nobody mounts the volume {name}")
        for volume in pod.get("volumes", []):
            if len(volume) != 2:
                self.fault(volume["name"], "a volume has one source")
            if volume.get("hostPath", {}).get("type", "") not in HOST_PATHS:
                self.fault(volume["name"], "no such type of hostPath")
            if not volume.get("persistentVolumeClaim", {"readOnly": True}).get("readOnly"):
                self.fault(volume["name"], "our own rule: a claim is only read")

    def container(self, container, is_init, volumes):
        name = container["name"]
        sidecar = container.get("restartPolicy")
        security = container.get("securityContext", {})
        if sidecar and (not is_init or sidecar != "Always"):
            self.fault(name, "restartPolicy is for init containers, and Always")
        if is_init and not sidecar:
            for field in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
                if field in container:
                    self.fault(name, f"an init container that ends has no {field}")
        if security.get("privileged") and security.get("allowPrivilegeEscalation") is False:
            self.fault(name, "privileged is an escalation")
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                self.fault(name, f"there is no volume {mount['name']}")
            if mount.get("mountPropagation") == "Bidirectional" and not security.get("privileged"):
                self.fault(name, "Bidirectional is for privileged containers")
        ports = {port.get("name") for port in container.get("ports", [])}
        for field in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(field, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in ports:
                self.fault(name, f"{field}: there is no port {port}")
        resources = container.get("resources", {})
        for amounts in resources.values():
            for what, amount in amounts.items():
                if not QUANTITY.fullmatch(amount):
                    self.fault(name, f"{amount!r} of {what} is no quantity")
        if not resources.get("requests") or not security.get("readOnlyRootFilesystem"):
            self.fault(name, "our own rule: requests, and a root filesystem that is only read")
        return {mount["name"] for mount in container.get("volumeMounts", [])}

    def workload(self, thing):
        template = thing["spec"]["template"]
        wanted = thing["spec"]["selector"]["matchLabels"]
        if not wanted.items() <= template["metadata"].get("labels", {}).items():
            self.fault("selector", "does not select the pods of its own template")
        self.pod(template["spec"])


def faults_of(name, thing):
    kind = (thing.get("apiVersion"), thing.get("kind"))
    checker = Checker(f"{name}, {kind[1]} {thing.get('metadata', {}).get('name')}")
    if kind not in KINDS:
        checker.fault("kind", f"{kind} is not in the list of this test")
        return checker.faults
    checker.model(KINDS[kind], thing, kind[1])
    if not checker.faults and "template" in thing.get("spec", {}):
        checker.workload(thing)
    return checker.faults


def faults_of_claims(name, things):
    """A claim that names its volume must be one that the volume can be bound to."""
    faults = []
    specs = {(thing["kind"], thing["metadata"]["name"]): thing.get("spec") for thing in things}
    for (kind, claim), wanted in specs.items():
        if kind != "PersistentVolumeClaim":
            continue
        has = specs.get(("PersistentVolume", wanted["volumeName"]))
        if not has:
            faults.append(f"{name}: claim {claim}: there is no volume {wanted['volumeName']}")
        elif (wanted["storageClassName"] != has["storageClassName"] or wanted["accessModes"] != has["accessModes"]
              or wanted["resources"]["requests"] != has["capacity"]):
            faults.append(f"{name}: claim {claim}: the volume has another class, mode or size")
        elif wanted["accessModes"] != ["ReadOnlyMany"]:
            faults.append(f"{name}: claim {claim}: pods of all nodes are to read it, and none is to write")
    return faults


def faults_of_the_table():
    """The first table of docs/kubernetes.md says of each folder which Pod Security Standard its pod meets."""
    page = (manifests.REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    table = page.partition("| folder |")[2].partition("\n\n")[0]
    said = {}
    for row in table.splitlines()[2:]:
        cells = row.split("|")
        said.update(dict.fromkeys(re.findall(r"`([\w/-]+?)/?`", cells[1]), cells[4].strip(" `")))
    true = {name: pod_security.level(manifests.pod_of(name)) for name in manifests.names()
            if name != "examples/service"}
    return [f"docs/kubernetes.md: {name} is said to be {said.get(name)}, and is {true.get(name)}"
            for name in sorted({*said, *true}) if said.get(name) != true.get(name)]


def aliases():
    """kubectl 1.22 leaves out what an alias stands for when a patch touches the list that it is in."""
    return [f"{path}: has an alias" for path in manifests.FOLDER.rglob("*.yaml")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(path.read_text(encoding="utf-8")))]


def faults_of_the_page():
    """The overlay that docs/kubernetes.md shows has to render, and to change what it says."""
    page = (manifests.REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(manifests.FOLDER, f"{folder}/skopsfs/packaging/kubernetes")
        for name, text in re.findall(r"```yaml\n# (\w+\.yaml)\n(.*?)```", page, re.DOTALL):
            pathlib.Path(folder, name).write_text(text, encoding="utf-8")
        things = manifests.rendered(folder)
    faults = [fault for thing in things for fault in faults_of("docs/kubernetes.md", thing)]
    pod = next(thing for thing in things if thing["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    paths = [volume.get("hostPath") for volume in pod["volumes"]]
    if {"path": "/mnt/filer/models", "type": "Directory"} not in paths:
        faults.append("docs/kubernetes.md: the overlay does not change the source")
    for container in pod["containers"] + pod["initContainers"]:
        if container["image"] != "REGISTRY/skopsfs:0.1.0":
            faults.append(f"docs/kubernetes.md: the image of {container['name']} is not changed")
    return faults


def check_itself():
    """Each of these is a fault, or the test finds none at all."""
    good = manifests.rendered("sidecar")[0]

    def with_change(change):
        thing = copy.deepcopy(good)
        change(thing["spec"]["template"]["spec"])
        return thing

    def containers(pod):
        return pod["initContainers"] + pod["containers"]

    for change in (
        lambda pod: pod.update(hostnetwork=True),
        lambda pod: pod.update(hostNetwork="yes"),
        lambda pod: pod["containers"][0].pop("name"),
        lambda pod: pod["containers"][0].update(restartPolicy="Always"),
        lambda pod: pod["initContainers"][0].update(startupProbe={}),
        lambda pod: pod["initContainers"][1]["securityContext"].update(privileged=False),
        lambda pod: pod["initContainers"][1]["volumeMounts"][0].update(mountPropagation="Both"),
        lambda pod: pod["volumes"].pop(),
        lambda pod: pod["containers"][0]["volumeMounts"].clear() or pod["volumes"].append(
            {"name": "unused", "emptyDir": {}}),
        lambda pod: containers(pod)[0]["resources"]["limits"].update(memory="1 GB"),
        lambda pod: pod["volumes"][1].update(emptyDir={"sizelimit": "1Mi"}),
        lambda pod: pod["volumes"][0]["persistentVolumeClaim"].pop("readOnly"),
    ):
        if not faults_of("itself", with_change(change)):
            raise AssertionError("a fault that was made on purpose is not found")

    check_claims_themselves()
    check_levels_themselves()


def check_claims_themselves():
    good = manifests.rendered("examples/gunicorn-daemonset-claim")
    for field, value in (("storageClassName", "other"), ("volumeName", "other"), ("accessModes", ["ReadWriteOnce"]),
                         ("resources", {"requests": {"storage": "2Gi"}})):
        things = copy.deepcopy(good)
        next(thing for thing in things if thing["kind"] == "PersistentVolumeClaim")["spec"][field] = value
        if not faults_of_claims("itself", things):
            raise AssertionError(f"{field} of a claim is not compared with that of its volume")


def check_levels_themselves():
    """Each of these takes a pod that is `restricted` to a lower level."""
    good = manifests.pod_of("examples/gunicorn-daemonset-claim")
    for level, change in (
        ("privileged", lambda pod, own: pod["volumes"].append({"name": "node", "hostPath": {"path": "/dev/fuse"}})),
        ("privileged", lambda pod, own: own.update(privileged=True)),
        ("privileged", lambda pod, own: own.update(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
        ("privileged", lambda pod, own: pod.update(hostPID=True)),
        ("privileged", lambda pod, own: pod["containers"][0]["ports"][0].update(hostPort=80)),
        ("privileged", lambda pod, own: pod["containers"][0]["readinessProbe"]["httpGet"].update(host="node")),
        ("privileged", lambda pod, own: own.update(seccompProfile={"type": "Unconfined"})),
        ("privileged", lambda pod, own: own.update(procMount="Unmasked")),
        ("baseline", lambda pod, own: own.update(capabilities={"drop": ["ALL"], "add": ["CHOWN"]})),
        ("baseline", lambda pod, own: own.pop("capabilities")),
        ("baseline", lambda pod, own: own.pop("allowPrivilegeEscalation")),
        ("baseline", lambda pod, own: own.update(runAsUser=0)),
        ("baseline", lambda pod, own: own.update(runAsNonRoot=False)),
        ("baseline", lambda pod, own: pod["securityContext"].pop("seccompProfile")),
        ("baseline", lambda pod, own: pod["volumes"].append({"name": "filer", "nfs": {}})),
    ):
        pod = copy.deepcopy(good)
        change(pod, pod["containers"][0]["securityContext"])
        if pod_security.level(pod) != level:
            raise AssertionError(f"taken for {pod_security.level(pod)}, not {level}: {pod}")


def main():
    faults = aliases()
    objects = 0
    for name in manifests.names():
        things = manifests.rendered(name)
        objects += len(things)
        for thing in things:
            faults += faults_of(name, thing)
        faults += faults_of_claims(name, things)
    faults += faults_of_the_table() + faults_of_the_page()
    check_itself()
    for fault in faults:
        print(fault)
    print(f"{objects} objects of {len(manifests.names())} kustomizations, client {kubernetes.__version__}: "
          f"{len(faults)} faults")
    return 1 if faults or not objects else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except unittest.SkipTest as reason:
        print(reason)
        sys.exit(77)
