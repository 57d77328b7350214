"""The kernel's merging of equal memory, which tests turn on for a while."""

import contextlib
import os
import unittest

KSM = "/sys/kernel/mm/ksm"
needs_ksm = unittest.skipUnless(os.access(f"{KSM}/run", os.W_OK), "wants root and a kernel with KSM")


def setting(name, value=None):
    """What the kernel has; it is set if a value is given."""
    with open(f"{KSM}/{name}", "r+" if value else "r", encoding="ascii") as file:
        found = file.read().strip()
        if value:
            file.seek(0)
            file.write(value)
    return found


@contextlib.contextmanager
def ksm():
    """On, at a pace that tests can wait for."""
    wanted = {"pages_to_scan": "10000", "sleep_millisecs": "5", "smart_scan": "0", "run": "1"}
    wanted = {name: value for name, value in wanted.items() if os.path.exists(f"{KSM}/{name}")}
    before = {name: setting(name) for name in reversed(wanted)}
    try:
        for name, value in wanted.items():
            setting(name, value)
        yield
    finally:
        for name, value in before.items():
            setting(name, value)
