"""The manifests of packaging/kubernetes as `kubectl kustomize` renders them, and what is in them."""

import functools
import json
import pathlib
import re
import subprocess
import unittest

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "packaging" / "kubernetes"


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last."""


def _mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise ValueError(f"line {node.start_mark.line + 1}: {', '.join(twice)} is given twice")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(text):
    """The documents in a text of YAML."""
    return [document for document in yaml.load_all(text, _Loader) if document is not None]


def names():
    """What can be rendered: the folders with a kustomization, relative to packaging/kubernetes."""
    return sorted(str(path.parent.relative_to(FOLDER)) for path in FOLDER.rglob("kustomization.yaml"))


@functools.lru_cache(maxsize=None)
def need_kubectl():
    """Skips the test where no kubectl knows the fields in use. Those that older ones know are deprecated."""
    try:
        told = subprocess.run(["kubectl", "version", "--client", "--output=json"], stdout=subprocess.PIPE, check=True)
        version = json.loads(told.stdout)["clientVersion"]["gitVersion"]
    except FileNotFoundError:
        version = "none"
    numbers = re.match(r"v(\d+)\.(\d+)\.", version)
    if not numbers or (int(numbers[1]), int(numbers[2])) < (1, 21):
        raise unittest.SkipTest(f"needs kubectl 1.21 or later, there is {version}")


@functools.lru_cache(maxsize=None)
def rendered(name):
    """The objects of a base or an example. What kubectl warns of is a fault."""
    need_kubectl()
    done = subprocess.run(["kubectl", "kustomize", FOLDER / name], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"kubectl kustomize {name}: {done.stderr}")
    return load(done.stdout)


def pod_of(name):
    """The pod's specification in what has one workload."""
    found = [thing["spec"]["template"]["spec"] for thing in rendered(name)
             if "template" in thing.get("spec", {})]
    if len(found) != 1:
        raise AssertionError(f"{name} has {len(found)} workloads")
    return found[0]


def source_of(name, volume):
    """What a volume of a pod is. A claim that comes with its PersistentVolume is what that is."""
    named = {(thing["kind"], thing["metadata"]["name"]): thing["spec"] for thing in rendered(name) if "spec" in thing}
    claim = named.get(("PersistentVolumeClaim", volume.get("persistentVolumeClaim", {}).get("claimName")))
    return named[("PersistentVolume", claim["volumeName"])] if claim else volume


def container_of(pod, name):
    found = [container for container in (*pod.get("initContainers", ()), *pod["containers"])
             if container["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"there are {len(found)} containers {name}")
    return found[0]
