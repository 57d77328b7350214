"""The program as it is installed, in a folder of a test, and processes that act as its users do."""

import os
import re
import shlex
import subprocess

from mount import run


class Installed:
    """What `cmake --install` puts below `prefix`. The build's folder is in SKOPSFS_BUILD_FOLDER."""

    def __init__(self, prefix):
        build = os.environ.get("SKOPSFS_BUILD_FOLDER")
        if not build:
            raise RuntimeError("set SKOPSFS_BUILD_FOLDER to the folder that was built in")
        self.prefix = prefix
        run("cmake", "--install", build, "--prefix", prefix)
        self.binary = os.path.join(prefix, "bin", "skopsfs")

    def unit(self):
        """The path of the unit."""
        return os.path.join(self.prefix, "lib", "systemd", "system", "skopsfs@.service")

    def command(self, setting, variables):
        """The words of such a line of the unit (ExecStart=), with variables put in as systemd does:
        ${NAME} is one word, $NAME as many as it has."""
        with open(self.unit(), encoding="utf-8") as file:
            line = re.search(rf"^{setting}=-?(.*)$", file.read(), re.MULTILINE).group(1)
        words = []
        for word in shlex.split(line):
            if re.fullmatch(r"\$\w+", word):
                words += variables.get(word[1:], "").split()
            else:
                words.append(re.sub(
                    r"\$(\$)|\$\{?(\w+)\}?",
                    lambda m: m.group(1) or variables.get(m.group(2), ""), word))
        return words


def output(*command, **more):
    """What it prints to stdout and stderr together, and its exit code."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **more)
    return done.stdout, done.returncode
