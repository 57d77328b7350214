"""Runs skopsfsctl, the program in the environment variable SKOPSFSCTL_BINARY."""

import os

from mount import run

GOOD, WRONG, NOT_DONE = 0, 1, 2


def binary():
    path = os.environ.get("SKOPSFSCTL_BINARY")
    if not path:
        raise RuntimeError("set SKOPSFSCTL_BINARY to the skopsfsctl to be tested")
    return os.path.abspath(path)


def ctl(*arguments, code=GOOD, **more):
    """Runs it; returns what it printed to standard output and error."""
    done = run(binary(), *arguments, check=False, **more)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr
