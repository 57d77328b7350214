"""Real containers: images that buildah builds, run by podman with runc.

All that they store is in one tmpfs of a mount namespace of the test process, so that nothing is left of them
whatever happens. See become_a_node() of containers.py.
"""

import json
import os
import resource
import shutil
import subprocess

import image
import workload_answers
from manifests import REPOSITORY
from mount import HANG, run, until

PROGRAMS = ("buildah", "podman", "runc", "debootstrap")
_CONTAINERS = """
[containers]
cgroups = "no-conmon"
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{folder}/engine"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""


def _at_most(limit, wanted):
    """What a container may have of it, since not every root may raise a limit."""
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def settings(folder):
    """The environment in which podman and buildah keep everything in `folder`, which is on a tmpfs."""
    found = {}
    values = {"folder": folder, "files": _at_most(resource.RLIMIT_NOFILE, 20000),
              "processes": _at_most(resource.RLIMIT_NPROC, 4096)}
    for variable, text in (("CONTAINERS_CONF", _CONTAINERS), ("CONTAINERS_STORAGE_CONF", _STORAGE)):
        path = os.path.join(folder, variable)
        with open(path, "w", encoding="ascii") as file:
            file.write(text.format(**values))
        found[variable] = path
    return found


def podman(*words, **more):
    """What it prints."""
    return run("podman", *words, **more).stdout.strip()


def copy_image(tag, folder):
    """Makes `folder`, with the files of the image."""
    run("cp", "-a", podman("image", "mount", tag), folder)
    podman("image", "unmount", tag)


def import_debian(folder):
    """Makes the images debian:12 and debian:12-slim, in `folder`, without a registry."""
    base = os.path.join(folder, "debian")
    os.mkdir(base)
    image.bootstrap(base)
    # As in Docker's: nothing of an image need survive a loss of power.
    with open(f"{base}/etc/dpkg/dpkg.cfg.d/unsafe-io", "w", encoding="ascii") as file:
        file.write("force-unsafe-io\n")
    with open(f"{base}/etc/apt/apt.conf.d/proxy", "w", encoding="ascii") as file:
        for name, value in image.environment().items():
            if name in ("http_proxy", "https_proxy"):
                file.write(f'Acquire::{name.removesuffix("_proxy")}::Proxy "{value}";\n')
    with subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE) as tar:
        podman("import", "--quiet", "-", "debian:12", stdin=tar.stdout)
    podman("tag", "debian:12", "debian:12-slim")
    shutil.rmtree(base)


def build(tag):
    """Builds the image as it is described, of what is in the repository now."""
    run("buildah", "bud", "--isolation", "chroot", "--pull-never", "--quiet", "--tag", tag,
        "--file", str(image.DOCKERFILE), str(REPOSITORY), guard=4 * HANG)


class Container:
    """A container of podman, which runs in the background. A context manager: removed at its end.

    There may be many of one image, with volumes in common.
    """

    def __init__(self, *words, **more):
        """`words`: what follows `podman run`."""
        self.name = podman("run", "--detach", "--network", "none", *words, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        podman("rm", "--force", "--time", "0", self.name)

    def state(self):
        return json.loads(podman("inspect", self.name))[0]["State"]

    @property
    def pid(self):
        """Of its first process, as it is seen here."""
        return self.state()["Pid"]

    def runs(self):
        return self.state()["Running"]

    def wait(self):
        """Waits for its end and returns its exit code."""
        until(lambda: not self.runs(), f"{self.name} ends")
        return self.state()["ExitCode"]

    def stop(self):
        podman("stop", self.name)
        return self.wait()

    def kill(self):
        """kill -9 of all that is in it."""
        podman("kill", "--signal", "KILL", self.name)
        return self.wait()

    def start(self):
        podman("start", self.name)

    def restart(self):
        podman("restart", self.name)

    def execute(self, *words):
        """What a command in it prints."""
        return podman("exec", self.name, *words)

    def log(self):
        done = run("podman", "logs", self.name)
        return done.stdout + done.stderr


class Reader:
    """A container of Debian with this machine's Python, which does what it is asked to: workload_answers.py.

    A context manager: removed at its end.
    """

    def __init__(self, name, *words):
        self.name = name
        folder, program = os.path.split(workload_answers.__file__)
        # Debian keeps in /etc/alternatives which library of linear algebra NumPy uses.
        here = [word for path, inside in (("/usr", "/usr"), ("/etc/alternatives", "/etc/alternatives"),
                                          (folder, "/answers"))  # no volume of a test lies there
                for word in ("--volume", f"{path}:{inside}:ro")]
        self._process = subprocess.Popen(
            ["podman", "run", "--rm", "--interactive", "--log-driver", "none", "--name", name, "--network", "none",
             *here, *words, "debian:12", "/usr/bin/python3", "-B", f"/answers/{program}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()  # which ends it
        self._process.wait(HANG)
        self._process.stdout.close()

    def __call__(self, name, *arguments):
        return workload_answers.ask(self._process.stdin, self._process.stdout, name, *arguments)

    @property
    def pid(self):
        return json.loads(podman("inspect", self.name))[0]["State"]["Pid"]
