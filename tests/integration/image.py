"""The image that packaging/container/Dockerfile describes, made without Docker: a folder with Debian in it.

What differs: the layers of debian:12-slim are what debootstrap makes, and the programs are those that are
tested, not compiled anew.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

from manifests import REPOSITORY
from mount import binary

DOCKERFILE = REPOSITORY / "packaging" / "container" / "Dockerfile"


class Dockerfile:
    """Its last stage: pairs of (instruction, what follows it), lines that are continued joined."""

    def __init__(self, path=DOCKERFILE):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines()
                 if not line.lstrip().startswith("#")]
        text = "\n".join(lines).replace("\\\n", " ")
        self._stage = []
        for line in filter(None, (line.strip() for line in text.splitlines())):
            word, rest = line.split(None, 1)
            if word == "FROM":
                self._stage = []
            self._stage.append((word, rest))

    def all_of(self, word):
        return [rest for instruction, rest in self._stage if instruction == word]

    @property
    def entrypoint(self):
        return json.loads(self.all_of("ENTRYPOINT")[-1])

    @property
    def packages(self):
        """What the last stage installs."""
        found = []
        for command in self.all_of("RUN"):
            for install in re.findall(r"apt-get install ([^&|;]*)", command):
                found += [word for word in install.split() if not word.startswith("-")]
        return found


def mirror():
    """Where this machine's apt has bookworm from, so that no host has to be named here."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(CODENAME)|$(RELEASE)|$(COMPONENT)",
         "Created-By: Packages"], stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        site, codename, release, component = line.split("|")
        if "bookworm" in (codename, release) and component == "main":
            return site
    raise AssertionError("apt has no main of bookworm; the image is made from it")


def environment():
    """This one, with the proxies that apt goes through, which debootstrap does not know of."""
    found = dict(os.environ)
    for scheme in ("http", "https"):
        done = subprocess.run(["apt-config", "shell", "proxy", f"Acquire::{scheme}::Proxy"],
                              stdout=subprocess.PIPE, text=True, check=True)
        proxy = re.fullmatch(r"proxy='(.*)'", done.stdout.strip())
        if proxy and proxy[1] != "DIRECT":
            found[f"{scheme}_proxy"] = proxy[1]
    return found


def control_binary():
    return os.environ.get("SKOPSFSCTL_BINARY") or os.path.join(os.path.dirname(binary()), "skopsfsctl")


def bootstrap(folder, packages=()):
    """Debian 12 and these packages, in a folder that is empty, and had better be a tmpfs."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    log = os.path.join(os.path.dirname(folder), "debootstrap.log")
    include = [f"--include={','.join(packages)}"] if packages else []
    with open(log, "wb") as output:
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--keyring={keyring}", *include, "bookworm", folder, mirror()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False,
            env=environment())
    if done.returncode != 0:
        tail = pathlib.Path(log).read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        raise AssertionError("debootstrap: " + "\n".join(tail))


def make(folder):
    """Makes the image in `folder`, which has to be empty, and had better be a tmpfs: 212 MiB."""
    dockerfile = Dockerfile()
    bootstrap(folder, dockerfile.packages)
    where = folder + dockerfile.all_of("COPY")[-1].split()[-1]
    for program in (binary(), control_binary()):
        shutil.copy(program, where)
        os.chmod(os.path.join(where, os.path.basename(program)), 0o755)
