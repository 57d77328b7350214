"""The child processes of a skopsfs, by the names that they give themselves.

A child without one is about to become something, or closes files for skopsfs (src/supervisor/closer.h).
"""

WORKER = "skopsfs-worker"
NOTIFIER = "skopsfs-notify"
METRICS = "skopsfs-metrics"


def words_of(pid):
    """The command line of a process; none when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def name_of(pid):
    """Also of one that has ended and is not reaped yet; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def children_of(pid, *names):
    """Those with one of these names, the oldest first."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split() if name_of(child) in names]
