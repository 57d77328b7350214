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
    before = {name: setting(name) for name in ("run", "pages_to_scan", "sleep_millisecs")}
    try:
        for name, value in {"pages_to_scan": "10000", "sleep_millisecs": "5", "run": "1"}.items():
            setting(name, value)
        yield
    finally:
        for name, value in before.items():
            setting(name, value)
